"""ABINet's language model, which spells a word anew (Fang et al., CVPR 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kdltr.charset import END
from kdltr.models.transformer import DecoderLayer, Layers, PositionalEncoding


def predicted_lengths(logits: Tensor) -> Tensor:
    """Steps up to and including the first end token of logits (N, T, C), or T → (N,)."""
    ended = logits.argmax(-1) == END  # (N, T)
    first = ended.int().argmax(-1) + 1
    return torch.where(ended.any(-1), first, logits.shape[1])


class LanguageModel(nn.Module):
    """A bidirectional cloze network: each character from all the others, never from itself.

    Symbols: N words, T steps, C classes, E width. The queries are bare positions and no layer has
    self-attention, so that no character can leak into its own prediction.
    """

    def __init__(
        self, classes: int, steps: int, width: int, heads: int, hidden: int, layers: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.proj = nn.Linear(classes, width, bias=False)
        self.token_encoder = PositionalEncoding(steps, width, dropout)
        self.pos_encoder = PositionalEncoding(steps, width)
        self.model = Layers([DecoderLayer(width, heads, hidden, dropout) for _ in range(layers)])
        self.cls = nn.Linear(width, classes)

    def forward(self, logits: Tensor) -> Tensor:
        """A reading's logits (N, T, C) → character vectors (N, T, E).

        No gradient flows back into the reading. Keys after the word's end are hidden; the first two
        never are, so that every query sees one.
        """
        logits = logits.detach()
        return self.spell(logits.softmax(-1), predicted_lengths(logits).clamp(min=2))

    def spell(self, characters: Tensor, lengths: Tensor) -> Tensor:
        """Probabilities of characters (N, T, C), keys hidden from lengths (N,) on → (N, T, E)."""
        tokens = self.token_encoder(self.proj(characters))  # (N, T, E)
        steps = torch.arange(characters.shape[1], device=characters.device)
        others = steps != steps[:, None]  # (T, T)
        visible = others & (steps < lengths[:, None])[:, None]  # (N, T, T)
        queries = self.pos_encoder.positions.expand_as(tokens)
        return self.model(queries, tokens, visible[:, None])
