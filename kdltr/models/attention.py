"""Multi-head attention with the parameter names of ``nn.MultiheadAttention``.

Projections are separate methods, so that what is the same for many queries (the image's keys and
values, the keys of characters read before) is computed once.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdltr.models.dropout import dropout


def check_heads(width: int, heads: int) -> None:
    """Raise ValueError unless ``heads`` share ``width`` channels evenly."""
    if heads < 1 or width % heads:
        raise ValueError(f"{heads} heads do not share a width of {width} channels evenly; choose a "
                         "divisor of the width")


class MultiheadAttention(nn.Module):
    """Attention of ``width`` channels in ``heads`` heads; d = width / heads."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        check_heads(width, heads)
        self.heads, self.dropout = heads, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def split(self, x: Tensor) -> Tensor:
        """(B, T, E) → (B, heads, T, d)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def query(self, x: Tensor) -> Tensor:
        """(B, T, E) → queries (B, heads, T, d)."""
        return self._projected(x, 0)

    def key(self, x: Tensor) -> Tensor:
        """(B, S, E) → keys (B, heads, S, d), for those whose values are of other vectors."""
        return self._projected(x, 1)

    def value(self, x: Tensor) -> Tensor:
        """(B, S, E) → values (B, heads, S, d)."""
        return self._projected(x, 2)

    def _projected(self, x: Tensor, part: int) -> Tensor:
        width = x.shape[-1]
        rows = slice(part * width, (part + 1) * width)
        return self.split(F.linear(x, self.in_proj_weight[rows], self.in_proj_bias[rows]))

    def key_value(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S, E) → keys and values, each (B, heads, S, d)."""
        width = x.shape[-1]
        both = F.linear(x, self.in_proj_weight[width:], self.in_proj_bias[width:])
        key, value = both.chunk(2, dim=-1)
        return self.split(key), self.split(value)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, visible: Tensor | None = None
    ) -> Tensor:
        """Attend with projected queries, keys and values → (B, T, E).

        Args:
            query: (B, heads, T, d).
            key: (B, heads, S, d).
            value: (B, heads, S, d).
            visible: boolean, broadcastable to (B, heads, T, S); True where a query may look, which
                every query may somewhere.
        """
        mixed = attend(query, key, value, visible, self.dropout if self.training else 0.0)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


def attend(
    query: Tensor, key: Tensor, value: Tensor, visible: Tensor | None = None, p: float = 0.0
) -> Tensor:
    """`scaled_dot_product_attention` with the chance ``p`` that a weight is dropped."""
    if p and query.device.type == "cpu":  # whose fused kernels know no dropout
        return _dropped_attention(query, key, value, visible, p)
    return F.scaled_dot_product_attention(query, key, value, visible, p)


def _dropped_attention(
    query: Tensor, key: Tensor, value: Tensor, visible: Tensor | None, p: float
) -> Tensor:
    """`scaled_dot_product_attention` with `kdltr.models.dropout`."""
    scores = (query / math.sqrt(query.shape[-1])) @ key.mT  # (B, heads, T, S)
    if visible is not None:
        scores = scores.masked_fill(~visible, -torch.inf)
    return dropout(scores.softmax(-1), p) @ value
