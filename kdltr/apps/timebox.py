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
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from kdltr.files import PACKAGE, write_json
from kdltr.workflow.limited import TICK, Limited
from kdltr.workflow.pieces import LIST, join, split
from kdltr.workflow.processes import ProfileLock, end_recorded

logger = logging.getLogger(__name__)
PLAN = "timebox/plan.yaml"  # of a profile
CLOSING = 20.0  # seconds before the end at which a training stops: it validates and saves then
PIECES = 4.0  # seconds before the end that the last pieces have
TABLES, STATE = (".json", ".csv"), ("state.pt", "best.safetensors")  # of a training, in pieces
OUTCOME = re.compile(r" (PASSED|FAILED|SKIPPED|ERROR)\b")
KINDS = ("distill", "pretrain")
AT_ITS_END, AT_ITS_LIMIT = "by itself", "at its limit"


class TimeboxError(Exception):
    """A time box cannot run; the message says what to do."""


@dataclass(frozen=True)
class Plan:
    """What a time box is for, a YAML file; params/gpu/timebox has some.

    Attributes:
        device: "cuda"; "cpu" to try it.
        tests, bench: ``seconds`` they have and ``arguments`` of pytest and of `kdltr bench`.
        trainings: by name and in order: ``distill`` or ``pretrain``, its settings, where paths are
            relative to DIR, in which ``data`` leads to the repository's; and ``render``, arguments
            of `kdltr.generator.render_shards.write_shards`: words that are rendered into
            ``shards/<name>`` while the trainings before it run.
        workers: processes that render; None: all cores but two.
        weights: files that are made where they are missing, from what: ``model``, ``checkpoint``.
        carry: what a bundle takes along (`kdltr.apps.bundle`).
    """

    trainings: dict[str, dict[str, Any]]
    tests: dict[str, Any] = field(default_factory=dict)
    bench: dict[str, Any] = field(default_factory=dict)
    device: str = "cuda"
    workers: int | None = None
    weights: dict[str, dict[str, str]] = field(default_factory=dict)
    carry: dict[str, Any] = field(default_factory=dict)

    @property
    def processes(self) -> int:
        """How many render."""
        return self.workers or max(1, (os.cpu_count() or 1) - 2)


def read_plan(file: Path) -> Plan:
    """The plan in a YAML file.

    Raises:
        TimeboxError: no such file, or one of something else.
    """
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
        plan = Plan(**found)
        kinds = {name: [kind for kind in KINDS if kind in entry]
                 for name, entry in plan.trainings.items()}
    except OSError as error:
        raise TimeboxError(f"{file}: expected a plan, found: {error.strerror.lower()}; "
                           "params/gpu/timebox has some") from error
    except (yaml.YAMLError, TypeError, AttributeError) as error:
        raise TimeboxError(f"{file}: expected a plan as those in params/gpu/timebox: "
                           f"{' '.join(str(error).split())}") from error
    if wrong := [name for name, kind in kinds.items() if len(kind) != 1]:
        raise TimeboxError(f"{file}: expected distill or pretrain in the training {wrong[0]}, "
                           f"found {', '.join(plan.trainings[wrong[0]]) or 'nothing'}")
    return plan


def run(file: Path, minutes: float, out: Path, root: Path) -> int:
    """Run the plan in ``file`` for so many minutes, under ``out``; returns 1 if a part failed.

    Raises:
        TimeboxError: a plan that cannot be read.
        kdltr.workflow.processes.WorkflowError: another run writes to ``out``.
        kdltr.workflow.pieces.PiecesError: pieces to go on from that are damaged.
    """
    end = time.monotonic() + 60 * minutes
    plan = read_plan(file)
    with ProfileLock(out / ".lock"):
        end_recorded(out / "processes")
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


