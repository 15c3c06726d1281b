"""What a data set holds, as hashes, so that a result can say what it rests on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kdltr.data.opening import open_data

ROOT = Path(__file__).resolve().parents[2]


def data_hash(path: str | os.PathLike) -> dict[str, Any]:
    """`{"sha256", "samples", "labels"}` of a data set: its records in order, images as stored.

    The same for an LMDB, a copy of it with other pages, and a folder of the same files. "labels" is
    the sha256 of the labels alone, the same for a copy whose images are encoded in another way.

    Raises:
        kdltr.data.records.DataError: no data set at `path`, or a record is missing.
    """
    dataset = open_data(path)
    whole, labels = hashlib.sha256(), []
    for index in range(len(dataset)):
        *images, label = dataset.encoded(index)
        for part in (*images, label.encode("utf-8")):
            _add(whole, part)
        labels.append(label)
    return {"sha256": whole.hexdigest(), "samples": len(labels), "labels": label_hash(labels)}


def label_hash(labels: Iterable[str]) -> str:
    """The sha256 of labels in their order."""
    digest = hashlib.sha256()
    for label in labels:
        _add(digest, label.encode("utf-8"))
    return digest.hexdigest()


def data_hashes(paths: Iterable[str | os.PathLike]) -> dict[str, dict[str, Any]]:
    """`data_hash` of each, by its path as `portable` writes it."""
    return {portable(path): data_hash(path) for path in paths}


def portable(path: str | os.PathLike) -> str:
    """`path` relative to the repository if it lies below it, so that no result names a machine."""
    path = Path(path)
    if path.is_absolute() and path.is_relative_to(ROOT):
        path = path.relative_to(ROOT)
    return path.as_posix()


def _add(digest, part: bytes) -> None:
    digest.update(len(part).to_bytes(8, "little"))  # so that no two lists look alike
    digest.update(part)
