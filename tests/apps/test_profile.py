"""`kdltr report`, `publish`, `clean`, `run`: what they write, print and refuse."""

import pytest

from kdltr import files
from kdltr.apps import profile
from kdltr.apps.command import main
from tests.fabricated import write_main


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The results of a profile with a main table, in a repository root of its own."""
    monkeypatch.setenv("KDLTR_ROOT", str(tmp_path))
    folder = tmp_path / "results/toy"
    write_main(folder)
    return folder


def test_report_writes_the_page_and_says_when_it_is_large(toy, monkeypatch, caplog, capsys):
    assert main(["report", "toy"]) == 0
    assert capsys.readouterr().out == "results/toy/report.html\n"
    assert "</html>" in (toy / "report.html").read_text(encoding="utf-8")
    assert not caplog.records
    monkeypatch.setattr(profile, "LARGE", 1000)
    assert main(["report", "toy"]) == 0
    assert "fewer or smaller figures" in caplog.text


def test_a_run_ends_with_the_table_and_the_path_of_the_report(toy, monkeypatch, capsys):
    (toy / "report.html").touch()
    asked = []
    monkeypatch.setattr(profile.engine, "run", lambda *given: asked.append(given) or 0)
    assert main(["run", "toy", "--cores", "2", "--", "--executor", "slurm", "--jobs", "4"]) == 0
    assert asked == [("toy", toy.parents[1], 2, ("--executor", "slurm", "--jobs", "4"))]
    head, columns, *_, last = capsys.readouterr().out.splitlines()
    assert head == "words read right, percent" and last == "results/toy/report.html"
    assert columns.split()[0] == "easy" and columns.split()[-1] == "average"
    monkeypatch.setattr(profile.engine, "run", lambda *_: 1)
    assert main(["run", "toy"]) == 1 and not capsys.readouterr().out


def test_publishing_refreshes_the_tables_of_readme_if_there_is_one(toy, monkeypatch):
    done = []
    monkeypatch.setattr(profile.tidy, "publish", lambda *given: done.append(given))
    monkeypatch.setattr("kdltr.results.readme.refresh", done.append)
    root = toy.parents[1]
    assert main(["publish", "toy"]) == 0 and done == [("toy", root)]
    (root / "README.md").touch()
    assert main(["publish", "toy"]) == 0 and done[1:] == [("toy", root), root / "README.md"]


@pytest.mark.parametrize(("arguments", "said"), [
    (["report", "other"], "run the profile first"),
    (["publish", "other"], "no profile 'other'"),
    (["clean", "reference"], "committed"),
    (["clean", "tooy"], "no profile 'tooy', and no results of one; nothing removed"),
    (["run", "other"], "no profile 'other'"),
    (["run", "other", "--dry-run"], "no profile 'other'"),
    (["notebook", "none.ipynb", "out.ipynb"], "no such notebook"),
])
def test_what_can_be_mended_is_said_in_one_line(arguments, said, toy, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.splitlines()) == 1
    assert error.startswith(f"kdltr {arguments[0]}: ")


def test_outside_a_checkout_it_says_where_to_start(tmp_path, monkeypatch, capsys):
    """As for one who has installed a wheel, and has no clone."""
    monkeypatch.setattr(files, "PACKAGE", tmp_path / "site-packages/kdltr")
    monkeypatch.chdir(tmp_path)
    assert main(["run", "quick"]) == 2
    assert "start from a clone of the repository" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "said"), [
    (["--minutes", "nan", "--out", "x"], "--minutes must be above 0, found nan"),
    (["--plan", "x.yaml"], "--plan is of a time box"),
    (["--minutes", "2", "--out", "x", "--dry-run"], "a time box (--minutes) has no --dry-run"),
    (["--cores", "-3"], "--cores must be at least 1, found -3"),
])
def test_options_of_a_run_that_cannot_be_are_said(capsys, arguments, said):
    assert main(["run", "quick", *arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "said"), [
    (["parsek"], "unknown model 'parsek'"), (["--repeats", "0"], "--repeats must be at least 1"),
    (["--batch-size", "0"], "--batch-size must be at least 1"),
    (["--warmup", "-1"], "--warmup must be at least 0"),
])
def test_what_cannot_be_measured_is_said_before_anything_is(capsys, arguments, said):
    assert main(["bench", *arguments]) == 2
    assert said in capsys.readouterr().err
