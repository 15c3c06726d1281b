"""The papermill wrapper: parameters, atomic output, failures, progress."""

import json
import logging
import os
import sys
from pathlib import Path

import nbformat
import pytest

from kdltr import files
from kdltr.apps.command import main
from kdltr.workflow.notebook import run_notebook
from kdltr.workflow.parameters import (
    NotebookError,
    at_home,
    check_parameters,
    declarations,
    read_parameters,
)

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
    with pytest.raises(NotebookError, match="expected a file of settings at .*no such file"):
        read_parameters([str(tmp_path / "absent.yaml")], [])
    second.write_text("- steps\n")
    with pytest.raises(NotebookError, match="expected `name: value`"):
        read_parameters([str(second)], [])


def test_a_missing_notebook_is_named(tmp_path):
    with pytest.raises(NotebookError, match=r"absent\.ipynb: no such notebook"):
        run_notebook(tmp_path / "absent.ipynb", tmp_path / "out.ipynb", {})


def test_a_notebook_is_not_replaced_by_its_own_run(book):
    before = book.read_bytes()
    with pytest.raises(NotebookError, match="another file than the notebook itself"):
        run_notebook(book, book.parent / "." / book.name, {})
    assert book.read_bytes() == before


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


DEEP = """
from_where: str = "here"  # text
sets: list[str] = ["a"]  # several
sizes: dict[str, int] = {"a": 1}  # by name
recipe: "Settings" = {}  # of a dataclass that the notebook imports
runs: dict[str, "Settings"] = {}  # several of them
odd: "Nothing" = 1  # what is not imported is not checked
"""


@pytest.fixture
def deep(tmp_path) -> Path:
    """A notebook whose parameters have types all the way down."""
    return write(tmp_path / "deep.ipynb", "from kdltr.bench import Settings", parameters=DEEP)


@pytest.mark.parametrize(("given", "said"), [
    ({"sets": "train1"}, "sets must be a list, found 'train1'"),
    ({"sets": ["a", 1]}, "sets.1 must be text"),
    ({"sizes": {"a": "8"}}, "sizes.a must be a whole number, found '8'"),
    ({"sizes": "a"}, "sizes must be `name: value` lines"),
    ({"recipe": {"pairs": "8"}}, "recipe.pairs must be a whole number"),
    ({"recipe": {"pair": 8}}, "recipe: unknown setting 'pair'; did you mean 'pairs'"),
    ({"runs": {"x": {"warmup": 1.5}}}, "runs.x.warmup must be a whole number"),
    ({"from_where": None}, "from_where must be text"),
])
def test_parameters_have_types_all_the_way_down(deep, given, said):
    with pytest.raises(NotebookError, match=f"deep.ipynb: parameter {said}") as caught:
        check_parameters(deep, given)
    assert caught.value.status == 2
    check_parameters(deep, {"recipe": {"pairs": 8}, "sets": [], "odd": "anything"})


@pytest.mark.parametrize("value", ["@words", "", "2024", "yes", "null", "a: b: c", "#1", "*.png",
                                   "~", "[x", "1e-3", " x "])
def test_a_text_parameter_is_taken_as_it_stands(deep, value):
    declared = declarations(deep)
    assert read_parameters([], [["from_where", value]], declared) == {"from_where": value}
    assert read_parameters([], [["from_where", "'a b'"]], declared) == {"from_where": "a b"}
    assert read_parameters([], [["sets", "[a, b]"]], declared) == {"sets": ["a", "b"]}


def test_what_is_no_yaml_is_named(deep, tmp_path, capsys):
    with pytest.raises(NotebookError, match="parameter 'sets': expected YAML"):
        read_parameters([], [["sets", "[a"]], declarations(deep))
    (tmp_path / "latin.yaml").write_bytes(b"from_where: w\xf6rter\n")
    (tmp_path / "open.yaml").write_text("sets: [\n")
    for name, said in (("latin", "UTF-8"), ("open", "expected YAML")):
        file = tmp_path / f"{name}.yaml"
        with pytest.raises(NotebookError, match=f"{name}.yaml: .*{said}"):
            read_parameters([str(file)], [])
    (tmp_path / "no.ipynb").write_text("<html>")
    assert main(["notebook", str(tmp_path / "no.ipynb"), str(tmp_path / "out.ipynb")]) == 2
    assert "expected a Jupyter notebook" in capsys.readouterr().err


def test_home_is_understood_at_any_depth(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert at_home({"a": "~/x", "b": ["~", "x~", "~you"], "c": {"d": 1}}) == {
        "a": "/home/me/x", "b": ["/home/me", "x~", "~you"], "c": {"d": 1}}


def test_the_kernel_is_this_interpreter_and_braces_are_no_syntax(book, tmp_path, monkeypatch):
    """Whatever the notebook and the machine say, and without a home that can be written."""
    foreign = tmp_path / "share/kernels/python3/kernel.json"
    foreign.parent.mkdir(parents=True)
    foreign.write_text('{"argv": ["/no/python", "{connection_file}"], "display_name": "x", '
                       '"language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share"))
    monkeypatch.setenv("HOME", "/proc/1/none")
    document = json.loads(book.read_text())
    del document["metadata"]["kernelspec"]
    document["cells"][-1]["source"] = "import os, sys\nprint(sys.executable, os.environ['HOME'])"
    source = tmp_path / "a {1} b" / "x {y.ipynb"
    source.parent.mkdir()
    source.write_text(json.dumps(document))
    run_notebook(source, tmp_path / "{out}" / "run.ipynb", {})
    (output,) = nbformat.read(tmp_path / "{out}" / "run.ipynb", 4).cells[-1].outputs
    program, home = output.text.split()
    assert program == sys.executable and "kdltr-home-" in home
    assert os.environ["HOME"] == "/proc/1/none"


def test_what_can_be_mended_has_no_traceback_and_its_own_status(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(files.ROOT, str(tmp_path))
    book = write(tmp_path / "book.ipynb", "from kdltr.files import setup\nroot = setup()",
                 "from kdltr.data.images import image_files\nimage_files('nowhere')")
    assert main(["notebook", str(book), str(tmp_path / "run.ipynb")]) == 2
    assert "ImageError: nowhere: expected a folder of images" in capsys.readouterr().err
    kept = nbformat.read(tmp_path / "run.failed.ipynb", 4).cells[-1].outputs[0]
    assert len(kept.traceback) == 1 and kept.ename == "ImageError"
    document = json.loads(book.read_text())
    document["cells"][-1]["source"] = "1 / 0"
    book.write_text(json.dumps(document))
    assert main(["notebook", str(book), str(tmp_path / "run.ipynb")]) == 1
    assert len(nbformat.read(tmp_path / "run.failed.ipynb", 4).cells[-1].outputs[0].traceback) > 1
