"""One writer of a folder at a time, by a lock that the system frees when its holder ends."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kdltr.files import NO_SUCH_CALL, make_folder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

log = logging.getLogger(__name__)
_held: set[int] = set()  # descriptors


class BusyError(RuntimeError):
    """Another process writes there; the message names it."""


@contextmanager
def only_writer(lock: Path) -> Iterator[None]:
    """Hold the lock of the folder that the file `lock` is in, however the process ends.

    The file stays when the lock is freed, if anything lies beside it; an empty folder goes too, if
    it was made here. Where the system has no locks, a warning says so.

    Raises:
        BusyError: another process holds it, or another thread of this one.
        OSError: the folder cannot be made or written to.
    """
    made = not lock.parent.exists()
    folder = make_folder(lock.parent)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    _held.add(descriptor)
    try:
        _take(descriptor, lock)
        try:
            yield
        finally:
            if descriptor in _held and folder.is_dir() and [*folder.iterdir()] == [lock]:
                lock.unlink()
                if made:
                    with contextlib.suppress(OSError):  # another one has begun to write there
                        folder.rmdir()
    finally:
        if descriptor in _held:
            _held.remove(descriptor)
            os.close(descriptor)


def _take(descriptor: int, lock: Path) -> None:
    folder = lock.parent
    try:
        if fcntl is None:
            raise OSError(NO_SUCH_CALL[0], "no locks")
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 200).decode(errors="replace") or "unknown"
        raise BusyError(f"{folder} is being written by process {holder}; wait for it, end it and "
                        "run again, or write to another folder") from None
    except OSError as error:
        if error.errno not in NO_SUCH_CALL:
            raise
        log.warning("the file system of %s has no locks: see to it yourself that no other run "
                    "writes there", folder)
        return
    if not lock.exists() or not os.path.samestat(os.fstat(descriptor), lock.stat()):
        raise BusyError(f"{folder} was being written by another process until now; run again")
    os.truncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()} on {socket.gethostname()}".encode())


def _forget() -> None:
    """Close what a forked process has inherited: while it is open there, the lock is held."""
    while _held:
        os.close(_held.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
