"""Profile `textzoom_ablations`: its rows are settings that exist, and in small it runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kdltr.generator.synthetic import write_textzoom_like
from kdltr.losses.baselines import BASELINES
from kdltr.results import read_result
from kdltr.train import DistillConfig
from kdltr.workflow.parameters import read_parameters

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "params/textzoom_ablations"


JOBS = ("main", "distillers", "classics", "terms", "settings", "upsampled")


def given(name):
    return read_parameters([str(FOLDER / f"{file}.yaml") for file in ("ablations", name)], [])


def test_every_row_is_a_change_of_the_default_and_is_taken_from_its_jobs():
    jobs, whole = {name: given(name) for name in JOBS}, given("12_ablations")
    trained = {row: name for name, job in jobs.items() for row, changes in job["rows"].items()
               if not isinstance(changes, str)}  # fmt: skip
    assert whole["rows"] == trained and next(iter(trained)) == "default"
    given_rows = ((jobs[name]["recipe"], jobs[name]["rows"][row]) for row, name in trained.items())
    default, *others = (DistillConfig.from_dict({"output_dir": "x"} | recipe | changes)
                        for recipe, changes in given_rows)
    assert default.method == "kd-ltr" and not default.losses
    assert all(other != default for other in others)
    for other in others:
        own = BASELINES.get(other.method)
        assert own is None or other.weights == own  # as its paper has them


def test_seeds_are_those_of_the_jobs():
    whole, plan = given("12_ablations"), yaml.safe_load((FOLDER / "workflow.yaml").read_text())
    for name in JOBS:
        seeds = plan["runs"][name]["seeds"]
        assert seeds == given(name).get("seeds", seeds)
        for row, job in whole["rows"].items():
            if job == name:
                assert seeds == (whole["seeds"][:1] if row in whole["once"] else whole["seeds"])


@pytest.mark.slow  # three kernels
@pytest.mark.timeout(1800)
def test_in_small_it_trains_a_job_a_seed_and_compares_all_words(tmp_path):
    for name in ("notebooks", "data/paper", "data/weights", "data/manifest.yaml", "Snakefile",
                 "params/textzoom_ablations"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(ROOT / name)
    sizes = {"train2": 32, "test/easy": 8, "test/medium": 8, "test/hard": 8}
    write_textzoom_like(tmp_path / "data/textzoom", sizes=sizes, seed=2023)
    small = tmp_path / "params/small_ablations"
    small.mkdir()
    shipped = "data/weights/abinet_nano.safetensors"
    few = {"epochs": 1, "batch_size": 16, "start": "published", "teacher_weights": shipped}
    shared, one = given("ablations"), given("upsampled")["rows"]["upsampled"]
    several = {name: given("main")["rows"][name] for name in ("default", "DLD")}
    runs = yaml.safe_load((FOLDER / "workflow.yaml").read_text())["runs"]
    runs = {name: runs[name] for name in ("main", "upsampled", "12_ablations")}
    runs["main"]["seeds"], runs["upsampled"]["seeds"] = [1, 2], [1]
    runs["12_ablations"]["needs"] = ["main", "upsampled"]
    for run in runs.values():
        run["inputs"] = [shipped if "teacher" in path else path for path in run["inputs"]]
    for name, content in (
        ("workflow", {"report": False, "runs": runs}),
        ("ablations", shared | {"recipe": shared["recipe"] | few, "same_data": False}),
        ("main", {"rows": several}),
        ("upsampled", {"rows": {"default": "main", "upsampled": one}, "seeds": [1]}),
        ("12_ablations", {"rows": {"default": "main", "DLD": "main", "upsampled": "upsampled"},
                          "seeds": [1, 2], "once": ["upsampled"]}),
    ):  # fmt: skip
        (small / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    command = [sys.executable, "-m", "kdltr", "run", "small_ablations", "--cores", "2"]
    environment = os.environ | {"KDLTR_ROOT": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, text=True, check=False,
                          stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    results = tmp_path / "results/small_ablations"
    parts = [read_result(results / f"{job}.json") for job in ("main-1", "main-2", "upsampled-1")]
    whole = read_result(results / "12_ablations.json")
    accuracies = {(row.method, row.seed, row.subset): row.value for row in whole.rows}
    assert {key[:2] for key in accuracies} == {
        ("default", 1), ("default", 2), ("DLD", 1), ("DLD", 2), ("upsampled", 1)}
    for part in parts:
        for row in part.rows:
            assert (row.method, row.seed, row.subset) in accuracies
        assert len(part.predictions())
    assert "predictions" not in whole.document["files"]  # those of the jobs, none twice
    claims = whole.document["extra"]["claims"]
    assert [claim["n"] for claim in claims] == [48, 24, 48]  # 24 words of two seeds, or of one
    assert claims[-1]["claim"] == "abinet_nano: default reads more words than DLD"
    assert claims[-1]["measured"] == -claims[0]["measured"]
    assert (results / "figures/12_ablations-differences.png").is_file()
