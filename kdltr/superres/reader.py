"""STT's recogniser, whose reading of HR and SR images its text-focus loss compares.

A deep residual network and one transformer decoder layer (Chen et al., CVPR 2021). Frozen in
training, it reads with teacher forcing: it is told the word and says where it looked.

Symbols: N words, L steps, K = 37 classes (0 the end and the start, digits, letters), E width,
S = 8·32 places.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdltr.charset import DIGITS_FIRST36, MAX_LENGTH
from kdltr.checkpoint import load_weights
from kdltr.models import create_model, nearest
from kdltr.models.grey import grey
from kdltr.superres import abinet_reader
from kdltr.superres.constants import Constants, sinusoids
from kdltr.superres.stt import FeedForward, LinearAttention, UnbiasedLayerNorm

PLACES = 8 * 32  # S


@dataclass(frozen=True)
class ReaderConfig:
    """Sizes; the defaults are the published ones."""

    widths: tuple[int, ...] = (64, 128, 256, 256, 512, 512, 1024)
    blocks: tuple[int, ...] = (1, 2, 5, 3)
    embedding: int = 512  # half of E
    heads: int = 16
    hidden: int = 2048
    dropout: float = 0.1


_REGISTRY = {
    "stt_reader": ReaderConfig(),
    "stt_reader_nano": ReaderConfig(
        (16, 32, 64, 64, 128, 128, 256), (1, 1, 1, 1), embedding=128, heads=4, hidden=512,
        dropout=0.0,
    ),
}


def create_reader(
    name: str, checkpoint: str | Path | None = None
) -> Reader | abinet_reader.ABINetReader:
    """What looks at the enlarged images in training.

    Args:
        name: "stt_reader", STT's recogniser; "stt_reader_nano", of a quarter of its width; or
            "abinet" or "abinet_nano" in its place.
        checkpoint: the published `pretrain_transformer.pth`, or a file of kdltr.

    Raises:
        ValueError: an unknown name.
        kdltr.checkpoint.CheckpointError: the file cannot be read or does not fit.
    """
    if name in abinet_reader.NAMES:
        return abinet_reader.ABINetReader(create_model(name, checkpoint))
    if name not in _REGISTRY:
        known = [*_REGISTRY, *abinet_reader.NAMES]
        raise ValueError(f"unknown reader {name!r}{nearest(name, known)}")
    reader = Reader(name, _REGISTRY[name])
    if checkpoint is not None:
        reader.load(checkpoint)
    return reader


class Reader(nn.Module):
    """RGB images (N, 3, 32, 128) and the words they show → what is read, and where."""

    charset = DIGITS_FIRST36
    places = PLACES

    def __init__(self, name: str, config: ReaderConfig) -> None:
        super().__init__()
        self.name, self.config, self.heads = name, config, config.heads
        width = 2 * config.embedding
        self.embedding_word = nn.Module()
        self.embedding_word.lut = nn.Embedding(self.charset.size, config.embedding)
        self.positions = Constants(table=sinusoids(MAX_LENGTH + 1, config.embedding))
        self.encoder = nn.Module()
        self.encoder.cnn = Encoder(config.widths, config.blocks)
        self.decoder = Decoder(width, config.heads, config.hidden, config.dropout)
        self.generator_word = nn.Module()
        self.generator_word.proj = nn.Linear(width, self.charset.size)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def load(self, checkpoint: str | Path) -> None:
        """Load weights strictly; what the published file holds and nothing reads is passed over."""
        heads, embedding = self.config.heads, self.config.embedding
        beside: dict[str, tuple[int, ...]] = {"pe.pe": (1, 5000, embedding)}
        for part in ("mask_multihead", "multihead"):
            linear = f"decoder.{part}.compress_attention_linear"
            beside |= {f"{linear}.weight": (1, heads), f"{linear}.bias": (1,)}
        load_weights(self, checkpoint, beside=beside)

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Read with teacher forcing.

        Args:
            images: (N, 3, 32, 128), RGB in [0, 1].
            labels: (N, L) classes of each word, 0 behind it.

        Returns:
            logits (N, L, K) and attention (N, heads, L, S), of the places row by row.
        """
        features = self.encoder.cnn(grey(images))
        start = F.pad(labels, (1, -1))  # the characters before each
        embedded = self.embedding_word.lut(start) * self.config.embedding**0.5
        places = self.positions.table[: labels.shape[1]].expand(len(labels), -1, -1)
        decoded, attention = self.decoder(
            torch.cat([embedded, places], dim=-1), features.flatten(2).mT
        )
        return self.generator_word.proj(decoded), attention


class Encoder(nn.Module):
    """Grey images (N, 1, 32, 128) → features (N, E, 8, 32)."""

    def __init__(self, widths: tuple[int, ...], blocks: tuple[int, ...]) -> None:
        super().__init__()
        first, before, *stages, last = widths
        self.conv1 = nn.Conv2d(1, first, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(first)
        self.conv2 = nn.Conv2d(first, before, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(before)
        for s, (width, count) in enumerate(zip(stages, blocks, strict=True), start=1):
            residual = [ResidualBlock(before if i == 0 else width, width) for i in range(count)]
            self.add_module(f"layer{s}", nn.Sequential(*residual))
            suffix, after = ("2", last) if s == len(blocks) else ("", width)
            self.add_module(f"layer{s}_conv{suffix}", nn.Conv2d(width, after, 3, padding=1))
            norm = f"layer{s}_conv2_bn" if suffix else f"layer{s}_bn"
            self.add_module(norm, nn.BatchNorm2d(after))
            before = width

    def forward(self, grey: Tensor) -> Tensor:
        """See the class."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(grey))), 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        for _, layer in list(self.named_children())[4:]:
            x = layer(x)
            x = F.relu(x) if isinstance(layer, nn.BatchNorm2d) else x
        return x


class ResidualBlock(nn.Module):
    """Two convolutions; where the width changes, a third on the way past them."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(width)
        if before != width:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width)
            )
        else:
            self.downsample = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, ·, h, w) → (N, width, h, w)."""
        seen = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(seen + self.downsample(x))


class Decoder(nn.Module):
    """One decoder layer, which says where it looked."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.mask_multihead = LinearAttention(width, heads, dropout)
        self.mul_layernorm1 = UnbiasedLayerNorm(width)
        self.multihead = LinearAttention(width, heads, dropout)
        self.mul_layernorm2 = UnbiasedLayerNorm(width)
        self.pff = FeedForward(width, hidden, dropout)
        self.mul_layernorm3 = UnbiasedLayerNorm(width)

    def forward(self, x: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Characters (N, L, E) and places (N, S, E) → (N, L, E), attention (N, heads, L, S)."""
        before = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        x = self.mul_layernorm1(x + self.mask_multihead(x, x, before))
        seen, attention = self.multihead.look(x, features)
        x = self.mul_layernorm2(x + seen)
        return self.mul_layernorm3(x + self.pff(x)), attention
