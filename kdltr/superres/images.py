"""Images as the networks see them: with a mask of what is darker than the image's mean."""

from __future__ import annotations

import torch
from torch import Tensor


def with_mask(images: Tensor) -> Tensor:
    """RGB images (N, 3, h, w) in [0, 1] → (N, 4, h, w): the mask is 1 where a pixel is dark.

    As published it is made from the grey (Pillow's "L") of the uint8 image: images are rounded to
    256 levels for it. Dark is what is not above the image's mean. All of it is exact, in float32.
    """
    levels = (images.float() * 255).round().clamp(0, 255)
    red, green, blue = levels.unbind(1)
    grey = ((19595 * red + 38470 * green + 7471 * blue + 32768) / 65536).floor()  # (N, h, w)
    above = grey * grey[0].numel() > grey.sum((1, 2), keepdim=True)
    return torch.cat([images, 1 - above[:, None].to(images.dtype)], dim=1)
