"""LR pictures of words that have none: a camera fitted to TextZoom's pairs, on the training device.

What an LR photograph differs by from the HR one of the same word was measured on every pair of
TextZoom's train2 (`kdltr.generator.camera_fit`): blur along each axis, sharpening, misalignment,
contrast, brightness, noise. `FittedCamera` gives each image what was measured on one pair, drawn
at random among pairs of words about as long: crops are squeezed to one width, so that the blur
across depends on the word's length.
"""

from __future__ import annotations

import csv
import os
from importlib.resources import files

import torch
from torch import Tensor
from torch.nn import functional as F

TABLE = files("kdltr.generator") / "textzoom_camera.csv"
# Lengths are in pixels of an LR picture of 16×64.
COLUMNS = (
    "characters",  # of the word
    "blur_y", "blur_x",  # standard deviation of the point spread
    "sharpening",  # weight of an unsharp mask of twice that blur
    "shift_y", "shift_x",
    "scale_y", "scale_x",  # HR pixels a pixel, over the nominal number
    "gain",  # of contrast
    "red", "green", "blue",  # added to the mean of each channel
    "noise",  # standard deviation of what the others leave unexplained
)  # fmt: skip
HEIGHT, WIDTH = 16, 64
NEIGHBOURS = 400  # pairs at least that a word's are drawn from


class FittedCamera:
    """Takes LR pictures of HR ones, each with the settings of a pair drawn at random.

    Args:
        device: where the pictures are.
        size: (h, w) of the LR pictures.
        table: CSV with `COLUMNS`, one pair a row.
    """

    def __init__(
        self, device: str | torch.device = "cpu", size: tuple[int, int] = (HEIGHT, WIDTH),
        table: str | os.PathLike | None = None,
    ) -> None:
        rows = read_table(table)
        self.size = size
        characters = rows[:, 0].contiguous()
        longest = int(characters.max())
        # Of words of each length: the first row and the number of rows to draw from.
        wanted = torch.arange(longest + 1)
        first = torch.searchsorted(characters, wanted.float())
        last = torch.searchsorted(characters, wanted.float(), right=True)
        lacking = (NEIGHBOURS - (last - first)).clamp(min=0)
        n = min(NEIGHBOURS, len(rows))
        first = (first - lacking // 2).clamp(0, len(rows) - n)
        last = torch.maximum(last, first + n)
        self.first, self.count = first.to(device), (last - first).to(device)
        self.rows = rows.to(device)

    def __call__(self, hr: Tensor, lengths: Tensor, generator: torch.Generator) -> Tensor:
        """LR pictures (N, 3, h, w) of HR ones (N, 3, H, W), both RGB in [0, 1].

        Args:
            lengths: (N,) characters of each word, on the pictures' device.
            generator: on the pictures' device.
        """
        chance = torch.rand(len(hr), generator=generator, device=hr.device)
        lengths = lengths.clamp(max=len(self.first) - 1)
        row = self.first[lengths] + (chance * self.count[lengths]).long()
        settings = self.rows[row.clamp(max=len(self.rows) - 1)]
        picture = develop(settings, project(settings, hr, self.size))
        noise = torch.randn(picture.shape, generator=generator, device=hr.device)
        return (picture + settings[:, -1, None, None, None] * noise).clamp(0, 1)


def read_table(table: str | os.PathLike | None = None) -> Tensor:
    """Settings (K, columns) in the order of `COLUMNS`, by length of the word."""
    with (TABLE if table is None else table).open(encoding="utf-8", newline="") as file:
        rows = [[float(row[name]) for name in COLUMNS] for row in csv.DictReader(file)]
    rows = torch.tensor(rows)
    return rows[rows[:, 0].argsort(stable=True)]


def project(settings: Tensor, hr: Tensor, size: tuple[int, int]) -> Tensor:
    """What the lens casts on the sensor, and the camera's sharpening: (N, 3, h, w)."""
    blur, sharpening, shift, scale = (settings[:, i:j] for i, j in ((1, 3), (3, 4), (4, 6), (6, 8)))
    amount = sharpening[:, :, None, None]

    def seen(width: float) -> Tensor:
        down, across = (
            _line(n, m, width * blur[:, axis] * n / nominal, shift[:, axis] * n / nominal,
                  scale[:, axis])
            for axis, n, m, nominal in ((0, size[0], hr.shape[2], HEIGHT),
                                        (1, size[1], hr.shape[3], WIDTH))
        )
        return down[:, None] @ hr @ across[:, None].mT

    return (1 + amount) * seen(1.0) - amount * seen(2.0)


def develop(settings: Tensor, picture: Tensor) -> Tensor:
    """Contrast around each channel's mean, and brightness."""
    gain, light = settings[:, 8, None, None, None], settings[:, 9:12, None, None]
    mean = picture.mean((2, 3), keepdim=True)
    return gain * (picture - mean) + mean + light


def _line(n: int, m: int, sigma: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Matrices (N, n, m) from a line of m pixels to one of n: Gaussian weights around each place.

    Args:
        sigma, shift, scale: (N,), in pixels of the n.
    """
    place = torch.arange(n, device=sigma.device) + 0.5
    source = (torch.arange(m, device=sigma.device) + 0.5) * (n / m)
    place = (place - n / 2) * scale[:, None] + n / 2 + shift[:, None]  # (N, n)
    distance = (place[:, :, None] - source) / sigma[:, None, None]
    # Softmax: weights that sum to 1 whatever lies beyond the picture, and for any blur.
    return F.softmax(-0.5 * distance**2, dim=-1)
