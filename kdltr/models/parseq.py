"""PARSeq, teacher and low-resolution student (Bautista and Atienza, ECCV 2022; paper §3.2).

Symbols: N images, P image tokens, T steps, E width, K reading orders, C classes. Parameter names
are those of the released checkpoint, which loads strictly.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdltr.charset import ASCII94, END, MAX_LENGTH, Charset
from kdltr.models.base import Recogniser
from kdltr.models.decoder import Decoder, DecoderLayer, TokenEmbedding
from kdltr.models.dropout import Dropout
from kdltr.models.fitting import fit_convolution
from kdltr.models.output import ModelOutput
from kdltr.models.permutations import reading_orders, visible_tokens
from kdltr.models.vit import VisionTransformer

log = logging.getLogger(__name__)
Projected = tuple[Tensor, Tensor]  # keys and values, each (N, heads, S, d)
# Ended words leave the batch of a reading when at most this share of it goes on.
STAYING = 0.75


@dataclass(frozen=True)
class PARSeqConfig:
    """Sizes of a PARSeq; the defaults are the released teacher's."""

    image_size: tuple[int, int] = (32, 128)  # pixels
    patch: tuple[int, int] = (4, 8)  # pixels; the student halves both: the same number of tokens
    width: int = 384  # E
    depth: int = 12  # encoder layers
    heads: int = 6  # of the encoder
    decoder_heads: int = 12
    ratio: int = 4  # hidden units of the MLPs over E
    dropout: float = 0.1  # of the decoder; the encoder has none
    orders: int = 6  # K in training
    charset: Charset = ASCII94


