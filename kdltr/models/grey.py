"""Grey images of coloured ones, for recognisers that read those."""

from __future__ import annotations

from torch import Tensor


def grey(images: Tensor) -> Tensor:
    """RGB (N, 3, H, W) → brightness (N, 1, H, W), by the weights of ITU-R BT.601."""
    red, green, blue = images.split(1, dim=1)
    return 0.299 * red + 0.587 * green + 0.114 * blue
