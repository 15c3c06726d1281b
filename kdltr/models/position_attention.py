"""Reading all characters at once from a feature map: one query a step (ABINet, §3.1)."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from kdltr.models.transformer import PositionalEncoding


class PositionAttention(nn.Module):
    """Step t looks where its query matches the keys, which a small U-Net makes of the features.

    Symbols: N words, T steps, E width, (H, W) the feature map.

    Args:
        width: E.
        channels: of the U-Net.
        steps: T.
    """

    def __init__(self, width: int, channels: int, steps: int) -> None:
        super().__init__()
        self.k_encoder = nn.Sequential(
            _convolution(width, channels, stride=(1, 2)),
            *[_convolution(channels, channels, stride=2) for _ in range(3)],
        )
        # The first entry of each stands where the released code has its upsampling: only names.
        self.k_decoder = nn.Sequential(
            *[_convolution(channels, channels, nn.Identity()) for _ in range(3)],
            _convolution(channels, width, nn.Identity()),
        )
        self.pos_encoder = PositionalEncoding(steps, width)
        self.project = nn.Linear(width, width)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, E, H, W) → character vectors (N, T, E), attention (N, T, H, W)."""
        width = features.shape[1]
        keys = self.keys(features).flatten(2)  # (N, E, H·W)
        queries = self.project(self.pos_encoder.positions)  # (T, E)
        attention = (queries @ keys / math.sqrt(width)).softmax(-1)  # (N, T, H·W)
        vectors = attention @ features.flatten(2).transpose(1, 2)  # (N, T, E)
        return vectors, attention.unflatten(-1, features.shape[2:])

    def keys(self, features: Tensor) -> Tensor:
        """(N, E, H, W) → (N, E, H, W), each place aware of the whole word."""
        skips, x = [], features
        for down in self.k_encoder:
            x = down(x)
            skips.append(x)
        for up, skip in zip(self.k_decoder[:-1], skips[-2::-1], strict=True):
            x = up(F.interpolate(x, skip.shape[2:])) + skip  # nearest: ×2 in the published sizes
        return self.k_decoder[-1](F.interpolate(x, features.shape[2:]))


def _convolution(
    before: int, after: int, first: nn.Module | None = None, stride: int | tuple[int, int] = 1
) -> nn.Sequential:
    layers = [nn.Conv2d(before, after, 3, stride, padding=1), nn.BatchNorm2d(after), nn.ReLU(True)]
    return nn.Sequential(*([first] if first else []), *layers)
