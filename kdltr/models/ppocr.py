"""PP-OCRv6 small recognition: a convolutional reader of words by CTC that anyone can install.

Written from the ONNX graph in the `rapidocr` wheel (Apache-2.0), whose weights it takes
(`kdltr.models.rapidocr`): stem, three stages of blocks, a pool to one row of frames, a small
transformer and a linear classifier, here of ASCII's 94 characters and the blank alone. Batch norm
before the transformer is folded into the convolutions there, and therefore is none here.

Symbols: N images, C channels or classes, (H, W) a map, T frames, E width of a frame's vector.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdltr.charset import ASCII94, MAX_LENGTH, Charset
from kdltr.models.base import Recogniser
from kdltr.models.fitting import fit_convolution
from kdltr.models.folding import folded
from kdltr.models.output import ModelOutput
from kdltr.models.rapidocr import read_onnx, wheel_model
from kdltr.models.vit import Block

log = logging.getLogger(__name__)
STEM_ROWS = 24  # of the first convolution's map; the last stage's then has the 3 that are pooled


@dataclass(frozen=True)
class PPOCRConfig:
    """Sizes of a PP-OCR recogniser; the defaults are the teacher's."""

    image_size: tuple[int, int] = (48, 192)  # pixels; a frame is 8 of the 192
    enlarge: float = 1.0  # the image is first made so many times larger, bicubic
    stride: int = 2  # of the first convolution; the student has 1, and the same map
    stem: int = 48  # channels
    widths: tuple[int, ...] = (96, 192, 384)  # channels of each stage
    depths: tuple[int, ...] = (3, 7, 3)  # blocks of each stage
    # Blocks of each stage with squeeze-and-excitation.
    squeezed: tuple[tuple[int, ...], ...] = ((0,), (1, 3, 5), (1,))
    width: int = 120  # E
    depth: int = 2  # transformer layers
    heads: int = 8
    charset: Charset = ASCII94


