"""Rendering a word as a scene: set in a face, seen from somewhere, in its surroundings."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from kdltr.extras import optional
from kdltr.generator import fonts
from kdltr.generator.ink import compose
from kdltr.generator.lettering import bend, draw_mask, letterforms
from kdltr.generator.words import draw_word

cv2 = optional("cv2", "generate")

HEIGHT = 32  # nominal height of an HR crop in pixels


@dataclass(frozen=True)
class Scene:
    """A word in its surroundings: ``pixels`` (H, W, 3) float32 RGB in 0..255 and the crop box."""

    pixels: np.ndarray
    box: tuple[int, int, int, int]  # left, top, right, bottom
    word: str
    face: fonts.Face


def _quad(
    rng: np.random.Generator, width: float, height: float, tilt: float = 2.5, uneven: float = 0.05
) -> np.ndarray:
    """Where the corners of a ``width``×``height`` rectangle go (4, 2): a mild perspective.

    ``tilt`` is the standard deviation of its angle in degrees, ``uneven`` that of its corners.
    """
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float64)
    # Long words turn less: a crop is upright, and the same angle lifts their ends higher.
    angle = math.radians(tilt) * rng.standard_normal() * min(1.0, 3.0 * height / width)
    shear = 0.12 * rng.standard_normal() if rng.random() < 0.3 else 0.0
    cos, sin = math.cos(angle), math.sin(angle)
    corners = corners @ np.array([[cos, sin], [-sin + shear, cos]])
    return corners + height * uneven * rng.standard_normal((4, 2)).clip(-2, 2)


def render_word(
    word: str,
    rng: np.random.Generator,
    face: fonts.Face,
    height: float = HEIGHT,
    effects: Collection[str] = (),
) -> Scene:
    """Draw ``word`` in ``face`` on a random surface, about ``height`` px high, with margins.

    ``effects`` are some of `kdltr.generator.EFFECTS`. Raises ``ValueError`` when the face
    cannot write the word.
    """
    if not word or not face.can_write(word):
        raise ValueError(
            f"{face.family} {face.file} cannot write {word!r}; expected a word of 1 or more of its "
            f"{len(face.characters)} characters; choose another face"
        )
    spacing = float(rng.uniform(0.02, 0.2)) if rng.random() < 0.2 else 0.0
    if "letters" in effects and rng.random() < 0.2:
        spacing = float(rng.uniform(-0.05, 0.5))
    mask = draw_mask(word, face, height, spacing)
    if "letters" in effects:
        mask = letterforms(mask, rng)
    if "shape" in effects:
        mask = bend(mask, height, rng)
    widen = math.exp(0.12 * rng.standard_normal())
    scale = height / max(mask.shape[0], 0.3 * mask.shape[1] / len(word))
    slant = {"tilt": 5.0, "uneven": 0.08} if "shape" in effects else {}
    quad = _quad(rng, mask.shape[1] * scale * widen, mask.shape[0] * scale, **slant)
    margin = 12
    pads = height * rng.uniform(0.0, 0.14, 4)  # left, top, right, bottom, inside the crop
    crowded = "surroundings" in effects and rng.random() < 0.25
    if crowded:  # a loose crop, that other lines of the sign come into
        pads *= rng.uniform(1.0, 3.5, 4)
    # A lone "I" is cut out with some surface beside it, else the recogniser sees a mere bar.
    pads[[0, 2]] += max(0.0, 0.45 * height - 0.5 * float(np.ptp(quad[:, 0])))
    quad += margin + pads[:2] - quad.min(axis=0)
    right, bottom = np.ceil(quad.max(axis=0) + pads[2:]).astype(int).tolist()
    box = (margin, margin, max(right, margin + 8), max(bottom, margin + 8))
    size = box[2] + margin, box[3] + margin
    h, w = mask.shape
    source = np.array([[0, 0], [w, 0], [w, h], [0, h]], dtype=np.float32)
    warp = cv2.getPerspectiveTransform(source, quad.astype(np.float32))
    flat = cv2.warpPerspective(mask, warp, size, flags=cv2.INTER_LINEAR)
    distractors = _neighbours(rng, face, mask.shape, warp, size) if crowded else None
    return paint(flat, box, word, rng, face, height, effects, distractors)


def _neighbours(
    rng: np.random.Generator, face: fonts.Face, shape: tuple[int, int], warp: np.ndarray,
    size: tuple[int, int],
) -> np.ndarray:
    """Coverage (H, W) uint8 of lines above and below a word of `shape`, in the same face."""
    h, w = shape
    found = np.zeros(size[::-1], np.uint8)
    for side in (-1, 1):
        if rng.random() < 0.35:
            continue
        word = draw_word(rng)
        while not face.can_write(word):
            word = draw_word(rng)
        other = draw_mask(word.upper() if face.small_caps else word, face, h)
        across = (w - other.shape[1]) * rng.random()
        down = side * h * rng.uniform(1.1, 1.5) + (h - other.shape[0] if side < 0 else 0)
        move = np.array([[1, 0, across], [0, 1, down], [0, 0, 1]])
        found |= cv2.warpPerspective(other, warp @ move, size, flags=cv2.INTER_LINEAR)
    return found


def paint(
    mask: np.ndarray, box: tuple[int, int, int, int], word: str, rng: np.random.Generator,
    face: fonts.Face, height: float, effects: Collection[str] = (),
    distractors: np.ndarray | None = None,
) -> Scene:
    """The scene of a word whose ink covers ``mask`` (H, W) uint8, on a random surface.

    ``distractors`` (H, W) uint8 is the ink of other words there.
    """
    if "Light" in face.file:  # hairlines half a pixel wide are read by nobody
        mask = cv2.convertScaleAbs(mask, alpha=1.6)
    return Scene(compose(rng, mask, height, len(word), effects, distractors), box, word, face)
