"""Synthetic TextZoom-like data: pairs of word pictures, HR and LR, made from nothing but a seed.

A pair is a pure function of (seed, split, index): the same three give the same bytes whatever the
number of workers or the order. Splits are those of TextZoom: ``train1`` and ``train2`` mix the
three difficulties; ``test/easy``, ``test/medium`` and ``test/hard`` have one each, and a third of
their words is written in font families that no training split uses.

`kdltr.generator.EFFECTS` bring the pictures nearer to photographs; with none of them the bytes are
those of the shipped teachers' and profile quick's data. Each is an option of its own, so that what
it is worth can be measured (`02_teacher`).
"""

from __future__ import annotations

import io
import logging
import os
import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from kdltr.data.lmdb import PairedWords, write_pairs
from kdltr.extras import optional
from kdltr.files import place
from kdltr.generator import checked_effects, fonts, source, split_number
from kdltr.generator.camera import Camera
from kdltr.generator.generated import write_generated
from kdltr.generator.scene import HEIGHT, Scene, render_word
from kdltr.generator.words import draw_word
from kdltr.generator.workers import processes

__all__ = [
    "Camera", "arrays", "draw_scene", "generate", "generate_files", "render_word",
    "write_textzoom_like",
]

cv2 = optional("cv2", "generate")

_CHUNK = 64  # pairs a worker makes at a time
_REPORT_SECONDS = 10.0

logger = logging.getLogger(__name__)


def _generator(split: str, seed: int, index: int) -> np.random.Generator:
    return np.random.Generator(
        np.random.SFC64(np.random.SeedSequence((seed, split_number(split), index)))
    )


def draw_scene(
    split: str, index: int, seed: int, effects: Collection[str] = ()
) -> tuple[Scene, str, np.random.Generator]:
    """The scene of a pair, its difficulty, and the generator to go on with."""
    rng = _generator(split, seed, index)
    word = draw_word(rng, varied="words" in effects)
    test = split.startswith("test/")
    # Every third index of a test split: exactly a third of it, rounded up.
    face = fonts.draw_face(rng, word, held_out=test and index % 3 == 0)
    if face.small_caps:
        word = word.upper()
    height = HEIGHT * float(rng.uniform(0.72, 1.2))
    scene = render_word(word, rng, face, height, effects)
    difficulty = split[5:] if test else ("easy", "medium", "hard")[int(rng.integers(3))]
    return scene, difficulty, rng


def _pair(
    split: str, index: int, seed: int, effects: Collection[str]
) -> tuple[bytes, bytes, str]:
    scene, difficulty, rng = draw_scene(split, index, seed, effects)
    close = Camera.close(rng)
    if "lens" in effects and rng.random() < 0.4:  # sharp pictures are the rule, also here
        close = close.varied(rng)
    hr = close.capture(scene.pixels, scene.box, rng)
    far = Camera.far(rng, difficulty)
    if "lens" in effects:
        far = far.varied(rng)
    return hr, far.capture(scene.pixels, scene.box, rng), scene.word


