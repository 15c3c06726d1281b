"""Profile `textzoom`: what its runs learn from and read, and that none learns from a test."""

from pathlib import Path

import pytest
import yaml

from kdltr.data.manifest import read_manifest
from kdltr.results.tables import UPSCALERS
from kdltr.train import PretrainConfig
from kdltr.train.superres import UpscaleConfig
from kdltr.workflow.plan import load_plan
from tests.test_paper import CROSS_ENTROPY, config_of, parameters_of

ROOT = Path(__file__).parents[1]
NAMES = ("abinet", "matrn", "parseq")
STUDENTS = ("ppocr", *NAMES)
ENTRIES = read_manifest(ROOT / "data/manifest.yaml")
TRAINING = {f"data/{entry.path}" for name, entry in ENTRIES.items()
            if name.startswith(("train/", "textzoom/train"))}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A checkout with something where the test sets belong, and no training set."""
    root = tmp_path_factory.mktemp("checkout")
    for name in ("notebooks", "params", "kdltr"):
        (root / name).symlink_to(ROOT / name)
    data = root / "data"
    data.mkdir()
    for path in (ROOT / "data").iterdir():
        if path.name not in ("textzoom", "train", "benchmarks"):
            (data / path.name).symlink_to(path)
    for name in ("easy", "medium", "hard"):
        (data / "textzoom/test" / name).mkdir(parents=True)
    return root


@pytest.fixture(scope="module")
def runs(root):
    """Its runs by name."""
    return {run.name: run for run in load_plan("textzoom", root).runs}


def test_all_that_learn_take_the_same_sets_and_leave_out_what_is_missing(runs):
    sets = []
    for name in STUDENTS:
        for kind in ("distill", "finetune"):
            config = config_of(runs[f"{kind}_{name}"], ROOT)
            assert config.missing == config.words_of_tests == "left_out"
            assert config.hold_out == "scenes" and config.selection == "validation"
            sets.append({*config.data, *config.words})
    for name in NAMES:
        given = parameters_of(runs[f"teacher_{name}"], ROOT)["training"]
        config = PretrainConfig.from_dict({"output_dir": "x"} | given)
        assert config.missing == "left_out"
        sets.append({*config.words})
    assert all(found == TRAINING for found in sets)


@pytest.mark.parametrize("name", STUDENTS)
def test_distilled_and_fine_tuned_differ_in_the_losses_alone(runs, name):
    one, other = (config_of(runs[f"{kind}_{name}"], ROOT).to_dict()
                  for kind in ("distill", "finetune"))
    differ = {key for key in one if one[key] != other[key]} - {"output_dir"}
    assert differ == {"weights"} and other["weights"] == CROSS_ENTROPY


def test_every_table_reads_what_the_runs_write(runs):
    made = {path for run in runs.values() for path in run.outputs}
    states = {f"{state}/best.safetensors" for run in runs.values() for state in run.state}
    shipped = {f"data/weights/{path.name}" for path in (ROOT / "data/weights").iterdir()}
    tables = [parameters_of(runs[name], ROOT)["recognisers"]
              for name in ("04_textzoom", "05_benchmarks", "06_robustness")]
    assert tables[0] == tables[1] == tables[2] and len(tables[0]) == len(STUDENTS)
    for entry in tables[0].values():
        assert {*entry["students"].values()} <= made | shipped
        assert entry["weights"] == "rapidocr" or entry["weights"] in states
        assert [*entry["students"]][:2] == ["distilled", "fine-tuned"]
        assert [*entry["two_stage"]] == [*UPSCALERS.values()]
        assert {*entry["two_stage"].values()} <= made


def test_networks_learn_from_photographs_and_are_chosen_by_scenes(runs):
    made = {f"{state}/best.safetensors" for run in runs.values() for state in run.state}
    for name in UPSCALERS:
        run = runs[f"superres_{name}"]
        given = parameters_of(run, ROOT)
        config = UpscaleConfig.from_dict({"output_dir": "x", "network": given["network"]}
                                         | given["recipe"] | given["own"])
        assert config.network == f"{name}_nano" and "11_superresolution" in run.notebook
        assert config.missing == config.words_of_tests == "left_out"
        assert config.hold_out == "scenes" and config.selection == "validation"
        assert given["train_sets"] == ["train1", "train2"] and given["data_root"] == "data/textzoom"
        asked = {config.judge_weights, config.generator_weights, config.reader_weights} - {None}
        assert asked <= made
        assert {f"{Path(path).parent}.json" for path in asked} <= {*run.needed}


def test_the_test_sets_must_be_there():
    plan = yaml.safe_load((ROOT / "params/textzoom/workflow.yaml").read_text())
    assert plan["verify"] == [f"textzoom/test/{name}" for name in ("easy", "medium", "hard")]
