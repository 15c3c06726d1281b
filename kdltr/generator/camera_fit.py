"""Measuring how LR photographs differ from HR ones: the table of `kdltr.generator.fitted_camera`.

    settings, _ = fit_camera(load_pairs("data/textzoom/train2"))
    write_table("kdltr/generator/textzoom_camera.csv", settings)

Of every pair, the settings whose picture of the HR image comes nearest to the LR image, by least
squares (Levenberg and Marquardt's, all pairs of a batch at once). Numbers are all that is kept.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable

import torch
from torch import Tensor

from kdltr.data.loader import WordPairs
from kdltr.files import write_text
from kdltr.generator.fitted_camera import COLUMNS, develop, project

STEPS = 12
BATCH = 128  # pairs
# Blur, shift and scale, down and across, at which the search begins, and a unit of each in it.
START = torch.tensor([0.9, 1.5, 0.0, 0.0, 1.0, 1.0])
UNIT = torch.tensor([1.0, 1.0, 1.0, 2.0, 0.1, 0.1])
# How far a unit may go is weighed against the picture: single strokes say little about some.
PRIOR = torch.tensor([0.02, 0.02, 0.05, 0.05, 0.05, 0.05])
_DIFFERENCE = 1e-2  # of units, for derivatives


def fit_camera(pairs: WordPairs) -> tuple[Tensor, Tensor]:
    """The settings (M, columns) of each pair, and the picture's variance they leave (M,)."""
    fitted = [_fit(pairs, torch.arange(len(pairs))[i : i + BATCH])
              for i in range(0, len(pairs), BATCH)]
    settings, left = (torch.cat(part) for part in zip(*fitted, strict=True))
    settings[:, 0] = torch.tensor([len(word) for word in pairs.words])
    return settings, left


def _fit(pairs: WordPairs, chosen: Tensor) -> tuple[Tensor, Tensor]:
    hr, lr = pairs.sharp(chosen), pairs.blurred(chosen)
    grey_hr, grey_lr = hr.mean(1, keepdim=True), lr.mean(1, keepdim=True)
    size = lr.shape[2:]
    contrast = grey_lr.std((1, 2, 3)).clamp(min=0.01) * (size[0] * size[1]) ** 0.5

    def settings(units: Tensor) -> Tensor:
        """Those of lens and contrast; (N, columns)."""
        values = torch.zeros(len(units), len(COLUMNS))
        values[:, 1:3] = START[:2] * (UNIT[:2] * units[:, :2]).exp()
        values[:, 3:5] = UNIT[2:4] * units[:, 2:4]
        values[:, 5:7] = (UNIT[4:] * units[:, 4:]).exp()
        cast = _centred(project(values, grey_hr, size))
        values[:, 7] = (cast * _centred(grey_lr)).sum((1, 2, 3)) / (
            cast.square().sum((1, 2, 3)).clamp(min=1e-6))
        return values

    def residual(units: Tensor) -> Tensor:
        """What is unlike (N, pixels + 6), of the picture and of the units."""
        values = settings(units)
        cast = _centred(project(values, grey_hr, size))
        unlike = values[:, 7, None, None, None] * cast - _centred(grey_lr)
        return torch.cat([unlike.flatten(1) / contrast[:, None], PRIOR * units], 1)

    values = settings(_least_squares(residual, torch.zeros(len(hr), len(UNIT))))
    values[:, 8:11] = (lr - project(values, hr, size)).mean((2, 3))
    left = (lr - develop(values, project(values, hr, size))).square().mean((1, 2, 3))
    values[:, 11] = left.sqrt()
    return values, left / lr.var((2, 3), correction=0).mean(1).clamp(min=1e-6)


def _least_squares(residual: Callable[[Tensor], Tensor], units: Tensor) -> Tensor:
    """The units (N, P) at which the squares of residual (N, R) are least, from ``units`` on."""
    now = residual(units)
    damping = torch.full((len(units), 1), 1e-2)
    for _ in range(STEPS):
        slopes = torch.stack([
            (residual(units + _DIFFERENCE * axis) - now) / _DIFFERENCE
            for axis in torch.eye(units.shape[1])
        ], -1)  # (N, R, P)
        curvature = slopes.mT @ slopes
        ridge = damping * (curvature.diagonal(dim1=1, dim2=2) + 1e-3)
        step = torch.linalg.solve(curvature + torch.diag_embed(ridge), slopes.mT @ now[..., None])
        tried = units - step[..., 0].clamp(-0.7, 0.7)
        then = residual(tried)
        better = (then.square().sum(1) < now.square().sum(1))[:, None]
        units, now = torch.where(better, tried, units), torch.where(better, then, now)
        damping = torch.where(better, damping / 4, damping * 4).clamp(1e-6, 1e4)
    return units


def write_table(path: str | os.PathLike, settings: Tensor) -> None:
    """Write settings (M, columns) as CSV, by length of the word; empty words are left out."""
    rows = sorted(row for row in settings.tolist() if row[0])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([int(row[0]), *(f"{value:.3f}" for value in row[1:])] for row in rows)
    write_text(path, text.getvalue())


def _centred(picture: Tensor) -> Tensor:
    return picture - picture.mean((2, 3), keepdim=True)
