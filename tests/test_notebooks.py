"""Structure of the committed notebooks; nbval replays them in `make test`."""

import ast
import json
import re
from pathlib import Path

import nbformat
import pytest
import yaml

from kdltr.models import create_model
from kdltr.superres import create_upscaler
from kdltr.train import DistillConfig, PretrainConfig
from kdltr.train.config import METHODS
from kdltr.train.models import build_criterion
from kdltr.train.superres import UpscaleConfig
from kdltr.workflow import written
from kdltr.workflow.parameters import NotebookError, check_parameters

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
    assert [p.stem for p in NOTEBOOKS][:6] == [
        "01_data", "02_teacher", "03_distill", "04_textzoom", "05_benchmarks", "06_robustness"]


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


PICTURES = re.compile(r"\b(examples|contact_sheet|image_grid|attention_maps)\(")


@each
def test_figures_that_show_words_lie_where_the_report_does_not_look(path):
    """`plots.pictures_at` says where: photographs are other people's."""
    if path.stem.startswith("13"):  # generated lines, and none of IAM's
        return
    cells = ["".join(cell.source) for cell in nbformat.read(path, 4).cells
             if cell.cell_type == "code"]
    shown = {name for cell in cells for name in re.findall(r'^(\w+) = f".*/figures/', cell, re.M)}
    for cell in (cell for cell in cells if PICTURES.search(cell)):
        assert "/figures/" not in cell and not [name for name in shown if f"{{{name}}}" in cell]


@each
def test_it_is_small(path):
    assert path.stat().st_size < 1_500_000


PROFILES = sorted(path.parent.name for path in (ROOT / "params").glob("*/workflow.yaml"))
RUNS = {}
for profile in PROFILES:
    content, bases = written._read(profile, ROOT)
    for name, entry in content["runs"].items():
        spec = written._spec(name, entry or {}, profile)
        files = written.parameter_files((*spec.params, name), bases, ROOT)
        RUNS[profile, name] = spec, files


def check_training(values):
    """Raise unless a distillation of these settings could start."""
    config = DistillConfig.from_dict({"output_dir": "x"} | values)
    build_criterion(config, create_model(config.student, **config.model | config.student_model))


@pytest.mark.parametrize(("profile", "run"), RUNS)
def test_every_run_s_parameters_fit_its_notebook_and_its_settings(profile, run):
    spec, files = RUNS[profile, run]
    given = parameters(files)
    check_parameters(ROOT / f"notebooks/{spec.notebook}.ipynb", given)
    if spec.notebook == "03_distill":
        check_training({key: given[key] for key in ("teacher", "student") if key in given}
                       | {"weights": given.get("loss_weights") or None} | given.get("recipe", {}))
    key = {"12_ablations": "rows", "13_handwriting": "students"}.get(spec.notebook)
    for changed in given.get(key, {}).values():
        if not isinstance(changed, str):  # the name of the run that trains it
            check_training({"teacher": "dan_nano", "student": "dan_nano_ltr"}
                           | given.get("recipe", {}) | changed)
    if spec.notebook == "11_superresolution":
        made = {"output_dir": "x", "network": given["network"]} | given.get("recipe", {})
        made |= given.get("own", {})
        create_upscaler(given["network"], **UpscaleConfig.from_dict(made).settings)
    if "training" in given:
        PretrainConfig.from_dict({"output_dir": "x"} | given["training"])


@pytest.mark.parametrize(("profile", "run"), [key for key in RUNS if key[1] == "06_robustness"])
def test_two_stage_methods_of_a_profile_are_in_its_curves(profile, run):
    given = parameters(RUNS[profile, run][1])
    there = {name for name, entry in given.get("recognisers", {}).items() if "two_stage" in entry}
    read = {*given.get("two_stage_of", ())}
    assert bool(there) == bool(read) and read <= there


def without_places(value):
    """Parameters as JSON has them, but for what differs from one machine to another."""
    if isinstance(value, dict):
        return {key: without_places(part) for key, part in value.items()
                if key not in ("precision", "photographs", "folders")}
    return [*map(without_places, value)] if isinstance(value, list | tuple) else value


