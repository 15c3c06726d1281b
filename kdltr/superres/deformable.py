"""Modulated deformable convolution, depthwise, 3×3 (Zhu et al., CVPR 2019), by `grid_sample`.

Symbols: N images, C channels, M outputs a channel, (h, w) the map, 9 taps row by row.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DeformableConv(nn.Module):
    """Each channel has its own kernels and its own offsets; padding 1, zero outside.

    Args:
        channels: C.
        multiplier: M.
    """

    def __init__(self, channels: int, multiplier: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels * multiplier, 1, 3, 3))
        self.bias = nn.Parameter(torch.zeros(channels * multiplier))
        nn.init.kaiming_uniform_(self.weight, 5**0.5)

    def forward(self, x: Tensor, offsets: Tensor, modulation: Tensor) -> Tensor:
        """Convolve.

        Args:
            x: (N, C, h, w).
            offsets: (N, 18·C, h, w), for each channel and tap how far it moves down and right, in
                pixels.
            modulation: (N, 9·C, h, w), what each tap's value is multiplied by.

        Returns:
            (N, M·C, h, w).
        """
        n, channels, height, width = x.shape
        rows, columns = (torch.arange(side, device=x.device, dtype=x.dtype) for side in x.shape[2:])
        taps = torch.arange(3, device=x.device, dtype=x.dtype) - 1
        down, right = offsets.reshape(n * channels, 9, 2, height, width).unbind(2)
        y = down + rows[:, None] + taps.repeat_interleave(3)[:, None, None]  # (N·C, 9, h, w)
        z = right + columns + taps.repeat(3)[:, None, None]
        grid = torch.stack([(2 * z + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
        flat = x.reshape(n * channels, 1, height, width)
        seen = F.grid_sample(flat, grid.flatten(1, 2), align_corners=False)  # (N·C, 1, 9·h, w)
        seen = seen.view(n, channels, 9, height, width)
        seen = seen * modulation.reshape(n, channels, 9, height, width)
        weight = self.weight.view(channels, -1, 9)  # (C, M, 9)
        out = torch.einsum("nckhw,cmk->ncmhw", seen, weight)
        return out.flatten(1, 2) + self.bias[:, None, None]
