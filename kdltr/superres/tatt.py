"""TATT: text attention, robust to spatial deformation (Ma et al., CVPR 2022).

"A Text Attention Network for Spatial Deformation Robust Scene Text Image Super-resolution". Every
place of the map looks at the frames of a text prior; what it finds is a clue for the blocks.

Symbols as in the trunk, and T = 26 frames, K = 37 classes, L = h·w places.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kdltr.models.attention import MultiheadAttention
from kdltr.models.dropout import Dropout
from kdltr.models.transformer import DecoderLayer, EncoderLayer
from kdltr.superres.constants import Constants, sinusoids
from kdltr.superres.prior import CLASSES, FRAMES, frames
from kdltr.superres.trunk import LR_SIZE, RecurrentBlock, Upscaler, UpscalerConfig

RECURRENCES = ("columns", "batch")


@dataclass(frozen=True)
class TATTConfig(UpscalerConfig):
    """Settings of TATT."""

    heads: int = 4
    dropout: float = 0.1
    recurrence: str = "columns"  # or "batch", as published: see Interpreter.queries

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("recurrence", RECURRENCES)


class TATT(Upscaler):
    """Its recurrent blocks are told what the text prior says at every place.

    Published with ``recurrence="batch"``, which published checkpoints need; what it costs is said
    in `Interpreter.queries`.
    """

    takes_prior = True

    def __init__(self, name: str, config: TATTConfig) -> None:
        super().__init__(name, config)
        self.infoGen = Interpreter(config)

    def make_block(self) -> nn.Module:
        """See `Upscaler.make_block`."""
        return RecurrentBlock(self.config.width, clue=self.config.width)

    def clues(self, first: Tensor, prior: Tensor | None) -> tuple[Tensor, ...]:
        """One map (N, E, h, w)."""
        return (self.infoGen(first, frames(prior)),)

    def dead_weight(self) -> dict[str, nn.Module]:
        """A linear layer, the decoder's self-attention, and a table of 5000 positions."""
        width, heads = self.config.width, self.config.heads
        table = nn.Module()
        table.register_buffer("pe", torch.empty(1, 5000, width))
        dead = {"infoGen.fc_feature_in": nn.Linear(width, width), "infoGen.pe": table}
        for i in range(2):
            layer = f"infoGen.transformer.decoder.layers.{i}"
            dead |= {f"{layer}.self_attn": MultiheadAttention(width, heads),
                     f"{layer}.norm1": nn.LayerNorm(width)}
        return dead


class Interpreter(nn.Module):
    """From a text prior to a clue map, by a transformer whose queries are places."""

    def __init__(self, config: TATTConfig) -> None:
        super().__init__()
        width, height = config.width, LR_SIZE[0]
        self.recurrence = config.recurrence
        self.fc_in = nn.Linear(CLASSES, width)
        self.activation = nn.PReLU()
        self.init_factor = nn.Embedding(LR_SIZE[0] * LR_SIZE[1], width)
        self.positions = Constants(table=sinusoids(FRAMES, width))
        self.dropout = Dropout(config.dropout)
        sizes = (width, config.heads, width, config.dropout)
        self.transformer = nn.Module()  # for its published name
        self.transformer.encoder = Stack([PlacedEncoderLayer(*sizes)])
        self.transformer.decoder = Stack([PlacedDecoderLayer(*sizes) for _ in range(2)])
        self.transformer.decoder.norm = nn.LayerNorm(width)
        column = height * width
        self.transformer.gru_encoding = nn.GRU(column, column // 2, bidirectional=True)
        for parameter in self.transformer.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, first: Tensor, prior: Tensor) -> Tensor:
        """The map of `block1` (N, E, h, w) and a prior (N, T, K) → a clue (N, E, h, w)."""
        places = self.dropout(self.positions.table.expand(prior.shape[0], -1, -1))
        memory = self.remember(prior, places)
        queries = self.queries(first.shape[0])
        x, norm, clues = first.flatten(2).mT, self.transformer.decoder.norm, []  # (N, L, E)
        for layer in self.transformer.decoder.layers:
            x = layer(x, queries, memory, places)
            clues.append(norm(x))
        return torch.stack(clues).mean(0).mT.unflatten(2, first.shape[2:])

    def remember(self, prior: Tensor, places: Tensor) -> Tensor:
        """A prior (N, T, K) and its frames' positions (N, T, E) → the memory (N, T, E).

        The published encoder adds its input to itself: it starts from twice the characters.
        """
        x = 2 * self.activation(self.fc_in(prior))
        for layer in self.transformer.encoder.layers:
            x = layer(x, places)
        return x

    def queries(self, images: int) -> Tensor:
        """What the places ask, the same of all images (1, L, E), or of each its own (N, L, E).

        A learned table read by a GRU, column by column, "columns". As published, "batch", its steps
        are the images of the batch, and the columns do not know of each other: the output for an
        image depends on its place in the batch and on the batch's size, though not on what the
        other images show.
        """
        table = self.init_factor.weight.unflatten(0, LR_SIZE)  # (h, w, E)
        columns = table.transpose(0, 1).flatten(1)  # (w, h·E)
        if self.recurrence == "columns":
            steps = columns[:, None]  # (w, 1, h·E)
            read = self.transformer.gru_encoding(steps)[0].transpose(0, 1)
        else:
            steps = columns.expand(images, -1, -1)  # (N, w, h·E)
            read = self.transformer.gru_encoding(steps)[0]
        return read.unflatten(-1, (LR_SIZE[0], -1)).transpose(1, 2).flatten(1, 2)  # (·, h·w, E)


class Stack(nn.Module):
    """Layers under the published name."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)


class PlacedEncoderLayer(EncoderLayer):
    """An encoder layer whose queries and keys know their places, and values do not."""

    def forward(self, x: Tensor, places: Tensor) -> Tensor:
        """(N, T, E) twice → (N, T, E)."""
        attention, placed = self.self_attn, x + places
        seen = attention(attention.query(placed), attention.key(placed), attention.value(x))
        x = self.norm1(x + self.dropout(seen))
        return self.norm2(x + self.feed_forward(x))


class PlacedDecoderLayer(DecoderLayer):
    """A decoder layer without self-attention; queries and keys have something added."""

    def forward(self, x: Tensor, queries: Tensor, memory: Tensor, places: Tensor) -> Tensor:
        """(N, L, E), what they ask (·, L, E), memory and its places (N, T, E) → (N, L, E)."""
        attention = self.multihead_attn
        seen = attention(attention.query(x + queries), attention.key(memory + places),
                         attention.value(memory))
        x = self.norm2(x + self.dropout(seen))
        return self.norm3(x + self.feed_forward(x))
