"""Rendering word pairs beforehand, into shards that a GPU can be fed from (`kdltr.data.shards`).

    kdltr data shards data/generated/shards --pairs 100000 --workers 16

Pair ``i`` of the folder is pair ``i`` of `kdltr.generator.synthetic.arrays` for its split and seed.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection, Iterator
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any

from kdltr.data.images import MIN_SIDE
from kdltr.data.records import DataError
from kdltr.data.shards import is_shard, shard_files, shard_settings, write_shard
from kdltr.files import place
from kdltr.generator import source
from kdltr.generator.synthetic import arrays
from kdltr.generator.workers import processes

Task = tuple[Path, dict[str, Any]]  # a shard to write, and what it is made from
logger = logging.getLogger(__name__)


def write_shards(
    path: str | os.PathLike,
    n: int,
    seed: int,
    split: str = "train1",
    workers: int = 1,
    size: int = 8192,
    effects: Collection[str] = (),
    hr_size: tuple[int, int] = (32, 128),
) -> Path:
    """Render pairs 0 to ``n − 1`` of a split into the folder `path`, on ``workers`` processes.

    Every shard is written under a temporary name and renamed. A complete one with the same settings
    is left alone, so that an interrupted rendering goes on, and a larger ``n`` adds to what is
    there; shards beyond ``n`` are removed. The bytes do not depend on ``workers``.

    Args:
        size: pairs a shard; the last may hold fewer.
        effects: some of `kdltr.generator.EFFECTS`.
        hr_size: (H, W) of the HR pictures, what the teacher reads.

    Returns:
        The folder.

    Raises:
        ValueError: an unknown split or effect, a negative seed, or n, workers or size below 1,
            before anything is written.
        DataError: the folder holds files of such names that are no shards.
    """
    made_from = source(split, seed, effects)
    if tuple(hr_size) != (32, 128):
        made_from |= {"hr_size": list(hr_size)}
    if seed < 0 or min(n, workers, size) < 1:
        raise ValueError(f"expected seed >= 0, and n, workers and size >= 1, found seed={seed}, "
                         f"n={n}, workers={workers}, size={size}; correct the parameters")
    if min(hr_size) < MIN_SIDE:
        raise ValueError(f"expected HR pictures of at least {MIN_SIDE} pixels on each side, found "
                         f"{tuple(hr_size)}; correct the parameters")
    folder = place(path)
    tasks = [
        (folder / f"{number:05d}.safetensors",
         made_from | {"start": start, "pairs": min(size, n - start)})
        for number, start in enumerate(range(0, n, size))
    ]
    if strangers := [file.name for file in shard_files(folder) if not is_shard(file)]:
        raise DataError(f"{folder}: expected no files but shards, found {', '.join(strangers)}, "
                        "which would be overwritten; render into another folder")
    for stale in {*shard_files(folder)} - {file for file, _ in tasks}:
        stale.unlink()
    missing = [task for task in tasks if not _is_complete(*task)]
    logger.info("%s: %d of %d shards are there already", folder, len(tasks) - len(missing),
                len(tasks))
    begin, done, wanted = time.monotonic(), 0, sum(made["pairs"] for _, made in missing)
    for pairs in _written(missing, workers):
        done += pairs
        pace = done / (time.monotonic() - begin)
        logger.info("%s: %d of %d pairs, %.0f a second, %.1f min left", folder, done, wanted, pace,
                    (wanted - done) / pace / 60)
    return folder


def _written(tasks: list[Task], workers: int) -> Iterator[int]:
    """Write the shards; the number of pairs of each as it is done."""
    if workers == 1 or len(tasks) < 2:
        yield from map(_write, tasks)
        return
    with processes(min(workers, len(tasks))) as executor:
        for future in as_completed([executor.submit(_write, task) for task in tasks]):
            yield future.result()


def _write(task: Task) -> int:
    file, settings = task
    given = {key: settings[key] for key in ("split", "seed", "start")}
    given |= {key: settings[key] for key in ("effects", "hr_size") if key in settings}
    write_shard(file, *arrays(n=settings["pairs"], **given), settings)
    return settings["pairs"]


def _is_complete(file: Path, settings: dict[str, Any]) -> bool:
    try:
        return shard_settings(file) == settings
    except DataError:  # missing or damaged
        return False
