"""Profile `textzoom_ablations`: its rows are settings that exist, and in small it runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kdltr.generator.synthetic import write_textzoom_like
from kdltr.results import read_result
from kdltr.train import DistillConfig
from kdltr.workflow.parameters import read_parameters

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "params/textzoom_ablations"


def given(name):
    return read_parameters([str(FOLDER / f"{file}.yaml") for file in ("ablations", name)], [])


def test_every_row_is_a_change_of_the_default_and_is_taken_from_its_jobs():
    training, whole = given("training"), given("12_ablations")
    assert whole["rows"] == dict.fromkeys(training["rows"], "training")
    plan = yaml.safe_load((FOLDER / "workflow.yaml").read_text())
    assert plan["runs"]["training"]["seeds"] == whole["seeds"]
    default, *others = (DistillConfig.from_dict({"output_dir": "x"} | training["recipe"] | changes)
                        for changes in training["rows"].values())
    assert default.method == "kd-ltr" and not default.losses
    assert all(other != default for other in others)


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
    rows = {name: given("training")["rows"][name] for name in ("default", "DLD", "upsampled")}
    few = {"epochs": 1, "batch_size": 16, "start": "published"}
    recipe = given("training")["recipe"] | few
    for name, content in (
        ("workflow", {"base": "textzoom_ablations", "verify": [], "report": False,
                      "runs": {"training": {"seeds": [1, 2]}}}),
        ("ablations", {"recipe": recipe, "same_data": False}),
        ("training", {"rows": rows}),
        ("12_ablations", {"rows": dict.fromkeys(rows, "training"), "seeds": [1, 2]}),
    ):  # fmt: skip
        (small / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    command = [sys.executable, "-m", "kdltr", "run", "small_ablations", "--cores", "2"]
    environment = os.environ | {"KDLTR_ROOT": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, text=True, check=False,
                          stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    results = tmp_path / "results/small_ablations"
    parts = [read_result(results / f"training-{seed}.json") for seed in (1, 2)]
    whole = read_result(results / "12_ablations.json")
    accuracies = {(row.method, row.seed, row.subset): row.value for row in whole.rows}
    assert {key[:2] for key in accuracies} == {(row, seed) for row in rows for seed in (1, 2)}
    for part in parts:
        for row in part.rows:
            assert (row.method, row.seed, row.subset) in accuracies
    claims = whole.document["extra"]["claims"]
    assert [claim["n"] for claim in claims] == [48, 48]  # 24 words of two seeds
    assert (results / "figures/12_ablations-differences.png").is_file()
