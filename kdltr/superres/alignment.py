"""The alignment of LR images in training: a head places points, a spline warps by them.

A spatial transformer after ASTER (Shi et al., TPAMI 2018), as TSRN has it. It acts in training
alone: LR and HR photographs of a pair are a little apart, and the network learns to enlarge
rather than to move. Evaluation feeds the image as it is.

Symbols: N images, C channels, (h, w) the LR image, P points.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdltr.superres.constants import Constants

POINTS = 20  # half of them along the top, half along the bottom
HEADS = ("shared", "textzoom")


def border_points(margin: float) -> Tensor:
    """(P, 2) float64, (x, y) in [0, 1]: along the top left to right, then along the bottom."""
    x = torch.linspace(margin, 1 - margin, POINTS // 2, dtype=torch.float64)
    rows = [torch.stack([x, torch.full_like(x, y)], dim=1) for y in (margin, 1 - margin)]
    return torch.cat(rows)


class AlignmentHead(nn.Module):
    """Where an image's text line has its border: six convolutions and two linear layers.

    Args:
        channels: C.
        widths: of the convolutions.
        variant: "shared", of the copy that STT, TATT and C3-STISR share; "textzoom", TSRN's
            original, which enlarges the LR image to twice its height first.
    """

    def __init__(self, channels: int, widths: tuple[int, ...], variant: str = "shared") -> None:
        super().__init__()
        layers, before = [], channels
        last_pool = (1, 2) if variant == "shared" else 2
        for width, pool in zip(widths, (2, 2, 2, 2, last_pool, None), strict=True):
            convolution = nn.Conv2d(before, width, 3, padding=1)
            layers.append(nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)))
            if pool:
                layers.append(nn.MaxPool2d(pool))
            nn.init.normal_(convolution.weight, 0, (2 / (9 * width)) ** 0.5)
            nn.init.zeros_(convolution.bias)
            before = width
        features = 2 * before  # a map of 1×2
        self.variant = variant
        self.stn_convnet = nn.Sequential(*layers)
        self.stn_fc1 = nn.Sequential(
            nn.Linear(features, features), nn.BatchNorm1d(features), nn.ReLU(inplace=True)
        )
        self.stn_fc2 = nn.Linear(features, 2 * POINTS)
        nn.init.normal_(self.stn_fc1[0].weight, 0, 0.001)
        nn.init.zeros_(self.stn_fc1[0].bias)
        nn.init.zeros_(self.stn_fc2.weight)
        with torch.no_grad():
            self.stn_fc2.bias.copy_(border_points(0.01).flatten())

    def prepare(self, lr: Tensor) -> Tensor:
        """The image that head and spline see (N, C, h, w), or (N, C, 2h, w) in "textzoom"."""
        if self.variant == "shared":
            return lr
        size = (2 * lr.shape[-2], lr.shape[-1])
        return F.interpolate(lr, size, mode="bilinear", align_corners=True)

    def forward(self, images: Tensor) -> Tensor:
        """What `prepare` gave → source points (N, P, 2), (x, y) in [0, 1]."""
        features = self.stn_fc1(self.stn_convnet(images).flatten(1))
        return self.stn_fc2(0.1 * features).unflatten(1, (POINTS, 2))


class ThinPlateSpline(Constants):
    """Warps images so that given source points come to lie on the border (Bookstein, 1989).

    Args:
        size: (h, w) of the result.
        align_corners: how `grid_sample` reads the spline's coordinates, whose 0 and 1 are the
            centres of the outermost pixels: True takes them so. False, PyTorch's default since
            1.3, with which TATT and C3-STISR were trained (TSRN and STT were not), stretches
            every image by half a pixel at each border.
    """

    def __init__(self, size: tuple[int, int], align_corners: bool) -> None:
        self.align_corners, self.size = align_corners, size
        target = border_points(0.05)
        kernel = torch.zeros(POINTS + 3, POINTS + 3, dtype=torch.float64)
        kernel[:POINTS, :POINTS] = radial(target, target)
        kernel[:POINTS, POINTS], kernel[POINTS, :POINTS] = 1, 1
        kernel[:POINTS, POINTS + 1 :], kernel[POINTS + 1 :, :POINTS] = target, target.T
        y, x = (torch.linspace(0, 1, side, dtype=torch.float64) for side in size)
        places = torch.cartesian_prod(y, x).flip(1)  # (h·w, 2), (x, y)
        rows = torch.cat([radial(places, target), torch.ones(len(places), 1), places], dim=1)
        # Of the sources behind the points, three are zero.
        inverse = torch.linalg.inv(kernel)
        super().__init__(basis=(rows @ inverse)[:, :POINTS])
        self.target, self.inverse = target, inverse

    def grid(self, points: Tensor) -> Tensor:
        """Source points (N, P, 2) → source of every pixel (N, h, w, 2), (x, y), 0 to 1 inside."""
        return (self.basis @ points).unflatten(1, self.size)

    def forward(self, images: Tensor, points: Tensor) -> Tensor:
        """Images (N, C, ·, ·) and their source points (N, P, 2) → (N, C, h, w)."""
        grid = 2 * self.grid(points).clamp(0, 1) - 1
        return F.grid_sample(images, grid, align_corners=self.align_corners)


def radial(a: Tensor, b: Tensor) -> Tensor:
    """½ d² ln d² of the distances d between points (A, 2) and (B, 2): (A, B), 0 where d is."""
    square = (a[:, None] - b).square().sum(-1)
    return 0.5 * torch.xlogy(square, square)