class Stem(nn.Module):
    """Two convolutions of stride 2 with a block of two branches between (names as they act)."""

    def __init__(self, stem: int, width: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, stem, 3, stride, padding=1)
        self.narrow = nn.Conv2d(stem, stem // 2, 2)
        self.widen = nn.Conv2d(stem // 2, stem, 2)
        self.merge = nn.Conv2d(2 * stem, stem, 3, 2, padding=1)
        self.expand = nn.Conv2d(stem, width, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [−1, 1] → (N, C, H/4, W/4), twice that by a first stride of 1."""
        x = _padded(F.relu(self.first(images)))
        branch = F.relu(self.widen(_padded(F.relu(self.narrow(x)))))
        x = torch.cat([F.max_pool2d(x, 2, 1), branch], dim=1)
        return F.relu(self.expand(F.relu(self.merge(x))))


def _padded(x: Tensor) -> Tensor:
    """A row and a column of zeros at the end, for kernels of 2×2 that keep the size."""
    return F.pad(x, (0, 1, 0, 1))


class SqueezeExcitation(nn.Module):
    """Scales each channel by what the mean of all of them says."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(width, width // 4, 1)
        self.expand = nn.Conv2d(width // 4, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W)."""
        mean = x.mean((2, 3), keepdim=True)
        return x * F.hardsigmoid(self.expand(F.relu(self.reduce(mean))))


class ConvBlock(nn.Module):
    """A depthwise 3×3 convolution, then two 1×1 with a GELU between.

    What the latter make is added to what they get, but for a stage's first block (``before`` is
    not None), which halves the height and changes the width.
    """

    def __init__(self, width: int, squeezed: bool, before: int | None = None) -> None:
        super().__init__()
        self.residual = before is None
        before = before or width
        stride = 1 if self.residual else (2, 1)
        self.depthwise = nn.Conv2d(before, before, 3, stride, padding=1, groups=before)
        self.squeeze = SqueezeExcitation(before) if squeezed else nn.Identity()
        self.fc1 = nn.Conv2d(before, 2 * before, 1)
        self.fc2 = nn.Conv2d(2 * before, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C', H', W) → (N, C, H, W)."""
        x = self.squeeze(self.depthwise(x))
        mixed = self.fc2(F.gelu(self.fc1(x)))
        return x + mixed if self.residual else mixed


class Neck(nn.Module):
    """One row of frames to vectors: a 1×7 convolution, transformer layers and a way past both."""

    def __init__(self, before: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.shortcut = _conv_norm(before, width, (1, 1))
        self.enter = _conv_norm(before, width, (1, 1))
        self.near = _conv_norm(width, width, (1, 7), groups=width)
        self.blocks = nn.ModuleList(
            Block(width, heads, ratio=2, activation=F.silu, eps=1e-5) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, 1, T) → (N, T, E)."""
        past, x = self.shortcut(x), self.enter(x)
        x = (x + self.near(x)).squeeze(2).transpose(1, 2)  # (N, T, E)
        for block in self.blocks:
            x = block(x)
        return self.norm(x) + past.squeeze(2).transpose(1, 2)


def _conv_norm(before: int, width: int, kernel: tuple[int, int], groups: int = 1) -> nn.Sequential:
    padding = (kernel[0] // 2, kernel[1] // 2)
    conv = nn.Conv2d(before, width, kernel, padding=padding, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.SiLU())


class PPOCR(Recogniser):
    """PP-OCR's recogniser; the student's first convolution has stride 1 and half the image.

    Raises:
        ValueError: an image height that does not give 3 rows to pool, or a width of no whole number
            of frames.
    """

    decoding = "ctc"
    steps = MAX_LENGTH + 1

    def __init__(self, name: str, config: PPOCRConfig) -> None:
        super().__init__()
        self.name, self.config = name, config
        self.charset, self.image_size = config.charset, tuple(config.image_size)
        self.semantic_width = config.width
        self.enlarged = tuple(round(config.enlarge * side) for side in self.image_size)
        height, width = self.enlarged
        frame = 4 * config.stride  # pixels of the enlarged image
        if height != STEM_ROWS * config.stride or width % frame:
            raise ValueError(
                f"{name} reads images that are {STEM_ROWS * config.stride} pixels high and a "
                f"multiple of {frame} wide once made {config.enlarge} times larger, found "
                f"{height} × {width} from image_size {self.image_size}"
            )
        self.frames = width // frame
        self.stem = Stem(config.stem, config.widths[0], config.stride)
        stages, before = [], None
        for width, depth, squeezed in zip(
            config.widths, config.depths, config.squeezed, strict=True
        ):
            stages.append(nn.Sequential(*(
                ConvBlock(width, i in squeezed, None if i else before) for i in range(depth)
            )))
            before = width
        self.stages = nn.ModuleList(stages)
        self.apply(_initialise)
        self.neck = Neck(before, config.width, config.depth, config.heads)
        self.head = nn.Linear(config.width, self.charset.size)
        self.to(memory_format=torch.channels_last)  # half as long again on a CPU without

    def load(self, checkpoint: str | Path) -> None:
        """Load weights strictly: of a file, an ``.onnx`` one too, or of the wheel ("rapidocr").

        Raises:
            kdltr.checkpoint.CheckpointError: the wheel or the file is missing or another one.
        """
        if str(checkpoint) == "rapidocr":
            checkpoint = wheel_model()
        if Path(checkpoint).suffix == ".onnx":
            self.load_state_dict(read_onnx(checkpoint, self.state_dict(), self.charset))
        else:
            super().load(checkpoint)

    def for_reading(self) -> Recogniser:
        """A copy with batch norm folded into the convolutions."""
        return folded(self)

    def normalised(self, images: Tensor) -> Tensor:
        """Images (N, 3, ·, ·), RGB in [0, 1] → of the network's size, BGR in [−1, 1],
        channels last."""
        if self.enlarged != self.image_size:
            images = F.interpolate(images, self.enlarged, mode="bicubic")
        return (2 * images.flip(1) - 1).contiguous(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> ModelOutput:
        """Read images (N, 3, ·, ·), RGB in [0, 1].

        Returns:
            logits (N, T, C), class 0 the blank; semantic (N, T, E); visual (N, C', 6, 2·T), the
            second stage's map; no attention.
        """
        x = self.stem(self.normalised(images))  # (N, C, 12, 2·T)
        visual = self.stages[1](self.stages[0](x))  # (N, C', 6, 2·T)
        x = self.stages[2](visual)  # (N, C, 3, 2·T)
        semantic = self.neck(F.avg_pool2d(x, (3, 2)))  # (N, T, E)
        return ModelOutput(self.head(semantic), semantic, visual)

    @torch.no_grad()
    def fit_start(self, teacher: PPOCR, images: Tensor) -> None:
        """Start the first convolution from the teacher's (not in the paper, which copies it).

        The kernel and bias that come nearest, by least squares over all places of ``images``, to
        what the teacher's gives on the bicubic image.

        Args:
            teacher: whose first convolution gives a map of the same size.
            images: (M, 3, H, W) of the student's size, in [0, 1]; a few hundred do.
        """
        def seen(some: Tensor) -> tuple[Tensor, Tensor]:
            large = F.interpolate(some, teacher.image_size, mode="bicubic")
            return self.normalised(some), teacher.normalised(large)

        left = fit_convolution(self.stem.first, teacher.stem.first, seen, images)
        log.info("%s: first convolution fitted, %.3f of the variance left", self.name, left)


def _initialise(module: nn.Module) -> None:
    """Values that keep the size of what passes, as no batch norm follows."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
        nn.init.zeros_(module.bias)
