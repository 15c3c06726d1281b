"""The command line as a whole: help that fits a screen, errors in one line, a light start."""

import os
import signal
import subprocess
import sys

import pytest

from kdltr.apps.command import COMMANDS, main, parse
from kdltr.checkpoint import CheckpointError
from kdltr.extras import MissingExtra
from kdltr.files import atomic_path


def start(*arguments, **options):
    """`python -m kdltr` with arguments, in a process of its own."""
    return subprocess.run([sys.executable, "-m", "kdltr", *arguments], text=True,
                          capture_output=True, **options)


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_fits_a_screen_and_ends_with_an_example_that_is_right(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*name.split(), "--help"])
    text = capsys.readouterr().out.rstrip("\n")
    lines = text.splitlines()
    assert stop.value.code == 0
    assert len(lines) <= 24 and max(map(len, lines)) <= 80, text
    assert lines[-2] == "example:" and lines[-1].startswith("  kdltr ")
    example = lines[-1].split()
    parsed = parse(example[1:])  # exits if it is wrong
    assert not name or COMMANDS[name][1] in ("", parsed.does)


def test_the_list_names_every_command(capsys):
    for group in ("", "data"):
        with pytest.raises(SystemExit):
            main([*group.split(), "--help"])
        said = capsys.readouterr().out
        below = [name.removeprefix(group).strip() for name in COMMANDS
                 if name.startswith(group) and name != group]
        assert all(f"\n  {name} " in said for name in below if " " not in name)


@pytest.mark.parametrize(("arguments", "said"), [
    ([], "required: COMMAND; see kdltr --help"),
    (["raed"], "invalid choice: 'raed' (choose from 'read',"),
    (["read"], "required: IMAGE; see kdltr read --help"),
    (["run", "quick", "--cores", "two"], "invalid int value: 'two'; see kdltr run --help"),
    (["data", "shards", "x", "--pairs", "1", "--split", "test"], "invalid choice: 'test'"),
    (["bundle", ""], "argument FILE.tar.gz: expected a path, found none; see kdltr bundle --help"),
    (["read", "a.png", ""], "argument IMAGE: expected a path, found none; see kdltr read --help"),
    (["export", "x", "."], "argument FILE.onnx: expected a file to write, found the folder ."),
    (["export", "x", os.devnull], f"found the device {os.devnull}"),
    (["export", "x", "x" * 300], "expected a file to write, found File name too long"),
    (["export", "x", f"{__file__}/deep/x.onnx"], f"found {__file__}, which is none; name another"),
])
def test_a_wrong_option_is_one_line_and_status_2(arguments, said, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    error = capsys.readouterr().err
    assert stop.value.code == 2 and said in error and len(error.splitlines()) == 1


@pytest.mark.parametrize("arguments", [
    ["notebook", "a.ipynb", "b.ipynb", "--threads"],
    ["data", "generate", "a", "train1=1", "--workers"],
])
def test_processes_and_threads_have_a_bound(arguments, capsys):
    assert main([*arguments, "100000"]) == 2
    assert f"{arguments[-1]} must be less than or equal to" in capsys.readouterr().err


def raising(monkeypatch, error):
    """Make `kdltr read` raise."""
    def fail(_):
        raise error

    monkeypatch.setattr("kdltr.apps.read.command", fail)


@pytest.mark.parametrize("error", [
    FileNotFoundError("no such file"), MissingExtra("no package"), CheckpointError("damaged")])
def test_what_can_be_mended_is_said(error, monkeypatch, capsys):
    raising(monkeypatch, error)
    assert main(["read", "x.png"]) == 2
    assert capsys.readouterr().err == f"kdltr read: {error}\n"


@pytest.mark.parametrize("error", [RuntimeError("a bug"), ValueError("from deep down")])
def test_a_fault_of_the_program_keeps_its_traceback(error, monkeypatch):
    raising(monkeypatch, error)
    with pytest.raises(type(error)):
        main(["read", "x.png"])


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_being_told_to_end_is_one_line_and_leaves_nothing_half_written(
    number, status, tmp_path, monkeypatch, capsys
):
    def write(_):
        with atomic_path(tmp_path / "result") as temporary:
            temporary.write_text("half")
            signal.raise_signal(number)

    monkeypatch.setattr("kdltr.apps.read.command", write)
    before = signal.getsignal(number)
    assert main(["read", "x.png"]) == status
    assert capsys.readouterr() == ("", "kdltr read: interrupted; what was finished is kept\n")
    assert not list(tmp_path.iterdir()) and signal.getsignal(number) is before


HELP = "from kdltr.apps.command import main\ntry: main(['read', '--help'])\nexcept SystemExit: pass"


@pytest.mark.parametrize(("code", "heavy"), [
    ("import kdltr", "torch numpy pandas matplotlib"),
    (HELP, "torch numpy pandas matplotlib"),
    ("import kdltr.generator.synthetic", "torch pandas matplotlib"),  # where words are rendered
    ("import kdltr.results", "accelerate scipy matplotlib"),
    ("from kdltr.extras import require; require('papermill', 'notebooks')", "rfc3987_syntax torch"),
])
def test_what_takes_long_to_import_is_imported_where_it_is_needed(code, heavy):
    code += f"\nimport sys; sys.exit(', '.join(sys.modules.keys() & set({heavy.split()})) or 0)"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, text=True,
                          stderr=subprocess.PIPE)
    assert not done.returncode, done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_a_closed_output_is_no_traceback(closed):
    done = subprocess.run(["sh", "-c", f'"$0" -m kdltr distill none.yaml {closed}', sys.executable],
                          capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_both_ways_of_starting_are_the_same(tmp_path):
    done = start("read", "none.png", "--weights", "none", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("kdltr read: expected a file of weights")
    assert start("--version").stdout.startswith("kdltr ")
