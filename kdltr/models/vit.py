"""The vision transformer that PARSeq encodes images with (paper §3.2).

Pre-norm, GELU, learned positions, no class token. Parameter names are those of timm's
``VisionTransformer``, since the released checkpoints were made with it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdltr.models.attention import check_heads


class PatchEmbedding(nn.Module):
    """Cut the image in patches and project each."""

    def __init__(self, patch: tuple[int, int], width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, kernel_size=patch, stride=patch)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, P, E), P patches row by row."""
        return self.proj(images).flatten(2).transpose(1, 2)


class SelfAttention(nn.Module):
    """Multi-head self-attention, no dropout."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        check_heads(width, heads)
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, P, E) → (N, P, E)."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))  # (N, P, 3, heads, d)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (N, heads, P, d)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    """Two linear layers with an activation between."""

    def __init__(
        self, width: int, hidden: int, activation: Callable[[Tensor], Tensor] = F.gelu
    ) -> None:
        super().__init__()
        self.activation = activation
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(…, E) → (…, E)."""
        return self.fc2(self.activation(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm transformer layer."""

    def __init__(
        self,
        width: int,
        heads: int,
        ratio: int,
        activation: Callable[[Tensor], Tensor] = F.gelu,
        eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.attn = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = MLP(width, ratio * width, activation)

    def forward(self, x: Tensor) -> Tensor:
        """(N, P, E) → (N, P, E)."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """Images to tokens.

    Args:
        image_size: (H, W) in pixels.
        patch: (height, width) in pixels; must divide the image.
        width: E.
        depth: number of layers.
        heads: attention heads a layer.
        ratio: hidden units of the MLP over E.
    """

    def __init__(
        self,
        image_size: tuple[int, int],
        patch: tuple[int, int],
        width: int,
        depth: int,
        heads: int,
        ratio: int,
    ) -> None:
        super().__init__()
        if image_size[0] % patch[0] or image_size[1] % patch[1]:
            raise ValueError(f"patches {patch} do not tile images {image_size}; choose divisors")
        tokens = (image_size[0] // patch[0]) * (image_size[1] // patch[1])
        self.patch_embed = PatchEmbedding(patch, width)
        self.pos_embed = nn.Parameter(torch.empty(1, tokens, width))
        self.blocks = nn.ModuleList(Block(width, heads, ratio) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [−1, 1] → tokens (N, P, E) after the final norm."""
        x = self.patch_embed(images) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.norm(x)