class PARSeq(Recogniser):
    """Permuted autoregressive sequence model.

    In evaluation it reads autoregressively, then refines once. With ``targets`` and
    ``permutations`` it is teacher-forced, all reading orders in one batched decoder call.
    """

    resolution_dependent = ("encoder.patch_embed.proj.weight",)

    def __init__(self, name: str, config: PARSeqConfig) -> None:
        super().__init__()
        self.name, self.config = name, config
        self.charset, self.image_size = config.charset, tuple(config.image_size)
        self.semantic_width = width = config.width
        classes = self.charset.size
        self.start, self.pad = classes, classes + 1
        self.encoder = VisionTransformer(
            self.image_size, config.patch, width, config.depth, config.heads, config.ratio
        )
        self.decoder = Decoder(width, config.decoder_heads, config.ratio, config.dropout)
        self.head = nn.Linear(width, classes)
        self.text_embed = TokenEmbedding(classes + 2, width)
        self.pos_queries = nn.Parameter(torch.empty(1, MAX_LENGTH + 1, width))
        self.dropout = Dropout(config.dropout)
        nn.init.trunc_normal_(self.pos_queries, std=0.02)
        self.apply(_initialise)

    def forward(
        self, images: Tensor, targets: Tensor | None = None, permutations: Tensor | None = None
    ) -> ModelOutput:
        """Read images, or predict given targets.

        Args:
            images: (N, 3, H, W), RGB in [0, 1].
            targets: (N, T + 1) ids: start, characters, end, pads; from `prepare`.
            permutations: (K, T + 1) reading orders; from `prepare`.

        Returns:
            Without targets: logits (N, 26, C), semantic (N, 26, E), visual (N, P, E). With targets:
            logits (K, N, T, C), semantic (K, N, T, E). Attention is None.
        """
        return self.decode(self.encode(images), targets, permutations)

    def encode(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W), RGB in [0, 1] → image tokens (N, P, E)."""
        return self.encoder(2.0 * images - 1.0)

    def decode(
        self, tokens: Tensor, targets: Tensor | None = None, permutations: Tensor | None = None
    ) -> ModelOutput:
        """What `forward` returns, from image tokens (N, P, E)."""
        image = self.layer.cross_attn.key_value(tokens)
        if targets is None:
            hidden = self.refine(self.read_autoregressively(image), image)
        else:
            hidden = self.predict_targets(targets, permutations, image)
        return ModelOutput(self.head(hidden), hidden, tokens, None)

    def traceable_logits(self, images: Tensor) -> Tensor:
        """All 26 steps whatever the words: refinement hides what follows a word's end."""
        image = self.layer.cross_attn.key_value(self.encode(images))
        return self.head(self.refine(self.read_every_step(image), image))

    def remember(self, images: Tensor) -> dict[str, Tensor]:
        """The image tokens: only the decoder's work depends on targets and reading orders."""
        return {"visual": self.encode(images)}

    def recall(self, remembered: dict[str, Tensor], **extra: Any) -> ModelOutput:
        """Decode what was kept under this step's targets and reading orders."""
        return self.decode(remembered["visual"], **extra)

    @property
    def layer(self) -> DecoderLayer:
        return self.decoder.layers[0]

    def predict_targets(self, targets: Tensor, orders: Tensor, image: Projected) -> Tensor:
        """Decoder output for every order → (K, N, T, E)."""
        given = targets[:, :-1]  # (N, T): nothing follows the last token
        (n, t), k = given.shape, len(orders)
        context = self.embed(given)[:, None]  # (N, 1, T, E)
        if self.training and self.dropout.p:  # every order its own dropout, as published
            context = context.expand(n, k, t, -1)
        keys, values = self.context(self.dropout(context).flatten(0, 1))
        if len(keys) != n * k:
            keys, values = (x.repeat_interleave(k, dim=0) for x in (keys, values))
        known = (given != END) & (given != self.pad)  # (N, T)
        visible = visible_tokens(orders.to(given.device)) & known[:, None, None]  # (N, K, T, T)
        query = self.dropout(self.pos_queries[:, :t].expand(n * k, t, -1)).unflatten(0, (n, k))
        hidden = self.layer(query, (keys, values), image, visible.flatten(0, 1)[:, None])
        return self.decoder.norm(hidden).transpose(0, 1)

    def read_autoregressively(self, image: Projected) -> Tensor:
        """Ids (N, S) of the characters read one after the other, S the longest word's steps ≤ 26.

        Keys and values of characters read before are kept. The device is asked once a step how many
        words go on; those that have ended leave the batch when they are enough to pay for copying
        the rest. Ids after a word's end are end tokens, or whatever was read there.
        """
        n = image[0].shape[0]
        token = torch.full((n, 1), self.start, device=image[0].device)
        ids = torch.full((n, MAX_LENGTH + 1), END, device=token.device)
        rows = torch.arange(n, device=token.device)  # (B,) of the words in the batch
        going = torch.ones_like(rows, dtype=torch.bool)
        context = self.context(self.embed(token))
        for step in range(MAX_LENGTH + 1):
            token = self.next_token(step, context, image)  # (B, 1)
            ids[rows, step] = token[:, 0]
            going = going & (token[:, 0] != END)
            left = int(going.sum())
            if not left:
                break
            if left <= STAYING * len(rows):
                stay = going.nonzero()[:, 0]
                rows, going, token = rows[stay], going[stay], token[stay]
                image, context = (tuple(x[stay] for x in pair) for pair in (image, context))
            context = self.extended(context, token, step + 1)
        return ids[:, : step + 1]

    def read_every_step(self, image: Projected) -> Tensor:
        """What `read_autoregressively` returns for words that never end: ids (N, 26)."""
        n = image[0].shape[0]
        read = [torch.full((n, 1), self.start, device=image[0].device)]
        context = self.context(self.embed(read[0]))
        for step in range(MAX_LENGTH + 1):
            read.append(self.next_token(step, context, image))
            context = self.extended(context, read[-1], step + 1)
        return torch.cat(read[1:], dim=1)

    def next_token(self, step: int, context: Projected, image: Projected) -> Tensor:
        """The most probable character at ``step`` after those of ``context`` → (N, 1)."""
        n = image[0].shape[0]
        query = self.pos_queries[:, step : step + 1].expand(n, 1, -1)[:, None]
        hidden = self.layer(query, context, image, None)
        return self.head(self.decoder.norm(hidden[:, 0])).argmax(-1)

    def extended(self, context: Projected, token: Tensor, place: int) -> Projected:
        """``context`` with the token (N, 1) at ``place``."""
        pairs = zip(context, self.context(self.embed(token, place)), strict=True)
        return tuple(torch.cat(pair, dim=2) for pair in pairs)

    def refine(self, ids: Tensor, image: Projected) -> Tensor:
        """One pass in which each position sees all others → decoder output (N, 26, E).

        The first end token of ``ids`` (N, S) and everything after it are hidden.
        """
        n = ids.shape[0]
        given = torch.cat([torch.full_like(ids[:, :1], self.start), ids[:, :-1]], dim=1)  # (N, S)
        known = (given == END).cumsum(-1) == 0
        # Token s stands at position s − 1, which must not see it.
        steps = torch.arange(MAX_LENGTH + 1, device=ids.device)
        others = steps[: given.shape[1]] != steps[:, None] + 1  # (26, S)
        context = self.context(self.embed(given))
        query = self.pos_queries.expand(n, -1, -1)[:, None]
        hidden = self.layer(query, context, image, (others & known[:, None])[:, None])
        return self.decoder.norm(hidden[:, 0])

    def embed(self, ids: Tensor, first: int = 0) -> Tensor:
        """Tokens ``first``, ``first`` + 1, … → (N, S, E); the start token has no position."""
        positions = F.pad(self.pos_queries, (0, 0, 1, 0))[:, first : first + ids.shape[1]]
        return self.text_embed(ids) + positions

    def context(self, embedded: Tensor) -> Projected:
        """Embedded characters (B, S, E) → their keys and values, each (B, heads, S, d)."""
        return self.layer.self_attn.key_value(self.layer.norm_c(embedded))

    def prepare(self, labels: Tensor, generator: torch.Generator) -> dict[str, Any]:
        """Targets (N, T + 1) and reading orders (K, T + 1) for labels (N, T)."""
        ended = (labels == END).cumsum(-1) - (labels == END).long()
        targets = F.pad(labels.masked_fill(ended > 0, self.pad), (1, 0), value=self.start)
        orders = reading_orders(labels.shape[1] - 1, generator, self.config.orders)
        orders = orders.to(labels.device, non_blocking=True)  # else the host would wait for the GPU
        return {"targets": targets, "permutations": orders}

    @torch.no_grad()
    def fit_start(self, teacher: PARSeq, images: Tensor) -> None:
        """Start the patch projection from the teacher's (not in the paper, which starts at random).

        The kernel and bias that come nearest, by least squares over all patches of ``images``, to
        what the teacher's projection gives on the ×2 bicubic image.

        Args:
            teacher: of the same width; its image is larger by a whole factor.
            images: (M, 3, H, W) of the student's size, in [0, 1]; a few hundred do.
        """
        def seen(some: Tensor) -> tuple[Tensor, Tensor]:
            large = F.interpolate(some, teacher.image_size, mode="bicubic", align_corners=True)
            return 2 * some - 1, 2 * large - 1

        mine, theirs = self.encoder.patch_embed.proj, teacher.encoder.patch_embed.proj
        left = fit_convolution(mine, theirs, seen, images)
        log.info("%s: patch projection fitted, %.3f of the variance left", self.name, left)


def _initialise(module: nn.Module) -> None:
    """Initial values as the published code's: truncated normal, zero biases."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if getattr(module, "bias", None) is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(module.bias)
