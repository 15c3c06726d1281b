"""Two stages as one recogniser: a super-resolution network, then a reader of HR images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from kdltr.models.base import Recogniser
from kdltr.models.folding import folded
from kdltr.models.output import ModelOutput
from kdltr.superres.images import with_mask
from kdltr.superres.prior import check_generator, text_prior
from kdltr.superres.saved import load_upscaler
from kdltr.superres.trunk import LR_SIZE, Counts, Upscaler


class TwoStage(Recogniser):
    """A recogniser of LR images (N, 3, 16, 64): it enlarges them, then reads.

    It takes the parameters of its parts by reference, and starts in eval mode.

    Args:
        upscaler: what enlarges.
        recogniser: what reads HR images, frozen and never tuned in the published comparison.
        generator: reads the LR image for the text prior, where the upscaler takes one.
        clamp: whether the enlarged image is cut to [0, 1], which is what recognisers are made
            for. Not as published: there the tanh's output, in (−1, 1), is read as it is.

    Raises:
        ValueError: a generator that is missing, not wanted, or of another kind than CRNN.
    """

    def __init__(
        self, upscaler: Upscaler, recogniser: Recogniser, generator: Recogniser | None = None,
        clamp: bool = False,
    ) -> None:
        super().__init__()
        if upscaler.takes_prior != (generator is not None):
            does = "needs" if upscaler.takes_prior else "takes no"
            raise ValueError(f"{upscaler.name} {does} generator of text priors, as crnn is")
        if generator is not None:
            check_generator(generator)
        self.upscaler, self.recogniser, self.generator = upscaler, recogniser, generator
        self.clamp = clamp
        self.name = f"{upscaler.name}_{recogniser.name}"
        self.charset, self.steps = recogniser.charset, recogniser.steps
        self.longest, self.lines = recogniser.longest, recogniser.lines
        self.decoding, self.frames = recogniser.decoding, recogniser.frames
        self.semantic_width = recogniser.semantic_width
        self.image_size = LR_SIZE
        self.eval()

    def count_parameters(self) -> Counts:
        """Of all parts together; `published` is what the paper's table says."""
        readers = [part for part in (self.recogniser, self.generator) if part is not None]
        more = sum(p.numel() for reader in readers for p in reader.parameters())
        return Counts(*(count + more for count in self.upscaler.count_parameters()))

    def prepare(self, labels: Tensor, generator: torch.Generator) -> dict[str, Any]:
        """What the recogniser needs."""
        return self.recogniser.prepare(labels, generator)

    def for_reading(self) -> Recogniser:
        """Copies with batch norm folded into convolutions."""
        generator = self.generator and self.generator.for_reading()
        parts = folded(self.upscaler), self.recogniser.for_reading(), generator
        training = self.recogniser.training  # it may be one of the parts
        made = TwoStage(*parts, self.clamp)
        self.recogniser.train(training)
        return made

    def enlarge(self, images: Tensor) -> Tensor:
        """LR images (N, 3, 16, 64), RGB in [0, 1] → what is read (N, 3, H, W).

        Of the network's size, 32×128, or resized to the recogniser's where that is another.
        """
        large = upscaled(images, self.upscaler, self.generator)
        size = self.recogniser.image_size
        if tuple(large.shape[2:]) != tuple(size):
            large = F.interpolate(large, size, mode="bicubic")
        return large.clamp(0, 1) if self.clamp else large

    def forward(self, images: Tensor, **extra: Any) -> ModelOutput:
        """Images (N, 3, 16, 64), RGB in [0, 1] → the recogniser's output."""
        return self.recogniser(self.enlarge(images), **extra)

    def traceable_logits(self, images: Tensor) -> Tensor:
        """See `Recogniser.traceable_logits`."""
        return self.recogniser.traceable_logits(self.enlarge(images))


def load_two_stage(given: str | Mapping[str, Any], recogniser: Recogniser) -> TwoStage:
    """A trained network in front of a recogniser.

    Args:
        given: a file of `kdltr.train.superres`; or for a published one what
            `kdltr.superres.load_upscaler` takes.
        recogniser: what reads; shared, not copied.

    Raises:
        kdltr.checkpoint.CheckpointError: no such file, a damaged one, or one of another kind.
    """
    arguments = {"path": given} if isinstance(given, str) else given
    upscaler, generator = load_upscaler(**arguments)
    return TwoStage(upscaler, recogniser, generator)


def upscaled(images: Tensor, upscaler: Upscaler, generator: Recogniser | None = None) -> Tensor:
    """LR images (N, 3, 16, 64), RGB in [0, 1] → what the upscaler makes of them (N, 3, 32, 128).

    Args:
        generator: for upscalers that take a text prior.
    """
    lr = with_mask(images) if upscaler.config.mask else images
    prior = None if generator is None else text_prior(generator(images).logits)
    return upscaler(lr, prior)[:, :3]
