"""One writer per profile: records of the processes that write.

After SIGKILL of snakemake its jobs go on running, and the next run would be a second writer of
the same checkpoints. A profile therefore has, beside its lock (`kdltr.locks`), records of who is
writing, by which an orphan is found and ended. A process id can be reused, so a record also holds
the start time of its process.
"""

import contextlib
import json
import logging
import os
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

from kdltr.files import write_json

logger = logging.getLogger(__name__)
HEARTBEAT = 120.0  # seconds after which a record of another machine counts as dead
GRACE = 5.0  # seconds between asking an orphan to end and ending it


class WorkflowError(Exception):
    """The workflow cannot run; the message says what to do."""


def describe(process: psutil.Process) -> dict[str, Any] | None:
    """What identifies a process: id, start, whether it leads a session; None if it has ended."""
    try:
        return {"pid": process.pid, "created": process.create_time(),
                "session": os.getsid(process.pid) == process.pid}
    except (psutil.NoSuchProcess, OSError):
        return None


class JobRecord:
    """A file that names this process and its descendants for as long as it works.

    `refresh` is called about once a second: it adds new descendants (a notebook's kernel, its
    loader workers) and touches the file, the sign of life for other machines of a cluster.
    """

    def __init__(self, path: str | os.PathLike, process: psutil.Process | None = None):
        self.path = Path(path)
        self.process = process or psutil.Process()
        self._written: list[dict[str, Any]] | None = None
        self.refresh()

    def refresh(self) -> None:
        """Write the record if the processes have changed, else only touch it."""
        members = [self.process]
        try:
            members += self.process.children(recursive=True)
        except psutil.NoSuchProcess:
            return
        found = [d for d in map(describe, members) if d]
        if found == self._written:
            os.utime(self.path)
            return
        write_json(self.path, {"host": socket.gethostname(), "processes": found})
        self._written = found

    def remove(self) -> None:
        """The work is over."""
        self.path.unlink(missing_ok=True)


def end_recorded(folder: Path) -> int:
    """End every process that the records in `folder` name, with descendants and session.

    The records are removed. Processes that ended long ago, or whose id now belongs to another
    program, are left alone.

    Returns:
        How many processes were ended.

    Raises:
        WorkflowError: a record of another machine shows signs of life.
    """
    ended = 0
    for path in sorted(folder.glob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            path.unlink(missing_ok=True)
            continue
        if record["host"] != socket.gethostname():
            _refuse_remote(path, record["host"])
        else:
            orphans = _living(record["processes"])
            if orphans:
                logger.warning(
                    "ending what is left of %s: %s",
                    path.stem,
                    ", ".join(str(p.pid) for p in orphans),
                )
            ended += end_processes(orphans)
        path.unlink(missing_ok=True)
    return ended


def _refuse_remote(path: Path, host: str) -> None:
    age = time.time() - path.stat().st_mtime
    if age < HEARTBEAT:
        raise WorkflowError(
            f"{path.stem} is still running on {host} (sign of life {age:.0f} s ago); cancel that "
            f"job, or wait {HEARTBEAT:.0f} s after it has ended, and run again"
        )


def _living(processes: Iterable[dict[str, Any]]) -> list[psutil.Process]:
    """Processes of a record that still run, their descendants, and those of the same session.

    snakemake is started as leader of its own session: jobs that it leaves behind stay in that
    session, even a job killed before it could write a record of its own.
    """
    found: dict[int, psutil.Process] = {}
    for entry in processes:
        try:
            process = psutil.Process(entry["pid"])
            if process.create_time() == entry["created"]:
                for member in (process, *process.children(recursive=True)):
                    found[member.pid] = member
        except psutil.NoSuchProcess:
            pass
        if entry.get("session"):
            for member in _session(entry["pid"], entry["created"]):
                found[member.pid] = member
    found.pop(os.getpid(), None)
    return [process for process in found.values() if _runs(process)]


def _session(leader: int, created: float) -> Iterable[psutil.Process]:
    """Processes of the session that `leader` opened, and their descendants.

    While a member lives the system gives its leader's id to nobody else: if a younger process
    has that id, the session is over and the id belongs to a stranger.
    """
    try:
        if psutil.Process(leader).create_time() != created:
            return
    except psutil.NoSuchProcess:
        pass  # the leader is gone, its session may live on
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader and process.create_time() >= created:
                yield process
                yield from process.children(recursive=True)
        except (ProcessLookupError, PermissionError, psutil.Error):
            continue


def end_processes(processes: list[psutil.Process]) -> int:
    """Ask them to end, wait a little, then end them. Returns how many there were."""
    for method in ("terminate", "kill"):
        for process in filter(_runs, processes):
            with contextlib.suppress(psutil.NoSuchProcess):
                getattr(process, method)()
        limit = time.monotonic() + GRACE
        while any(map(_runs, processes)) and time.monotonic() < limit:
            time.sleep(0.05)
    return len(processes)


def _runs(process: psutil.Process) -> bool:
    """Whether it can still write; a zombie cannot, and where nobody reaps it it stays one."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
