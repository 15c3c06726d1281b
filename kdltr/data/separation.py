"""Training apart from tests: what no run may learn from, and which of its words tests hold too."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from kdltr.data.hashes import data_hash, portable
from kdltr.data.manifest import read_manifest
from kdltr.data.records import DataError
from kdltr.data.shards import Shards, is_shards

TABLE = files("kdltr.data") / "words_of_tests.csv"  # made by kdltr.data.duplicates


def training_sets(paths: Iterable[str | os.PathLike]) -> dict[str, dict[str, Any]]:
    """What a run learns from: `kdltr.data.hashes.data_hash` of each set, by its path.

    Raises:
        DataError: one is a test set: it lies in a folder ``test``, holds the labels of a test set
            of data/manifest.yaml in their order, or is rendered from a test split.
    """
    found = {}
    for path in map(Path, paths):
        split = Shards(path).settings.get("split", "") if is_shards(path) else ""
        check_split(split)
        one = found[portable(path)] = data_hash(path)
        folder = path.absolute().parent if path.name == "data.mdb" else path.absolute()
        if known := known_tests().get(one["labels"]):
            raise DataError(f"{path}: expected words to learn from, found the labels of {known}, a "
                            "test set; leave it out, or read it by evaluate alone")
        if folder.parent.name == "test":
            raise DataError(f"{path}: expected words to learn from, found a test set, for it lies "
                            "in a folder test; leave it out, or move it if it is none")
    return found


def check_split(split: str) -> None:
    """Raise DataError if a split of generated words is one of the tests."""
    if split.startswith("test/"):
        raise DataError(f"expected a split to learn from, found {split!r}, a test split; train on "
                        "train1 or train2")


def words_of_tests(labels: str) -> set[int] | None:
    """Indices of the words of a training set that a test set holds too, by look and label.

    Args:
        labels: of the set, as `kdltr.data.hashes.data_hash` has it.

    Returns:
        None for a set that was not compared with the tests.
    """
    return listed().get(labels)


@cache
def known_tests() -> dict[str, str]:
    """Names of the known test sets by the hash of their labels."""
    return {entry.labels: entry.name for entry in read_manifest().values()
            if entry.test and entry.labels}


@cache
def listed() -> dict[str, set[int]]:
    """The words of training sets that tests hold too: indices by the hash of the set's labels."""
    found: dict[str, set[int]] = {}
    with TABLE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            words = found.setdefault(row["labels"], set())
            if row["index"]:  # else it shares none
                words.add(int(row["index"]))
    return found
