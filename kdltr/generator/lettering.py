"""A word as ink: letters of a face, and the shapes a line of them takes in a photograph.

Ink is coverage, (h, w) uint8, cropped to what is written.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from kdltr.extras import optional
from kdltr.generator import fonts

cv2 = optional("cv2", "generate")

_SIZES = (24, 32, 40, 48, 60, 72)  # font sizes kept open; the warp does the rest


def draw_mask(word: str, face: fonts.Face, height: float, spacing: float = 0.0) -> np.ndarray:
    """Coverage (h, w) uint8 of ``word``, cropped to its ink, drawn about ``height`` px high.

    ``spacing`` is added between characters, in units of the font size.
    """
    left, top, right, bottom = fonts.font(face.path, 40).getbbox(word)
    wanted = 40 * height / max(bottom - top, 8)
    size = next((s for s in _SIZES if s >= 0.95 * wanted), _SIZES[-1])
    font = fonts.font(face.path, size)
    gap = spacing * size
    left, top, right, bottom = font.getbbox(word)
    room = int(gap * len(word)) + size
    image = Image.new("L", (right - left + room + 8, bottom - top + 8))
    pen = ImageDraw.Draw(image)
    x, y = 4 - left, 4 - top
    if gap:
        for character in word:
            pen.text((x, y), character, fill=255, font=font)
            x += font.getlength(character) + gap
    else:
        pen.text((x, y), word, fill=255, font=font)
    return np.asarray(image.crop(image.getbbox() or (0, 0, 8, 8)))


def perspective(mask: np.ndarray, height: float, rng: np.random.Generator) -> np.ndarray:
    """A sign that is turned away: its far side is lower, shifted, and the whole is narrowed."""
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    far, rise = rng.uniform(0.45, 0.75), rng.uniform(-0.5, 0.5)  # in heights of the near side
    corners[1:3, 1] = 0.5 + rise + far * np.array([-0.5, 0.5])
    if rng.random() < 0.5:  # the left side is the far one
        corners = corners[[1, 0, 3, 2]] * [-1, 1] + [1, 0]
    return _turned(mask, height, corners, rng.uniform(0.5, 0.85), 5.0 * rng.standard_normal())


def incidental(mask: np.ndarray, height: float, rng: np.random.Generator) -> np.ndarray:
    """A word that happened to be in the picture: slanted, and a little turned away."""
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    corners[:, 1] += rng.uniform(-0.12, 0.12, 4)
    return _turned(mask, height, corners, rng.uniform(0.7, 1.1), 8.0 * rng.standard_normal())


def curved(mask: np.ndarray, height: float, rng: np.random.Generator) -> np.ndarray:
    """The word along an arc, its middle up (or, every other time, down)."""
    h, w = mask.shape
    length = w / h  # of the word, in heights
    # An arc of 30 to 120 degrees, unless the word is too short to be bent so far.
    arc = min(math.radians(rng.uniform(30, 120)), 0.8 * length)
    middle = length / arc  # radius of the line halfway up the letters, in heights
    reach = (middle + 0.5) * math.sin(min(arc, math.pi) / 2)
    low = (middle - 0.5) * math.cos(arc / 2)  # of the lowest ink above the centre
    size = math.ceil(2 * reach * height), math.ceil((middle + 0.5 - low) * height)
    x, y = np.meshgrid(*((np.arange(n, dtype=np.float32) + 0.5) / height for n in size))
    x, y = x - reach, middle + 0.5 - y  # from the centre, upwards
    along = w * (0.5 + np.arctan2(x, y) / arc)  # (H, W): where in the mask each pixel lies
    up = h * (middle + 0.5 - np.hypot(x, y))
    if rng.random() < 0.5:  # a bowl: the same arc seen in a mirror below the word
        along, up = along[::-1], h - up[::-1]
    along, up = (np.ascontiguousarray(a - 0.5, dtype=np.float32) for a in (along, up))
    return cv2.remap(mask, along, up, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def _turned(
    mask: np.ndarray, height: float, corners: np.ndarray, widen: float, angle: float
) -> np.ndarray:
    """The word on a quadrangle, then slanted by `angle` degrees, `height` pixels high.

    `corners` (4, 2) go clockwise from the top left, in units of the word's width and height.
    """
    h, w = mask.shape
    turn = math.radians(min(max(angle, -20.0), 20.0))
    cos, sin = math.cos(turn), math.sin(turn)
    quad = corners * (height * widen * w / h, height) @ np.array([[cos, sin], [-sin, cos]])
    quad -= quad.min(axis=0)
    source = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
    warp = cv2.getPerspectiveTransform(source, quad.astype(np.float32))
    size = np.ceil(quad.max(axis=0)).astype(int).tolist()
    return cv2.warpPerspective(mask, warp, size, flags=cv2.INTER_LINEAR)


def letterforms(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The ink in another weight, width or slant: type that no font at hand has."""
    kind = rng.random()
    if kind < 0.25:
        size = 3 if mask.shape[0] < 40 or rng.random() < 0.6 else 5
        brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
        mask = cv2.dilate(cv2.copyMakeBorder(mask, 2, 2, 2, 2, cv2.BORDER_CONSTANT), brush)
    elif kind < 0.4 and (mask > 127).mean() > 0.33:  # heavy enough to lose some
        mask = cv2.erode(mask, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    if rng.random() < 0.2:
        height, width = mask.shape
        lean = float(rng.uniform(-0.12, 0.4))
        shear = np.array([[1, -lean, max(lean, 0.0) * height], [0, 1, 0]])
        mask = cv2.warpAffine(mask, shear, (width + math.ceil(abs(lean) * height), height))
    widen = math.exp(rng.uniform(-0.45, 0.45)) if rng.random() < 0.5 else 1.0
    return cv2.resize(mask, None, fx=widen, fy=1.0, interpolation=cv2.INTER_AREA)


def bend(mask: np.ndarray, height: float, rng: np.random.Generator) -> np.ndarray:
    """The line of letters along an arc or a wave, on a sign turned away, or as it is."""
    kind = rng.random()
    if kind < 0.12:
        return curved(mask, 1.25 * height, rng)
    if kind < 0.24:
        return perspective(mask, 1.1 * height, rng)
    if kind < 0.34:
        return _waved(mask, rng)
    return mask


def _waved(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Letters on an uneven baseline: cloth, hand-set type, a sign painted by eye."""
    h, w = mask.shape
    reach = rng.uniform(0.04, 0.16) * h
    length = max(w * rng.uniform(0.4, 1.6), 2.0 * h)  # of a wave
    x = np.arange(w, dtype=np.float32)
    lift = reach * np.sin(2 * math.pi * (x / length + rng.random()))
    rows = np.arange(h + 2 * math.ceil(reach), dtype=np.float32)[:, None] - math.ceil(reach)
    along = np.broadcast_to(x, (len(rows), w)).astype(np.float32)
    return cv2.remap(mask, along, rows + lift.astype(np.float32), cv2.INTER_LINEAR)
