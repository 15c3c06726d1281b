"""A GPU for minutes: `kdltr run gpu --minutes 12 --out DIR`, tests, measurements and trainings.

Each part is a process with a limit of its own, and whatever moment it is stopped at, what is under
DIR is whole: the tests' log, the rows measured so far, the state of the training, also in pieces
that fit where no large file comes back from. A later run goes on from there, or from the pieces on
another machine. Nothing here needs PyTorch, whose start would be taken from the minutes.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import re
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kdltr.apps.timebox_plan import (
    NEEDED,
    TO_RENDER,
    Plan,
    TimeboxError,
    check_packages,
    read_plan,
)
from kdltr.files import PACKAGE, write_json, write_text
from kdltr.locks import only_writer
from kdltr.workflow.limited import TICK, Limited
from kdltr.workflow.pieces import LIST, join, split
from kdltr.workflow.processes import end_recorded

logger = logging.getLogger(__name__)
CLOSING = 20.0  # seconds before the end at which a training stops: it validates and saves then
PIECES = 4.0  # seconds before the end that the last pieces have
TABLES, STATE = (".json", ".csv"), ("state.pt", "best.safetensors")  # of a training, in pieces
OUTCOME = re.compile(r" (PASSED|FAILED|SKIPPED|ERROR)\b")
PUBLISHED = {"bench": "bench", "timebox": "summary"}  # names there, and in a time box


def run(file: Path, minutes: float, out: Path, root: Path) -> int:
    """Run the plan in ``file`` for so many minutes, under ``out``; returns 1 if a part failed.

    Raises:
        TimeboxError: a plan that cannot be read, or a package is missing.
        kdltr.locks.BusyError: another run writes to ``out``.
        kdltr.workflow.pieces.PiecesError: pieces to go on from that are damaged.
    """
    end = time.monotonic() + 60 * minutes
    check_packages(NEEDED)
    plan = read_plan(file)
    if any(entry.get("render") or "pretrain" in entry for entry in plan.trainings.values()):
        check_packages(TO_RENDER)
    with only_writer(out / ".lock"):
        end_recorded(_records(out))
        if not (out / "training").is_dir() and (out / "pieces" / LIST).is_file():
            join(out / "pieces", out / "training")
            logger.info("going on from the pieces in %s", out / "pieces")
        data = out / "data"
        if data.is_symlink() or not data.exists():
            data.unlink(missing_ok=True)
            data.symlink_to(root / "data")
        box = _Box(plan, file.resolve(), out.resolve(), root, end)
        box.note(minutes=minutes, started=datetime.now(UTC).isoformat(timespec="seconds"))
        return max([box.tests(), box.bench(), box.trainings()])


def publish(box: Path, target: Path) -> None:
    """Copy what the time box ``box`` measured to ``target``, where the results are that README
    quotes: bench.json, and its summary as timebox.json, which names the card.

    Raises:
        TimeboxError: it has measured nothing, or not on a GPU.
    """
    documents = {name: box / f"{file}.json" for name, file in PUBLISHED.items()}
    if missing := [str(file) for file in documents.values() if not file.is_file()]:
        raise TimeboxError(f"expected {missing[0]}, found none; run a time box there first")
    found = {name: file.read_text(encoding="utf-8") for name, file in documents.items()}
    if not (card := json.loads(found["bench"])["hardware"]["gpu"]):
        raise TimeboxError(f"expected figures of a GPU in {box}, found those of a CPU, which say "
                           "nothing of one")
    for name, text in found.items():
        write_text(target / f"{name}.json", text)
    logger.info("published what was measured on %s as %s", card, target)


class _Box:
    """The parts of a time box, and its summary, ``out/summary.json``."""

    def __init__(self, plan: Plan, file: Path, out: Path, root: Path, end: float) -> None:
        self.plan, self.file, self.out, self.root, self.end = plan, file, out, root, end
        given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        paths = [str(PACKAGE.parent), *(os.path.abspath(path) for path in given if path)]
        self.env = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
        self.summary = _read(out / "summary.json")
        self._in_pieces: dict[str, int] = {}

    def note(self, **what: Any) -> None:
        """Add to the summary, on the disk too."""
        self.summary |= what
        write_json(self.out / "summary.json", self.summary)

    def tests(self) -> int:
        """The tests marked `gpu`; how each ended is counted, also when time is over."""
        command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-m", "gpu",
                   *self.plan.tests.get("arguments", [])]
        log = self.out / "tests.log"
        return self._part("tests", command, self.root,
                          lambda: dict(Counter(OUTCOME.findall(log.read_text(errors="replace")))))

    def bench(self) -> int:
        """`kdltr bench`, whose result is whole after every measurement."""
        seconds, result = self.plan.bench.get("seconds", 0), self.out / "bench.json"
        command = [sys.executable, "-m", "kdltr", "bench", *self.plan.bench.get("arguments", []),
                   "--device", self.plan.device, "--minutes", str(seconds / 60), "--out",
                   str(result)]

        def found() -> dict[str, Any]:
            document = _read(result)
            return {"rows": len(document.get("rows", [])),
                    "card": document.get("hardware", {}).get("gpu")}

        return self._part("bench", command, self.out, found)

    def trainings(self) -> int:
        """One after another, while what the next ones read is rendered."""
        todo = [name for name in self.plan.trainings if not self._is_finished(name)]
        begin, renderer = time.monotonic(), self._renderer(todo)
        try:
            for name in todo:
                if not self._is_rendered(name, renderer):
                    if renderer and renderer.status:
                        self._say("render", begin, renderer.status, {})
                    else:
                        logger.info("%s: time is over before its words are rendered", name)
                    break
                if self._left() < CLOSING:
                    break
                status = self._train(name)
                if not self._result(name).get("finished"):
                    return 1 if status else 0
            return 1 if renderer and renderer.status else 0
        finally:
            if renderer:
                renderer.end()

    def _part(
        self, name: str, command: list[str], cwd: Path, found: Callable[[], dict[str, Any]]
    ) -> int:
        """Run a part within its limit, unless it has run; what it found goes to the summary.

        One that the end of the box cut short, before its own limit, is run again by the next.
        """
        seconds = getattr(self.plan, name).get("seconds", 0)
        limit = min(seconds, self._left())
        before = self.summary.get(name, {})
        if limit <= 0 or before.get("status", 1) == 0 or before.get("at its limit"):
            return 0
        (self.out / f"{name}.log").unlink(missing_ok=True)
        begin = time.monotonic()
        status = self._start(name, command, cwd).wait(begin + limit)
        ended = {"at its limit": status is None and limit == seconds}
        self._say(name, begin, status, found() | ended)
        return 1 if status else 0

    def _train(self, name: str) -> int | None:
        begin, until = time.monotonic(), time.time() + self._left() - CLOSING
        command = [sys.executable, "-m", "kdltr.apps.training", str(self.file), name,
                   str(until)]
        status = self._start(name, command, self.out).wait(self.end - PIECES, self._split)
        self._split()
        self._say(name, begin, status, self._last_row(name) | self._result(name), "trainings")
        return status

    def _start(self, name: str, command: list[str], cwd: Path) -> Limited:
        return Limited(command, self.out / f"{name}.log", _records(self.out), cwd, self.env)

    def _left(self) -> float:
        return self.end - time.monotonic()

    def _say(
        self, name: str, begin: float, status: int | None, found: dict[str, Any], group: str = ""
    ) -> None:
        """How a part ended, in the summary and in a line; without a status it was ended."""
        seconds = round(time.monotonic() - begin, 1)
        entry = {"status": status, "seconds": seconds, "at its limit": status is None, **found}
        self.note(**({group: self.summary.get(group, {}) | {name: entry}} if group else
                     {name: entry}))
        said = ", ".join(f"{key} {value}" for key, value in entry.items())
        logger.info("%s, %.0f s left: %s", name, self._left(), said)
        if status:
            lines = (self.out / f"{name}.log").read_text(errors="replace").splitlines()
            logger.error("%s failed: %s", name, lines[-1] if lines else "it said nothing")

    def _split(self) -> None:
        """Put what there is of all trainings in pieces, if it has changed since."""
        folder, files = self.out / "training", {}
        for file in sorted(folder.glob("*/[!.]*")):
            result = self._result(file.parent.name)
            if file.suffix in TABLES or file.name in (
                    [result["weights"]] if result.get("finished") else STATE):
                files[file.relative_to(folder).as_posix()] = file
        with suppress(FileNotFoundError):  # removed since; at the next look it is not listed
            changed = {name: file.stat().st_mtime_ns for name, file in files.items()}
            if files and changed != self._in_pieces:
                split(files, self.out / "pieces")
                self._in_pieces = changed

    def _result(self, name: str) -> dict[str, Any]:
        """What the training said when it ended."""
        return _read(self.out / "training" / name / "result.json")

    def _is_finished(self, name: str) -> bool:
        result = self._result(name)
        if result.get("finished") and result.get("of") != self.plan.trainings[name]:
            logger.warning("%s was finished under other settings than the plan has now; remove %s "
                           "to train it anew", name, self.out / "training" / name)
        return result.get("finished", False)

    def _last_row(self, name: str) -> dict[str, float]:
        file = self.out / "training" / name / "metrics.csv"
        if not file.is_file():
            return {}
        with file.open(newline="") as rows:
            *_, last = csv.DictReader(rows)
        return {key: float(last[key]) for key in ("step", "pairs_per_second")}

    def _renderer(self, names: list[str]) -> Limited | None:
        """The process that renders, in order, what these trainings read."""
        missing = [name for name in names if not self._is_there(name)]
        if not missing or self._left() < CLOSING:
            return None
        command = [sys.executable, "-m", "kdltr.apps.rendering", str(self.file), *missing]
        return self._start("render", command, self.out)

    def _is_there(self, name: str) -> bool:
        wanted = self.plan.trainings[name].get("render")
        return not wanted or _read(self.out / "shards" / f"{name}.json") == wanted

    def _is_rendered(self, name: str, renderer: Limited | None) -> bool:
        """Wait for what a training reads; False if it does not come, or not in time."""
        while not self._is_there(name) and self._left() > CLOSING:
            if renderer is None or renderer.status is not None:
                break
            time.sleep(TICK)
        return self._is_there(name)


def _records(out: Path) -> Path:
    """Of the processes of this machine: those of another, whose folder this was, are gone."""
    return out / "processes" / socket.gethostname()


def _read(file: Path) -> dict[str, Any]:
    """The content of a JSON file; empty if there is none."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
