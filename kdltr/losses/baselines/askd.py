"""A-SKD (Shin et al., "Teaching Where to Look", ECCV 2022): attention maps should point alike.

The published code compares channel and spatial attention maps of a face network's blocks. A
recogniser with position attention has maps of its own, which mean something in the teacher too:
taking those is our reading. `ChannelSpatialMaps` is the published form, for maps of one feature
map; nobody says how a teacher's would be trained.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdltr.losses.baselines.steps import read

WEIGHT = 5.0


def map_distance(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """5 · the sum over maps of 1 − cosine, each map flattened, mean over words (published code).

    Args:
        student: maps (N, …).
        teacher: as many, of the same shapes.
    """
    return WEIGHT * sum(
        (1 - F.cosine_similarity(ours.flatten(1), theirs.flatten(1))).mean()
        for ours, theirs in zip(student, teacher, strict=True)
    )


def attention_distance(student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
    """`map_distance` of position attention ``(N, T, H, W)``, all steps of a word as one map."""
    return map_distance([student], [teacher])


def masked_attention_distance(student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
    """`attention_distance` with the steps behind the end token set to zero in both."""
    counted = read(lengths, student.shape[1])[..., None, None]
    return attention_distance(student * counted, teacher * counted, lengths)


class ChannelSpatialMaps(nn.Module):
    """Channel and spatial attention of a feature map, before their sigmoid (published code).

    Args:
        channels: C.
        reduction: of C in the channel map's perceptron.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.channel_layer, self.spatial_layer = nn.Module(), nn.Module()
        self.channel_layer.shared_mlp = nn.Sequential(
            nn.Conv2d(channels, channels // reduction, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(channels // reduction, channels, 1, bias=False),
        )
        self.spatial_layer.conv = nn.Conv2d(2, 1, 3, padding=1, bias=False)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """``(N, C, H, W)`` → maps ``(N, C, 1, 1)`` and ``(N, 1, H, W)``."""
        mlp = self.channel_layer.shared_mlp
        channel = mlp(features.mean((2, 3), keepdim=True)) + mlp(features.amax((2, 3), True))
        features = features * channel.sigmoid()
        both = torch.cat([features.mean(1, keepdim=True), features.amax(1, keepdim=True)], 1)
        return channel, self.spatial_layer.conv(both)
