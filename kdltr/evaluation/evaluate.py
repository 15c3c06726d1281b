"""Evaluating a recogniser on word images, and the paper's "Bicubic" baseline.

Nothing is dropped: n is the data's count. What the scores mean is in `kdltr.evaluation.scores`, all
of which can be imported from here.
"""

from __future__ import annotations

import logging
import math
import os
import zlib
from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from kdltr.charset import ALNUM36
from kdltr.data.loader import WordPairs, load_pairs
from kdltr.data.opening import open_data
from kdltr.data.records import Pair
from kdltr.evaluation.scores import (
    PROTOCOL,
    Interval,
    McNemar,
    Scores,
    combine,
    matches,
    mcnemar,
    score,
    similarity,
    verdict,
    wilson,
)
from kdltr.models import list_models
from kdltr.models.base import Recogniser
from kdltr.models.output import ModelOutput

log = logging.getLogger(__name__)


def evaluate(
    model: Recogniser,
    pairs: WordPairs | str | os.PathLike | Sequence[str | os.PathLike],
    batch_size: int | None = None,
) -> Scores:
    """Read every image, in order, in `inference_mode`; the last partial batch is kept.

    Args:
        model: its `image_size` decides whether it reads the LR or the HR images; its device is
            where they go. Its mode (train or eval) is left as it was.
        pairs: words in memory, or paths for `kdltr.data.loader.load_pairs`.
        batch_size: images read at once; 256 on a GPU, 32 on a CPU, whose caches hold few, if None.

    Raises:
        ValueError: no words, images of a size the model does not read, or a confidence that is
            not a number (damaged weights).
    """
    if not isinstance(pairs, WordPairs):
        pairs = load_pairs(pairs)
    if len(pairs) == 0:
        raise ValueError("expected words to evaluate on, found none; check the data's path")
    images = images_for(model, pairs)
    reader, readings = model.for_reading(), []
    batch_size = batch_size or (32 if model.device.type == "cpu" else 256)
    with torch.inference_mode():
        for start in range(0, len(pairs), batch_size):
            batch = images[start : start + batch_size].to(model.device)
            readings += reader.read(batch.float() / 255)
    for index, reading in enumerate(readings):
        if not math.isfinite(reading.confidence):
            raise ValueError(
                f"expected a confidence in [0, 1] for image {index} ({pairs.words[index]!r}), "
                f"found {reading.confidence}; the weights of the model hold non-finite numbers"
            )
    lost = [word for word in pairs.words if ALNUM36.unread(word)]
    if lost and model.charset.alphanumeric:
        log.warning("%d of %d labels hold letters that are not compared, being none of [0-9a-z]; "
                    "the first: %r", len(lost), len(pairs), lost[0])
    if pairs.skipped:
        log.warning("n is %d: %d damaged records were left out", len(pairs), len(pairs.skipped))
    frame = pd.DataFrame({
        "index": range(len(pairs)),
        "label": pairs.words,
        "reading": [reading.text for reading in readings],
        # No table tells more digits apart, and they are half of a file of readings.
        "confidence": [round(reading.confidence, 4) for reading in readings],
        "image": _checksums(pairs),
    })
    own = ALNUM36 if model.charset.alphanumeric else model.charset
    return score(frame, len(pairs.skipped), own)


