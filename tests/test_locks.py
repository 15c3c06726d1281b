"""One writer of a folder at a time, whatever becomes of it."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kdltr.locks import BusyError, only_writer

# Holds the lock; its child, forked with it, says so and lives on.
HOLDER = """
import os, sys, time
from pathlib import Path
from kdltr.locks import only_writer
with only_writer(Path(sys.argv[1])):
    if os.fork():
        time.sleep(60)
    print(os.getpid(), flush=True)
    time.sleep(60)
"""


def test_the_second_is_refused_by_the_name_of_the_first(tmp_path):
    lock = tmp_path / "deep" / ".lock"
    with only_writer(lock):
        for _ in range(2):  # being refused frees nothing
            refused = pytest.raises(BusyError, match=f"deep is being written by .* {os.getpid()}")
            with refused, only_writer(lock):
                pass
    with only_writer(lock):
        assert lock.read_text().startswith(f"{os.getpid()} on ")


def test_nothing_is_left_where_nothing_was_written(tmp_path):
    with pytest.raises(ZeroDivisionError), only_writer(tmp_path / "new" / ".lock"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with only_writer(tmp_path / ".lock"):
        pass
    assert tmp_path.is_dir() and list(tmp_path.iterdir()) == []
    with only_writer(tmp_path / "new" / ".lock"):
        (tmp_path / "new" / "state").touch()
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [".lock", "state"]


def test_another_that_begins_as_this_one_ends_is_left_alone(tmp_path, monkeypatch):
    unlink = Path.unlink

    def then_another(path):
        unlink(path)
        path.touch()

    monkeypatch.setattr(Path, "unlink", then_another)
    with only_writer(tmp_path / "new" / ".lock"):
        pass
    assert (tmp_path / "new" / ".lock").exists()


def test_a_lock_that_its_holder_takes_away_meanwhile_is_no_lock(tmp_path, monkeypatch):
    lock = tmp_path / ".lock"
    monkeypatch.setattr(fcntl, "flock", lambda *_: lock.unlink())
    with pytest.raises(BusyError, match="until now"), only_writer(lock):
        pass


def test_a_killed_holder_holds_nothing_nor_do_its_children(tmp_path):
    lock = tmp_path / ".lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE,
                          text=True) as holder:
        child = int(holder.stdout.readline())
        try:
            with pytest.raises(BusyError, match=f"process {holder.pid} on "), only_writer(lock):
                pass
            holder.kill()
            holder.wait()
            with only_writer(lock):
                os.kill(child, 0)  # it lives
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_file_system_without_locks_is_worked_on_with_a_warning(tmp_path, monkeypatch, caplog):
    def refuse(handle, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with only_writer(tmp_path / ".lock"):
        assert "has no locks" in caplog.text


def test_a_folder_that_cannot_be_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="expected a folder"), (
            only_writer(tmp_path / "file" / ".lock")):
        pass
