"""C3-STISR's clues: from a text prior to a map, what is worth of it, and several made one.

Symbols: N images, K classes and T frames of a prior, E width of the trunk, D = 32 channels of a
clue, (h, w) the LR image's map.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdltr.superres.deformable import DeformableConv
from kdltr.superres.prior import CLASSES
from kdltr.superres.trunk import LR_SIZE

CLUE = 32  # D
_INNER = 8  # channels inside DSTA


class PriorMap(nn.Module):
    """A prior (N, K, 1, T) grown to a map by four transposed convolutions.

    Args:
        widths: of the first three.
        width: of the map.
    """

    def __init__(self, widths: tuple[int, int, int], width: int = CLUE) -> None:
        super().__init__()
        before, sizes = CLASSES, (*widths, width)
        strides, paddings = (2, 2, 2, (2, 1)), (0, 0, 1, 1)
        for i, one in enumerate(zip(sizes, strides, paddings, strict=True), start=1):
            after, stride, padding = one
            layer = nn.ConvTranspose2d(before, after, 3, stride, padding, bias=False)
            self.add_module(f"tconv{i}", layer)
            self.add_module(f"bn{i}", nn.BatchNorm2d(after))
            before = after

    def grow(self, prior: Tensor) -> Tensor:
        """(N, K, 1, 26) → (N, width, 25, 213)."""
        x = prior
        for i in range(1, 5):
            x = F.relu(self.get_submodule(f"bn{i}")(self.get_submodule(f"tconv{i}")(x)))
        return x

    def forward(self, prior: Tensor) -> Tensor:
        """(N, K, 1, T) → (N, width, h, w)."""
        return F.interpolate(self.grow(prior), LR_SIZE, mode="bilinear", align_corners=True)


class DSTA(nn.Module):
    """Deformable spatial attention and channel attention: a clue weighed place by place."""

    def __init__(self) -> None:
        super().__init__()
        f = _INNER
        self.conv1 = nn.Conv2d(CLUE, f, 1)
        self.conv_f = nn.Conv2d(f, f, 1)
        self.conv_max = nn.Conv2d(f, f, 3, padding=1)
        self.conv2 = nn.Conv2d(f, f, 3, stride=2)
        self.conv3 = nn.Conv2d(f, f, 3, padding=1)
        self.conv3_ = nn.Conv2d(f, f, 3, padding=1)
        self.conv4 = nn.Conv2d(f, CLUE, 1)
        self.dcn = DeformableConv(f)
        self.mask = nn.Conv2d(f, 27 * f, 3, padding=1)
        self.down_conv2 = nn.Sequential(nn.Conv2d(f, f, 3, stride=2, padding=1))
        self.mask2 = nn.Conv2d(f, 27 * f, 3, padding=1)
        self.conv_du = nn.Sequential(
            nn.Conv2d(f, CLUE // 2, 1), nn.ReLU(), nn.Conv2d(CLUE // 2, CLUE, 1), nn.Sigmoid()
        )

    def deformed(self, inner: Tensor) -> Tensor:
        """`conv1`'s (N, f, h, w) → (N, f, 1, 9), sampled where the clue says."""
        x = F.max_pool2d(self.conv2(inner), 7, 3)
        told = self.conv3_(F.relu(self.conv3(F.relu(self.conv_max(x))))).relu()
        coarse = self.mask2(F.relu(self.down_conv2(told)))
        where = self.mask(told) + F.interpolate(coarse, x.shape[2:], mode="bilinear")
        return F.relu(self.dcn(x, *offsets_and_modulation(where)))

    def forward(self, clue: Tensor) -> Tensor:
        """(N, D, h, w) → (N, D, h, w)."""
        inner = self.conv1(clue)
        deformed = self.deformed(inner)
        channels = self.conv_du(deformed.mean((2, 3), keepdim=True))  # (N, D, 1, 1)
        large = F.interpolate(deformed, clue.shape[2:], mode="bilinear")
        places = self.conv4(large + self.conv_f(inner)).sigmoid()  # (N, D, h, w)
        return clue * places * channels


