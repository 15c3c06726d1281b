"""A process with a time limit: at its end it goes, with all that it has started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from kdltr.workflow.processes import JobRecord

TICK = 0.2  # seconds between two looks at a process


class Limited:
    """Starts ``command`` as leader of its own session; what it says is added to ``log``.

    A record in ``records`` names it while it runs, for `kdltr.workflow.processes.end_recorded`:
    if this process is killed, the next one ends what is left.
    """

    def __init__(
        self, command: Sequence[str], log: Path, records: Path, cwd: Path, env: Mapping[str, str]
    ) -> None:
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command, cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )
        records.mkdir(parents=True, exist_ok=True)
        self.record = JobRecord(records / f"{log.stem}.json", psutil.Process(self.process.pid))

    @property
    def status(self) -> int | None:
        """The exit status; None while it runs."""
        return self.process.poll()

    def wait(self, until: float, look: Callable[[], None] = lambda: None) -> int | None:
        """Wait for its end and call ``look`` meanwhile; at ``until`` (`time.monotonic`) end it.

        Returns:
            The exit status; None if its time was over.
        """
        try:
            while (status := self.status) is None and time.monotonic() < until:
                look()
                time.sleep(TICK)
            return status
        finally:
            self.end()

    def end(self) -> None:
        """End what is left of it and of its descendants; all they write is whole at any moment."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.record.remove()
