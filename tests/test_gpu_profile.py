"""Profile `gpu`: its runs fit each other, and take two steps at toy widths on a CPU."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from kdltr.generator.render_shards import write_shards
from kdltr.models import create_model
from kdltr.train import DistillConfig, PretrainConfig, distill, pretrain
from kdltr.workflow.plan import load_plan
from tests.test_paper import config_of, parameters_of
from tests.train.conftest import ABINET_SIZES
from tests.train.conftest import SIZES as PARSEQ_SIZES

ROOT = Path(__file__).parents[1]
NAMES = ("parseq", "abinet", "matrn")
FEW = {"steps": 2, "batch_size": 4, "validate_every": 2, "validation_words": 4, "device": "cpu",
       "threads": 1, "compile": "no"}  # fmt: skip


@pytest.fixture(scope="module")
def runs():
    """The runs of the profile by name."""
    return {run.name: run for run in load_plan("gpu", ROOT).runs}


def trained(runs, name) -> PretrainConfig:
    """The settings of a teacher, as notebook 02_teacher makes them."""
    given = parameters_of(runs[f"teacher_{name}"], ROOT)
    folder = {"output_dir": f"results/gpu/teacher_{name}"}
    return PretrainConfig.from_dict(folder | given["training"])


def distilled(runs, name) -> DistillConfig:
    """The settings of a student, by the cells of notebook 03_distill."""
    config = config_of(runs[f"distill_{name}"], ROOT)
    return dataclasses.replace(config, output_dir=f"results/gpu/distill_{name}")


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Twelve pairs."""
    return str(write_shards(tmp_path_factory.mktemp("shards") / "train2", 12, seed=1))


def test_every_run_comes_after_what_it_reads_and_nothing_is_downloaded(runs):
    assert [*runs][:1] + [*runs][-2:] == ["01_data", "04_textzoom", "10_photographs"]
    assert set(runs) == {"01_data", "04_textzoom", "10_photographs"} | {
        f"{kind}_{name}" for kind in ("teacher", "distill") for name in NAMES}
    for run in runs.values():
        assert run.name == "01_data" or run.gpu == 1
        there = ("data/paper/", "data/peers.csv", "data/photographs/")
        assert all(path.startswith(there) for path in run.inputs)
    for name in NAMES:
        assert runs[f"teacher_{name}"].outputs[0] in runs[f"distill_{name}"].needed
    assert runs["teacher_abinet"].outputs[0] in runs["teacher_matrn"].needed


def test_what_one_run_writes_the_next_reads(runs):
    data = parameters_of(runs["01_data"], ROOT)
    made = {f"{data['data_root']}/shards/{split}": given for split, given in data["shards"].items()}
    table = parameters_of(runs["04_textzoom"], ROOT)
    crops = parameters_of(runs["10_photographs"], ROOT)
    assert crops["recognisers"] == table["recognisers"]
    tests = parameters_of(runs["teacher_parseq"], ROOT)["data_root"]
    assert data["data_root"] == table["data_root"] == tests
    assert table["generate"] == {} and {*data["folders"]} <= {*made}
    for name in NAMES:
        evaluated = parameters_of(runs[f"teacher_{name}"], ROOT)
        teacher, student = trained(runs, name), distilled(runs, name)
        weights = f"results/gpu/teacher_{name}/best.safetensors"
        entry = table["recognisers"][name]
        assert evaluated["teacher"] == teacher.model == student.teacher == name
        assert evaluated["teacher_weights"] == entry["weights"] == weights
        assert student.teacher_weights == weights
        assert teacher.shards in made and student.data[0] in made
        assert teacher.shards != student.data[0]  # the teacher has not seen the students' words
        assert student.student == entry["student"] == f"{name}_ltr"
        assert entry["students"]["distilled"] == runs[f"distill_{name}"].outputs[1]
        ship_to = parameters_of(runs[f"distill_{name}"], ROOT)["ship_to"]
        assert ship_to == ("data/weights/parseq_ltr.safetensors" if name == "parseq" else "")
    assert trained(runs, "matrn").start_from == "results/gpu/teacher_abinet/best.safetensors"


def test_the_stated_counts_are_those_of_the_settings(runs):
    """Words, and minutes at 200 TFLOP/s, in the comment of workflow.yaml."""
    text = (ROOT / "params/gpu/workflow.yaml").read_text()
    data = parameters_of(runs["01_data"], ROOT)["shards"]
    lines = [line.strip("# ").split() for line in text.splitlines()]
    stated = {line[0]: line[1:] for line in lines if line and line[0] in runs and len(line) == 6}
    assert len(stated) == 6
    for run, (multiply_adds, words, unit, operations, minutes) in stated.items():
        kind, name = run.split("_")
        if kind == "teacher":
            config = trained(runs, name)
            seen = config.steps * config.batch_size
        else:
            config = distilled(runs, name)
            n = data["train2"]["n"]
            per_epoch = (n - round(n * config.validation)) // config.batch_size
            seen = config.epochs * per_epoch * config.batch_size
        assert unit == "M" and words == f"{seen / 1e6:.1f}"
        flop = 2e9 * float(multiply_adds) * seen
        assert abs(flop / 1e15 - float(operations)) <= 1
        assert abs(flop / 200e12 / 60 - float(minutes)) <= 0.6


@pytest.mark.parametrize("name", NAMES)
def test_two_steps_at_toy_widths(name, runs, shards, tmp_path):
    sizes = PARSEQ_SIZES if name == "parseq" else ABINET_SIZES | {"dropout": 0.0}
    teacher = dataclasses.replace(
        trained(runs, name), output_dir=str(tmp_path / "teacher"), shards=shards, settings=sizes,
        start_from=None, **FEW)  # fmt: skip
    weights = pretrain(teacher).weights
    student = dataclasses.replace(
        distilled(runs, name), output_dir=str(tmp_path / "student"), data=(shards,), model=sizes,
        teacher_weights=str(weights), epochs=1, steps_per_epoch=2, batch_size=4, validate_every=2,
        start="published", validation=0.2, device="cpu", threads=1, compile="no")  # fmt: skip
    result = distill(student)
    assert (result.steps, result.best_step) == (2, 2)
    create_model(f"{name}_ltr", result.weights, **sizes)


def test_the_target_starts_the_profile():
    makefile = (ROOT / "Makefile").read_text()
    assert "kdltr run gpu" in makefile.split("\ngpu:")[1].split("\n\n")[0]
    assert yaml.safe_load((ROOT / "params/gpu/workflow.yaml").read_text()).get("verify") is None
