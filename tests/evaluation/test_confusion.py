"""Confusions, against alignments that can be seen by eye."""

import pandas as pd
import pytest

from kdltr.evaluation.confusion import (
    GAP,
    by_character,
    character_error_rate,
    confusion_pairs,
    kinds,
    marked,
)


def predictions(*words):
    return pd.DataFrame(words, columns=["label", "reading"])



def test_swapped_missed_and_added_characters_are_counted():
    table = predictions(("Hello", "he1lo"), ("hello!", "heloo"), ("cat", "cats"))
    pairs = confusion_pairs(table)
    counts = dict(zip(zip(pairs["label"], pairs["reading"], strict=True), pairs["count"],
                      strict=True))  # fmt: skip
    assert counts == {("l", "1"): 1, ("l", "o"): 1, (GAP, "s"): 1}
    of_l = pairs[pairs["label"] == "l"]
    assert of_l["n"].tolist() == [4, 4]
    assert pairs.loc[pairs["label"] == GAP, "n"].tolist() == [13]
    assert kinds(pairs) == {"swapped": 2, "missed": 0, "added": 1}


def test_the_most_frequent_come_first_and_equals_in_the_order_of_the_alphabet():
    pairs = confusion_pairs(predictions(("abab", "cbcb"), ("bb12", "bd12"), ("aa12", "ae12")))
    assert pairs[["label", "reading"]].to_numpy().tolist() == [["a", "c"], ["a", "e"], ["b", "d"]]


def test_words_that_have_little_in_common_say_nothing_of_pairs():
    table = predictions(("word", "xyzt"), ("word", ""))
    assert confusion_pairs(table).empty
    assert kinds(confusion_pairs(table, similar=0.0)) == {"swapped": 4, "missed": 4, "added": 0}


def test_misread_characters_count_in_all_words():
    table = by_character(predictions(("aab", "axb"), ("b", ""), ("a-a", "AA")))
    assert table["character"].tolist() == ["a", "b"]
    assert table["n"].tolist() == [4, 2] and table["wrong"].tolist() == [1, 1]
    assert table["share"].tolist() == [0.25, 0.5]
    assert table["low"].lt(table["share"]).all() and table["high"].gt(table["share"]).all()


def test_the_character_error_rate_is_edits_over_characters():
    rate = character_error_rate(predictions(("abcd", "abxd"), ("ab", "abc"), ("xy", "xy")))
    assert rate.value == pytest.approx(2 / 8)
    assert 0 <= rate.low <= rate.value <= rate.high


def test_labels_without_characters_are_refused():
    with pytest.raises(ValueError, match="found none"):
        character_error_rate(predictions(("!?", "a")))


@pytest.mark.parametrize(
    ("reading", "label", "expected"),
    [
        ("word", "word", "word"),
        ("Word!", "word", "Word!"),  # case and punctuation do not count
        ("ward", "word", "w[a]rd"),
        ("wrd", "word", "w[·]rd"),
        ("wor", "word", "wor[·]"),
        ("words", "word", "word[s]"),
        ("", "ab", "[·][·]"),
        ("x-y", "xy", "x-y"),
        ("Brand™", "brand", "Brand[™]"),  # compared as tm
        ("½a", "12a", "½a"),
    ],
)
def test_wrong_characters_are_marked(reading, label, expected):
    found = marked(reading, label)
    assert "".join(c if right else f"[{c}]" for c, right in found) == expected
