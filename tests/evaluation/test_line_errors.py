"""Word and character errors are counted as published."""

import json

import pytest

from kdltr.evaluation import compare
from kdltr.evaluation.lines import (
    LineErrors,
    claim,
    error_rates,
    estimates,
    level_near,
    line_errors,
)
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
    with pytest.raises(ValueError, match="found one without characters"):
        estimates([line_errors("a", "a"), line_errors("", "b")])


def test_intervals_by_resampling_lines():
    half = [line_errors("a|b", "a|b"), line_errors("c|d", "c|x")] * 50
    found = estimates(half)
    assert found["WER"].value == 25 and found["CER"].value == pytest.approx(100 / 6)
    assert 19 < found["WER"].low < 22 and 28 < found["WER"].high < 31  # 25 ± 1.96 · 2.5
    assert estimates(half[1:2] * 9)["WER"] == (50, 50, 50)
    with pytest.raises(ValueError, match="one line at least"):
        estimates([])


def test_differences_are_of_the_same_lines():
    """Where one method is better by as much in every line, nothing is left to chance."""
    worse = [line_errors("a|b", "x|b"), line_errors("c|d", "x|y")] * 20
    better = [line_errors("a|b", "a|b"), line_errors("c|d", "x|d")] * 20
    assert estimates(better, worse)["WER"] == (50, 50, 50)
    assert estimates(worse, better)["WER"] == (-50, -50, -50)
    with pytest.raises(ValueError, match="as many of another method; found 2 and 1"):
        estimates(better[:2], worse[:1])


def test_a_claim_holds_where_its_interval_is_on_one_side_of_nothing():
    right, wrong = line_errors("a|b", "a|b"), line_errors("a|b", "a|x")
    found = claim("fewer", "WER", [right] * 20, [right, wrong] * 10, 22.8)
    assert (found["measured"], found["n"], found["p"]) == (25, 20, None)
    assert (found["here"], found["verdict"]) == ("holds", "different data")
    assert claim("fewer", "WER", [right, wrong] * 10, [right] * 20)["here"] == "the reverse holds"
    even = claim("fewer", "WER", [right, wrong] * 10, [wrong, right] * 10)
    assert (even["here"], even["verdict"]) == ("indistinguishable", "not in the paper")
    assert compare.claim_table([found])["McNemar p"].tolist() == ["–"]


def test_the_level_is_the_mildest_of_those_nearest_to_80():
    assert level_near({0.0: 31.0, 2.0: 93.0, 1.0: 71.0}) == 1.0
    assert level_near({2.0: 90.0, 1.0: 70.0}) == 1.0  # equally near
    assert level_near({0.0: 71.0, 1.0: 82.0}) == 1.0  # to 80
    assert level_near({0.0: 10.0, 1.0: 30.0}, wanted=10.0) == 0.0
    with pytest.raises(ValueError, match="give levels to try"):
        level_near({})
