"""Augmentation on the device: every image of a batch gets draws of its own.

Images are warped a little, softened (blur, then loss of resolution), recoloured, now and then
inverted, and made noisy. There is no loop over images, and nothing is read back from the device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Largest:
    """The largest changes at strength 1; those of the warp keep a word's ends in the picture."""

    rotation: float = 3.0  # degrees
    shear: float = 0.25  # horizontal pixels for each vertical one
    scale: float = 0.12  # of the logarithm, each axis apart
    shift_across: float = 0.03  # of the width
    shift_down: float = 0.08  # of the height
    blur: float = 0.05  # standard deviation, of the height
    reduction: float = 1.5  # this much above 1: how many pixels become one, along each axis
    contrast: float = 0.4  # of the logarithm
    brightness: float = 0.2
    colour: float = 0.15  # of the logarithm, each channel apart
    inversion: float = 0.1  # probability
    noise: float = 0.08  # standard deviation


def augment(
    images: Tensor,
    strength: float = 1.0,
    generator: torch.Generator | None = None,
    largest: Largest = Largest(),
) -> Tensor:
    """Change images (N, 3, H, W) in [0, 1], float32, at random → as many in [0, 1].

    Args:
        strength: 0 changes nothing; it multiplies what is ``largest``.
        generator: on the device of the images; all randomness comes from it.
    """
    if strength == 0:
        return images
    n, _, height, width = images.shape

    def draw(most: float, *shape: int) -> Tensor:
        """Uniform from −most to most, (N, *shape)."""
        drawn = torch.rand(n, *shape, generator=generator, device=images.device)
        return strength * most * (2 * drawn - 1)

    def draw_some(most: float) -> Tensor:
        """From 0 to most (N,), rather small than large, so that half stay nearly sharp."""
        return strength * most * torch.rand(n, generator=generator, device=images.device) ** 2

    warp = _warp(draw, largest, width / height)
    places = F.affine_grid(warp, images.shape, align_corners=False)
    images = F.grid_sample(images, places, padding_mode="border", align_corners=False)
    sigma, factor = draw_some(largest.blur * height), 1 + draw_some(largest.reduction)
    images = _softening(height, sigma, factor)[:, None] @ images  # along the columns
    images = images @ _softening(width, sigma, factor)[:, None].mT  # along the rows
    gain = (draw(largest.contrast, 1, 1, 1) + draw(largest.colour, 3, 1, 1)).exp()
    images = gain * (images - 0.5) + 0.5 + draw(largest.brightness, 1, 1, 1)
    chance = torch.rand(n, 1, 1, 1, generator=generator, device=images.device)
    images = torch.where(chance < strength * largest.inversion, 1 - images, images)
    noise = torch.randn(images.shape, generator=generator, device=images.device)
    return (images + draw_some(largest.noise)[:, None, None, None] * noise).clamp(0, 1)


def _warp(draw: Callable[[float], Tensor], largest: Largest, aspect: float) -> Tensor:
    """Affine maps (N, 2, 3) from places in the result to places in the image, as `affine_grid`'s.

    Rotation and shear are those of pixels; `affine_grid` counts both axes from −1 to 1.
    """
    angle, shear = draw(math.radians(largest.rotation)), draw(largest.shear)
    across, down = draw(largest.scale).exp(), draw(largest.scale).exp()
    cos, sin = angle.cos(), angle.sin()
    rows = (
        (across * cos, across * (shear * cos - sin) / aspect, 2 * draw(largest.shift_across)),
        (down * sin * aspect, down * (shear * sin + cos), 2 * draw(largest.shift_down)),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=1)


def _softening(size: int, sigma: Tensor, factor: Tensor) -> Tensor:
    """What blur, fewer pixels and as many again do to a line of pixels: matrices (N, size, size).

    Args:
        sigma: (N,) standard deviation of the blur in pixels.
        factor: (N,) ≥ 1, how many pixels become one.
    """
    place = torch.arange(size, device=sigma.device) + 0.5
    sigma, factor = sigma[:, None, None], factor[:, None, None]
    apart = place[:, None] - place  # (size, size)
    blur = torch.exp(-0.5 * (apart / sigma.clamp(min=1e-3)) ** 2)
    # Each coarse pixel is a weighted mean of the fine ones around it, each fine one of the coarse.
    overlap = (1 - (place[:, None] * factor - place).abs() / factor).clamp(min=0)  # coarse × fine
    inside = (place[:, None] * factor < size + 0.5).float()  # coarse pixels that the line has
    enlarge = overlap.mT * inside.mT  # fine × coarse
    return _means(enlarge) @ _means(overlap) @ _means(blur)


def _means(weights: Tensor) -> Tensor:
    """Weights (N, rows, columns) such that every row is a mean; an empty one stays so."""
    return weights / weights.sum(-1, keepdim=True).clamp(min=1e-6)
