"""What is committed: tables follow from predictions, links lead somewhere, weights are small."""

import re
from pathlib import Path

import pytest

from kdltr.evaluation.scores import PROTOCOL
from kdltr.results import AVERAGE, read_result, recompute

ROOT = Path(__file__).parents[2]
RESULTS = [path for path in sorted(ROOT.glob("results/reference/*/*.json"))
           if "predictions" in read_result(path).document["files"]]  # fmt: skip


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
    assert {"04_textzoom", "05_benchmarks", "06_robustness"} <= {path.stem for path in RESULTS}


@pytest.mark.parametrize("path", sorted(ROOT.glob("results/reference/*/report.html")),
                         ids=lambda path: path.parent.name)  # fmt: skip
def test_links_of_a_report_lead_to_files_beside_it(path):
    links = set(re.findall(r'href="(?!#|https?:|data:)([^"#]+)', path.read_text(encoding="utf-8")))
    assert links and not [link for link in links if not (path.parent / link).is_file()]


def test_shipped_weights_with_their_cards_are_small():
    sizes = {path.name: path.stat().st_size for path in (ROOT / "data/weights").iterdir()}
    assert max(sizes.values()) < 50e6 and sum(sizes.values()) <= 100e6
    assert 0 < sum(size for name, size in sizes.items() if "nano" in name) <= 16e6
