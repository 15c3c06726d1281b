"""Real photographs of words at hand, each read by every method at low resolution.

    data, missing = load_photographs({"crops": "../photographs/crops"})
    found = milliseconds(readers, images, repeats=3)
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch

from kdltr.bench.clock import TOTAL, Laps, Timing, interleave
from kdltr.data.folder import PairFolder
from kdltr.data.loader import WordPairs, load_pairs, load_words
from kdltr.models.base import Recogniser


def load_photographs(
    folders: Mapping[str, str | os.PathLike],
) -> tuple[dict[str, WordPairs], dict[str, str]]:
    """The sets of word photographs that are there, in memory.

    Args:
        folders: by name, folders of images with a labels.tsv (`kdltr.data.folder`). The LR images
            of pairs are read as they are; single words are shrunk to 16 × 64.

    Returns:
        Words by name, and for each set that is not there the reason.

    Raises:
        DataError: a folder is there, but not of this layout, or an image is missing or damaged.
    """
    there = {name: path for name, path in folders.items() if Path(path).exists()}
    missing = {name: f"no folder {path}" for name, path in folders.items() if name not in there}
    loaded = {name: (load_pairs if PairFolder.holds(path) else load_words)(path)
              for name, path in there.items()}  # fmt: skip
    return loaded, missing


def milliseconds(
    readers: Mapping[str, Recogniser], images: torch.Tensor, repeats: int = 3
) -> dict[str, Timing]:
    """Time to read a word, one image at a time, from pixels to text; all readers in turn.

    Args:
        readers: by name; each as `Recogniser.for_reading` has it.
        images: (N, 3, H, W) uint8 of the readers' size.
        repeats: rounds over all images, after one that does not count.

    Returns:
        By reader the milliseconds a word of each round.
    """
    def read_all(model: Recogniser, laps: Laps) -> None:
        for image in images.float() / 255:
            model.read(image[None])

    actions = {name: partial(read_all, model.for_reading()) for name, model in readers.items()}
    timings = interleave(actions, repeats, parts=False)
    scale = 1000 / len(images)
    return {name: Timing(tuple(scale * seconds for seconds in found[TOTAL].seconds))
            for name, found in timings.items()}  # fmt: skip
