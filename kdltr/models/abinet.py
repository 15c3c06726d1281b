"""ABINet, teacher and low-resolution student (Fang et al., CVPR 2021; paper §3.2).

Symbols: N images, T steps, C classes, E width, (H, W) the feature map. Parameter names are those of
the released checkpoints, which load strictly.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdltr.charset import ALNUM36, MAX_LENGTH, Charset
from kdltr.models.base import Recogniser
from kdltr.models.fitting import fit_first_stage
from kdltr.models.folding import folded
from kdltr.models.language import LanguageModel
from kdltr.models.output import ModelOutput
from kdltr.models.position_attention import PositionAttention
from kdltr.models.resnet import ResNet, Stride
from kdltr.models.transformer import EncoderLayer, Layers, PositionalEncoding

STEPS = MAX_LENGTH + 1
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ABINetConfig:
    """Sizes of an ABINet; the defaults are the released teacher's."""

    image_size: tuple[int, int] = (32, 128)  # pixels
    strides: tuple[Stride, ...] = (2, 1, 2, 1, 1)  # of the stages; the student's first is 1
    widths: tuple[int, ...] = (32, 64, 128, 256, 512)  # of the stages; the last is E
    blocks: tuple[int, ...] = (3, 4, 6, 6, 3)
    visual_stage: int = 3  # of the map that is distilled
    heads: int = 8
    hidden: int = 2048  # of the feed-forward parts
    encoder_layers: int = 3
    language_layers: int = 4
    key_channels: int = 64  # of the U-Net that makes the attention's keys
    dropout: float = 0.1
    charset: Charset = ALNUM36

    @property
    def width(self) -> int:
        """E, of character vectors."""
        return self.widths[-1]

    @property
    def map_size(self) -> tuple[int, int]:
        """(H, W) of the feature map."""
        height, width = self.image_size
        for stride in self.strides:
            down, across = (stride, stride) if isinstance(stride, int) else stride
            height, width = -(-height // down), -(-width // across)
        return height, width


class Backbone(nn.Module):
    """ResNet, then a transformer over its places."""

    def __init__(self, config: ABINetConfig) -> None:
        super().__init__()
        height, width = config.map_size
        self.resnet = ResNet(
            config.widths, config.blocks, config.strides, config.visual_stage
        )
        self.pos_encoder = PositionalEncoding(height * width, config.width, config.dropout)
        self.transformer = Layers([
            EncoderLayer(config.width, config.heads, config.hidden, config.dropout)
            for _ in range(config.encoder_layers)
        ])

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised images → the map to distil (N, C', H, W), features (N, E, H, W)."""
        visual, features = self.resnet(images)
        places = self.transformer(self.pos_encoder(features.flatten(2).transpose(1, 2)))
        return visual, places.transpose(1, 2).reshape(features.shape)


class ABINetVision(Recogniser):
    """The vision model alone: a recogniser of its own, and a part of ABINet and MATRN."""

    resolution_dependent = ("layer1.0.downsample",)

    def __init__(self, name: str, config: ABINetConfig) -> None:
        super().__init__()
        self.name, self.config = name, config
        self.charset, self.image_size = config.charset, tuple(config.image_size)
        self.semantic_width, self.steps = config.width, STEPS
        self.backbone = Backbone(config)
        self.attention = PositionAttention(config.width, config.key_channels, STEPS)
        self.cls = nn.Linear(config.width, config.charset.size)
        # Of ImageNet, RGB.
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None], False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225])[:, None, None], False)
        self.to(memory_format=torch.channels_last)  # half as long again a step on a CPU without

    def normalised(self, images: Tensor) -> Tensor:
        """Images in [0, 1] with mean and deviation of ImageNet's taken out, channels last."""
        return ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def look(self, images: Tensor) -> tuple[Tensor, ModelOutput]:
        """Images (N, 3, ·, ·), RGB in [0, 1] → features (N, E, H, W) and what `forward` returns."""
        visual, features = self.backbone(self.normalised(images))
        semantic, attention = self.attention(features)
        return features, ModelOutput(self.cls(semantic), semantic, visual, attention)

    def for_reading(self) -> Recogniser:
        """A copy with batch norm folded into the convolutions."""
        return folded(self)

    def forward(self, images: Tensor) -> ModelOutput:
        """Read images (N, 3, ·, ·), RGB in [0, 1].

        Returns:
            logits (N, T, C), semantic (N, T, E), visual (N, C', H, W) of the ResNet's stage
            ``visual_stage``, attention (N, T, H, W).
        """
        return self.look(images)[1]

    def fit_start(self, teacher: ABINetVision, images: Tensor) -> None:
        """Fit the first stage to the teacher's on the ×2 bicubic of images (M, 3, ·, ·)."""
        large = F.interpolate(images, teacher.image_size, mode="bicubic", align_corners=True)
        left = fit_first_stage(
            self.backbone.resnet, teacher.backbone.resnet,
            self.normalised(images), teacher.normalised(large),
        )
        log.info("%s: first stage fitted, %.3f of the variance left", self.name, left)


class Alignment(nn.Module):
    """Gated fusion of vision and language."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.w_att = nn.Linear(2 * width, width)
        self.cls = nn.Linear(width, classes)

    def forward(self, language: Tensor, vision: Tensor) -> Tensor:
        """Two sets of character vectors (N, T, E) → logits (N, T, C)."""
        gate = self.w_att(torch.cat([language, vision], dim=-1)).sigmoid()
        return self.cls(gate * vision + (1 - gate) * language)


class ABINet(Recogniser):
    """Vision, a language model over its reading, and their fusion; one pass."""

    resolution_dependent = ABINetVision.resolution_dependent
    without_gradient = ("vision.cls", "language.cls")

    def __init__(self, name: str, config: ABINetConfig) -> None:
        super().__init__()
        self.name, self.config = name, config
        self.charset, self.image_size = config.charset, tuple(config.image_size)
        self.semantic_width, self.steps = config.width, STEPS
        self.vision = ABINetVision(name, config)
        self.language = language_model(config)
        self.alignment = Alignment(config.width, config.charset.size)

    def for_reading(self) -> Recogniser:
        """A copy with batch norm folded into the convolutions."""
        return folded(self)

    def forward(self, images: Tensor) -> ModelOutput:
        """Read images (N, 3, ·, ·), RGB in [0, 1].

        Returns:
            Fused logits (N, T, C); semantic, visual and attention as `ABINetVision`; auxiliary: the
            logits of vision and of language.
        """
        seen = self.vision(images)
        spelled = self.language(seen.logits)  # (N, T, E)
        return ModelOutput(
            self.alignment(spelled, seen.semantic), seen.semantic, seen.visual, seen.attention,
            auxiliary=(seen.logits, self.language.cls(spelled)),
        )

    def fit_start(self, teacher: ABINet, images: Tensor) -> None:
        """As `ABINetVision.fit_start`."""
        self.vision.fit_start(teacher.vision, images)


def language_model(config: ABINetConfig) -> LanguageModel:
    """The language model of these sizes."""
    return LanguageModel(
        config.charset.size, STEPS, config.width, config.heads, config.hidden,
        config.language_layers, config.dropout,
    )
