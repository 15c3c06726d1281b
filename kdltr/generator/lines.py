"""Lines that look like handwriting: common words in script faces, with jitter, slant, paper, ink.

They are no handwriting: a letter of a face has one shape, however it leans, wavers and is bent. A
line is a pure function of (seed, split, index), and each split of `kdltr.generator.fonts.HANDS` has
faces of its own.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from kdltr.data.iam import IamLines
from kdltr.data.lines import SEPARATOR, placed, small
from kdltr.data.lmdb import PairedWords, Words, write_pairs, write_words
from kdltr.data.records import Word
from kdltr.extras import optional
from kdltr.files import place
from kdltr.generator import fonts, surface
from kdltr.generator.generated import forget, made_from, write_generated
from kdltr.generator.words import TEMPER, vocabulary
from kdltr.messages import nearest

cv2 = optional("cv2", "generate")

LINES_VERSION = 3  # raise it whenever the bytes of any line, or of its canvas, change
LONGEST = 39  # characters of a label
SIZE = 64  # pixels of the face, before it is placed on a canvas
_STREAM = 200  # keeps the lines apart from what other modules make with the same seed
_MARKS = ",.,.,.;:!?"


class GeneratedLines:
    """Lines of a split: `len(self)`, `self[i]` is a `Word` whose label has | between words.

    Args:
        split: of `kdltr.generator.fonts.HANDS`.
        n: how many.
        seed: at least 0.

    Raises:
        ValueError: an unknown split, a negative seed or fewer lines than one.
    """

    def __init__(self, split: str, n: int, seed: int) -> None:
        if split not in fonts.HANDS:
            raise ValueError(f"expected a split, found {split!r}{nearest(split, fonts.HANDS)}")
        if n < 1 or seed < 0:
            raise ValueError(f"expected n >= 1 and seed >= 0, found n={n}, seed={seed}")
        self.split, self.n, self.seed = split, n, seed

    def __repr__(self) -> str:
        return (f"{type(self).__name__}({self.split!r}, {self.n}, seed={self.seed}), version "
                f"{LINES_VERSION}")

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> Word:
        return draw_line(self.split, range(self.n)[index], self.seed)


def draw_line(split: str, index: int, seed: int) -> Word:
    """Line `index` of a split: (H, W, 3) uint8, about 100 pixels high, and its label."""
    stream = _STREAM + list(fonts.HANDS).index(split)
    rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence((seed, stream, index))))
    tokens = draw_tokens(rng)
    text = ""
    for token in tokens:  # a mark stands at its word
        text += token if token in _MARKS or not text else f" {token}"
    ink = _slanted(_bent(_written(text, fonts.draw_hand(rng, split), rng), rng), rng)
    return Word(_on_paper(ink, rng), SEPARATOR.join(tokens))


def draw_tokens(rng: np.random.Generator) -> list[str]:
    """Words as often as they come in texts, some numbers, and marks, until the line is full.

    One line in ten ends a paragraph, and is shorter.
    """
    words, cumulative = _by_frequency()
    most = int(rng.integers(1, 5)) if rng.random() < 0.1 else LONGEST
    tokens: list[str] = []
    for count in range(most):
        word = words[int(np.searchsorted(cumulative, rng.random(), side="right"))]
        if rng.random() < 0.04:
            word = str(int(rng.integers(1, 2000)))
        elif rng.random() < (0.1 if count else 0.5):
            word = word.capitalize()
        mark = [_MARKS[int(rng.integers(len(_MARKS)))]] if rng.random() < 0.15 else []
        if len(SEPARATOR.join([*tokens, word, *mark])) > LONGEST:
            break
        tokens += [word, *mark]
    return tokens


@functools.cache
def _by_frequency() -> tuple[tuple[str, ...], np.ndarray]:
    """The vocabulary, and cumulative weights as in texts: single words are drawn more evenly."""
    words, cumulative = vocabulary()
    weights = np.cumsum(np.diff(cumulative, prepend=0.0) ** (1 / TEMPER))
    return words, weights / weights[-1]


def _written(text: str, face: fonts.Face, rng: np.random.Generator) -> np.ndarray:
    """Coverage (H, W) uint8 of a line: letters a little apart in size, place and distance."""
    tracking, gap = SIZE * rng.uniform(-0.02, 0.06), SIZE * rng.uniform(0.1, 0.45)
    waver, reach = SIZE * rng.uniform(0, 0.025), SIZE * rng.uniform(0, 0.05)  # of the baseline
    length, phase = SIZE * rng.uniform(4, 20), rng.uniform(0, 2 * math.pi)
    image = Image.new("L", (SIZE * (len(text) + 2), 3 * SIZE))
    pen, x = ImageDraw.Draw(image), float(SIZE)
    for character in text:
        font = fonts.font(face.path, SIZE + 2 * int(rng.integers(-1, 2)))
        y = 1.7 * SIZE + reach * math.sin(2 * math.pi * x / length + phase)
        pen.text((x, y + waver * rng.standard_normal()), character, 255, font, anchor="ls")
        between = character == " "
        x += gap * rng.uniform(0.7, 1.3) if between else 0.02 * SIZE * rng.standard_normal()
        x += font.getlength(character) + tracking
    return np.asarray(image.crop(image.getbbox()))


def _bent(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Strokes pushed about, each part of a letter another way, so that no two letters are alike."""
    reach = SIZE * rng.uniform(0, 0.06)
    ink = np.pad(ink, math.ceil(2 * reach))
    height, width = ink.shape
    cells = height * 2 // SIZE + 2, width * 2 // SIZE + 2  # half a letter apart
    across, down = (reach * cv2.resize(rng.standard_normal(cells).astype(np.float32),
                                       (width, height), interpolation=cv2.INTER_CUBIC)
                    for _ in range(2))
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32),
                                np.arange(height, dtype=np.float32))
    return cv2.remap(ink, columns + across, rows + down, cv2.INTER_LINEAR)


