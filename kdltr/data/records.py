"""What a data set yields, and what goes wrong with it."""

from typing import NamedTuple

import numpy as np


class Pair(NamedTuple):
    """One word photographed twice (TextZoom): `hr` and `lr` are (H, W, 3) uint8 RGB."""

    hr: np.ndarray
    lr: np.ndarray
    label: str


class Word(NamedTuple):
    """One word of a recognition benchmark: `image` is (H, W, 3) uint8 RGB."""

    image: np.ndarray
    label: str


class EncodedPair(NamedTuple):
    """A pair as it is stored: two image files (PNG, JPEG, …) and the label."""

    hr: bytes
    lr: bytes
    label: str


class EncodedWord(NamedTuple):
    """A benchmark word as it is stored: an image file and the label."""

    image: bytes
    label: str


class DataError(ValueError):
    """Data that cannot be used; the message says what was expected, found, and what to do."""


class ImageError(DataError):
    """A file or bytes that are no readable image of a word."""


class RecordError(DataError):
    """One record of a data set is damaged; the others may be fine (`on_error="skip"`)."""
