"""Whole photographs: where their words are, and what they say.

    reader = PhotographReader()
    image = read_image("photo.jpg")      # (H, W, 3) uint8 RGB
    reader.find_words(image)             # boxes
    reader.read(image)                   # words with their boxes

What the detector finds are lines, mostly of several words. PP-OCR's teacher reads each whole, at a
width that keeps its proportions, and parts it where it sees a space. Words of lines that are at
most `SMALL` pixels high are also cut out and read by the student: the surer of the two stands.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kdltr.charset import Reading
from kdltr.data.images import resize
from kdltr.data.lines import placed
from kdltr.models import Recogniser
from kdltr.models.detector import Box, Detector
from kdltr.models.lines import LineReader, Part
from kdltr.models.weights import load_recogniser

SMALL = 32  # pixels: the height of a line's box up to which the student reads its words, too
SURE = 0.5  # a word whose characters are less probable (`_sureness`) is none; as in rapidocr
BATCH = 64  # words
UPRIGHT = 1.5  # a box so many times higher than wide is read from the left and the right, too


@dataclass(frozen=True)
class Word:
    """A word of a photograph.

    Attributes:
        reading: its text and confidence.
        box: where it is.
        model: the name of what read it.
    """

    reading: Reading
    box: Box
    model: str

    @property
    def bounds(self) -> tuple[int, int, int, int]:
        """Left, top, width and height of the least upright rectangle around it, in pixels."""
        low, high = np.floor(self.box.corners.min(0)), np.ceil(self.box.corners.max(0))
        return tuple(np.concatenate([low, high - low]).astype(int).tolist())


class PhotographReader:
    """Finds the words of photographs and reads them.

    Args:
        student: what reads small words, on its device; None: the shipped `ppocr_ltr`.

    Raises:
        MissingExtra, CheckpointError: a package of ``kdltr[ppocr]`` is missing, or its wheel is of
            another version.
    """

    def __init__(self, student: Recogniser | None = None) -> None:
        self._detector = Detector()
        self.student = student or load_recogniser()
        self._lines = LineReader(self.student.device)

    def find_words(self, image: np.ndarray) -> list[Box]:
        """The boxes of the words that `read` reads."""
        return [word.box for word in self.read(image)]

    def read(self, image: np.ndarray) -> list[Word]:
        """The words of an image (H, W, 3) uint8 RGB: rows from the top, each from the left.

        Where nothing is read, or nothing surely (`SURE`), there is no word.
        """
        words = self._parted(image)
        small = [i for i, word in enumerate(words) if word.box.size[0] <= SMALL]
        fit = placed if self.student.lines else resize
        crops = [fit(words[i].box.crop(image), self.student.image_size) for i in small]
        for i, reading in zip(small, read_resized(self.student, crops), strict=True):
            other = Word(reading, words[i].box, self.student.name)
            words[i] = max(other, words[i], key=lambda word: _sureness([word.reading]))
        return [word for word in words if _sureness([word.reading]) >= SURE]

    def _parted(self, image: np.ndarray) -> list[Word]:
        """The words as the teacher reads them; a line that it cannot read is a word without text.
        """
        found = []
        for line in self._detector.find(image):
            height, width = line.size
            turns = (0, 1, 3) if height >= UPRIGHT * width else (0,)
            ways = [(way, self._parts(way, image)) for way in map(line.turned, turns)]
            box, parts = max(ways, key=lambda way: _sureness([part.reading for part in way[1]]))
            found += [Word(part.reading, box.part(part.start, part.end), self._lines.model.name)
                      for part in parts or [Part(Reading("", 1.0), 0.0, 1.0)]]
        return found

    def _parts(self, line: Box, image: np.ndarray) -> list[Part]:
        size = self._lines.height, self._lines.width(*line.size)
        return self._lines.read(to_batch(self._lines.model, [resize(line.crop(image), size)])[0])


def read_resized(model: Recogniser, images: Sequence[np.ndarray]) -> list[Reading]:
    """Readings of N uint8 images (H, W, 3) of the model's size, `BATCH` at a time."""
    chunks = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
    return [reading for chunk in chunks for reading in model.read(to_batch(model, chunk))]


def to_batch(model: Recogniser, images: Sequence[np.ndarray]) -> Tensor:
    """N uint8 images (H, W, 3) of one size → (N, 3, H, W) in [0, 1], where the model is."""
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    return batch.to(model.device).float() / 255


def _sureness(readings: Sequence[Reading]) -> float:
    """The mean probability (geometric) of all characters that are read; 0 if there are none."""
    count = sum(len(reading.text) for reading in readings)
    return math.prod(reading.confidence for reading in readings) ** (1 / count) if count else 0.0