def _decode(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def generate_files(
    split: str, n: int, seed: int, start: int = 0, effects: Collection[str] = ()
) -> Iterator[tuple[bytes, bytes, str]]:
    """Yield pairs ``start`` to ``start + n - 1`` of ``split`` as (HR JPEG, LR JPEG, word).

    OpenCV is set to one thread in this process. Raises ``ValueError`` for an unknown split or
    effect.
    """
    split_number(split)
    effects = checked_effects(effects)
    cv2.setNumThreads(1)  # the pictures are small: threads would only wait for each other
    for index in range(start, start + n):
        yield _pair(split, index, seed, effects)


def generate(
    split: str, n: int, seed: int, start: int = 0, effects: Collection[str] = ()
) -> Iterator[tuple[np.ndarray, np.ndarray, str]]:
    """Yield pairs as (HR (H, W, 3), LR (h, w, 3), word), uint8 RGB of native size."""
    for hr, lr, word in generate_files(split, n, seed, start, effects):
        yield _decode(hr), _decode(lr), word


def _resize(data: bytes, size: tuple[int, int]) -> np.ndarray:
    image = Image.open(io.BytesIO(data)).convert("RGB")
    return np.asarray(image.resize(size[::-1], Image.Resampling.BICUBIC))


def arrays(
    split: str, n: int, seed: int, start: int = 0,
    hr_size: tuple[int, int] = (32, 128), lr_size: tuple[int, int] = (16, 64),
    effects: Collection[str] = (),
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Pairs in memory, resized as the loader does: HR (n, 32, 128, 3), LR (n, 16, 64, 3), words.

    Both are uint8 RGB. Pairs ``start`` onwards, so disjoint ranges give disjoint pairs.
    """
    hr = np.empty((n, *hr_size, 3), dtype=np.uint8)
    lr = np.empty((n, *lr_size, 3), dtype=np.uint8)
    words = []
    pairs = generate_files(split, n, seed, start, effects)
    for k, (hr_file, lr_file, word) in enumerate(pairs):
        hr[k], lr[k] = _resize(hr_file, hr_size), _resize(lr_file, lr_size)
        words.append(word)
    return hr, lr, words


def _files_chunk(
    task: tuple[str, int, int, int, tuple[str, ...]],
) -> list[tuple[bytes, bytes, str]]:
    return list(generate_files(*task))


def _all_files(
    split: str, n: int, seed: int, executor: ProcessPoolExecutor | None, effects: tuple[str, ...]
) -> Iterator[tuple[bytes, bytes, str]]:
    """As `generate_files` from 0, by ``executor`` if there is one, in the same order."""
    if executor is None:
        yield from generate_files(split, n, seed, effects=effects)
        return
    tasks = [
        (split, min(_CHUNK, n - start), seed, start, effects) for start in range(0, n, _CHUNK)
    ]
    for chunk in executor.map(_files_chunk, tasks):
        yield from chunk


def _logged(pairs: Iterator[tuple], split: str, n: int) -> Iterator[tuple]:
    begin = last = time.monotonic()
    for done, pair in enumerate(pairs, start=1):
        yield pair
        now = time.monotonic()
        if done == n or now - last > _REPORT_SECONDS:
            logger.info("%s: %d of %d pairs, %.0f a second", split, done, n, done / (now - begin))
            last = now


def write_textzoom_like(
    path: str | os.PathLike, sizes: Mapping[str, int], seed: int, workers: int = 1,
    effects: Collection[str] = (),
) -> dict[str, Path]:
    """Write the splits of ``sizes`` (name to number of pairs) as TextZoom LMDBs under ``path``.

    Each split is written to a temporary name and renamed; ``<split>.json`` beside it then records
    seed, size, generator version and effects. A split that is complete with the same is left alone.
    The bytes of the pairs do not depend on ``workers``.

    Returns the folder of each split. Raises ``ValueError`` for an unknown split or effect, a size
    below 1, a negative seed or fewer than 1 worker, before anything is written.
    """
    for split, size in sizes.items():
        split_number(split)
        if size < 1:
            raise ValueError(
                f"expected at least 1 pair for split {split!r}, found {size}; leave out the splits "
                "you do not want"
            )
    if seed < 0 or workers < 1:
        raise ValueError(
            f"expected seed >= 0 and workers >= 1, found seed={seed}, workers={workers}; "
            "correct the parameters"
        )
    effects = checked_effects(effects)
    folders = {split: place(path) / split for split in sizes}
    with nullcontext() if workers == 1 else processes(workers) as executor:
        for split, size in sizes.items():
            settings = source(split, seed, effects) | {"pairs": size}
            pairs = _logged(_all_files(split, size, seed, executor, effects), split, size)
            write_generated(folders[split], settings, size, PairedWords,
                            partial(write_pairs, records=pairs))
    return folders
