"""Figures of the diagnostics: what is drawn, not how it looks."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from kdltr.evaluation import calibration, confusion
from kdltr.results.figures import diagnostics as figures
from kdltr.results.figures.style import WRITTEN, short

WORDS = pd.DataFrame({
    "label": ["cat", "dog", "bird", "fish"], "reading": ["cot", "dog", "bird", "fist"],
    "confidence": [0.3, 0.9, 0.95, 0.9], "correct": [False, True, True, False],
})  # fmt: skip


def test_a_row_of_maps_shows_each_character_in_its_colour():
    row = {"title": "student", "image": np.zeros((16, 64, 3), np.uint8),
           "maps": np.full((26, 4, 32), 1 / 128), "characters": [("c", True), ("o", False)]}
    figure = figures.attention_maps([row, row | {"characters": [("c", True)]}])
    assert len(figure.axes) == 2 * 3  # the word and at most two characters
    drawn = [axes for axes in figure.axes if axes.images]
    assert len(drawn) == 3 + 2
    assert [axes.get_title(loc="center") for axes in figure.axes[1:3]] == ["c", "o"]
    colours = [axes.title.get_color() for axes in figure.axes[1:3]]
    assert colours == [WRITTEN[right]["color"] for right in (True, False)]


def test_reliability_shows_every_bin_and_its_share_of_the_images():
    figure = figures.reliability_curves({"a": calibration.reliability(WORDS)} | {
        "b": calibration.reliability(WORDS)})  # fmt: skip
    assert len(figure.axes) == 4
    above, below = figure.axes[0], figure.axes[2]
    curve = above.lines[1].get_xydata()
    np.testing.assert_allclose(curve, [[0.3, 0.0], [(0.9 + 0.95 + 0.9) / 3, 2 / 3]])
    assert [bar.get_height() for bar in below.patches] == [0.25, 0.75]


def test_accuracy_against_coverage_ends_at_the_accuracy():
    figure = figures.accuracy_coverage({"parseq": {"a": calibration.risk_coverage(WORDS)}})
    assert figure.axes[0].lines[0].get_xydata()[-1].tolist() == [1.0, 0.5]


def test_confusions_are_shown_for_every_method_even_where_one_has_none():
    other = WORDS.assign(reading=WORDS["label"])
    tables = {"a": confusion.confusion_pairs(WORDS), "b": confusion.confusion_pairs(other)}
    axes = figures.swap_bars(tables).axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["a → o", "h → t"]
    assert [bar.get_height() for bar in axes.patches] == [1, 1, 0, 0]


def test_missing_characters_are_no_swaps():
    table = confusion.confusion_pairs(WORDS.assign(reading=["ca", "dog", "bird", "fist"]))
    axes = figures.swap_bars({"a": table}).axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["h → t"]


def test_methods_without_a_swap_leave_the_figure_empty():
    table = confusion.confusion_pairs(WORDS.assign(reading=WORDS["label"]))
    assert not figures.swap_bars({"a": table}).axes[0].patches


def test_character_errors_name_each_character_and_its_count():
    table = confusion.by_character(WORDS)
    axes = figures.character_errors({"a": table, "b": table}).axes[0]
    named = [text.get_text() for text in axes.get_xticklabels()]
    assert named[0] == "d\n2" and len(named) == len(table)


def test_counts_of_all_characters_stand_apart():
    table = pd.DataFrame({"character": list("eaiotrnslcdumpghbyfvkwxzjq0123456789"), "share": 0.1,
                          "low": 0.05, "high": 0.2, "n": np.geomspace(88888, 1, 36).astype(int)})
    figure = figures.character_errors({"a": table, "b": table})
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].get_xticklabels()]
    assert all(left.x1 + 3 < right.x0 for left, right in pairwise(boxes))


@pytest.mark.parametrize("count, text", [(7, "7"), (999, "999"), (1900, "1.9k"), (9960, "10k"),
                                         (123_456, "123k"), (999_600, "1.0M"), (3.4e6, "3.4M")])
def test_counts_are_short(count, text):
    assert short(count) == text
