"""Constant tables that keep every digit when a network changes its type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn


class Constants(nn.Module):
    """Tables as buffers that are no part of the state dict.

    A buffer made in float32 and widened has float32's digits, which attention and splines magnify:
    here every change of type starts from float64.

    Args:
        **tables: float64, by the name of the attribute.
    """

    def __init__(self, **tables: Tensor) -> None:
        super().__init__()
        self.exact = tables
        for name, table in tables.items():
            self.register_buffer(name, table.to(torch.get_default_dtype()), persistent=False)

    def _apply(self, fn: Callable, recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        for name, table in self.exact.items():
            now = getattr(self, name)
            setattr(self, name, table.to(now.device, now.dtype))
        return self


def sinusoids(length: int, width: int) -> Tensor:
    """(length, width) float64: sine in even channels, cosine in odd ones."""
    rates = 1e4 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * rates
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)
