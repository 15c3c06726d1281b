"""Structure of the committed notebooks (DESIGN §9); nbval replays them in `make test`."""

import ast
import re
from pathlib import Path

import nbformat
import pytest
import yaml

from kdltr.notebook import check_parameters

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LONGEST = 15  # lines of a cell
MACHINE = re.compile(r"(?<![\w.])/(home|root|work|Users|tmp|mnt|opt)/|[A-Z]:\\\\Users")
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_the_notebooks_are_there():
    assert [p.stem for p in NOTEBOOKS][:4] == ["01_data", "02_teacher", "03_distill", "04_textzoom"]


@each
def test_cells_are_short_and_define_no_class(path):
    for cell in read(path).cells:
        assert len(cell.source.splitlines()) <= LONGEST, cell.source
    for cell in code(read(path)):
        assert not any(isinstance(n, ast.ClassDef) for n in ast.walk(ast.parse(cell.source)))


@each
def test_it_asks_first_and_reads_last(path):
    cells = read(path).cells
    assert cells[0].cell_type == "markdown" and cells[0].source.startswith("# ")
    assert "?" in cells[0].source
    assert cells[-1].cell_type == "markdown" and cells[-1].source.startswith("## Reading")


@each
def test_parameters_are_annotated_literals_with_a_reason(path):
    tagged = [c for c in code(read(path)) if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1 and tagged[0] is not None
    source = tagged[0].source
    lines = source.splitlines()
    for statement in ast.parse(source).body:
        assert isinstance(statement, ast.AnnAssign), ast.unparse(statement)
        ast.literal_eval(statement.value)  # nothing derived
        above = lines[statement.lineno - 2] if statement.lineno > 1 else ""
        own = lines[statement.lineno - 1 : statement.end_lineno]
        name = statement.target.id
        explained = any("#" in line for line in own) or above.startswith("#")
        assert explained or name in source.split("#", 1)[1], f"{path.stem}: why is {name} so?"


@each
def test_it_is_executed_in_order_and_says_nothing_on_stderr(path):
    cells = code(read(path))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert "execution" not in cell.metadata  # timing: a change at every execution
        for output in cell.outputs:
            assert output.output_type != "error" and output.get("name") != "stderr", output


@each
def test_it_names_no_machine(path):
    for cell in read(path).cells:
        shown = [cell.source]
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            shown += [output.get("text", ""), data.get("text/html", ""), data.get("text/plain", "")]
        for text in shown:
            assert not MACHINE.search(text), MACHINE.search(text)


@each
def test_it_is_small(path):
    assert path.stat().st_size < 1_500_000


RUNS = [
    (profile.name, name)
    for profile in sorted((ROOT / "params").iterdir()) if (profile / "workflow.yaml").is_file()
    for name in sorted(p.stem for p in profile.glob("*.yaml") if p.stem != "workflow")
]  # fmt: skip


@pytest.mark.parametrize(("profile", "run"), RUNS)
def test_every_parameter_file_fits_its_notebook_and_its_settings(profile, run):
    plan = yaml.safe_load((ROOT / f"params/{profile}/workflow.yaml").read_text())
    entry = plan.get("runs", {}).get(run)
    if entry is None:
        base = yaml.safe_load((ROOT / f"params/{plan['base']}/workflow.yaml").read_text())
        entry = base["runs"][run]
    given = yaml.safe_load((ROOT / f"params/{profile}/{run}.yaml").read_text()) or {}
    notebook = (entry or {}).get("notebook", run)
    check_parameters(ROOT / f"notebooks/{notebook}.ipynb", given)
    if notebook == "03_distill":
        from kdltr.train import DistillConfig

        DistillConfig.from_dict({"output_dir": "x"} | given.get("recipe", {}))
    if "training" in given:
        from kdltr.train import PretrainConfig

        PretrainConfig.from_dict({"output_dir": "x"} | given["training"])


def test_fine_tuning_differs_from_distillation_in_the_losses_alone():
    for profile in ("quick", "paper", "ci"):
        both = [
            yaml.safe_load((ROOT / f"params/{profile}/{name}_parseq.yaml").read_text())
            for name in ("distill", "finetune")
        ]
        for parameters in both:
            parameters.pop("loss_weights", None)
        assert both[0] == both[1], profile
