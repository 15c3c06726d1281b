"""Profile `cpu`: its runs fit each other, and the data has every effect of the generator."""

from pathlib import Path

import pytest
import yaml

from kdltr.generator import EFFECTS
from kdltr.train import PretrainConfig
from kdltr.workflow.parameters import check_parameters
from kdltr.workflow.plan import load_plan
from tests.test_paper import CROSS_ENTROPY, config_of, parameters_of

ROOT = Path(__file__).parents[1]
TEACHER = "results/cpu/teacher_parseq/best.safetensors"


@pytest.fixture(scope="module")
def runs():
    """The runs of the profile by name."""
    return {run.name: run for run in load_plan("cpu", ROOT).runs}


def test_every_run_has_its_parameters_and_nothing_that_is_not_committed_is_demanded(runs):
    for run in runs.values():
        check_parameters(ROOT / run.notebook, parameters_of(run, ROOT))
        committed = [path for path in run.inputs if not path.startswith("data/photographs/")]
        assert all((ROOT / path).exists() for path in committed)
    written = yaml.safe_load((ROOT / "params/cpu/workflow.yaml").read_text())["runs"]
    for name in ("ablation", "10_photographs"):  # what is read makes a run anew when it changes
        folders = parameters_of(runs[name], ROOT)["photographs"].values()
        assert list(folders) == written[name]["optional"]


def test_what_one_run_writes_the_next_reads(runs):
    data = parameters_of(runs["01_data"], ROOT)
    shards = {f"{data['data_root']}/shards/{split}" for split in data["shards"]}
    given = [data["generate"], *data["shards"].values()]
    assert all(made["effects"] == list(EFFECTS) for made in given)
    teacher = parameters_of(runs["teacher_parseq"], ROOT)
    training = PretrainConfig.from_dict({"output_dir": "x"} | teacher["training"])
    assert teacher["train"] and training.shards in shards
    assert teacher["teacher_weights"] == TEACHER
    students = {}
    for kind in ("distill", "finetune"):
        config = config_of(runs[f"{kind}_parseq"], ROOT)
        assert config.teacher_weights == TEACHER and set(config.data) <= shards
        assert runs["teacher_parseq"].outputs[0] in runs[f"{kind}_parseq"].needed
        students[kind] = config.to_dict() | {"output_dir": ""}
    assert students["distill"] | {"weights": CROSS_ENTROPY} == students["finetune"]
    for name in ("04_textzoom", "10_photographs"):
        (entry,) = parameters_of(runs[name], ROOT)["recognisers"].values()
        assert entry["weights"] == TEACHER
        made = [runs[f"{kind}_parseq"].outputs[1] for kind in ("distill", "finetune")]
        assert list(entry["students"].values()) == made and set(made) <= set(runs[name].needed)


def test_each_effect_is_left_out_once_and_all_else_is_equal(runs):
    ablation = parameters_of(runs["ablation"], ROOT)
    assert ablation["left_out"] == list(EFFECTS) and not ablation["train"]
    config = PretrainConfig.from_dict({"output_dir": "x"} | ablation["training"])
    assert config.image == "lr" and (ROOT / config.start_from).is_file()


@pytest.mark.parametrize("profile", ["small", "ci", "paper", "weights", "gpu"])
def test_no_other_profile_leaves_effects_out(profile):
    plan = yaml.safe_load((ROOT / f"params/{profile}/workflow.yaml").read_text())
    given = {}
    for name in (plan.get("base", profile), profile):
        given |= yaml.safe_load((ROOT / f"params/{name}/teacher.yaml").read_text())
    assert given["left_out"] == []
