"""What a super-resolution network learns from: its terms, and who else reads the images.

Symbols: N images, C channels, L steps of a word.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdltr.data.loader import WordPairs
from kdltr.losses import ctc_loss
from kdltr.models.base import Recogniser
from kdltr.superres.abinet_reader import ABINetReader
from kdltr.superres.c3stisr import C3STISR
from kdltr.superres.images import with_mask
from kdltr.superres.losses import content_loss, image_loss, prior_loss, rotate, triplet_ssim
from kdltr.superres.prior import frames, text_prior
from kdltr.superres.reader import Reader
from kdltr.superres.trunk import Upscaler
from kdltr.train.engine import sent

log = logging.getLogger(__name__)

# As published, by network; every term is multiplied by its weight and summed.
WEIGHTS = {
    "tsrn": {"image": 100.0},
    "stt": {"mse": 100.0, "attention": 1000.0, "content": 0.05},
    "tatt": {"image": 100.0, "consistency": 10.0, "prior": 100.0},
    "c3stisr": {"mse": 100.0, "attention": 1000.0, "content": 0.05, "prior": 100.0, "ctc": 1.0},
}
TERMS = sorted({term for weights in WEIGHTS.values() for term in weights})
FROM_READER, FROM_LABELS = {"attention", "content"}, {"attention", "content", "ctc"}
OF_PRIORS = {"prior", "ctc"}  # of networks that take a text prior, or have a language model


class Upscaling(nn.Module):
    """A network and the generator of its priors, in training: one DDP wrapper, one checkpoint.

    A frozen copy of the generator, as it is now, says what the prior of the HR image is. It and the
    reader are no part of the state.

    Args:
        upscaler: what is trained.
        weights: of the terms, of `TERMS`.
        generator: of text priors, trained too.
        reader: of `create_reader`, frozen, for the terms that look at its reading.
        similarity: (K, K) of `content_loss`.
    """

    def __init__(
        self,
        upscaler: Upscaler,
        weights: Mapping[str, float],
        generator: Recogniser | None = None,
        reader: Reader | ABINetReader | None = None,
        similarity: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.upscaler, self.generator, self.weights = upscaler, generator, dict(weights)
        self.frozen = {"reader": reader, "teacher": copy.deepcopy(generator)}  # no submodules
        self.similarity = similarity
        for model in filter(None, self.frozen.values()):
            model.requires_grad_(False).eval()
        for model in self._idle():  # DDP would wait for their gradients
            model.requires_grad_(False)

    def _idle(self) -> Iterator[nn.Module]:
        """What learns from none of the terms."""
        if self.generator is not None and not (
            self.upscaler.teaches_generator or "prior" in self.weights
        ):
            yield self.generator
        if isinstance(self.upscaler, C3STISR) and not (
            self.upscaler.config.clue == "fused" or "ctc" in self.weights
        ):
            yield self.upscaler.lm

    def send(self, device: torch.device) -> None:
        """What is no part of the state to the device."""
        for model in filter(None, self.frozen.values()):
            model.to(device)
        if self.similarity is not None:
            self.similarity = self.similarity.to(device)

    def forward(
        self,
        lr: Tensor,
        hr: Tensor,
        labels: Tensor | None = None,
        lengths: Tensor | None = None,
        turn: tuple[Tensor, Tensor] | None = None,
        looked: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Loss terms, and their weighted sum "total".

        Args:
            lr: (N, 3, 16, 64), RGB in [0, 1].
            hr: (N, 3, 32, 128).
            labels: (N, L) classes of `DIGITS_FIRST36`, 0 behind a word; for terms that need them.
            lengths: (N,) steps of each word, its end included.
            turn: angles and offsets (N,) each of `rotate`, for the consistency.
            looked: (N, heads, L, S), where the reader looked in ``hr``; asked anew if None.
        """
        outside = torch.autocast(lr.device.type, enabled=False)  # of the networks: no bf16
        if self.upscaler.config.mask:
            lr, hr = with_mask(lr), with_mask(hr)
        if "consistency" in self.weights:
            with outside:
                lr, hr = rotate(lr, *turn), rotate(hr, *turn)
        terms: dict[str, Tensor] = {}
        prior, extra = None, {}
        if isinstance(self.upscaler, C3STISR):  # it spells what the generator reads, eval mode
            extra["language_logits"] = logits = full(self.upscaler.lm(self._read(lr)))
            if "ctc" in self.weights:
                with outside:
                    terms["ctc"] = ctc_loss(logits, labels, lengths)
        if self.generator is not None:
            prior = text_prior(full(self.generator(lr[:, :3]).logits))
            if "prior" in self.weights:
                with torch.no_grad():
                    known = text_prior(full(self.frozen["teacher"](hr[:, :3]).logits))
                terms["prior"] = prior_loss(prior, known)
            prior = prior if self.upscaler.teaches_generator else prior.detach()
        sr = full(self.upscaler(lr, prior, **extra))
        if "image" in self.weights:
            terms["image"] = image_loss(sr, hr)
        if "mse" in self.weights:
            terms["mse"] = F.mse_loss(sr, hr)
        if "consistency" in self.weights:
            angles, offsets = turn
            with outside:
                back = rotate(lr, -angles, offsets)
            again = full(self.upscaler(back, prior, **extra))
            with outside:
                terms["consistency"] = 1 - triplet_ssim(rotate(again, *turn), sr, hr)
        if FROM_READER & self.weights.keys():
            terms |= self._text_focus(sr[:, :3], hr[:, :3], labels, lengths, looked)
        return terms | {"total": sum(w * terms[name] for name, w in self.weights.items())}

    def _read(self, lr: Tensor) -> Tensor:
        """What the generator reads in eval mode: frames (N, T, K), without a gradient."""
        self.generator.eval()
        with torch.no_grad():
            read = frames(text_prior(full(self.generator(lr[:, :3]).logits)))
        self.generator.train(self.training)
        return read

    def _text_focus(
        self, sr: Tensor, hr: Tensor, labels: Tensor, lengths: Tensor, looked: Tensor | None
    ) -> dict[str, Tensor]:
        reader = self.frozen["reader"]
        if looked is None:
            with torch.no_grad():
                looked = full(reader(hr, labels)[1])
        logits, looking = map(full, reader(sr, labels))
        return {"attention": F.l1_loss(looking, looked),
                "content": content_loss(logits, labels, lengths, self.similarity)}


