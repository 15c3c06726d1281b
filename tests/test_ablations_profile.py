"""Profile `textzoom_ablations`: its rows are settings that exist, and in small it runs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kdltr.generator.synthetic import write_textzoom_like
from kdltr.losses.baselines import BASELINES
from kdltr.results import AVERAGE, read_result
from kdltr.train import DistillConfig
from kdltr.workflow.parameters import read_parameters

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "params/textzoom_ablations"
JOBS = ("main", "distillers", "classics", "terms", "settings", "loss_weights", "upsampled")


def given(name):
    return read_parameters([str(FOLDER / f"{file}.yaml") for file in ("ablations", name)], [])


def configs():
    """What every row is trained with, by its name, and the job that does."""
    found = {}
    for name in JOBS:
        job = given(name)
        recipe = {"output_dir": "x"} | job["recipe"]
        found |= {row: (DistillConfig.from_dict(recipe | changes), name)
                  for row, changes in job["rows"].items() if not isinstance(changes, str)}
    return found


def test_every_row_is_a_change_of_the_default_and_is_taken_from_its_jobs():
    trained = configs()
    assert given("12_ablations")["rows"] == {row: name for row, (_, name) in trained.items()}
    assert next(iter(trained)) == "default"
    default, *others = (config for config, _ in trained.values())
    assert default.method == "kd-ltr" and not default.losses
    assert all(other != default for other in others)
    for other in others:
        own = BASELINES.get(other.method)
        assert own is None or other.weights == own  # as its paper has them


def test_shares_are_chosen_between_by_words_held_out():
    job = read_parameters([str(ROOT / "params/textzoom_shares/12_ablations.yaml")], [])
    assert job["test_sets"] == {} and job["data_root"] == "data/textzoom"
    for changes in job["rows"].values():
        config = DistillConfig.from_dict({"output_dir": "x"} | job["recipe"] | changes)
        assert config.selection == "last" and config.hold_out == "scenes" and config.validation


def test_what_is_compared_for_ctc_is_what_it_has():
    job = read_parameters([str(ROOT / f"params/textzoom_ablations_ctc/{name}.yaml")
                           for name in ("ablations", "ppocr")], [])
    methods = {DistillConfig.from_dict({"output_dir": "x"} | job["recipe"] | changes).method
               for changes in job["rows"].values()}
    # Attention of A-SKD and Unified, and DLD's end token, it does not have.
    assert methods == {"kd-ltr", *BASELINES} - {"askd", "unified", "dld"}


def test_seeds_are_those_of_the_jobs():
    whole, plan = given("12_ablations"), yaml.safe_load((FOLDER / "workflow.yaml").read_text())
    for name in JOBS:
        seeds = plan["runs"][name]["seeds"]
        assert seeds == given(name).get("seeds", seeds)
        for row, job in whole["rows"].items():
            if job == name:
                assert seeds == (whole["seeds"][:1] if row in whole["once"] else whole["seeds"])


def test_what_is_committed_was_made_by_this_profile_and_follows_from_its_counts():
    result = read_result(ROOT / "results/reference/textzoom_ablations/12_ablations.json")
    given_now = given("12_ablations")
    stored = result.document["extra"]["settings"]
    for row, (config, _) in configs().items():
        now = json.loads(json.dumps(config.to_dict())) | {"data": ["data/textzoom/train2"]}
        place = ("output_dir", "seed")
        assert {k: v for k, v in stored[row].items() if k not in place} == {
            k: now[k] for k in stored[row] if k not in place}
    right = {(row.method, row.seed): row.extra["correct"] for row in result.rows
             if row.subset == AVERAGE and row.metric == "accuracy"}
    assert [*right] == [(row, seed) for row in given_now["rows"] for seed in given_now["seeds"]
                        if row not in given_now["once"] or seed == given_now["seeds"][0]]
    claims = result.document["extra"]["claims"]
    assert len(claims) == len(given_now["rows"]) - 1 + 4  # and the published order of five
    for claim in claims:
        names = re.fullmatch("abinet_nano: (.+) reads more words than (.+)", claim["claim"])
        pairs = [(right[names[1], seed], right[names[2], seed]) for seed in given_now["seeds"]
                 if all((name, seed) in right for name in names.groups())]
        assert claim["measured"] == pytest.approx(
            100 * sum(a - b for a, b in pairs) / (4373 * len(pairs)))


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
    assert [claim["n"] for claim in claims] == [24, 24, 24]  # words, of two seeds or of one
    assert claims[-1]["claim"] == "abinet_nano: default reads more words than DLD"
    assert claims[-1]["measured"] == -claims[0]["measured"]
    assert (results / "figures/12_ablations-differences.png").is_file()
