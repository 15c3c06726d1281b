"""Real photographs of words at hand, each read by every method at low resolution.

    data, missing = load_photographs({"crops": "../photographs/crops"})
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from kdltr.data.folder import PairFolder
from kdltr.data.loader import WordPairs, load_pairs, load_words
from kdltr.files import place


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
    there = {name: path for name, path in folders.items() if place(path).exists()}
    missing = {name: f"no folder {path}" for name, path in folders.items() if name not in there}
    loaded = {name: (load_pairs if PairFolder.holds(path) else load_words)(path)
              for name, path in there.items()}  # fmt: skip
    return loaded, missing
