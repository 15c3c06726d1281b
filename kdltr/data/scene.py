"""Rendering a word as a scene: font, perspective, background, colours, shadow, outline, light."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw

from kdltr.data import fonts

HEIGHT = 32  # nominal height of an HR crop in pixels
_SIZES = (24, 32, 40, 48, 60, 72)  # font sizes kept open; the warp does the rest
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True)
class Scene:
    """A word in its surroundings: ``pixels`` (H, W, 3) float32 RGB in 0..255 and the crop box."""

    pixels: np.ndarray
    box: tuple[int, int, int, int]  # left, top, right, bottom
    word: str
    face: fonts.Face


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


def _quad(rng: np.random.Generator, width: float, height: float) -> np.ndarray:
    """Where the corners of a ``width``×``height`` rectangle go (4, 2): a mild perspective."""
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float64)
    # Long words turn less: a crop is upright, and the same angle lifts their ends higher.
    angle = math.radians(2.5) * rng.standard_normal() * min(1.0, 3.0 * height / width)
    shear = 0.12 * rng.standard_normal() if rng.random() < 0.3 else 0.0
    cos, sin = math.cos(angle), math.sin(angle)
    corners = corners @ np.array([[cos, sin], [-sin + shear, cos]])
    return corners + height * 0.05 * rng.standard_normal((4, 2)).clip(-2, 2)


@functools.cache
def _textures() -> np.ndarray:
    """A bank of textures (8, 320, 1024) float32 of unit deviation: grain, cloth, wood, clouds."""
    rng = np.random.Generator(np.random.SFC64(20230801))
    scales = ((0.8, 0.8), (2, 2), (5, 5), (14, 14), (12, 1), (1, 12), (30, 3), (40, 40))
    bank = []
    for sigma_x, sigma_y in scales:
        noise = rng.standard_normal((320, 1024), dtype=np.float32)
        soft = cv2.GaussianBlur(noise, (0, 0), sigma_x, sigmaY=sigma_y)
        bank.append((soft - soft.mean()) / soft.std())
    return np.stack(bank).clip(-2.5, 2.5)


def _texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A random piece (height, width, 1) of the bank."""
    bank = _textures()
    height_left, width_left = bank.shape[1] - height, bank.shape[2] - width
    if height_left < 0 or width_left < 0:  # only a very long word in a very wide face
        bank = np.tile(bank, (1, 1 + height // bank.shape[1], 1 + width // bank.shape[2]))
        height_left, width_left = bank.shape[1] - height, bank.shape[2] - width
    k, y, x = (int(rng.integers(n)) for n in (len(bank), height_left + 1, width_left + 1))
    return bank[k, y : y + height, x : x + width, None]


def _colours(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Background and ink, RGB float32: most often near-grey beside a colour, always apart."""
    while True:
        pair = rng.uniform(15, 240, (2, 3)).astype(np.float32)
        grey = pair @ _LUMA
        # Signs and print pair a colour with near-black or near-white more often than not.
        for k in range(2):
            fade = np.float32(rng.uniform(0.15, 1.0))
            pair[k] += fade * (grey[k] - pair[k])
        if rng.random() < 0.5:
            light = rng.uniform(185, 245) if rng.random() < 0.5 else rng.uniform(10, 55)
            pair[int(rng.integers(2))] = light + rng.uniform(-8, 8, 3)
        distance = abs(float((pair[0] - pair[1]) @ _LUMA))
        if distance > 70 + 50 * rng.random() ** 2:
            return pair[0], pair[1]


def _background(rng, colour: np.ndarray, height: int, width: int) -> np.ndarray:
    """A surface (H, W, 3): plain or textured, sometimes of two colours or with a ruled line."""
    surface = np.empty((height, width, 3), dtype=np.float32)
    surface[:] = colour
    kind = rng.random()
    if kind < 0.65:
        strength = np.float32(1.5 + 8.0 * rng.random() ** 2)
        surface += strength * _texture(rng, height, width)
    if kind < 0.2:  # a second grain over the first
        surface += np.float32(6.0 * rng.random()) * _texture(rng, height, width)
    if rng.random() < 0.15:  # the edge of a sign, a rule, the gap between boards
        shade = (colour + rng.uniform(-60, 60, 3)).clip(0, 255).tolist()
        y = height * (rng.uniform(0.0, 0.22) if rng.random() < 0.5 else rng.uniform(0.78, 1.0))
        slope = height * 0.08 * rng.standard_normal()
        ends = (0, round(y - slope)), (width, round(y + slope))
        if rng.random() < 0.5:
            cv2.line(surface, *ends, shade, int(rng.integers(1, 4)), cv2.LINE_AA)
        else:
            far = height + 40 if y > height / 2 else -40
            area = np.array([*ends, (width, far), (0, far)], dtype=np.int32)
            cv2.fillPoly(surface, [area], shade, cv2.LINE_AA)
    return surface


def _light(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Brightness (H, W, 1) around 1: a slope, and now and then a soft spot of light or shade."""
    slope = 0.12 * rng.standard_normal(2)
    y = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None]
    x = np.linspace(-0.5, 0.5, width, dtype=np.float32)[None]
    light = 1.0 + np.float32(slope[0]) * x + np.float32(slope[1]) * y
    if rng.random() < 0.2:
        at, reach = rng.uniform(-0.5, 0.5), rng.uniform(0.1, 0.4)
        spot = np.exp(-0.5 * ((x - np.float32(at)) / np.float32(reach)) ** 2)
        light = light + np.float32(rng.uniform(-0.25, 0.2)) * spot
    return light[:, :, None]


def render_word(
    word: str, rng: np.random.Generator, face: fonts.Face, height: float = HEIGHT
) -> Scene:
    """Draw ``word`` in ``face`` on a random surface, about ``height`` px high, with margins.

    Raises ``ValueError`` when the face cannot write the word.
    """
    if not word or not face.can_write(word):
        raise ValueError(
            f"{face.family} {face.file} cannot write {word!r}; expected a word of 1 or more of its "
            f"{len(face.characters)} characters; choose another face"
        )
    spacing = float(rng.uniform(0.02, 0.2)) if rng.random() < 0.2 else 0.0
    mask = draw_mask(word, face, height, spacing)
    widen = math.exp(0.12 * rng.standard_normal())
    scale = height / max(mask.shape[0], 0.3 * mask.shape[1] / len(word))
    quad = _quad(rng, mask.shape[1] * scale * widen, mask.shape[0] * scale)
    margin = 12
    pads = height * rng.uniform(0.0, 0.14, 4)  # left, top, right, bottom, inside the crop
    # A lone "I" is cut out with some surface beside it, else the recogniser sees a mere bar.
    pads[[0, 2]] += max(0.0, 0.45 * height - 0.5 * float(np.ptp(quad[:, 0])))
    quad += margin + pads[:2] - quad.min(axis=0)
    right, bottom = np.ceil(quad.max(axis=0) + pads[2:]).astype(int).tolist()
    box = (margin, margin, max(right, margin + 8), max(bottom, margin + 8))
    width, height_all = box[2] + margin, box[3] + margin
    h, w = mask.shape
    source = np.array([[0, 0], [w, 0], [w, h], [0, h]], dtype=np.float32)
    warp = cv2.getPerspectiveTransform(source, quad.astype(np.float32))
    flat = cv2.warpPerspective(mask, warp, (width, height_all), flags=cv2.INTER_LINEAR)
    return paint(flat, box, word, rng, face, height)


def paint(
    mask: np.ndarray, box: tuple[int, int, int, int], word: str, rng: np.random.Generator,
    face: fonts.Face, height: float,
) -> Scene:
    """The scene of a word whose ink covers ``mask`` (H, W) uint8, on a random surface."""
    if "Light" in face.file:  # hairlines half a pixel wide are read by nobody
        mask = cv2.convertScaleAbs(mask, alpha=1.6)
    return Scene(_compose(rng, mask, height), box, word, face)


def _compose(rng: np.random.Generator, mask: np.ndarray, height: float) -> np.ndarray:
    """Put the ink of ``mask`` (H, W) on a surface; shadow and outline lie between them."""
    ground, ink = _colours(rng)
    pixels = _background(rng, ground, *mask.shape)
    kind = rng.random()
    if kind < 0.15:  # cast shadow or a bevel: a shifted, softened copy, darker or lighter
        dx, dy = (height * rng.uniform(-0.09, 0.09, 2)).tolist()
        cast = cv2.warpAffine(mask, np.array([[1, 0, dx], [0, 1, dy]]), mask.shape[::-1])
        cast = cv2.GaussianBlur(cast, (0, 0), float(rng.uniform(0.5, 1.6)))
        depth = np.float32(rng.uniform(0.2, 0.6) / 255)
        pixels *= 1.0 - depth * cast[:, :, None].astype(np.float32)
    elif kind < 0.24:  # outline of a third colour
        size = 3 if rng.random() < 0.6 else 5
        wide = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
        # Dark around light ink and light around dark ink: an outline that helps reading.
        rim = np.where(ink @ _LUMA > 128, rng.uniform(0, 60, 3), rng.uniform(190, 250, 3))
        cover = cv2.GaussianBlur(wide, (3, 3), 0.6)[:, :, None].astype(np.float32) / 255
        pixels += cover * (rim.astype(np.float32) - pixels)
    cover = mask[:, :, None].astype(np.float32) * np.float32(rng.uniform(0.9, 1.0) / 255)
    if rng.random() < 0.25:  # worn or uneven ink
        ink = ink + np.float32(8.0) * _texture(rng, *mask.shape)
    pixels += cover * (ink - pixels)
    pixels *= _light(rng, *mask.shape)
    return np.clip(pixels, 0, 255, out=pixels)
