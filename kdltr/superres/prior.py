"""Text priors: what a CTC recogniser says of an LR image, frame by frame."""

from __future__ import annotations

from torch import Tensor

from kdltr.charset import DIGITS_FIRST36
from kdltr.models.base import Recogniser

CLASSES, FRAMES = 37, 26  # blank, digits, letters; of the published generator, CRNN


def text_prior(logits: Tensor) -> Tensor:
    """A CTC recogniser's logits (N, T, K) → probabilities (N, K, 1, T), as the networks take them.

    Published for TATT and C3-STISR: CRNN's, class 0 the blank, then 0-9a-z.
    """
    return logits.softmax(-1).mT[:, :, None]


def frames(prior: Tensor) -> Tensor:
    """A text prior (N, K, 1, T) as frames (N, T, K)."""
    return prior.squeeze(2).mT


def check_generator(generator: Recogniser) -> None:
    """Raise ValueError unless a recogniser makes priors of the published shape."""
    found = (generator.decoding, generator.frames, generator.charset.size)
    ordered = generator.charset.characters == DIGITS_FIRST36.characters
    if found != ("ctc", FRAMES, CLASSES) or not ordered:
        raise ValueError(
            f"a generator of text priors reads {FRAMES} frames of {CLASSES} classes by CTC; "
            f"{generator.name} has decoding {found[0]!r}, {found[1]} frames, {found[2]} classes"
            f"{'' if ordered else ' in another order than 0-9a-z'}; "
            "use crnn or crnn_nano"
        )
