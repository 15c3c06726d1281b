"""What the four networks share: TSRN's trunk, and reading published checkpoints.

"Scene Text Image Super-Resolution in the Wild" (Wang et al., ECCV 2020). A 9×9 convolution, five
residual blocks, a long skip, pixel shuffle, a 9×9 convolution, tanh.

Symbols: N images, C channels of an image (RGB, or RGB and mask), E width of the trunk, (h, w) the
LR image and all maps up to the pixel shuffle, (H, W) the HR image, twice as large.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdltr.checkpoint import load_weights
from kdltr.superres.alignment import HEADS, POINTS, AlignmentHead, ThinPlateSpline

LR_SIZE, HR_SIZE = (16, 64), (32, 128)  # pixels
BLOCKS = tuple(f"block{i}" for i in range(2, 7))


@dataclass(frozen=True)
class UpscalerConfig:
    """Settings that all four have; the defaults are the published ones."""

    mask: bool = True  # a fourth channel, see kdltr.superres.images
    align: bool = True  # build the alignment, which acts in training alone
    align_head: str = "shared"  # or "textzoom", see AlignmentHead
    align_corners: bool = False  # see ThinPlateSpline; published with True: TSRN and STT
    width: int = 64  # E
    align_widths: tuple[int, ...] = (32, 64, 128, 256, 256, 256)

    def __post_init__(self) -> None:
        self.check("align_head", HEADS)

    def check(self, setting: str, known: tuple[str, ...]) -> None:
        """Raise ValueError unless a setting is one of the known."""
        found = getattr(self, setting)
        if found not in known:
            raise ValueError(f"{setting} must be one of {', '.join(known)}, found {found!r}")


class Counts(NamedTuple):
    """Numbers of parameters: `published` with layers that are never used, then those used."""

    published: int
    training: int
    evaluation: int


class Upscaler(nn.Module):
    """A text super-resolution network: LR images (N, C, 16, 64) → (N, C, 32, 128).

    The output is a tanh, in (−1, 1), for targets in [0, 1]: it may be a little below 0.

    Attributes:
        name: its name in the registry.
        channels: C.
        takes_prior: whether `forward` needs a text prior.
        teaches_generator: whether the prior's generator learns from the enlarged image too.
    """

    takes_prior = False
    teaches_generator = False
    in_training: tuple[str, ...] = ("stn_head",)  # submodules that evaluation does not use

    def __init__(self, name: str, config: UpscalerConfig) -> None:
        super().__init__()
        self.name, self.config = name, config
        self.channels = 4 if config.mask else 3
        width = config.width
        self.block1 = nn.Sequential(nn.Conv2d(self.channels, width, 9, padding=4), nn.PReLU())
        for block in BLOCKS:
            self.add_module(block, self.make_block())
        self.block7 = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width))
        self.block8 = nn.Sequential(Enlarge(width), nn.Conv2d(width, self.channels, 9, padding=4))
        if config.align:
            self.tps = ThinPlateSpline(LR_SIZE, config.align_corners)
            self.stn_head = self.make_head()

    def make_block(self) -> nn.Module:
        """One of the five blocks: a map (N, E, h, w) and what `clues` gave → (N, E, h, w)."""
        raise NotImplementedError

    def make_head(self) -> AlignmentHead:
        """The head of the alignment."""
        config = self.config
        return AlignmentHead(self.channels, config.align_widths, config.align_head)

    def dead_weight(self) -> dict[str, nn.Module]:
        """Modules of the published checkpoints that nothing reads, by their names there."""
        return {}

    def clues(self, first: Tensor, prior: Tensor | None, **extra: Tensor) -> tuple[Tensor, ...]:
        """What each block gets beside the map, made from `block1`'s (N, E, h, w) and the prior."""
        return ()

    def forward(self, lr: Tensor, prior: Tensor | None = None, **extra: Tensor) -> Tensor:
        """Enlarge.

        Args:
            lr: (N, C, 16, 64), RGB in [0, 1], and the mask.
            prior: (N, 37, 1, 26) probabilities of a CTC recogniser's frames
                (`kdltr.superres.prior.text_prior`), for networks that take one.

        Returns:
            (N, C, 32, 128), not clamped.

        Raises:
            ValueError: images of another shape, or a prior that is missing, or not wanted.
        """
        self.check(lr, prior)
        if self.training and self.config.align:  # the flag of this module, not of a batch norm
            lr = self.align(lr)
        first = self.block1(lr)
        clues = self.clues(first, prior, **extra)
        x = first
        for block in BLOCKS:
            x = self.get_submodule(block)(x, *clues)
        return torch.tanh(self.block8(first + self.block7(x)))

    def align(self, lr: Tensor) -> Tensor:
        """LR images (N, C, h, w), warped so that the text's border is the picture's."""
        with torch.autocast(lr.device.type, enabled=False):  # bf16 has no places within a pixel
            seen = self.stn_head.prepare(lr)
            return self.tps(seen, self.stn_head(seen))

    def check(self, lr: Tensor, prior: Tensor | None) -> None:
        """Raise ValueError unless these are what the network reads."""
        expected = (self.channels, *LR_SIZE)
        if lr.ndim != 4 or tuple(lr.shape[1:]) != expected:
            raise ValueError(
                f"{self.name} enlarges images (N, {', '.join(map(str, expected))}), found "
                f"{tuple(lr.shape)}; kdltr.superres.images.with_mask adds the fourth channel"
            )
        if self.takes_prior != (prior is not None):
            takes = "needs" if self.takes_prior else "takes no"
            raise ValueError(f"{self.name} {takes} text prior (prior=)")

    def load(self, checkpoint: str | Path) -> None:
        """Load weights strictly, in any layout `kdltr.checkpoint.load_weights` reads.

        What a published file holds beside them is passed over: layers that nothing reads, constant
        tables, and the alignment where this network has none.
        """
        load_weights(self, checkpoint, beside=self.beside())

    def beside(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of what a published checkpoint holds and this network has not."""
        terms = POINTS + 3
        shapes = {
            "tps.inverse_kernel": (terms, terms), "tps.padding_matrix": (3, 2),
            "tps.target_coordinate_repr": (LR_SIZE[0] * LR_SIZE[1], terms),
            "tps.target_control_points": (POINTS, 2),
        }
        for name, module in self._absent().items():
            entries = module.state_dict().items()
            shapes |= {f"{name}.{entry}": tuple(value.shape) for entry, value in entries}
        return shapes

    def count_parameters(self) -> Counts:
        """How many parameters there are; `published` and `training` with the alignment."""
        def count(module: nn.Module) -> int:
            return sum(parameter.numel() for parameter in module.parameters())

        own = count(self)
        missing = {name: count(module) for name, module in self._absent().items()}
        evaluated = own - sum(count(self.get_submodule(name)) for name in self.in_training
                              if name not in missing)
        training = own + sum(missing.get(name, 0) for name in self.in_training)
        return Counts(own + sum(missing.values()), training, evaluated)

    def _absent(self) -> dict[str, nn.Module]:
        """Modules of the published network that this one has not; they hold no values."""
        with torch.device("meta"):
            modules = self.dead_weight()
            if not self.config.align:
                modules["stn_head"] = self.make_head()
        return modules


class Enlarge(nn.Module):
    """Twice the size by pixel shuffle."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, 4 * width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, E, h, w) → (N, E, H, W)."""
        return F.mish(F.pixel_shuffle(self.conv(x), 2))


class Residual(nn.Module):
    """Two convolutions with batch norm: what the blocks of all four begin with."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(width)

    def residual(self, x: Tensor) -> Tensor:
        """(N, E, h, w) → (N, E, h, w)."""
        return self.bn2(self.conv2(F.mish(self.bn1(self.conv1(x)))))


class RecurrentBlock(Residual):
    """A residual block that reads columns, then rows, in both directions.

    Args:
        width: E.
        clue: channels of the clue map that is concatenated, 0 for none.
    """

    def __init__(self, width: int, clue: int = 0) -> None:
        super().__init__(width)
        self.gru1 = GRUUnit(width + clue, width)
        self.gru2 = GRUUnit(width, width)

    def forward(self, x: Tensor, *clue: Tensor) -> Tensor:
        """(N, E, h, w), and a clue (N, ·, h, w) → (N, E, h, w)."""
        residual = torch.cat([self.residual(x), *clue], dim=1)
        return self.gru2(x + self.gru1(residual.mT).mT)


class GRUUnit(nn.Module):
    """A 1×1 convolution, then a GRU each way along the rows."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 1)
        self.gru = nn.GRU(width, width // 2, bidirectional=True, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, ·, h, w) → (N, E, h, w); every row is a sequence of w steps."""
        rows = self.conv1(x).permute(0, 2, 3, 1)  # (N, h, w, E)
        read, _ = self.gru(rows.flatten(0, 1))  # (N·h, w, E)
        return read.unflatten(0, rows.shape[:2]).permute(0, 3, 1, 2)