class _Box:
    """The parts of a time box, and its summary, ``out/summary.json``."""

    def __init__(self, plan: Plan, file: Path, out: Path, root: Path, end: float) -> None:
        self.plan, self.file, self.out, self.root, self.end = plan, file, out, root, end
        given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        paths = [str(PACKAGE.parent), *(os.path.abspath(path) for path in given if path)]
        self.env = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
        summary = out / "summary.json"
        self.summary = json.loads(summary.read_text(encoding="utf-8")) if summary.is_file() else {}
        self._in_pieces: dict[str, int] = {}

    def note(self, **what: Any) -> None:
        """Add to the summary, on the disk too."""
        self.summary |= what
        write_json(self.out / "summary.json", self.summary)

    def tests(self) -> int:
        """The tests marked `gpu`; how each ended is counted, also when time is over."""
        command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-m", "gpu"]
        log = self.out / "tests.log"
        return self._part("tests", command + self.plan.tests.get("arguments", []), self.root,
                          lambda: dict(Counter(OUTCOME.findall(log.read_text(errors="replace")))))

    def bench(self) -> int:
        """`kdltr bench`, whose result is whole after every measurement."""
        seconds, result = self.plan.bench.get("seconds", 0), self.out / "bench.json"
        command = [sys.executable, "-m", "kdltr", "bench", *self.plan.bench.get("arguments", []),
                   "--device", self.plan.device, "--minutes", str(seconds / 60), "--out",
                   str(result)]

        def found() -> dict[str, Any]:
            if not result.is_file():
                return {"rows": 0}
            document = json.loads(result.read_text(encoding="utf-8"))
            return {"rows": len(document["rows"]), "card": document["hardware"]["gpu"]}

        return self._part("bench", command, self.out, found)

    def trainings(self) -> int:
        """One after another, while what the next ones read is rendered."""
        todo = [name for name in self.plan.trainings if not self._result(name).get("finished")]
        renderer = self._renderer(todo)
        try:
            for name in todo:
                if not self._is_rendered(name, renderer) or self._left() < CLOSING:
                    break
                status = self._train(name)
                if status or not self._result(name).get("finished"):
                    return 1 if status else 0
            return 1 if renderer and renderer.status else 0
        finally:
            if renderer:
                renderer.end()

    def _part(self, name: str, command: list[str], cwd: Path, found: Any) -> int:
        """Run a part within its limit; what it found goes to the summary."""
        limit = min(getattr(self.plan, name).get("seconds", 0), self._left())
        if limit <= 0 or self._is_done(name):
            return 0
        (self.out / f"{name}.log").unlink(missing_ok=True)
        begin = time.monotonic()
        status = self._start(name, command, cwd).wait(begin + limit)
        entry = {"ended": AT_ITS_LIMIT if status is None else AT_ITS_END, "status": status,
                 "seconds": round(time.monotonic() - begin, 1), **found()}
        self.note(**{name: entry})
        logger.info("%s: %s", name, entry)
        return 1 if status else 0

    def _is_done(self, name: str) -> bool:
        return name in self.summary and not self.summary[name]["status"]

    def _start(self, name: str, command: list[str], cwd: Path) -> Limited:
        return Limited(command, self.out / f"{name}.log", self.out / "processes", cwd, self.env)

    def _left(self) -> float:
        return self.end - time.monotonic()

    def _train(self, name: str) -> int | None:
        begin, until = time.monotonic(), time.time() + self._left() - CLOSING
        command = [sys.executable, "-m", "kdltr.apps.training", "train", str(self.file), name,
                   str(until)]
        status = self._start(name, command, self.out).wait(self.end - PIECES, self._split)
        self._split()
        entry = {"ended": AT_ITS_LIMIT if status is None else AT_ITS_END, "status": status,
                 "seconds": round(time.monotonic() - begin, 1), **self._last_row(name),
                 **self._result(name)}
        self.note(trainings=self.summary.get("trainings", {}) | {name: entry})
        logger.info("%s: %s", name, entry)
        return status

    def _split(self) -> None:
        """Put what there is of all trainings in pieces, if it has changed since."""
        folder, files = self.out / "training", {}
        for file in sorted(folder.glob("*/[!.]*")):
            result = self._result(file.parent.name)
            if file.suffix in TABLES or file.name in (
                    [result["weights"]] if result.get("finished") else STATE):
                files[file.relative_to(folder).as_posix()] = file
        changed = {name: file.stat().st_mtime_ns for name, file in files.items()}
        if files and changed != self._in_pieces:
            split(files, self.out / "pieces")
            self._in_pieces = changed

    def _result(self, name: str) -> dict[str, Any]:
        """What the training said when it ended."""
        file = self.out / "training" / name / "result.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}

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
        command = [sys.executable, "-m", "kdltr.apps.training", "render", str(self.file), *missing]
        return self._start("render", command, self.out)

    def _is_there(self, name: str) -> bool:
        wanted, record = self.plan.trainings[name].get("render"), self.out / f"shards/{name}.json"
        return not wanted or (record.is_file() and json.loads(record.read_text()) == wanted)

    def _is_rendered(self, name: str, renderer: Limited | None) -> bool:
        """Wait for what a training reads; False if it does not come in time."""
        while not self._is_there(name) and self._left() > CLOSING:
            if renderer is None or renderer.status is not None:
                return self._is_there(name)
            time.sleep(TICK)
        return self._is_there(name)
