"""An ABINet in place of STT's recogniser, where that one's weights cannot be had.

Its reading and its attention have the form that the text-focus loss compares. What is enlarged then
suits this ABINet better than other recognisers: say so beside its row of a table.

Symbols: N words, L steps, K = 37 classes (0 the end, digits, letters), (H, W) the map, S = H·W.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kdltr.charset import DIGITS_FIRST36, END
from kdltr.models.abinet import ABINet

NAMES = ("abinet", "abinet_nano")  # of kdltr.models


class ABINetReader(nn.Module):
    """RGB images (N, 3, 32, 128) → what an ABINet reads, and where its vision model looked.

    It is not told the word: a step's reading depends on the image alone.

    Args:
        model: what reads.
    """

    charset = DIGITS_FIRST36
    heads = 1

    def __init__(self, model: ABINet) -> None:
        super().__init__()
        self.model, self.name = model, model.name
        self.places = model.config.map_size[0] * model.config.map_size[1]  # S
        own = model.charset.encode([*self.charset.characters])[0][:, 0]
        order = torch.cat([torch.tensor([END]), own])  # this charset's classes in the model's order
        self.register_buffer("order", order, persistent=False)

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Read.

        Args:
            images: (N, 3, 32, 128), RGB in [0, 1].
            labels: (N, L) classes of each word, of which the number of steps is taken.

        Returns:
            logits (N, L, K) and attention (N, 1, L, S), of the places row by row.
        """
        steps, out = labels.shape[1], self.model(images)
        return out.logits[:, :steps, self.order], out.attention[:, None, :steps].flatten(3)
