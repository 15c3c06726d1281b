"""Rows of the diagnostics: in percent or counts, and of the right images."""

import pandas as pd
import pytest

from kdltr.evaluation.scores import score
from kdltr.results.diagnostics import calibration_rows, confusion_rows, swap_rows

WORDS = score(pd.DataFrame({
    "index": range(4), "label": ["cat", "dog", "bird", "fish"],
    "reading": ["cot", "dog", "birds", "fis"], "confidence": [0.25, 0.95, 0.45, 0.35],
    "image": "00000000",
})).predictions  # fmt: skip


def values(rows):
    return {row.metric: row.value for row in rows}


def test_confusions_are_counted_and_rated():
    found = values(confusion_rows(WORDS, "parseq", "bicubic"))
    assert found.pop("character error rate") == pytest.approx(100 * 3 / 14)
    assert found == {"swapped": 1, "missed": 1, "added": 1}


def test_swaps_name_both_characters():
    (row,) = swap_rows(WORDS, "parseq", "bicubic")
    assert (row.subset, row.value, row.n, row.unit) == ("a → o", 1, 1, "count")
    assert swap_rows(WORDS, "parseq", "bicubic", top=0) == []


def test_calibration_is_in_percent_of_all_images_but_the_surest_half():
    rows = calibration_rows(WORDS, "parseq", "bicubic")
    found = values(rows)
    assert found["ECE"] == pytest.approx(100 * (0.25 + 0.05 + 0.45 + 0.35) / 4)
    assert found["overconfidence"] == pytest.approx(100 * (0.25 - 0.05 + 0.45 + 0.35) / 4)
    assert found["accuracy, surest half"] == 50.0
    assert 0 < found["if calibrated"] < 100
    assert {row.n for row in rows} == {4}
