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

import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from kdltr.data.lmdb import Words, write_words
from kdltr.extras import optional
from kdltr.files import place
from kdltr.generator import fonts
from kdltr.generator.camera import Camera
from kdltr.generator.generated import write_generated
from kdltr.generator.lettering import curved, draw_mask, incidental, perspective
from kdltr.generator.scene import HEIGHT, Scene, paint, render_word
from kdltr.generator.words import draw_word

cv2 = optional("cv2", "generate")

KINDS = ("horizontal", "perspective", "curved", "incidental")
STANDIN_VERSION = 1  # raise it whenever the bytes of any word change
_STREAM = 100  # keeps the words apart from those of `kdltr.generator.synthetic` with the same seed
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
    folders = {kind: place(path) / kind for kind in sizes}
    for kind, size in sizes.items():
        settings = {"kind": kind, "words": size, "seed": seed, "standin_version": STANDIN_VERSION}
        words = partial(write_words, records=_words(kind, size, seed))
        write_generated(folders[kind], settings, size, Words, words)
    return folders


def _words(kind: str, size: int, seed: int) -> Iterator[tuple[bytes, str]]:
    cv2.setNumThreads(1)  # the pictures are small: threads would only wait for each other
    return (draw_standin(kind, index, seed) for index in range(size))


_SHAPES = {"perspective": perspective, "curved": curved, "incidental": incidental}


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
