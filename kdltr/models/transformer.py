"""The post-norm transformer layers of ABINet and MATRN.

Symbols: N words, L places or steps, S keys, E width. Parameter names are those of the released
checkpoints.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdltr.models.attention import MultiheadAttention
from kdltr.models.dropout import Dropout


def sinusoids(length: int, width: int) -> Tensor:
    """Sinusoidal positions (length, width): sine in even channels, cosine in odd ones.

    The released checkpoints hold tables computed in float32. Arguments are rounded to float32 as
    there; the functions are evaluated in float64 and rounded, because float32 versions of them
    differ in the last bit from one CPU to another, which attention magnifies a hundred times.
    """
    position = torch.arange(length, dtype=torch.float32)[:, None]
    exponent = torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(1e4) / width)
    angle = (position * exponent.double().exp().float()).double()  # (length, width / 2)
    table = torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1).float()
    return table.to(torch.get_default_dtype())


class PositionalEncoding(nn.Module):
    """Adds sinusoidal positions to vectors (N, L, E), then drops out."""

    def __init__(self, length: int, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.register_buffer("pe", sinusoids(length, width)[:, None])  # (L, 1, E) as released

    @property
    def positions(self) -> Tensor:
        """(L, E)."""
        return self.pe[:, 0]

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, E) → (N, L, E)."""
        return self.dropout(x + self.positions)


class FeedForward(nn.Module):
    """What both layers share: two linear maps with a ReLU between (names ``linear1, linear2``)."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.linear1 = nn.Linear(width, hidden)
        self.linear2 = nn.Linear(hidden, width)
        self.dropout = Dropout(dropout)

    def feed_forward(self, x: Tensor) -> Tensor:
        """(N, L, E) → (N, L, E)."""
        return self.dropout(self.linear2(self.dropout(F.relu(self.linear1(x), inplace=True))))


class EncoderLayer(FeedForward):
    """Self-attention, then the feed-forward part; each is added and the sum normalised."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__(width, hidden, dropout)
        self.self_attn = MultiheadAttention(width, heads, dropout)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, E) → (N, L, E)."""
        attention = self.self_attn
        seen = attention(attention.query(x), *attention.key_value(x))
        x = self.norm1(x + self.dropout(seen))
        return self.norm2(x + self.feed_forward(x))


class DecoderLayer(FeedForward):
    """A decoder layer without self-attention: queries look at a memory that hides some keys."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__(width, hidden, dropout)
        self.multihead_attn = MultiheadAttention(width, heads, dropout)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)

    def forward(self, query: Tensor, memory: Tensor, visible: Tensor) -> Tensor:
        """Queries (N, L, E), memory (N, S, E), visible (N, 1, L, S) → (N, L, E)."""
        attention = self.multihead_attn
        seen = attention(attention.query(query), *attention.key_value(memory), visible)
        query = self.norm2(query + self.dropout(seen))
        return self.norm3(query + self.feed_forward(query))


class Layers(nn.Module):
    """A stack of layers under the released name ``layers``; further arguments go to each."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, x: Tensor, *more: Tensor) -> Tensor:
        """(N, L, E) → (N, L, E)."""
        for layer in self.layers:
            x = layer(x, *more)
        return x
