"""Lines of several words, read whole by PP-OCR's teacher and parted where it sees spaces."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby, pairwise

import torch
from torch import Tensor

from kdltr.charset import ASCII95, BLANK, Charset, Reading
from kdltr.models import create_model

FRAME = 8  # pixels
LATE = 0.4  # frames: how far right of the middle of a space it is read, measured on generated lines


@dataclass(frozen=True)
class Part:
    """A word of a line.

    Attributes:
        reading: its text and confidence.
        start, end: where it lies, as shares of the line's width. Two words meet in the middle of
            the space between them.
    """

    reading: Reading
    start: float
    end: float


class LineReader:
    """`ppocr` with the weights of the wheel, and the space among its characters.

    Attributes:
        height: of the lines it reads, in pixels.

    Raises:
        MissingExtra, CheckpointError: a package of ``kdltr[ppocr]`` is missing, or the wheel is of
            another version.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        model = create_model("ppocr", "rapidocr", charset=ASCII95)
        self.model, self.height = model.to(device).eval(), model.image_size[0]

    def width(self, height: int, width: int) -> int:
        """The width at which a picture of (height, width) keeps its proportions, nearly."""
        return FRAME * max(math.ceil(self.height * width / height / FRAME), 2)

    @torch.inference_mode()
    def read(self, line: Tensor) -> list[Part]:
        """Read (3, `height`, W), RGB in [0, 1], W from `width` → its words from the left."""
        return parts(self.model(line[None]).logits[0], self.model.charset)


def parts(logits: Tensor, charset: Charset) -> list[Part]:
    """The words in logits (T, C) of CTC over a charset that has the space."""
    best, ids = (values.tolist() for values in logits.float().softmax(-1).max(-1))
    words: list[list[int]] = [[]]  # first frames of their characters
    cuts = [0.0]
    for each, run in groupby(range(len(ids)), key=ids.__getitem__):
        frames = list(run)
        if each != BLANK and charset.characters[each - 1] == " ":
            cuts.append(((frames[0] + frames[-1] + 1) / 2 - LATE) / len(ids))
            words.append([])
        elif each != BLANK:
            words[-1].append(frames[0])
    return [
        Part(Reading("".join(charset.characters[ids[frame] - 1] for frame in word),
                     math.prod(best[frame] for frame in word)), start, end)
        for word, (start, end) in zip(words, pairwise([*cuts, 1.0]), strict=True) if word
    ]
