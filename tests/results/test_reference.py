"""What is committed: tables follow from predictions, links lead somewhere, all of it is small."""

import re
from pathlib import Path

import pytest

from kdltr.evaluation.scores import PROTOCOL
from kdltr.results import AVERAGE, read_result, recompute

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "results/reference"
RESULTS = [path for path in sorted(REFERENCE.glob("*/*.json"))
           if "predictions" in read_result(path).document["files"]]  # fmt: skip
each_report = pytest.mark.parametrize("path", sorted(REFERENCE.glob("*/report.html")),
                                      ids=lambda path: path.parent.name)  # fmt: skip


def key(row):
    return row.table, row.recogniser, row.method, row.seed, row.subset, row.metric


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_table_is_recomputed_from_the_predictions_beside_it(path):
    result = read_result(path)
    predictions = result.predictions()  # raises if it is another file than the one that was saved
    averaged = {row.table for row in result.rows if row.subset == AVERAGE}
    anew = recompute(predictions, result.rows[0].table, averaged)
    tables = {row.table for row in anew}
    saved = [row for row in result.rows if row.table in tables]
    assert [key(row) for row in saved] == [key(row) for row in anew]
    for row, again in zip(saved, anew, strict=True):
        assert (row.n, row.unit, row.extra) == (again.n, again.unit, again.extra)
        for name in ("value", "low", "high"):
            expected = getattr(again, name)
            assert getattr(row, name) == (expected and pytest.approx(expected, rel=1e-12)), row
    assert result.document["protocol"] == PROTOCOL


def test_there_are_such_tables():
    assert {"04_textzoom", "06_robustness"} <= {path.stem for path in RESULTS}


@each_report
def test_a_report_is_of_the_results_beside_it_and_its_links_lead_to_committed_files(path):
    text = path.read_text(encoding="utf-8")
    links = set(re.findall(r'href="(?!#|https?:|data:)([^"#]+)', text))
    assert links and not [link for link in links if not (path.parent / link).is_file()]
    assert all((path.parent / link).resolve().parent == ROOT / "notebooks" for link in links)
    for result in path.parent.glob("*.json"):
        assert f'id="{read_result(result).document["run"]}"' in text


@each_report
def test_a_report_is_small_enough_for_a_phone(path):
    assert path.stat().st_size <= 3e6


def test_nothing_is_committed_that_the_reports_and_readme_do_not_need():
    files = [path for path in REFERENCE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 8e6
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in files:
        name = path.relative_to(ROOT).as_posix()
        table = path.name.endswith((".json", ".predictions.csv.gz", "report.html"))
        assert name in readme if path.suffix == ".png" else table, name


def test_shipped_weights_with_their_cards_are_small():
    sizes = {path.name: path.stat().st_size for path in (ROOT / "data/weights").iterdir()}
    assert max(sizes.values()) < 50e6 and sum(sizes.values()) <= 100e6
    assert 0 < sum(size for name, size in sizes.items() if "nano" in name) <= 18e6
