"""Lines of words as recognisers take them: on a white canvas, and degraded for a student."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from kdltr.data.corruptions import degrade, gaussian_blur, gaussian_noise
from kdltr.data.images import resize

SEPARATOR = "|"  # between words, as in IAM's labels, where punctuation is a word of its own
NOISE = 6.0  # standard deviation, of 255, in a degraded line


def separated(label: str) -> str:
    """A label with `SEPARATOR` in place of the blanks between its words, if it has blanks."""
    return SEPARATOR.join(label.split())


def placed(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image (h, w, 3) uint8 in the middle of a white canvas (H, W, 3), as DAN places lines.

    It keeps its own size; only if it is too high or too wide is it shrunk until it fits, bilinear
    and without a filter against aliasing, as DAN's code does it.
    """
    (high, wide), (height, width) = size, image.shape[:2]
    if height > high or width > wide:
        tall = height * wide > width * high
        fit = (high, width * high // height) if tall else (height * wide // width, wide)
        image = _bilinear(image, tuple(max(1, side) for side in fit))
    canvas = np.full((*size, 3), 255, np.uint8)
    top, left = ((whole - own) // 2 for whole, own in zip(size, image.shape[:2], strict=True))
    canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
    return canvas


def _bilinear(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].float()
    resized = F.interpolate(pixels, size, mode="bilinear", align_corners=False)[0]
    return resized.round().byte().permute(1, 2, 0).numpy()


def small(image: np.ndarray, scale: int, level: float, seed: int, index: int) -> np.ndarray:
    """A student's image (H / scale, W / scale, 3) of a line (H, W, 3), at a level of degradation.

    Args:
        image: uint8.
        scale: by which it is shrunk (Pillow's bicubic).
        level: see `blurred`.
        seed, index: of the noise, as in `kdltr.data.corruptions.degrade`.
    """
    shrunk = resize(image, tuple(side // scale for side in image.shape[:2]))
    lines = torch.from_numpy(shrunk.transpose(2, 0, 1).copy())[None]
    return blurred(lines, level, seed, [index])[0].permute(1, 2, 0).numpy()


def blurred(
    images: Tensor, level: float, seed: int, indices: list[int] | None = None
) -> Tensor:
    """Lines that were shrunk, (M, 3, h, w) uint8, at a level of degradation.

    Level 0 leaves them as they are. Else it is the σ of a Gaussian blur, in their pixels, and noise
    of `NOISE` is added, which the blur cannot be undone for. KD-LTR's lines of IAM are degraded "by
    hand", it does not say how.
    """
    return degrade(images, partial(_worse, level=level), seed, indices) if level else images


def _worse(image: np.ndarray, rng: np.random.Generator, level: float) -> np.ndarray:
    return gaussian_noise(gaussian_blur(image, level), rng, NOISE, per_channel=False)
