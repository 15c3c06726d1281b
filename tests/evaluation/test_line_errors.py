"""Word and character errors are counted as published."""

import json

import pytest

from kdltr.evaluation.lines import LineErrors, error_rates, line_errors
from tests.models.conftest import GOLDEN

CASES = json.loads((GOLDEN / "dan_metrics.json").read_text())["cases"]


@pytest.mark.parity
@pytest.mark.parametrize("case", CASES)
def test_published_counts(case):
    found = line_errors(case["label"], case["prediction"], case["case_sensitive"])
    assert found == LineErrors(
        1, case["correct"], case["char_distance"], case["char_total"], case["word_distance"],
        case["word_total"],
    )


def test_rates_are_of_sums_not_means_of_rates():
    found = error_rates(["a|b|c", "d"], ["a|b|c", "e|f"])
    assert (found.lines, found.correct) == (2, 1)
    assert found.wer == 2 / 4 and found.cer == 3 / 6
    assert str(found) == "50.0 WER, 50.0 CER of 2 lines"
    parts = error_rates(["a|b|c"], ["a|b|c"]) + error_rates(["d"], ["e|f"])
    assert parts == found


def test_characters_without_the_separator():
    together = line_errors("it|is", "itis", separator_counts=False)
    assert (together.character_errors, together.characters) == (0, 4)
    assert (together.word_errors, together.correct) == (2, 0)


def test_what_cannot_be_counted():
    with pytest.raises(ValueError, match="no words"):
        _ = error_rates([], []).wer
    with pytest.raises(ValueError, match="no characters"):
        _ = error_rates([""], [""]).cer
    with pytest.raises(ValueError):
        error_rates(["a"], [])
