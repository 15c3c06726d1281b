"""Generated data on disk: written once, with a record beside it of what it was made from."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kdltr.data.lmdb import PairedWords, Words
from kdltr.data.records import DataError
from kdltr.data.shards import is_shards
from kdltr.files import make_folder, place, write_json

logger = logging.getLogger(__name__)


def write_generated(
    folder: Path,
    settings: Mapping[str, Any],
    size: int,
    layout: type[PairedWords] | type[Words],
    write: Callable[[Path], int],
) -> None:
    """Make the LMDB `folder` unless it is there, complete and made with exactly these `settings`.

    They are recorded in `<folder>.json`, until all is written as unfinished, so that it never
    vouches for data that is being replaced. Data that has no such record is not touched.

    Args:
        folder: of the LMDB.
        settings: all that its bytes depend on, as JSON values.
        size: records it must have.
        layout: of the LMDB.
        write: makes `folder` as a whole or not at all, and returns the number of records.

    Raises:
        DataError: other data lies there; or another number of records was written.
    """
    record = _record(folder)
    if _is_complete(folder, record, settings, size, layout):
        logger.info("%s: %d records are there already", folder.name, size)
        return
    if os.path.lexists(folder) and not record.is_file():
        raise DataError(f"{folder}: expected generated data or nothing, found other data, which "
                        "would be replaced; name another folder, or move it away")
    make_folder(folder.parent)
    write_json(record, {"unfinished": dict(settings)})
    count = write(folder)
    if count != size:
        raise DataError(f"{folder}: expected to write {size} records, wrote {count}; run again")
    write_json(record, dict(settings))


def is_generated(path: str | os.PathLike) -> bool:
    """Whether the words at `path` were made here: an LMDB of `write_generated`, or shards."""
    return _record(Path(path)).is_file() or is_shards(path)


def generated_in(path: str | os.PathLike) -> dict[str, Path]:
    """The LMDBs of `write_generated` below a folder, by their path in it.

    Raises:
        DataError: there are none.
    """
    root = place(path)
    folders = [record.with_suffix("") for record in sorted(root.rglob("*.json"))]
    found = {folder.relative_to(root).as_posix(): folder for folder in folders
             if (folder / "data.mdb").is_file() and "unfinished" not in (made_from(folder) or ())}
    if not found:
        raise DataError(f"{path}: expected generated words below it, found none; say in generate "
                        "which to make, or in data_root where they are")
    return found


def made_from(path: str | os.PathLike) -> dict[str, Any] | None:
    """All that the bytes of an LMDB of `write_generated` depend on; None of other data."""
    record = _record(Path(path))
    return json.loads(record.read_text(encoding="utf-8")) if record.is_file() else None


def forget(folder: Path) -> None:
    """No longer say that what lies at ``folder`` is generated: other data is to lie there."""
    _record(folder).unlink(missing_ok=True)


def _record(folder: Path) -> Path:
    return folder.with_name(folder.name + ".json")


def _is_complete(
    folder: Path, record: Path, settings: Mapping[str, Any], size: int, layout: type
) -> bool:
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
        return found == settings and len(layout(folder)) == size
    except (OSError, ValueError):  # no record, a damaged one, or a DataError: no such data
        return False
