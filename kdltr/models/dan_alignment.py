"""Where DAN looks at each step: convolutions over its feature maps alone, before anything is read.

Symbols: N images, C channels, T steps, (H, W) the last map. Parameter names are those of the
released checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

Size = tuple[int, int]
HOURGLASS = 64  # channels


def normed(convolution: nn.Module) -> nn.Sequential:
    """A convolution, batch norm and ReLU."""
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU())


class Alignment(nn.Module):
    """Maps of several stages brought together, each added to the next one's.

    Args:
        widths: channels of the maps.
        sizes: (H, W) of the maps; from one to the next each side stays or is divided by 2 or 3.
    """

    def __init__(self, widths: Sequence[int], sizes: Sequence[Size]) -> None:
        super().__init__()
        self.fpn = nn.ModuleList()
        for (before, width), (large, small) in zip(pairwise(widths), pairwise(sizes), strict=True):
            ratio = tuple(a // b for a, b in zip(large, small, strict=True))
            kernel = tuple(5 if times == 3 else 3 for times in ratio)
            padding = tuple(side // 2 for side in kernel)
            self.fpn.append(normed(nn.Conv2d(before, width, kernel, ratio, padding)))

    def together(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps, each (N, C, H, W) of its size → one of the last one's."""
        x = maps[0]
        for step, later in enumerate(maps[1:]):
            x = self.fpn[step](x) + later
        return x


class RowAlignment(Alignment):
    """For a line of one row of places: one number a column, from which all steps are made.

    Args:
        steps: T.

    Raises:
        ValueError: the last map is not one row of 2, 4, 8, … columns.
    """

    def __init__(self, widths: Sequence[int], sizes: Sequence[Size], steps: int) -> None:
        super().__init__(widths, sizes)
        rows, columns = sizes[-1]
        doublings = int(math.log2(columns))
        if rows != 1 or columns < 2 or 2**doublings != columns:
            raise ValueError(f"lines are read from one row of 2, 4, 8, … places, found a map of "
                             f"{rows}×{columns}; choose another image_size or strides")
        self.fpn.append(
            nn.Sequential(nn.Conv2d(widths[-1], 1, (1, 3), padding=(0, 1)), nn.Sigmoid())
        )
        self.deconvs = nn.ModuleList(
            normed(_doubling(columns, columns)) for _ in range(doublings - 1)
        )
        self.deconvs.append(nn.Sequential(_doubling(columns, steps), nn.Sigmoid()))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps → attention (N, T, 1, W), each value in [0, 1]."""
        x = self.fpn[-1](self.together(maps)).transpose(1, 3)  # (N, W, 1, 1)
        for layer in self.deconvs:
            x = layer(x)
        return x


def _doubling(before: int, width: int) -> nn.ConvTranspose2d:
    """Twice as wide, as high."""
    return nn.ConvTranspose2d(before, width, (1, 4), (1, 2), (0, 1))


class PlaneAlignment(Alignment):
    """For a word of several rows of places: an hourglass, what goes down added to what comes up.

    Args:
        steps: T.

    Raises:
        ValueError: the last map's height is no multiple of 8 or its width none of 16.
    """

    def __init__(self, widths: Sequence[int], sizes: Sequence[Size], steps: int) -> None:
        super().__init__(widths, sizes)
        rows, columns = sizes[-1]
        if rows % 8 or columns % 16:
            raise ValueError(f"words are read from a map whose height is a multiple of 8 and whose "
                             f"width is one of 16, found {rows}×{columns}; choose another "
                             f"image_size or strides")
        down = ((widths[-1], (1, 2)), *[(HOURGLASS, (2, 2))] * 3)
        self.convs = nn.ModuleList(
            normed(nn.Conv2d(before, HOURGLASS, 3, stride, 1)) for before, stride in down
        )
        self.deconvs = nn.ModuleList(
            normed(nn.ConvTranspose2d(HOURGLASS, HOURGLASS, 4, 2, 1)) for _ in range(3)
        )
        self.deconvs.append(nn.Sequential(_doubling(HOURGLASS, steps), nn.Sigmoid()))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps → attention (N, T, H, W), each value in [0, 1]."""
        x, smaller = self.together(maps), []
        for layer in self.convs:
            x = layer(x)
            smaller.append(x)
        *up, last = self.deconvs
        for layer, same in zip(up, smaller[-2::-1], strict=True):
            x = layer(x) + same
        return last(x)
