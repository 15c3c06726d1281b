"""LR pictures of words that have none: a camera fitted to TextZoom's pairs, on the training device.

What an LR photograph differs by from the HR one of the same word was measured on the pairs of
TextZoom's train2 (`kdltr.generator.camera_fit`): blur along each axis, misalignment, contrast,
brightness, and how large the rest is. `FittedCamera` gives each image what was measured on one
pair, drawn at random among pairs of words about as long: crops are squeezed to one width, so that
the blur across depends on the word's length.
"""

from __future__ import annotations

import csv
import os
from importlib.resources import files
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

TABLE = files("kdltr.generator") / "textzoom_camera.csv"
# Lengths are in pixels of an LR picture of 16×64, brightness is that of [0, 1].
COLUMNS = (
    "characters",  # of the word
    "blur_y", "blur_x",  # standard deviation of the point spread
    "shift_y", "shift_x",
    "scale_y", "scale_x",  # how many times as many HR pixels a pixel steps over as it should
    "gain",  # of contrast
    "red", "green", "blue",  # added to the mean of each channel
    "noise",  # standard deviation of what the others leave unexplained
)  # fmt: skip
HEIGHT, WIDTH = 16, 64
NEIGHBOURS = 100  # pairs at least that a word's is drawn from
GRAIN = (0.85, 1.2)  # blur of the noise, down and across: what it is like in the pairs
GREY = 0.7  # share of its variance that the channels have in common


class FittedCamera:
    """Takes LR pictures of HR ones, each with the settings of a pair drawn at random.

    Args:
        device: where the pictures are.
        size: (h, w) of the LR pictures.
        table: CSV with `COLUMNS`, one pair a row; None: TextZoom's.
    """

    def __init__(
        self, device: str | torch.device = "cpu", size: tuple[int, int] = (HEIGHT, WIDTH),
        table: str | os.PathLike | None = None,
    ) -> None:
        rows = read_table(table)
        self.size = tuple(size)
        characters = rows[:, 0].contiguous()
        wanted = torch.arange(int(characters[-1]) + 1).float()
        # Of words of each length: the first row to draw from, and how many.
        first = torch.searchsorted(characters, wanted)
        last = torch.searchsorted(characters, wanted, right=True)
        n = min(NEIGHBOURS, len(rows))
        first = (first - (n - last + first).clamp(min=0) // 2).clamp(0, len(rows) - n)
        count = torch.maximum(last - first, torch.tensor(n))
        self.rows, self.first, self.count = rows.to(device), first.to(device), count.to(device)

    def __call__(self, hr: Tensor, characters: Tensor, generator: torch.Generator) -> Tensor:
        """LR pictures (N, 3, h, w) of HR ones (N, 3, H, W), both RGB in [0, 1].

        Args:
            characters: (N,) of each word, on the pictures' device.
            generator: on the pictures' device.
        """
        length = characters.clamp(max=len(self.first) - 1)
        chance = torch.rand(len(hr), generator=generator, device=hr.device)
        rank = (chance * self.count[length]).long().clamp(max=self.count[length] - 1)
        settings = self.rows[self.first[length] + rank]
        picture = develop(settings, project(settings, hr, self.size))
        noise = self._noise(len(hr), hr.device, generator)
        return (picture + settings[:, -1, None, None, None] * noise).clamp(0, 1)

    def _noise(self, n: int, device: torch.device, generator: torch.Generator) -> Tensor:
        """Grain of variance 1, (N, 3, h, w)."""
        white = torch.randn(n, 4, *self.size, generator=generator, device=device)
        still = torch.zeros(1, device=device)
        down, across = (
            _line(m, m, still + sigma * m / nominal, still, still + 1)
            for m, nominal, sigma in zip(self.size, (HEIGHT, WIDTH), GRAIN, strict=True)
        )
        down, across = (F.normalize(weights, dim=-1) for weights in (down, across))
        grain = down @ white @ across.mT
        return GREY**0.5 * grain[:, :1] + (1 - GREY) ** 0.5 * grain[:, 1:]


def read_table(table: str | os.PathLike | None = None) -> Tensor:
    """Settings (K, columns) in the order of `COLUMNS`, by length of the word."""
    with (TABLE if table is None else Path(table)).open(encoding="utf-8", newline="") as file:
        rows = [[float(row[name]) for name in COLUMNS] for row in csv.DictReader(file)]
    rows = torch.tensor(rows)
    return rows[rows[:, 0].argsort(stable=True)]


def project(settings: Tensor, hr: Tensor, size: tuple[int, int]) -> Tensor:
    """What the lens casts: (N, channels, h, w) of (N, channels, H, W).

    Args:
        settings: (N, columns).
        size: (h, w).
    """
    down, across = (
        _line(n, m, settings[:, 1 + axis] * n / nominal, settings[:, 3 + axis] * n / nominal,
              settings[:, 5 + axis])
        for axis, n, m, nominal in ((0, size[0], hr.shape[2], HEIGHT),
                                    (1, size[1], hr.shape[3], WIDTH))
    )
    lines = (hr.flatten(1, 2) @ across.mT).unflatten(1, hr.shape[1:3])  # (N, channels, H, w)
    return down[:, None] @ lines


def develop(settings: Tensor, picture: Tensor) -> Tensor:
    """Contrast around each channel's mean, and brightness: (N, 3, h, w) of as many."""
    gain, light = settings[:, 7, None, None, None], settings[:, 8:11, None, None]
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
