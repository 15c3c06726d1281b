"""README says what is true: its table comes from results/reference/, its links lead somewhere."""

import re
from pathlib import Path

import pytest

from kdltr.bench.counts import AS_PUBLISHED, IN_FULL, costs
from kdltr.models import list_models
from kdltr.results.readme import refreshed
from kdltr.train import DistillConfig

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_is_the_one_of_the_reference_results():
    assert "<!-- table: results/reference/quick/04_textzoom.json -->" in README
    assert (ROOT / "results/reference/quick/04_textzoom.json").is_file()
    assert refreshed(README, ROOT) == README, "run `make publish PROFILE=quick`"


@pytest.mark.parametrize("target", re.findall(r"\]\((?!https?:)([^)#]+)\)", README))
def test_links(target):
    assert (ROOT / target).exists()


def test_make_targets_and_profiles_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"\bmake ([a-z]+)\b", README)):
        assert re.search(rf"^[a-z ]*\b{target}\b[a-z ]*:", makefile, re.MULTILINE), target
    for profile in ("quick", "ci", "paper", "weights"):
        assert (ROOT / "params" / profile / "workflow.yaml").is_file()


def test_the_python_examples_use_names_that_exist():
    for name in re.findall(r"create_model\(\"(\w+)\"", README):
        assert name in list_models()
    settings = set(DistillConfig.__dataclass_fields__)
    for call in re.findall(r"DistillConfig\((.*?)\n?\)", README, re.DOTALL):
        assert set(re.findall(r"(\w+)=", call)) <= settings


def test_the_costs_are_those_counted():
    """Billions of multiply-adds of the students at the published sizes, both ways of counting."""
    rows = [row for name in ("abinet", "matrn", "parseq") for row in costs(name)
            if row.method == "student"]
    for metric, text in (
        (AS_PUBLISHED, "take {} G (ABINet), {} G (MATRN) and {} G (PARSeq"),
        (IN_FULL, "they are {}, {} and {} G"),
    ):
        counted = [f"{row.value / 1e9:.2f}" for row in rows if row.metric == metric]
        assert text.format(*counted) in " ".join(README.split()), counted