def offsets_and_modulation(where: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 27·C, h, w) → offsets (N, 18·C, h, w) and modulation (N, 9·C, h, w) in (0, 1)."""
    offsets, modulation = where.tensor_split([where.shape[1] * 2 // 3], dim=1)
    return offsets, modulation.sigmoid()


class WeightNormConv(nn.Module):
    """A convolution whose kernels are directions times lengths (Salimans and Kingma, 2016).

    By hand, for the published names `weight_g` and `weight_v`.
    """

    def __init__(
        self, before: int, width: int, size: int = 1, dilation: int = 1, groups: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__()
        start = nn.Conv2d(before, width, size, groups=groups)
        self.dilation, self.groups = dilation, groups
        self.bias = start.bias if bias else None
        self.weight_v = start.weight
        self.weight_g = nn.Parameter(_lengths(start.weight.detach()))

    def forward(self, x: Tensor) -> Tensor:
        """(N, ·, h, w) → (N, ·, h, w)."""
        weight = self.weight_g * self.weight_v / _lengths(self.weight_v)
        padding = self.dilation * (weight.shape[-1] // 2)
        return F.conv2d(x, weight, self.bias, 1, padding, self.dilation, self.groups)


def _lengths(kernels: Tensor) -> Tensor:
    return torch.linalg.vector_norm(kernels, dim=(1, 2, 3), keepdim=True)


def gate() -> nn.Sequential:
    """Centre and clue (N, 2·D, h, w) seen together, nearby and far (dilations 1, 2, 4, 8)."""
    both = 2 * CLUE
    far = (WeightNormConv(both, both, 3, dilation, both, bias=True) for dilation in (1, 2, 4, 8))
    return nn.Sequential(WeightNormConv(both, both), nn.ReLU(), *far)


class GatedFusion(nn.Module):
    """Two clues made one: at every place and channel, a weighted mean."""

    def __init__(self) -> None:
        super().__init__()
        self.gated1 = gate()
        self.gated2 = gate()
        self.compress = nn.Sequential(nn.LeakyReLU(0.2), WeightNormConv(4 * CLUE, 2 * CLUE))

    def forward(self, centre: Tensor, recognition: Tensor, linguistic: Tensor) -> Tensor:
        """What the image says and two clues, all (N, D, h, w) → (N, D, h, w)."""
        seen = [self.gated1(torch.cat([centre, recognition], dim=1)),
                self.gated2(torch.cat([centre, linguistic], dim=1))]
        logits = self.compress(torch.cat(seen, dim=1))
        weights = logits.unflatten(1, (2, CLUE)).softmax(1)  # (N, 2, D, h, w)
        return recognition * weights[:, 0] + linguistic * weights[:, 1]


class VisualClue(nn.Module):
    """The clue of the paper that its release leaves out: the reading painted as pictures.

    The released network holds it and does not use it, and there is no reference of a fusion of
    three clues: nothing here does. Its names are those of the released network.
    """

    PAINTED = 6  # RGB of the word in lower case and in capitals

    def __init__(self, widths: tuple[int, int, int]) -> None:
        super().__init__()
        rest = 10
        self.infoGen_visual = PriorMap(widths, rest)
        self.vis_rec_fuser = Fuser(self.PAINTED + rest)
        self.dsta_vis = DSTA()

    def forward(self, prior: Tensor, painted: Tensor) -> Tensor:
        """A prior (N, K, 1, T) and painted words (N, 6, h, w) → (N, D, h, w)."""
        both = torch.cat([painted, self.infoGen_visual(prior)], dim=1)
        return self.dsta_vis(self.vis_rec_fuser(both))


class Fuser(nn.Module):
    """A small U-Net that says how the taps of a deformable convolution of its input move.

    Args:
        channels: of the input.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = CLUE
        self.in_conv = nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.ReLU())
        for i in range(1, 4):
            self.add_module(f"dn_conv{i}", _down(width))
            self.add_module(f"up_conv{i}", nn.Sequential(
                nn.Conv2d(2 * width, width, 3, padding=1), nn.ReLU(), _larger(width), nn.ReLU()))
        self.tr_conv = nn.Sequential(*_down(width), _larger(width), nn.ReLU())
        self.out_conv = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU())
        self.offset_mask = nn.Conv2d(width, 27 * channels, 3, padding=1)
        self.deform_conv = DeformableConv(channels, width // channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, ·, h, w) → (N, D, h, w)."""
        seen = self.in_conv(x)
        down = []
        for i in range(1, 4):
            seen = self.get_submodule(f"dn_conv{i}")(seen)
            down.append(seen)
        seen = self.tr_conv(seen)
        for i in (3, 2, 1):
            seen = self.get_submodule(f"up_conv{i}")(torch.cat([seen, down[i - 1]], dim=1))
        where = self.offset_mask(self.out_conv(seen))
        return F.relu(self.deform_conv(x, *offsets_and_modulation(where)))


def _down(width: int) -> nn.Sequential:
    """To half the size."""
    return nn.Sequential(
        nn.Conv2d(width, width, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1), nn.ReLU(),
    )


def _larger(width: int) -> nn.ConvTranspose2d:
    """To twice the size."""
    return nn.ConvTranspose2d(width, width, 4, stride=2, padding=1)
