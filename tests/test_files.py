"""An interrupted save leaves the old file, and nothing else."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kdltr import files, machine


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_writes_and_replaces(tmp_path):
    target = tmp_path / "deep" / "metrics.json"
    files.write_json(target, {"word": "café", "n": 3})
    assert json.loads(target.read_text(encoding="utf-8")) == {"word": "café", "n": 3}
    files.write_text(target, "new")
    assert target.read_text() == "new"
    assert names(target.parent) == ["metrics.json"]


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "m.json", {"loss": float("nan")})
    assert names(tmp_path) == []


def test_temporary_keeps_the_suffix_and_stays_in_the_folder(tmp_path):
    with files.atomic_path(tmp_path / "figure.png") as temporary:
        assert temporary.suffix == ".png" and temporary.parent == tmp_path
        temporary.write_bytes(b"x")


def test_directory_replaces_a_directory(tmp_path):
    target = tmp_path / "data.lmdb"
    for content in ("old", "new"):
        with files.atomic_path(target) as temporary:
            temporary.mkdir()
            (temporary / "data.mdb").write_text(content)
    assert (target / "data.mdb").read_text() == "new"
    assert names(tmp_path) == ["data.lmdb"]


def test_a_path_below_a_file_is_said(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    for way in ("file", "nowhere"):
        below = tmp_path / way / "deep" / "m.json"
        with pytest.raises(NotADirectoryError, match=f"expected a folder .* found .*/{way}, which"):
            files.write_text(below, "new")
    assert names(tmp_path) == ["file", "nowhere"]


def test_a_read_only_folder_is_said_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(tmp_path))  # also to root
    with pytest.raises(PermissionError, match=f"can be written to, found {tmp_path}, which is rea"):
        files.write_text(tmp_path / "deep" / "m.json", "new")
    assert names(tmp_path) == []


def test_nothing_written_is_an_error(tmp_path):
    caught = pytest.raises(FileNotFoundError, match="atomic_path yields")
    with caught, files.atomic_path(tmp_path / "a"):
        pass


@pytest.mark.parametrize("path", ["", ".", "/", "folder", "pipe"])
def test_what_no_file_can_be_written_to_is_said(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")  # stands for /dev/null too
    with pytest.raises(ValueError, match="expected"), files.atomic_path(path) as temporary:
        temporary.write_text("new")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["folder", "pipe"]
    assert (tmp_path / "pipe").is_fifo()


def test_what_a_link_stands_for_is_replaced(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk/file")
    for text in ("old", "new"):
        files.write_text(tmp_path / "link", text)
    assert (tmp_path / "disk/file").read_text() == "new"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["disk", "link"]


def test_exception_leaves_the_old_file(tmp_path):
    target = tmp_path / "last.pt"
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError), files.atomic_path(target) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError("boom")
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["last.pt"]


def test_disk_full_on_flush_leaves_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "last.pt"
    target.write_bytes(b"old")

    def full(_handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError) as caught:
        files.write_bytes(target, b"new")
    assert caught.value.errno == errno.ENOSPC
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["last.pt"]


def test_failing_write_leaves_the_old_file(tmp_path):
    """A real failure in the middle of a write: the system lets the process write 4 kB a file."""
    resource = pytest.importorskip("resource")
    target = tmp_path / "last.pt"
    target.write_bytes(b"old")
    code = (
        "import sys; from kdltr import files\n"
        "try: files.write_bytes(sys.argv[1], bytes(100_000))\n"
        "except OSError as error: sys.exit(7)\n"
    )
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # noqa: E731
    # -B: the limit would also cut a .pyc file that the import writes
    run = subprocess.run([sys.executable, "-B", "-c", code, str(target)], preexec_fn=limit)
    assert run.returncode == 7
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["last.pt"]


def test_kill_in_mid_write_leaves_the_old_file_and_the_next_save_cleans(tmp_path):
    target = tmp_path / "last.pt"
    target.write_bytes(b"old")
    code = (
        "import sys, time; from kdltr import files\n"
        "with files.atomic_path(sys.argv[1]) as temporary:\n"
        "    temporary.write_bytes(b'half'); sys.stdout.write('writing\\n'); sys.stdout.flush()\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"writing\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert target.read_bytes() == b"old"
    assert len(names(tmp_path)) == 2
    files.write_bytes(target, b"new")
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["last.pt"]


def test_what_a_process_of_the_same_number_left_is_not_taken_over(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_counter", iter([3]))
    left = tmp_path / f".data.{files._HOST}-{os.getpid()}-3.tmp.lmdb"
    left.mkdir()
    (left / "old").touch()
    with files.atomic_path(tmp_path / "data.lmdb") as temporary:
        temporary.mkdir()
        (temporary / "new").touch()
    assert [path.name for path in (tmp_path / "data.lmdb").iterdir()] == ["new"]


def test_a_machine_whose_name_begins_as_this_one_s_keeps_its_temporaries(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_HOST", "h")
    other = tmp_path / ".last.h-17-99999999-0.tmp.pt"  # of process 99999999 on machine h-17
    gone = tmp_path / ".last.h-99999999-0.tmp.pt"
    other.touch(), gone.touch()
    files.write_bytes(tmp_path / "last.pt", b"new")
    assert other.exists() and not gone.exists()


def test_directory_moved_aside_by_a_killed_process_comes_back(tmp_path):
    target = tmp_path / "data.lmdb"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    aside = tmp_path / f".data.{files._HOST}-{gone.pid}-0.tmp.lmdb.aside"
    aside.mkdir()
    (aside / "data.mdb").write_text("old")
    with pytest.raises(RuntimeError), files.atomic_path(target):
        raise RuntimeError("boom")
    assert (target / "data.mdb").read_text() == "old"
    assert names(tmp_path) == ["data.lmdb"]


def test_shipped_files_are_in_the_checkout_or_in_the_package(monkeypatch, tmp_path):
    checkout = files.PACKAGE.parent
    assert files.shipped("manifest.yaml") == checkout / "data/manifest.yaml"
    monkeypatch.setattr(files, "PACKAGE", tmp_path / "kdltr")
    (tmp_path / "kdltr/shipped").mkdir(parents=True)
    assert files.shipped("paper") == tmp_path / "kdltr/shipped/paper"


def test_others_may_read_what_a_writer_makes_for_its_owner_alone(tmp_path):
    (plain := tmp_path / "plain").write_text("as usual")
    with files.atomic_path(tmp_path / "new") as temporary:
        temporary.touch(0o600)  # as safetensors does
    assert (tmp_path / "new").stat().st_mode == plain.stat().st_mode


def test_a_name_may_begin_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.place("~/x") == tmp_path / "x"
    assert files.place("~no-such-user.png") == Path("~no-such-user.png")


def test_another_project_with_a_snakefile_is_no_clone(tmp_path, monkeypatch):
    monkeypatch.delenv(files.ROOT, raising=False)
    monkeypatch.setattr(files, "PACKAGE", tmp_path / "site/kdltr")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Snakefile").touch()
    with pytest.raises(FileNotFoundError, match="expected Snakefile and data/manifest.yaml"):
        files.repository_root()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/manifest.yaml").touch()
    assert files.repository_root() == tmp_path


def test_cores_are_those_that_are_lent(monkeypatch):
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda process: {0, 3}, raising=False)
    assert machine.cores() == 2
