"""LMDB handles: one read-only environment a file and process, opened when first needed.

LMDB 3 refuses to open a file twice in one process, and counts a handle inherited by a forked
child as one. So every data set shares the handles kept here, by the file that is meant, whatever
path leads to it, and a process that finds handles of its parent closes its copies of them and opens
its own. Nothing is locked: the files are only read, and writing always makes a new file
(`kdltr.data.lmdb.write_pairs`).
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from kdltr.data.records import DataError
from kdltr.files import place

# device and inode -> pid, modification time and size, environment
_open: dict[tuple[int, int], tuple[int, tuple[int, int], lmdb.Environment]] = {}
_last: dict[str, tuple[int, int]] = {}  # real path -> device and inode of what lay there last
_guard = threading.Lock()


def _new_guard() -> None:
    # A fork may happen while another thread holds the lock; nobody would release it in the child.
    global _guard
    _guard = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_guard)


def data_file(path: str | os.PathLike) -> Path:
    """The file that holds the records of LMDB `path` (a folder with data.mdb, or a file).

    Raises:
        DataError: there is none, or it is empty.
    """
    path = place(path)
    if not path.exists():
        raise DataError(f"{path}: expected an LMDB, found nothing there; check the path, or see "
                        "data/README.md for where to get the data and where to put it")
    file = path / "data.mdb" if path.is_dir() else path
    if not file.is_file():
        raise DataError(f"{path}: expected an LMDB, found a folder without data.mdb; see "
                        "data/README.md for the layout, or use a folder with labels.tsv")
    if file.stat().st_size == 0:
        raise DataError(f"{file}: expected an LMDB, found an empty file; get it again")
    return file


def environment(path: str | os.PathLike) -> lmdb.Environment:
    """The one read-only environment of LMDB `path` in this process.

    A file that has been replaced since it was opened is opened again.

    Raises:
        DataError: missing, empty, damaged or cut short, or opened elsewhere in this process.
    """
    file = data_file(path)
    status = file.stat()
    key, identity = (status.st_dev, status.st_ino), (status.st_mtime_ns, status.st_size)
    with _guard:
        before = _last.get(os.path.realpath(file), key)
        _last[os.path.realpath(file)] = key
        if before != key:  # another file has taken its place
            _drop(before)
        pid, known, handle = _open.get(key, (None, None, None))
        if pid == os.getpid() and known == identity:
            return handle
        _drop(key)
        handle = _open_file(file, status.st_size)
        _open[key] = (os.getpid(), identity, handle)
        return handle


@contextmanager
def reading(path: str | os.PathLike) -> Iterator[lmdb.Transaction]:
    """A transaction that reads from LMDB `path`.

    Raises:
        DataError: as `environment`, or a damaged part is met.
    """
    with environment(path).begin() as transaction:
        try:
            yield transaction
        except lmdb.Error as error:
            raise DataError(f"{path}: expected an intact LMDB, found a damaged part ({error}); "
                            "get the file again") from error


def close(path: str | os.PathLike) -> None:
    """Close the environment of `path`, if this process has one; the next read opens it again."""
    path = place(path)
    file = path / "data.mdb" if path.is_dir() else path
    with _guard:
        _drop(_last.pop(os.path.realpath(file), None))


def _drop(key: tuple[int, int] | None) -> None:
    _, _, handle = _open.pop(key, (None, None, None))
    if handle is not None:
        handle.close()


def _open_file(file: Path, size: int) -> lmdb.Environment:
    try:
        handle = lmdb.open(os.path.realpath(file), subdir=False, readonly=True, lock=False,
                           create=False, readahead=False, max_readers=1)
    except lmdb.Error as error:
        if "already open" in str(error):
            raise DataError(f"{file}: expected to be the only reader of this LMDB in the process, "
                            "found it opened by other code; close that lmdb.Environment, or read "
                            "through kdltr.data.lmdb only") from error
        raise DataError(f"{file}: expected an LMDB, found something else ({error}); "
                        "get the file again") from error
    # Reading beyond the end of a file that a download cut short would kill the process (SIGBUS).
    needed = (handle.info()["last_pgno"] + 1) * handle.stat()["psize"]
    if size < needed:
        handle.close()
        raise DataError(f"{file}: expected {needed} bytes, found {size}: the file is cut short; "
                        "get it again")
    return handle
