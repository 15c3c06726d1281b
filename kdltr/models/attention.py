"""Multi-head attention with the parameter names of ``nn.MultiheadAttention``.

Projections are separate methods, so that what is the same for many queries (the image's keys and
values, the keys of characters read before) is computed once.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MultiheadAttention(nn.Module):
    """Attention of ``width`` channels in ``heads`` heads; d = width / heads."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
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
        width = x.shape[-1]
        return self.split(F.linear(x, self.in_proj_weight[:width], self.in_proj_bias[:width]))

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
            visible: boolean, broadcastable to (B, heads, T, S); True where a query may look.
        """
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, visible, dropout)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))
