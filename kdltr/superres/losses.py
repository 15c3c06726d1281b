"""What the networks are trained by, and the two measures of images.

Symbols: N images, C channels, (H, W) the HR image.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_WINDOW, _SIGMA = 11, 1.5  # of SSIM, pixels
_C1, _C2 = 0.01**2, 0.03**2  # of SSIM, for values in [0, 1]


def image_loss(sr: Tensor, hr: Tensor, gradient: float = 1e-4) -> Tensor:
    """TSRN's: mean squared error over all channels + ``gradient`` · gradient profile loss.

    Papers say 20 and 1e-4 for the two weights; the published scripts take 1 and 1e-4.

    Args:
        sr, hr: (N, C, H, W).
    """
    return F.mse_loss(sr, hr) + gradient * gradient_profile_loss(sr, hr)


def gradient_profile_loss(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean difference of the sizes of the gradients (TSRN, eq. 3): of (N, ≥ 3, H, W), RGB alone."""
    return (gradient_map(sr[:, :3]) - gradient_map(hr[:, :3])).abs().mean()


def gradient_map(images: Tensor) -> Tensor:
    """Size of the gradient of every pixel and channel (N, C, H, W); outside the image is 0."""
    padded = F.pad(images, (1, 1, 1, 1))
    across = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    down = padded[..., :-2, 1:-1] - padded[..., 2:, 1:-1]
    return ((across / 2).square() + (down / 2).square() + 1e-6).sqrt()


def triplet_ssim(one: Tensor, two: Tensor, three: Tensor) -> Tensor:
    """Structural similarity of three images at once (TATT, eq. 8), the same in any order.

    Args:
        one, two, three: (N, C, H, W); all channels count, the published ones with the mask.

    Returns:
        The mean over places, channels and images; 1 where all are equal.
    """
    images = (one, two, three)
    means = [_blurred(image) for image in images]
    variances = [_blurred(image.square()) - mean.square()
                 for image, mean in zip(images, means, strict=True)]
    between, together = [], []
    for i, j in ((0, 1), (1, 2), (2, 0)):
        product = means[i] * means[j]
        between.append(product)
        together.append(_blurred(images[i] * images[j]) - product)
    squares = sum(mean.square() for mean in means)
    brightness = (sum(between) + _C1) / (squares + _C1)
    structure = (sum(together) + _C2) / (sum(variances) + _C2)
    return (brightness * structure).mean()


def ssim(sr: Tensor, hr: Tensor) -> Tensor:
    """Structural similarity (Wang et al., 2004) of RGB (N, ≥ 3, H, W), mean over everything.

    As published for these networks: an 11×11 Gaussian window and zero padding.
    """
    a, b = sr[:, :3], hr[:, :3]
    mean_a, mean_b = _blurred(a), _blurred(b)
    variance = _blurred(a.square()) - mean_a.square() + _blurred(b.square()) - mean_b.square()
    covariance = _blurred(a * b) - mean_a * mean_b
    brightness = (2 * mean_a * mean_b + _C1) / (mean_a.square() + mean_b.square() + _C1)
    return (brightness * (2 * covariance + _C2) / (variance + _C2)).mean()


def psnr(sr: Tensor, hr: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of RGB (N, ≥ 3, H, W), of all images together."""
    return -10 * F.mse_loss(sr[:, :3], hr[:, :3]).log10()


def prior_loss(student_prior: Tensor, teacher_prior: Tensor) -> Tensor:
    """How far the trained generator's prior is from the frozen one's of the HR image (TATT, eq. 7).

    Mean difference + KL divergence, both divided by the number of elements, so that the divergence
    is 1/classes of one a frame.

    Args:
        student_prior, teacher_prior: probabilities of any equal shape.
    """
    tiny = 1e-20
    apart = (student_prior - teacher_prior).abs().mean()
    log_ratio = (teacher_prior + tiny).log() - (student_prior + tiny).log()
    return apart + ((teacher_prior + tiny) * log_ratio).mean()


def content_loss(
    logits: Tensor, labels: Tensor, lengths: Tensor, similarity: Tensor | None = None
) -> Tensor:
    """STT's: −log of the label's share among the characters that look like it.

    Args:
        logits: (N, L, K).
        labels: (N, L) classes.
        lengths: (N,) steps of each word that count, the end included.
        similarity: (K, K), above 0; row t says how much each glyph is like t's. All 1, which is
            cross-entropy, if None.
    """
    steps = torch.arange(labels.shape[1], device=labels.device) < lengths[:, None]
    if similarity is not None:
        logits = logits + similarity.to(logits)[labels].log()
    targets = labels.masked_fill(~steps, -100)  # ignored
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)


def rotate(images: Tensor, angles: Tensor, offsets: Tensor) -> Tensor:
    """Turn images, as TATT's consistency does (N, C, H, W).

    Args:
        angles: (N,) radians.
        offsets: (N,) in [0, 1); at 0.5, and an image four times as wide as high, it is a rotation,
            elsewhere it shears.
    """
    ratio = images.shape[-2] / images.shape[-1] + 0.4 * offsets - 0.2
    cos, sin, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    rows = ((cos, ratio * sin, zero), (-sin / ratio, cos, zero))
    maps = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=1)  # (N, 2, 3)
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def _blurred(images: Tensor) -> Tensor:
    """Gaussian means (N, C, H, W); outside the image is 0."""
    place = torch.arange(_WINDOW, device=images.device, dtype=images.dtype) - _WINDOW // 2
    line = torch.exp(-place.square() / (2 * _SIGMA**2))
    line = line / line.sum()
    channels = images.shape[1]
    kernel = line.expand(channels, 1, 1, -1)
    half = _WINDOW // 2
    across = F.conv2d(images, kernel, padding=(0, half), groups=channels)
    return F.conv2d(across, kernel.mT, padding=(half, 0), groups=channels)
