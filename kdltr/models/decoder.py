"""PARSeq's two-stream decoder (Bautista and Atienza, ECCV 2022, §3.1).

Symbols: N images, P image tokens, K reading orders, T steps, S characters known, E width. Names of
parameters are those of the released checkpoint.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from kdltr.models.attention import MultiheadAttention
from kdltr.models.dropout import Dropout


class DecoderLayer(nn.Module):
    """One two-stream layer; only the query stream is updated, the context is read as it is."""

    def __init__(self, width: int, heads: int, ratio: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = MultiheadAttention(width, heads, dropout)
        self.cross_attn = MultiheadAttention(width, heads, dropout)
        self.linear1 = nn.Linear(width, ratio * width)
        self.linear2 = nn.Linear(ratio * width, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm_q = nn.LayerNorm(width)
        self.norm_c = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(
        self,
        query: Tensor,
        context: tuple[Tensor, Tensor],
        image: tuple[Tensor, Tensor],
        visible: Tensor | None,
    ) -> Tensor:
        """Queries look at characters, then at the image → (N, K, T, E).

        Args:
            query: (N, K, T, E).
            context: keys and values of characters, each (N·K or N, heads, S, d).
            image: keys and values of the image, each (N, heads, P, d).
            visible: boolean, broadcastable to (N·K, heads, T, S).
        """
        n, k, t, _ = query.shape
        asked = self.self_attn.query(self.norm_q(query).flatten(0, 1))  # (N·K, heads, T, d)
        seen = self.self_attn(asked, *context, visible).unflatten(0, (n, k))
        query = (query + self.dropout(seen)).flatten(1, 2)  # (N, K·T, E): the image hides nothing
        seen = self.cross_attn(self.cross_attn.query(self.norm1(query)), *image)
        query = query + self.dropout(seen)
        hidden = self.dropout(F.gelu(self.linear1(self.norm2(query))))
        query = query + self.dropout(self.linear2(hidden))
        return query.unflatten(1, (k, t))


class Decoder(nn.Module):
    """The decoder's layer and final norm, under the released names."""

    def __init__(self, width: int, heads: int, ratio: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList([DecoderLayer(width, heads, ratio, dropout)])
        self.norm = nn.LayerNorm(width)


class TokenEmbedding(nn.Module):
    """Token ids to vectors scaled by √E."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, width)

    def forward(self, ids: Tensor) -> Tensor:
        """(N, S) → (N, S, E)."""
        return math.sqrt(self.embedding.embedding_dim) * self.embedding(ids)
