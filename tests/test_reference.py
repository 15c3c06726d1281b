"""The committed results: every table with predictions follows from them, with no model run."""

from pathlib import Path

import pytest

from kdltr.results import AVERAGE, read_result, recompute
from kdltr.scores import PROTOCOL

ROOT = Path(__file__).parents[1]
RESULTS = [path for path in sorted(ROOT.glob("results/reference/*/*.json"))
           if "predictions" in read_result(path).document["files"]]  # fmt: skip


def key(row):
    return row.recogniser, row.method, row.seed, row.subset, row.metric


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_table_is_recomputed_from_the_predictions_beside_it(path):
    result = read_result(path)
    predictions = result.predictions()  # raises if it is another file than the one that was saved
    tables = predictions.groupby("table") if "table" in predictions else [(None, predictions)]
    for table, part in tables:
        anew = {key(row): row for row in recompute(part)}
        saved = {key(row): row for row in result.rows if key(row) in anew and row.unit == "%"
                 and table in (None, row.table)}  # fmt: skip
        assert {wanted for wanted in anew if AVERAGE not in wanted} <= saved.keys()
        for found, row in saved.items():
            again = anew[found]
            assert (row.n, row.extra.get("correct")) == (again.n, again.extra.get("correct"))
            for name in ("value", "low", "high"):
                expected = getattr(again, name)
                assert getattr(row, name) == (expected and pytest.approx(expected, rel=1e-12)), row
    assert result.document["protocol"] == PROTOCOL


def test_there_are_such_tables():
    assert {"04_textzoom"} <= {path.stem for path in RESULTS}