COMMITTED = [key for key in RUNS if (ROOT / f"results/reference/{key[0]}/{key[1]}.json").is_file()]


@pytest.mark.parametrize(("profile", "run"), COMMITTED)
def test_committed_results_are_of_the_parameters_that_are_there(profile, run):
    made = json.loads((ROOT / f"results/reference/{profile}/{run}.json").read_text())["parameters"]
    given = without_places(parameters(RUNS[profile, run][1]))
    assert {name: without_places(made.get(name)) for name in given} == given


def test_every_parameter_file_is_read_by_a_run():
    read_by_some = {file for _, files in RUNS.values() for file in files}
    there = {str(p.relative_to(ROOT)) for p in (ROOT / "params").glob("*/*.yaml")
             if p.stem != "workflow"}
    assert there == read_by_some


@pytest.mark.parametrize("profile", ["quick", "paper", "ci", "handwriting", "iam"])
def test_fine_tuning_differs_from_distillation_in_the_losses_alone(profile):
    pairs = [(name, name.replace("finetune", "distill")) for known, name in RUNS
             if known == profile and name.startswith("finetune")]
    assert pairs
    for both in pairs:
        given = [parameters(RUNS[profile, name][1]) for name in both]
        assert given[0].pop("loss_weights") != given[1].pop("loss_weights")
        assert given[0] == given[1]


def parameters(files):
    """Values of parameter files, the later ones over the earlier."""
    merged = {}
    for file in files:
        merged |= yaml.safe_load((ROOT / file).read_text(encoding="utf-8")) or {}
    return merged


ENTRY = {"weights": "a.pt", "student": "parseq_nano_ltr", "students": {}}


@pytest.mark.parametrize(("notebook", "given", "said"), [
    ("01_data", {"shown": 0}, "shown must be greater than 0, found 0"),
    ("03_distill", {"seeds": [7, 7]}, "seeds: expected each once, found 7 twice"),
    ("03_distill", {"seeds": []}, "seeds: expected at least one, found none"),
    ("12_ablations", {"seeds": []}, "seeds: expected at least one, found none"),
    ("12_ablations", {"rows": {}}, "rows: expected at least one, found none"),
    ("02_teacher", {"test_sets": {}}, "test_sets: expected at least one, found none"),
    ("04_textzoom", {"test_sets": {}}, "test_sets: expected at least one, found none"),
    ("08_examples", {"each": 0}, "each must be greater than 0, found 0"),
    ("09_read", {"words": 0}, "words must be greater than 0, found 0"),
    *((name, {"recognisers": {}}, "recognisers: expected at least one, found none") for name in (
        "04_textzoom", "05_benchmarks", "06_robustness", "07_efficiency", "08_examples",
        "10_photographs")),
    ("04_textzoom", {"recognisers": {"parseq_nano": ENTRY}},
     "recognisers.parseq_nano.students: expected at least one, found none"),
])
def test_what_would_leave_a_notebook_without_anything_is_refused(notebook, given, said):
    with pytest.raises(NotebookError, match=said):
        check_parameters(ROOT / f"notebooks/{notebook}.ipynb", given)


@each
def test_its_set_up_checks_the_parameters(path):
    lines = [line for cell in code(read(path)) for line in cell.source.splitlines()]
    checks = lines.index("parameters = checked(__annotations__, globals())")
    assert "root = setup()" in lines[:checks]  # from there on an error is shown in one line


def test_every_method_of_distillation_has_weights_of_its_own_in_the_notebook():
    """Its default leaves them to the method, whichever `recipe` names."""
    namespace = {}
    exec(code(read(ROOT / "notebooks/03_distill.ipynb"))[0].source, namespace)
    for method, weights in METHODS.items():
        made = DistillConfig.from_dict(
            {"output_dir": "x", "weights": namespace["loss_weights"] or None, "method": method})
        assert made.weights == weights