def full(x: Tensor) -> Tensor:
    """What a network in bf16 gives, in float32; of another type as it is."""
    return x.float() if x.dtype == torch.bfloat16 else x


class Looking:
    """Where the reader looks in the HR images, asked once for every word and kept.

    A step looks at what comes before it alone, so that a shorter batch needs the first steps.

    Args:
        reader: frozen, on the device it computes on.
        pairs: M words, on that device.
        labels: (M, T) classes, 0 behind each word.
        budget: GB; above it nothing is kept, and the reader is asked at every step.
        autocast: context the reader runs in.
        rank, world: which process this is, and of how many: it sees the words whose index is
            ``rank`` modulo ``world``.
    """

    BATCH = 64  # words at once; fixed, so that every run computes the same bits

    def __init__(
        self, reader: Reader | ABINetReader, pairs: WordPairs, labels: Tensor, budget: float,
        autocast: AbstractContextManager, rank: int = 0, world: int = 1,
    ) -> None:
        self.world, self.kept = world, None
        mine = torch.arange(rank, len(pairs), world)
        longest = int((labels != 0).sum(1).max()) + 1
        bytes_each = 4 * reader.heads * longest * reader.places
        log.info("where the reader looks in %d words: %.2f GB", len(mine),
                 len(mine) * bytes_each / 1e9)
        if len(mine) * bytes_each > 1e9 * budget:
            log.info("more than reader_budget: asked at every step")
            return
        device = pairs.hr.device
        self.kept = torch.empty(len(mine), reader.heads, longest, reader.places, device=device)
        with torch.no_grad(), autocast:
            for kept, some in zip(self.kept.split(self.BATCH), mine.split(self.BATCH), strict=True):
                words = labels[some.to(labels.device), :longest]
                kept.copy_(reader(pairs.sharp(some), words)[1])  # (B, heads, L, S)

    def __call__(self, chosen: Tensor, steps: int) -> Tensor | None:
        """(B, heads, steps, S) of the words ``chosen`` (B,); None where nothing is kept."""
        if self.kept is None:
            return None
        return self.kept[sent(chosen // self.world, self.kept.device), :, :steps]
