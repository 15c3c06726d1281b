"""How DAN reads: glimpses by a given attention, a recurrent context of them, a GRU over characters.

Symbols: N images, T steps, E width, C classes, (H, W) the last map. Parameter names are those of
the released checkpoints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdltr.charset import END
from kdltr.models.dropout import Dropout


class RecurrentDecoder(nn.Module):
    """A bidirectional LSTM over glimpses, then a GRU cell that is told the previous character.

    Args:
        width: E.
        classes: C.
        dropout: of the GRU's states before the classifier; what it is fed back is whole.
        context_dropout: of the LSTM's output.
    """

    def __init__(self, width: int, classes: int, dropout: float, context_dropout: float) -> None:
        super().__init__()
        self.pre_lstm = nn.LSTM(width, width // 2, bidirectional=True, batch_first=True)
        self.rnn = nn.GRUCell(2 * width, width)
        self.generator = nn.Sequential(Dropout(dropout), nn.Linear(width, classes))
        self.char_embeddings = nn.Parameter(torch.randn(classes, width))
        self.dropout = Dropout(context_dropout)

    def glimpses(self, features: Tensor, attention: Tensor) -> Tensor:
        """Features (N, E, H, W) where attention (N, T, H, W), made to sum to 1, is → (N, T, E)."""
        share = attention / attention.sum((2, 3), keepdim=True)
        return torch.einsum("nthw,nehw->nte", share, features)

    def context(self, glimpses: Tensor) -> Tensor:
        """Glimpses (N, T, E), each seen with all others → (N, T, E)."""
        return self.dropout(self.pre_lstm(glimpses)[0])

    def forced(self, context: Tensor, targets: Tensor) -> Tensor:
        """States (N, S, E) of the first S steps of a context (N, T, E), given targets (N, S)."""
        given = F.pad(targets[:, :-1], (1, 0), value=END)  # the character before each
        inputs = torch.cat([context[:, : given.shape[1]], self.char_embeddings[given]], dim=-1)
        state, states = context.new_zeros(context[:, 0].shape), []
        for each in inputs.unbind(1):
            state = self.rnn(each, state)
            states.append(state)
        return torch.stack(states, dim=1)

    def read(self, context: Tensor, every_step: bool = False) -> tuple[Tensor, Tensor]:
        """States (N, S, E) and logits (N, S, C) of a greedy reading of a context (N, T, E).

        S is the step at which the last word ends, T if one does not, or wherever ``every_step``.
        """
        state, states, logits = context.new_zeros(context[:, 0].shape), [], []
        token = torch.full_like(state[:, 0], END, dtype=torch.int64)
        ended = torch.zeros_like(token, dtype=torch.bool)
        for each in context.unbind(1):
            state = self.rnn(torch.cat([each, self.char_embeddings[token]], dim=-1), state)
            states.append(state)
            logits.append(self.generator(state))
            token = logits[-1].argmax(-1)
            ended = ended | (token == END)
            if not every_step and bool(ended.all()):
                break
        return torch.stack(states, dim=1), torch.stack(logits, dim=1)
