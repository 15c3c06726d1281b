"""How near enlarged images are to the HR ones: PSNR and SSIM, as super-resolution reports them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from kdltr.data.loader import WordPairs
from kdltr.superres.losses import ssim


class Quality(NamedTuple):
    """PSNR in dB of all images together, and the mean SSIM, both of RGB."""

    psnr: float
    ssim: float


@torch.no_grad()
def image_quality(
    enlarge: Callable[[Tensor], Tensor], pairs: WordPairs, batch_size: int = 64
) -> Quality:
    """Compare what ``enlarge`` makes of the LR images with the HR ones.

    Published figures average the PSNR over batches, and so depend on their size; here all images
    make one.

    Args:
        enlarge: (N, 3, 16, 64) in [0, 1], where the pairs are → (N, 3, 32, 128).
        pairs: words, photographed twice.
        batch_size: images at once; it changes nothing but the last bits.
    """
    squares, similar = 0.0, 0.0
    for chosen in torch.arange(len(pairs)).split(batch_size):
        sr, hr = enlarge(pairs.blurred(chosen)), pairs.sharp(chosen)
        squares += len(chosen) * (sr - hr).square().mean().item()
        similar += len(chosen) * ssim(sr, hr).item()
    psnr = -10 * torch.tensor(squares / len(pairs), dtype=torch.float64).log10().item()
    return Quality(psnr, similar / len(pairs))
