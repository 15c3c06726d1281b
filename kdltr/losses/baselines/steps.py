"""Which steps of a word count: those up to its end token, pooled over all words."""

from __future__ import annotations

import torch
from torch import Tensor


def read(lengths: Tensor, steps: int) -> Tensor:
    """``(N,)`` to ``(N, T)``, True at the first ``lengths`` steps."""
    return torch.arange(steps, device=lengths.device) < lengths[:, None]


def mean_of_read(values: Tensor, lengths: Tensor) -> Tensor:
    """Mean of ``(N, T)`` values over the read steps of all words together."""
    counted = read(lengths, values.shape[1])
    return torch.where(counted, values, 0.0).sum() / counted.sum()
