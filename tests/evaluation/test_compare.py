"""Comparisons of two methods, against numbers worked out by hand."""

import pandas as pd
import pytest
import torch

from kdltr.data.loader import WordPairs
from kdltr.evaluation.compare import (
    claim,
    claim_table,
    example_rows,
    opponents,
    paired_difference,
    pick_examples,
    reading_table,
)
from kdltr.evaluation.scores import score
from kdltr.results import collect


def scores(right, wrong):
    """`right` words read right, then `wrong` ones wrong (0/1 per word in `right` if a string)."""
    pattern = right if isinstance(right, str) else "1" * right + "0" * wrong
    return score(pd.DataFrame({
        "subset": "easy", "index": range(len(pattern)), "label": "ab", "image": "00000000",
        "reading": ["ab" if c == "1" else "x" for c in pattern], "confidence": 0.5,
    }))  # fmt: skip


def test_paired_difference_is_that_of_paired_proportions():
    # 30 words only the first reads, 10 only the second, 60 both: variance (40 − 400 / 100) / 100².
    a, b = scores("1" * 90 + "0" * 10, 0), scores("1" * 60 + "0" * 30 + "1" * 10, 0)
    difference, low, high = paired_difference(a, b)
    assert difference == pytest.approx(20.0)
    assert high - difference == pytest.approx(1.959964 * 36**0.5)
    assert difference - low == pytest.approx(1.959964 * 36**0.5)


def test_methods_that_read_alike_have_no_interval_and_are_indistinguishable():
    a = scores(5, 5)
    assert paired_difference(a, a) == (0.0, 0.0, 0.0)
    assert claim("x", a, a)["here"] == "indistinguishable"


def test_a_claim_is_judged_by_data_counts_and_points():
    a, b = scores(100, 0), scores(90, 10)  # ten points
    made = claim("a beats b", a, b, published=10.4, n_published=100)
    assert made["verdict"] == "reproduced" and made["here"] == "holds" and made["p"] < 0.01
    assert claim("", a, b, 20.0, 100)["verdict"] == "not reproduced"
    assert claim("", a, b, 10.0, 4373)["verdict"] == "different data"
    assert claim("", a, b, 10.0, 100, same_data=False)["verdict"] == "different data"
    assert claim("", a, b, 10.0, 100, same_model=False)["verdict"] == "different model"
    assert claim("", b, a)["here"] == "the reverse holds"
    assert claim("", a, b)["verdict"] == "not in the paper"


def test_a_student_meets_bicubic_the_best_two_stage_method_and_other_students():
    found = {"bicubic": scores(5, 5), "TSRN": scores(6, 4), "TATT": scores(8, 2),
             "C3-STISR": scores(8, 2)}  # fmt: skip
    two_stage = ["TSRN", "STT", "TATT", "C3-STISR"]  # STT was not read
    assert opponents(found, ["fine-tuned"], two_stage) == {
        "bicubic": "bicubic", "TATT": "TATT, the best two-stage method",
        "fine-tuned": "fine-tuned"}  # fmt: skip
    assert [*opponents(found, [], [])] == ["bicubic"]


def test_other_images_are_refused():
    with pytest.raises(ValueError, match="same images"):
        claim("x", scores(3, 0), scores(2, 0))


def test_the_table_is_for_people():
    row = claim_table([claim("a beats b", scores(100, 0), scores(50, 50), 2.93, 4373)]).iloc[0]
    assert row["published"] == "+2.93" and row["measured"] == "+50.00"
    assert row["McNemar p"] == "< 0.001"


def test_examples_are_spread_over_each_outcome():
    a, b = scores("1" * 8 + "0" * 8, 0), scores("0" * 8 + "1" * 2 + "0" * 6, 0)
    chosen = pick_examples(a, b, each=2)
    assert list(chosen["outcome"]) == ["only first"] * 2 + ["only second"] * 2 + ["neither"] * 2
    assert list(chosen["index"]) == [0, 4, 8, 9, 10, 13]


def test_examples_hold_the_images_and_readings_of_their_words():
    pairs = WordPairs(torch.arange(2).view(2, 1, 1, 1).expand(2, 3, 32, 128).byte(),
                      torch.zeros(2, 3, 16, 64, dtype=torch.uint8), ["ab", "ab"])  # fmt: skip
    found = {"first": {"easy": scores("01", 0)}, "second": {"easy": scores("10", 0)}}
    chosen = pick_examples(found["first"]["easy"], found["second"]["easy"])
    rows = example_rows(chosen, {"easy": pairs}, found)
    assert [(row["first"], row["second"]) for row in rows] == [("ab", "x"), ("x", "ab")]
    assert [int(row["hr"].max()) for row in rows] == [1, 0]  # only the first reads word 1
    assert rows[0]["hr"].shape == (32, 128, 3) and rows[0]["lr"].shape == (16, 64, 3)
    assert rows[0]["confidence"] == {"first": 0.5, "second": 0.5}


def test_every_reading_is_shown_and_the_wrong_ones_are_marked():
    def read(*readings):  # the same label twice: two words
        return {"set": score(pd.DataFrame({
            "index": range(3), "label": ["HOTEL", "HOTEL", "5"], "reading": readings,
            "confidence": 0.5, "image": "00000000"}))}  # fmt: skip

    ours = collect({"bicubic": read("hotel!", "Hostel", "")}, "toy")
    theirs = collect({"x": read("", "HOTEL", "5")}, "peer")
    table = reading_table(pd.concat([ours, theirs], ignore_index=True))
    assert list(table) == ["set", "label", "toy, bicubic", "peer, x"]
    assert table["label"].tolist() == ["HOTEL", "HOTEL", "5"]
    assert table["toy, bicubic"].tolist() == ["hotel!", "Hostel ✗", "(nothing) ✗"]
    assert table["peer, x"].tolist() == ["(nothing) ✗", "HOTEL", "5"]


@pytest.mark.parametrize(("ahead", "p", "said"), [
    (5, 0.0625, "indistinguishable"), (6, 0.03125, "holds")])
def test_a_difference_is_sure_below_one_in_twenty(ahead, p, said):
    ours, theirs = (score(pd.DataFrame({
        "subset": "easy", "index": range(ahead), "label": "ab", "image": "0", "reading": reading,
        "confidence": 0.5})) for reading in ("ab", "x"))
    found = claim("", ours, theirs)
    assert found["p"] == pytest.approx(p) and found["here"] == said


def test_a_table_of_no_claims_has_their_columns():
    some = claim_table([claim("a", scores(2, 1), scores(1, 2))])
    assert list(claim_table([])) == list(some) and len(claim_table([])) == 0
