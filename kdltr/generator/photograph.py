"""Photographs of several lines of words, drawn from nothing, with the place of every word.

    content, placed = render_photograph(["Fresh bread", "OPEN 24 hours"], seed=1)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kdltr.extras import optional
from kdltr.generator import fonts
from kdltr.generator.camera import Camera
from kdltr.generator.ink import compose

cv2 = optional("cv2", "generate")

MARGIN = 16  # pixels around all lines
TILT = 2.0  # degrees, standard deviation of a line's
SMALLEST = 8  # font size in pixels; below it nobody reads a word


@dataclass(frozen=True)
class Placed:
    """A word and its ink's place: ``corners`` (4, 2), x and y in pixels, clockwise from the top
    left as it is read."""

    word: str
    corners: np.ndarray


def render_photograph(
    lines: Sequence[str], seed: int, size: tuple[int, int] = (720, 960),
    heights: tuple[float, float] = (18, 60),
) -> tuple[bytes, list[Placed]]:
    """A JPEG file of lines below each other on one surface, and where their words are.

    Each line has a font, a size, a place and a tilt of its own. The same arguments give the same
    bytes.

    Args:
        lines: of words with spaces between.
        seed: of everything that is drawn by lot.
        size: (H, W) of the picture in pixels.
        heights: least and largest font size in pixels; a line that is too wide has a smaller one.

    Raises:
        ValueError: the lines do not fit, or no font has one of their characters.
        MissingExtra: the fonts are not installed.
    """
    if odd := set("".join(lines)) - fonts.ASCII - {" "}:
        raise ValueError(f"expected lines of ASCII's characters, found {''.join(sorted(odd))!r}")
    rng = np.random.default_rng(seed)
    (height, width), ink, placed = size, np.zeros(size, np.uint8), []
    written = [_lettering(line, width, heights, rng) for line in lines]
    spare = height - 2 * MARGIN - sum(line.height for line in written)
    if spare < 0 or min((line.font.size for line in written), default=SMALLEST) < SMALLEST:
        raise ValueError(f"expected lines that fit in {height}×{width} pixels, found "
                         f"{len(lines)}; give fewer, shorter or smaller ones")
    gaps = spare * rng.dirichlet(np.full(len(lines) + 1, 4.0))  # the last is below all lines
    top = float(MARGIN)
    for line, gap in zip(written, gaps, strict=False):
        top += gap
        left = rng.uniform(MARGIN, width - MARGIN - line.length)
        middle = left + line.length / 2, top + line.height / 2
        turn = cv2.getRotationMatrix2D(middle, math.degrees(line.tilt), 1.0)
        ascent, descent = line.font.getmetrics()
        start = left, middle[1] + (ascent - descent) / 2
        drawn = Image.new("L", (width, height))
        ImageDraw.Draw(drawn).text(start, line.text, 255, line.font, anchor="ls")
        ink = np.maximum(ink, cv2.warpAffine(np.asarray(drawn), turn, (width, height)))
        placed += _words(line, start, turn)
        top += line.height
    scene = compose(rng, ink, float(np.mean(heights)), len("".join(lines)))
    return Camera.close(rng).capture(scene, (0, 0, width, height), rng), placed


@dataclass(frozen=True)
class _Line:
    """A line as it is set: its length along the baseline, and the height it takes when tilted."""

    text: str
    font: ImageFont.FreeTypeFont
    tilt: float  # radians
    length: float
    height: float


def _lettering(
    line: str, width: int, heights: tuple[float, float], rng: np.random.Generator
) -> _Line:
    face = fonts.draw_face(rng, line.replace(" ", ""), held_out=False)
    text = line.upper() if face.small_caps else line
    hundred = max(fonts.font(face.path, 100).getlength(text), 1)  # a blank line has no length
    room = 100 * (width - 2 * MARGIN) / hundred
    font = fonts.font(face.path, int(min(math.exp(rng.uniform(*np.log(heights))), 0.98 * room)))
    tilt, length = math.radians(TILT) * rng.standard_normal(), font.getlength(text)
    return _Line(text, font, tilt, length, sum(font.getmetrics()) + abs(math.tan(tilt)) * length)


def _words(line: _Line, start: tuple[float, float], turn: np.ndarray) -> list[Placed]:
    """The words of a line that starts at ``start`` on its baseline, then is turned (2, 3)."""
    found, at = [], 0
    for word in line.text.split():
        at = line.text.index(word, at)
        left, top, right, bottom = line.font.getbbox(word, anchor="ls")
        box = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)
        box += np.array([start[0] + line.font.getlength(line.text[:at]), start[1]])
        found.append(Placed(word, box @ turn[:, :2].T + turn[:, 2]))
        at += len(word)
    return found
