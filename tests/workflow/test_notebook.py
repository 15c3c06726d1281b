"""The papermill wrapper: parameters, atomic output, failures, progress."""

import json
import logging
import os
from pathlib import Path

import nbformat
import pytest

from kdltr import files
from kdltr.apps.command import main
from kdltr.workflow.notebook import run_notebook
from kdltr.workflow.parameters import NotebookError, check_parameters, read_parameters

PARAMETERS = """
steps: int = 2  # few, for a test
learning_rate: float = 5e-5
recogniser: str = "parseq_nano_ltr"
resume: bool = True
checkpoint = None
"""


def write(path: Path, *cells: str, parameters: str = PARAMETERS) -> Path:
    """A notebook with a `parameters` cell."""
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    book = nbformat.v4.new_notebook(cells=[first, *map(nbformat.v4.new_code_cell, cells)])
    book.metadata["kernelspec"] = {
        "name": "python3",
        "language": "python",
        "display_name": "Python 3",
    }
    nbformat.write(book, path)
    return path


@pytest.fixture
def book(tmp_path, monkeypatch) -> Path:
    """A notebook that passes, in a repository root of its own."""
    monkeypatch.setenv(files.ROOT, str(tmp_path))
    cell = (
        "import logging, os\nfrom kdltr.files import setup\nroot = setup()\n"
        "logging.getLogger('kdltr.train').info('step %d of %d', steps, steps)\n"
        "print(os.getcwd(), os.environ['OMP_NUM_THREADS'], steps)"
    )
    return write(tmp_path / "book.ipynb", cell)


def test_an_unknown_parameter_suggests_the_nearest(book, tmp_path, capsys):
    assert main(["notebook", str(book), str(tmp_path / "out.ipynb"), "-p", "step", "3"]) == 2
    assert "no parameter 'step'; did you mean 'steps'?" in capsys.readouterr().err
    with pytest.raises(NotebookError, match=r"Known: .*recogniser"):
        check_parameters(book, {"xyz": 1})
    assert not (tmp_path / "out.ipynb").exists()


@pytest.mark.parametrize(
    "given",
    [
        {"steps": "3"},
        {"steps": True},
        {"steps": 1.5},
        {"learning_rate": "1e-3"},
        {"recogniser": 3},
        {"resume": "no"},
    ],
)
def test_a_value_of_another_type_is_refused(book, given):
    with pytest.raises(NotebookError, match=f"parameter {next(iter(given))} must be"):
        check_parameters(book, given)


def test_values_of_the_declared_types_pass(book):
    check_parameters(book, {"steps": 3, "learning_rate": 1, "checkpoint": "a.pt", "resume": False})


def test_files_and_pairs_merge_and_the_later_wins(tmp_path):
    first, second = tmp_path / "1.yaml", tmp_path / "2.yaml"
    first.write_text("steps: 3\nseed: 1\n")
    second.write_text("steps: 4\n")
    merged = read_parameters([str(first), str(second)], [["seed", "7"], ["name", "x"]])
    assert merged == {"steps": 4, "seed": 7, "name": "x"}
    with pytest.raises(NotebookError, match="no such parameter file"):
        read_parameters([str(tmp_path / "absent.yaml")], [])
    second.write_text("- steps\n")
    with pytest.raises(NotebookError, match="expected `name: value`"):
        read_parameters([str(second)], [])


def test_a_missing_notebook_is_named(tmp_path):
    with pytest.raises(NotebookError, match=r"absent\.ipynb: no such notebook"):
        run_notebook(tmp_path / "absent.ipynb", tmp_path / "out.ipynb", {})


def test_it_runs_from_the_root_with_threads_and_shows_progress(book, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir("/")
    target = tmp_path / "out" / "run.ipynb"
    failed = target.with_name("run.failed.ipynb")
    failed.parent.mkdir()
    failed.write_text("of an earlier run")
    run_notebook(book, target, {"steps": 5}, "run (1/1)", 3, tmp_path / "job.json")
    outputs = nbformat.read(target, 4).cells[-1].outputs
    assert outputs[0].text.split() == [str(tmp_path), "3", "5"]
    said = capsys.readouterr().err
    assert "run (1/1): started book.ipynb" in said
    assert "run (1/1): step 5 of 5" in said
    assert "run (1/1): finished in" in said
    left = {p.name for p in target.parent.iterdir()}
    assert left == {"run.ipynb", "run.progress.log"}
    assert not (tmp_path / "job.json").exists()


def test_a_failed_cell_keeps_the_partial_notebook_and_the_old_result(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(files.ROOT, str(tmp_path))
    book = write(tmp_path / "book.ipynb", "print('before')", "1 / 0")
    target = tmp_path / "run.ipynb"
    target.write_text("the last good one")
    assert main(["notebook", str(book), str(target)]) == 1
    said = capsys.readouterr().err
    assert "raised ZeroDivisionError: division by zero" in said
    assert str(tmp_path / "run.failed.ipynb") in said
    assert target.read_text() == "the last good one"
    kept = json.loads((tmp_path / "run.failed.ipynb").read_text())
    assert "ZeroDivisionError" in json.dumps(kept) and "before" in json.dumps(kept)
    assert not (tmp_path / "run.partial.ipynb").exists()


def test_set_up_leaves_logging_alone_in_jupyter(tmp_path, monkeypatch):
    monkeypatch.setenv(files.ROOT, str(tmp_path))
    monkeypatch.delenv(files.PROGRESS, raising=False)
    monkeypatch.chdir("/")
    handlers = list(logging.getLogger("kdltr").handlers)
    assert files.setup() == tmp_path == Path(os.getcwd())
    assert logging.getLogger("kdltr").handlers == handlers


def test_the_root_is_the_checkout(monkeypatch):
    monkeypatch.delenv(files.ROOT, raising=False)
    assert (files.repository_root() / "Snakefile").is_file()