def _slanted(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The line leaning, wider or narrower, and by a thicker or thinner pen; with room around it."""
    kind = rng.random()
    if kind < 0.35:
        ink = cv2.dilate(ink, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)))
    elif kind < 0.5 and (ink > 127).mean() > 0.15:  # heavy enough to lose some
        ink = cv2.erode(ink, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    height, width = ink.shape
    lean, widen = rng.uniform(-0.15, 0.35), math.exp(rng.uniform(-0.2, 0.2))
    before, above, after, below = rng.uniform(0.05, 0.25, 4) * SIZE
    shear = np.array([[widen, -lean, before + max(lean, 0) * height], [0, 1, above]])
    size = widen * width + abs(lean) * height + before + after, height + above + below
    return cv2.warpAffine(ink, shear, [math.ceil(side) for side in size])


def _on_paper(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Grey ink on white or nearly white paper, which may be ruled: (H, W, 3) uint8."""
    paper = np.full(3, rng.uniform(225, 252), np.float32)
    pixels = surface.background(rng, paper, *ink.shape)
    cover = ink[:, :, None] * np.float32(rng.uniform(0.85, 1.0) / 255)
    pixels += cover * (np.float32(rng.uniform(15, 110)) - pixels)
    return np.clip(pixels.mean(axis=2, keepdims=True) + np.zeros(3), 0, 255).astype(np.uint8)


def write_lines(
    path: str | os.PathLike, lines: GeneratedLines | IamLines, size: tuple[int, int]
) -> Path:
    """Write lines on canvases of `size` (H, W), what the teacher reads, as an LMDB of images.

    Generated ones are left alone where they are there, made of the same. IAM's are written anew
    each time, and nothing beside them says that they were generated.

    Returns:
        The folder.
    """
    images = ((placed(line.image, size), line.label) for line in _each(lines))
    made_of = None
    if isinstance(lines, GeneratedLines):
        made_of = {"lines": repr(lines), "size": list(size)}
    return _write(place(path), made_of, len(lines), Words, partial(write_words, records=images))


def write_small(
    path: str | os.PathLike, sharp: str | os.PathLike, scale: int, level: float, seed: int
) -> Path:
    """Write pairs of the lines of `write_lines` and a student's images of them, as an LMDB.

    Args:
        path: of the LMDB.
        sharp: of the lines; pairs of generated ones are left alone where they are there.
        scale, level, seed: of `kdltr.data.lines.small`.

    Returns:
        The folder.
    """
    lines, made_of = Words(sharp), made_from(sharp)
    if made_of:
        made_of |= {"scale": scale, "level": level, "seed": seed}
    pairs = ((line.image, small(line.image, scale, level, seed, index), line.label)
             for index, line in enumerate(_each(lines)))
    write = partial(write_pairs, records=pairs)
    return _write(place(path), made_of, len(lines), PairedWords, write)


def _write(
    folder: Path, made_of: dict[str, Any] | None, n: int, layout: type,
    write: Callable[[Path], int],
) -> Path:
    if made_of:
        write_generated(folder, made_of, n, layout, write)
    else:
        forget(folder)
        write(folder)
    return folder


def _each(lines: GeneratedLines | IamLines | Words) -> Iterator[Word]:
    cv2.setNumThreads(1)
    return (lines[index] for index in range(len(lines)))
