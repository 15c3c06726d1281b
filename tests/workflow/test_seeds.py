"""A run of several seeds in a plan: a job a seed."""

import pytest
import yaml

from kdltr.workflow.plan import load_plan
from kdltr.workflow.processes import WorkflowError
from tests.workflow.test_workflow import write_notebook

PLAN = {
    "report": False,
    "runs": {
        "distill": {"notebook": "train", "params": ["common"], "seeds": [3, 5],
                    "outputs": ["results/{profile}/distill-{seed}.txt"]},
        "table": {"needs": ["distill"]},
    },
}  # fmt: skip


@pytest.fixture
def root(tmp_path):
    common = 'output_dir: str = "results/tiny"\nrun: str = "run"\nseeds: list = [1]'
    for name in ("train", "table"):
        write_notebook(tmp_path / f"notebooks/{name}.ipynb", common, "1")
    params = tmp_path / "params/tiny"
    params.mkdir(parents=True)
    for name in ("common", "distill", "table"):
        (params / f"{name}.yaml").write_text("{}\n")
    (params / "workflow.yaml").write_text(yaml.safe_dump(PLAN, sort_keys=False))
    return tmp_path


def test_a_job_a_seed_and_what_needs_the_run_needs_them_all(root):
    first, second, table = load_plan("tiny", root).runs
    assert [run.name for run in (first, second, table)] == ["distill-3", "distill-5", "table"]
    assert (first.seed, second.seed, table.seed) == (3, 5, None)
    assert first.notebook == second.notebook == "notebooks/train.ipynb"
    assert first.parameter_files == ("params/tiny/common.yaml", "params/tiny/distill.yaml")
    assert first.outputs[:2] == ("results/tiny/distill-3.json", "results/tiny/distill-3.txt")
    assert second.state == ("results/tiny/distill-5",)
    assert {"results/tiny/distill-3.txt", "results/tiny/distill-5.txt"} <= {*table.needed}
    assert first.key != second.key and first.state_key != second.state_key


def test_other_seeds_leave_those_that_stay_up_to_date(root):
    before = load_plan("tiny", root).runs
    plan = PLAN | {"runs": PLAN["runs"] | {"distill": PLAN["runs"]["distill"] | {"seeds": [5, 7]}}}
    (root / "params/tiny/workflow.yaml").write_text(yaml.safe_dump(plan, sort_keys=False))
    after = load_plan("tiny", root).runs
    assert after[0].key == before[1].key and after[-1].key != before[-1].key


def test_a_run_that_is_not_there_is_still_named(root):
    plan = {"runs": PLAN["runs"] | {"table": {"needs": ["distil"]}}}
    (root / "params/tiny/workflow.yaml").write_text(yaml.safe_dump(plan))
    with pytest.raises(WorkflowError, match="names an unknown run"):
        load_plan("tiny", root)
