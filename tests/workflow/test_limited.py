"""A process with a limit: it ends then, with all it has started, and what it said is there."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from kdltr.workflow.limited import Limited
from kdltr.workflow.processes import end_recorded

ROOT = Path(__file__).parents[2]
# Says its id and its child's, and sleeps.
SLEEPER = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(os.getpid(), child.pid, flush=True)
time.sleep(600)
"""


def runs(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def gone(pid):
    """Whether it ends: a signal takes a moment."""
    limit = time.monotonic() + 10
    while runs(pid) and time.monotonic() < limit:
        time.sleep(0.01)
    return not runs(pid)


def said(log, words=2):
    """The ids in the log, as soon as they are there."""
    for _ in range(600):
        if log.is_file() and len(found := log.read_text().split()) == words:
            return [int(word) for word in found]
        time.sleep(0.05)
    return pytest.fail(f"nothing in {log}")


def limited(code, folder):
    return Limited([sys.executable, "-c", code], folder / "it.log", folder / "records", folder,
                   os.environ)


def test_at_its_limit_it_ends_with_its_descendants_and_its_words_are_kept(tmp_path):
    process, looks = limited(SLEEPER, tmp_path), []
    ids = said(tmp_path / "it.log")
    assert [*(tmp_path / "records").iterdir()]
    assert process.wait(time.monotonic() + 0.5, lambda: looks.append(1)) is None
    assert looks and all(map(gone, ids)) and not [*(tmp_path / "records").iterdir()]


@pytest.mark.parametrize("status", [0, 3])
def test_by_itself_it_ends_with_its_status(tmp_path, status):
    process = limited(f"print(1); raise SystemExit({status})", tmp_path)
    assert process.wait(time.monotonic() + 60) == status
    assert (tmp_path / "it.log").read_text() == "1\n"


def test_what_a_killed_owner_leaves_is_ended_by_the_next(tmp_path):
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom kdltr.workflow.limited import Limited\n"
        "it = Limited([sys.executable, '-c', sys.argv[1]], Path('it.log'), Path('records'),\n"
        "             Path(), os.environ)\nit.wait(float('inf'))\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", code, SLEEPER], cwd=tmp_path,
                             env=os.environ | {"PYTHONPATH": str(ROOT)})
    ids = said(tmp_path / "it.log")
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert all(map(runs, ids))
    assert end_recorded(tmp_path / "records") == 2
    assert all(map(gone, ids))
