"""Profiles `handwriting` and `iam`: their runs fit each other, and the second wants IAM."""

import json
from pathlib import Path

import pytest

from kdltr.models import create_model
from kdltr.models.weights import load_recogniser
from kdltr.results import read_result
from kdltr.train import DistillConfig
from kdltr.workflow.notebook import run_notebook
from kdltr.workflow.parameters import read_parameters
from kdltr.workflow.plan import load_plan
from kdltr.workflow.processes import WorkflowError

ROOT = Path(__file__).parents[1]
FILES = {"teacher": ["lines", "teacher"], "distill": ["distill"],
         "finetune": ["distill", "finetune"], "13_handwriting": ["lines", "13_handwriting"]}


def given(profile, run):
    folders = {"handwriting": ["handwriting"], "iam": ["handwriting", "iam"]}[profile]
    paths = (ROOT / f"params/{folder}/{name}.yaml" for folder in folders for name in FILES[run])
    return read_parameters([str(path) for path in paths if path.is_file()], [])


def test_the_plan_of_generated_lines():
    plan = load_plan("handwriting", ROOT)
    runs = {run.name: run for run in plan.runs}
    assert list(runs) == ["teacher", "distill", "finetune", "13_handwriting"]
    for name, run in runs.items():
        assert set(run.parameter_files) == {f"params/handwriting/{f}.yaml" for f in FILES[name]}
    assert runs["teacher"].state == ("data/generated/handwriting", "results/handwriting/teacher")
    made = {path for run in plan.runs for path in run.outputs}
    assert set(given("handwriting", "13_handwriting")["students"].values()) <= made


@pytest.mark.parametrize("profile", ["handwriting", "iam"])
def test_its_runs_speak_of_the_same_lines_teacher_and_student(profile):
    runs = {run: given(profile, run) for run in FILES}
    assert {tuple(run.get("iam", {})) for run in (runs["teacher"], runs["13_handwriting"])} == {
        ("train", "validation", "test") if profile == "iam" else ()}
    assert len({run["data_root"] for run in runs.values()}) == 1
    weights = f"results/{profile}/teacher/best.safetensors"
    assert {runs[run]["teacher_weights"] for run in ("distill", "13_handwriting")} == {weights}
    assert runs["teacher"]["teacher_weights"] == "" and not runs["teacher"]["students"]
    config = DistillConfig.from_dict({"output_dir": "x"} | {
        name: runs["distill"][name] for name in ("teacher", "student")} | runs["distill"]["recipe"])
    teacher = runs["teacher"].get("teacher", "dan_nano")
    assert config.teacher == teacher and config.student == f"{teacher}_ltr"
    student = create_model(config.student, **config.student_model)
    assert student.config.scale == runs["13_handwriting"]["scale"]
    assert runs["distill"]["train_sets"] == ["train"]


def test_the_plan_of_iam_names_what_is_missing(tmp_path):
    for name in ("notebooks", "params", "kdltr"):
        (tmp_path / name).symlink_to(ROOT / name)
    with pytest.raises(WorkflowError, match=r"missing: data/iam/lines.txt, .*data/iam/train.txt"):
        load_plan("iam", tmp_path)


def test_the_notebook_trains_a_teacher_and_ships_it(tmp_path):
    shipped = tmp_path / "mine.safetensors"
    run_notebook(ROOT / "notebooks/13_handwriting.ipynb", tmp_path / "done.ipynb", {
        "output_dir": str(tmp_path), "data_root": str(tmp_path / "lines"), "levels": [0.0],
        "lines": {"train": 8, "validation": 2, "test": 2}, "teacher_weights": "", "students": {},
        "training": {"steps": 2, "batch_size": 4, "threads": 1}, "ship_to": str(shipped)})
    assert load_recogniser(shipped).name == "dan_nano"
    card = json.loads(shipped.with_suffix(".card.json").read_text())
    assert (card["steps"], card["lines"]) == (2, 8) and "WER" in card["errors on sharp test lines"]
    rows = read_result(tmp_path / "13_handwriting.json").rows
    assert {row.method for row in rows} == {"teacher on HR", "bicubic"}
