"""Stand-ins for the recognition benchmarks: generated words in the same layout, of four kinds.

They let the benchmark notebook run with nothing downloaded. They are no substitute: a figure
measured on them says nothing about IC13, IC15, SVT, SVTP or CUTE80, only which kind of picture a
reader finds hard.

``horizontal``: upright words, sharply photographed (as in IC13 and SVT). ``perspective``: signs
seen from the side or below (SVTP). ``curved``: words along an arc (CUTE80). ``incidental``: small,
slanted, taken from afar by a camera that was not pointed at them (IC15).

A word is a pure function of (seed, kind, index). Every third is in a font of `fonts.HELD_OUT`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from kdltr.data import fonts
from kdltr.data.camera import Camera
from kdltr.data.generated import write_generated
from kdltr.data.lmdb import Words, write_words
from kdltr.data.scene import HEIGHT, Scene, draw_mask, paint, render_word
from kdltr.data.words import draw_word

KINDS = ("horizontal", "perspective", "curved", "incidental")
STANDIN_VERSION = 1  # raise it whenever the bytes of any word change
_STREAM = 100  # keeps the words apart from those of `kdltr.data.synthetic` with the same seed
_MARGIN = 12  # pixels of surface around the crop, which blur brings into view


def draw_standin(kind: str, index: int, seed: int) -> tuple[bytes, str]:
    """Word `index` of `kind` as (JPEG file, label); labels are letters and digits alone."""
    place = (seed, _STREAM + KINDS.index(kind), index)
    rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence(place)))
    word = draw_word(rng)
    while not word.isalnum():
        word = draw_word(rng)
    face = fonts.draw_face(rng, word, held_out=index % 3 == 0)
    if face.small_caps:
        word = word.upper()
    scene = _scene(kind, word, rng, face)
    if kind == "incidental":
        camera = Camera.far(rng, ("easy", "medium", "hard")[int(rng.integers(3))])
    else:
        camera = Camera.close(rng)
    return camera.capture(scene.pixels, scene.box, rng), word


def write_standins(
    path: str | os.PathLike, sizes: Mapping[str, int], seed: int
) -> dict[str, Path]:
    """Write `sizes` (kind to number of words) as benchmark LMDBs below `path`.

    A kind that is complete with the same seed, size and version is left alone.

    Returns:
        The folder of each kind.

    Raises:
        ValueError: an unknown kind, a size below 1 or a negative seed, before anything is written.
    """
    for kind, size in sizes.items():
        if kind not in KINDS or size < 1 or seed < 0:
            raise ValueError(f"expected at least 1 word of a kind of {', '.join(KINDS)} and a seed "
                             f"of at least 0, found {size} of {kind!r} and seed {seed}")
    folders = {kind: Path(path) / kind for kind in sizes}
    for kind, size in sizes.items():
        settings = {"kind": kind, "words": size, "seed": seed, "standin_version": STANDIN_VERSION}
        words = partial(write_words, records=_words(kind, size, seed))
        write_generated(folders[kind], settings, size, Words, words)
    return folders


def _words(kind: str, size: int, seed: int) -> Iterator[tuple[bytes, str]]:
    cv2.setNumThreads(1)  # the pictures are small: threads would only wait for each other
    return (draw_standin(kind, index, seed) for index in range(size))


def _perspective(mask: np.ndarray, height: float, rng: np.random.Generator) -> np.ndarray:
    """A sign that is turned away: its far side is lower, shifted, and the whole is narrowed."""
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    far, rise = rng.uniform(0.45, 0.75), rng.uniform(-0.5, 0.5)  # in heights of the near side
    corners[1:3, 1] = 0.5 + rise + far * np.array([-0.5, 0.5])
    if rng.random() < 0.5:  # the left side is the far one
        corners = corners[[1, 0, 3, 2]] * [-1, 1] + [1, 0]
    return _turned(mask, height, corners, rng.uniform(0.5, 0.85), 5.0 * rng.standard_normal())


def _incidental(mask: np.ndarray, height: float, rng: np.random.Generator) -> np.ndarray:
    """A word that happened to be in the picture: slanted, and a little turned away."""
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    corners[:, 1] += rng.uniform(-0.12, 0.12, 4)
    return _turned(mask, height, corners, rng.uniform(0.7, 1.1), 8.0 * rng.standard_normal())


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


def _curved(mask: np.ndarray, height: float, rng: np.random.Generator) -> np.ndarray:
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


_SHAPES = {"perspective": _perspective, "curved": _curved, "incidental": _incidental}


def _scene(kind: str, word: str, rng: np.random.Generator, face: fonts.Face) -> Scene:
    """The word in the shape of `kind`, with some surface around it."""
    height = HEIGHT * float(rng.uniform(0.9, 1.6))
    if kind == "horizontal":
        return render_word(word, rng, face, height)
    ink = _SHAPES[kind](draw_mask(word, face, height), height, rng)
    left, top, width, tall = cv2.boundingRect(ink)
    # As `render_word` leaves beside a word; a lone "I" is cut out with some more.
    pads = height * rng.uniform(0.0, 0.14, 4) + _MARGIN
    pads[[0, 2]] += max(0.0, 0.45 * height - 0.5 * width)
    before_x, before_y, after_x, after_y = np.round(pads).astype(int).tolist()
    ink = cv2.copyMakeBorder(ink[top : top + tall, left : left + width], before_y, after_y,
                             before_x, after_x, cv2.BORDER_CONSTANT)  # fmt: skip
    box = (_MARGIN, _MARGIN, ink.shape[1] - _MARGIN, ink.shape[0] - _MARGIN)
    return paint(ink, box, word, rng, face, height)
