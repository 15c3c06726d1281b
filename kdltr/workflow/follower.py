"""Progress of a notebook that runs without a screen: a line a person can follow."""

import sys
import threading
import time
from pathlib import Path

from kdltr.workflow.processes import JobRecord

QUIET_AFTER = 60.0  # seconds without a line after which it says that the notebook is alive


class Follower(threading.Thread):
    """Shows the notebook's log lines, keeps the job record alive, says when nothing happens."""

    def __init__(self, label: str, progress: Path, record: JobRecord | None):
        super().__init__(daemon=True)
        self.label, self.progress, self.record = label, progress, record
        self.started = self.spoke = time.monotonic()
        self.position = 0
        self.ended = threading.Event()

    def say(self, text: str) -> None:
        """Print one line with the time of day and the run's name."""
        self.spoke = time.monotonic()
        print(f"[{time.strftime('%H:%M:%S')}] {self.label}: {text}", file=sys.stderr, flush=True)

    @property
    def seconds(self) -> float:
        """Since the notebook was started."""
        return time.monotonic() - self.started

    def run(self) -> None:
        """Body of the thread; once a second."""
        while not self.ended.wait(1.0):
            self._show_new_lines()
            if self.record:
                self.record.refresh()
            if time.monotonic() - self.spoke > QUIET_AFTER:
                self.say(f"still running after {self.seconds:.0f} s")

    def stop(self) -> None:
        """Show the last lines and end; a second call does nothing."""
        if self.ended.is_set():
            return
        self.ended.set()
        self.join()
        self._show_new_lines()

    def _show_new_lines(self) -> None:
        if not self.progress.exists():
            return
        with open(self.progress, encoding="utf-8", errors="replace") as lines:
            lines.seek(self.position)
            text = lines.read()
        complete = text.rfind("\n") + 1
        self.position += len(text[:complete].encode("utf-8", "replace"))
        for line in text[:complete].splitlines():
            self.say(line)
