"""STT's network, TBSRN: the trunk with self-attention (Chen et al., CVPR 2021).

"Scene Text Telescope: Text-Focused Scene Image Super-Resolution". Symbols as in the trunk, and
L = h·w tokens, D = 2·E their width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kdltr.models.attention import attend
from kdltr.models.dropout import Dropout, dropout
from kdltr.superres.constants import Constants, sinusoids
from kdltr.superres.trunk import BLOCKS, LR_SIZE, GRUUnit, Residual, Upscaler, UpscalerConfig


@dataclass(frozen=True)
class STTConfig(UpscalerConfig):
    """Settings of STT; published without the mask, and with ``align_corners=True``."""

    mask: bool = False
    heads: int = 4
    dropout: float = 0.1


class STT(Upscaler):
    """Its blocks attend from every place to every place."""

    def make_block(self) -> nn.Module:
        """See `Upscaler.make_block`."""
        config = self.config
        return AttentionBlock(config.width, config.heads, config.dropout)

    def dead_weight(self) -> dict[str, nn.Module]:
        """TSRN's recurrent units, a convolution of the image, and a linear layer over heads."""
        width, heads = self.config.width, self.config.heads
        dead = {"conv": nn.Conv2d(3, 3, 3), "bn": nn.BatchNorm2d(3)}
        for block in BLOCKS:
            dead |= {f"{block}.gru{i}": GRUUnit(width, width) for i in (1, 2)}
            linear = f"{block}.feature_enhancer.multihead.compress_attention_linear"
            dead[linear] = nn.Linear(heads, 1)
        return dead


class AttentionBlock(Residual):
    """A residual block whose residual is enhanced by attention over the image."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__(width)
        self.feature_enhancer = FeatureEnhancer(width, heads, dropout)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """(N, E, h, w) → (N, E, h, w)."""
        return x + self.feature_enhancer(self.residual(x))


class FeatureEnhancer(nn.Module):
    """A transformer layer over all places; each token is its features, then its position."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        both = 2 * width
        self.positions = Constants(table=positions(width, LR_SIZE))
        self.multihead = LinearAttention(both, heads, dropout)
        self.mul_layernorm1 = UnbiasedLayerNorm(both)
        self.pff = FeedForward(both, both, dropout)
        self.mul_layernorm3 = UnbiasedLayerNorm(both)
        self.linear = nn.Linear(both, width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, E, h, w) → (N, E, h, w)."""
        tokens = x.flatten(2).mT  # (N, L, E), row by row
        places = self.positions.table.expand(x.shape[0], -1, -1)
        tokens = torch.cat([tokens, places], dim=-1)  # (N, L, D)
        seen = self.mul_layernorm1(tokens + self.multihead(tokens, tokens))
        told = self.mul_layernorm3(seen + self.pff(seen))
        return self.linear(told).mT.unflatten(2, x.shape[2:])


def positions(width: int, size: tuple[int, int]) -> Tensor:
    """Places of a map as vectors (h·w, width) float64: half for the column, half for the row."""
    rows, columns = (sinusoids(side, width // 2) for side in size)
    grid = torch.cat([columns.expand(len(rows), -1, -1),
                      rows[:, None].expand(-1, len(columns), -1)], dim=-1)
    return grid.flatten(0, 1)


class LinearAttention(nn.Module):
    """Multi-head attention whose projections are four linear layers, named `linears`."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.linears = nn.ModuleList(nn.Linear(width, width) for _ in range(4))

    def project(self, i: int, x: Tensor) -> Tensor:
        """(N, L, D) → queries, keys or values (i = 0, 1, 2): (N, heads, L, D / heads)."""
        return self.linears[i](x).unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, queries: Tensor, memory: Tensor, visible: Tensor | None = None) -> Tensor:
        """Queries (N, L, D) look at a memory (N, S, D) → (N, L, D)."""
        projected = (self.project(i, x) for i, x in enumerate((queries, memory, memory)))
        mixed = attend(*projected, visible, self.dropout if self.training else 0.0)
        return self.linears[3](mixed.transpose(1, 2).flatten(2))

    def look(self, queries: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, and the weights (N, heads, L, S) before dropout."""
        query, key, value = (self.project(i, x) for i, x in enumerate((queries, memory, memory)))
        weights = (query @ key.mT / query.shape[-1] ** 0.5).softmax(-1)
        mixed = dropout(weights, self.dropout if self.training else 0.0) @ value
        return self.linears[3](mixed.transpose(1, 2).flatten(2)), weights


class FeedForward(nn.Module):
    """Two linear maps with a ReLU and dropout between (names `w_1`, `w_2`)."""

    def __init__(self, width: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.w_1 = nn.Linear(width, hidden)
        self.w_2 = nn.Linear(hidden, width)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, D) → (N, L, D)."""
        return self.w_2(self.dropout(self.w_1(x).relu()))


class UnbiasedLayerNorm(nn.Module):
    """Layer norm that divides by the unbiased standard deviation + ε, as published."""

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.a_2 = nn.Parameter(torch.ones(width))
        self.b_2 = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """(…, D) → (…, D)."""
        deviation, mean = torch.std_mean(x, dim=-1, keepdim=True)
        return self.a_2 * (x - mean) / (deviation + self.eps) + self.b_2