def load_for(
    model: Recogniser, path: str | os.PathLike, image: str | None = None
) -> WordPairs:
    """The words of a data set in the size that `model` reads.

    Lines are placed on a canvas of that size; LR images of lines keep the one they are stored in.

    Args:
        image: which of a pair it reads, "hr" or "lr". If None, LR where its name ends in ``_ltr``
            or it reads 16×64, HR where its name is another of `kdltr.list_models` or it reads
            32×128.

    Raises:
        ValueError: another `image`; or pairs, and neither it nor name and size say which to read.
    """
    if image not in (None, "hr", "lr"):
        raise ValueError(f"image: expected hr or lr, found {image!r}")
    data, size, lr_size = open_data(path), tuple(model.image_size), (16, 64)
    hr_size = (32, 128)
    if model.lines and len(data) and isinstance(pair := data[0], Pair):
        hr_size, lr_size = pair.hr.shape[:2], pair.lr.shape[:2]
    elif model.lines:  # one image a line, which teachers and students see placed alike
        return load_pairs([data], size, tuple(side // 2 for side in size), lines=True)
    sharp = size == hr_size or model.name in list_models()
    small = size == lr_size or model.name.endswith("_ltr")
    if image is None and not sharp and not small and len(data) and isinstance(data[0], Pair):
        raise ValueError(f"{path} holds pairs, and {model.name}, which reads {size[0]}×{size[1]} "
                         "pixels, may be a teacher of the sharp images or a student of the small "
                         "ones: say image='hr' or 'lr' (--image)")
    if image == "lr" or (image is None and small):
        return load_pairs([data], hr_size, size, lines=model.lines)
    if size == lr_size:  # of two that fit, LR would be read
        lr_size = tuple(side // 2 for side in size)
    return load_pairs([data], size, lr_size, lines=model.lines)


def upsample_bicubic(images: Tensor, size: tuple[int, int] | None = None) -> Tensor:
    """(N, 3, H, W) → (N, 3, *size), twice as large if None: bicubic with aligned corners, as the
    published baseline.

    The kernel overshoots: values may leave [0, 1] a little, and are not clipped, as published.
    """
    size = size or tuple(2 * side for side in images.shape[-2:])
    return F.interpolate(images, size, mode="bicubic", align_corners=True)


class UpsampleBicubic(Recogniser):
    """The paper's "Bicubic": a teacher that reads LR images after bicubic upsampling.

    It takes the teacher's parameters by reference.

    Args:
        teacher: what reads.
        image_size: of the LR images; half the teacher's if None.
    """

    def __init__(self, teacher: Recogniser, image_size: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.teacher = teacher
        self.name = f"{teacher.name}_bicubic"
        self.charset, self.steps = teacher.charset, teacher.steps
        self.longest, self.lines = teacher.longest, teacher.lines
        self.decoding, self.frames = teacher.decoding, teacher.frames
        self.semantic_width = teacher.semantic_width
        self.without_gradient = tuple(f"teacher.{part}" for part in teacher.without_gradient)
        self.image_size = tuple(image_size or (side // 2 for side in teacher.image_size))
        self.train(teacher.training)

    def load(self, checkpoint: str | os.PathLike) -> None:
        """The teacher's weights, which are all it has."""
        self.teacher.load(checkpoint)

    def for_reading(self) -> Recogniser:
        """The same of the teacher's."""
        return UpsampleBicubic(self.teacher.for_reading(), self.image_size)

    def prepare(self, labels: Tensor, generator: torch.Generator) -> dict[str, Any]:
        """As the teacher's."""
        return self.teacher.prepare(labels, generator)

    def forward(self, images: Tensor, **extra: Any) -> ModelOutput:
        """Images (N, 3, H, W), RGB in [0, 1] → the teacher's output."""
        return self.teacher(upsample_bicubic(images, self.teacher.image_size), **extra)


def images_for(model: Recogniser, pairs: WordPairs) -> Tensor:
    """The uint8 images (M, 3, H, W) of the model's size: LR where both fit."""
    for images in (pairs.lr, pairs.hr):
        if tuple(images.shape[-2:]) == tuple(model.image_size):
            return images
    raise ValueError(
        f"{model.name} reads images of {tuple(model.image_size)}, found LR of "
        f"{tuple(pairs.lr.shape[-2:])} and HR of {tuple(pairs.hr.shape[-2:])}; load the data with "
        "load_for(model, path), or load_pairs(…, hr_size=…, lr_size=…)"
    )


def _checksums(pairs: WordPairs) -> list[str]:
    """CRC-32 of each word's HR and LR pixels, 8 hexadecimal digits."""
    hr, lr = pairs.hr.cpu().numpy(), pairs.lr.cpu().numpy()
    pixels = zip(hr, lr, strict=True)
    return [f"{zlib.crc32(b.tobytes(), zlib.crc32(a.tobytes())):08x}" for a, b in pixels]


__all__ = [
    "PROTOCOL",
    "Interval",
    "McNemar",
    "Scores",
    "UpsampleBicubic",
    "combine",
    "evaluate",
    "images_for",
    "load_for",
    "matches",
    "mcnemar",
    "score",
    "similarity",
    "upsample_bicubic",
    "verdict",
    "wilson",
]
