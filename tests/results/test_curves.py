"""Figures of robustness: what is drawn, not how it looks."""

import numpy as np
import pandas as pd
import pytest

from kdltr.results.figures.curves import dots, image_grid, level_curves
from kdltr.results.figures.style import COLOURS

METHODS = ["teacher on HR", "bicubic", "distilled"]
TABLE = pd.DataFrame(
    [("a", "bicubic", "0", 0.5), ("a", "bicubic", "2", 0.1), ("a", "distilled", "0", 0.6),
     ("a", "distilled", "2", 0.3), ("b", "bicubic", "0", 0.4), ("b", "bicubic", "2", 0.2)],
    columns=["recogniser", "method", "level", "accuracy"],
).assign(low=lambda t: t["accuracy"] - 0.1, high=lambda t: t["accuracy"] + 0.1)  # fmt: skip
PAPER = pd.DataFrame({"level": [0, 1.5], "TSRN": [79, 17], "STT": [82, 20], "Ours": [82, 37]})


def points(line):
    return line.get_xydata().tolist()


def test_curves_have_a_panel_a_recogniser_and_one_for_the_paper():
    figure = level_curves(TABLE, "σ", METHODS, PAPER)
    first, second, paper = figure.axes
    assert [axes.get_title(loc="left") for axes in (first, second)] == ["a", "b"]
    assert points(first.lines[1]) == [[0, 0.6], [1, 0.3]]
    assert [line.get_label() for line in second.lines] == ["bicubic"]
    band = first.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((0.0, 0.6))
    assert points(paper.lines[-1]) == [[0, 0.82], [1, 0.37]]
    assert [text.get_text() for text in paper.get_xticklabels()] == ["0", "1.5"]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["bicubic", "distilled", "two-stage (published)", "Ours (published)"]
    assert len(level_curves(TABLE, "σ", METHODS).axes) == 2


def test_a_method_keeps_its_colour_where_another_is_absent():
    axes = level_curves(TABLE, "σ", METHODS).axes[0]
    assert [line.get_color() for line in axes.lines] == [COLOURS[1], COLOURS[0]]


def test_dots_have_a_line_for_each_degradation_and_their_intervals():
    table = TABLE.rename(columns={"level": "line"})
    figure = dots(table, METHODS)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["0", "2"]
    drawn = [bar.lines[0].get_xdata().tolist() for bar in axes.containers]
    assert drawn == [[0.5, 0.1], [0.6, 0.3]]
    ends = axes.containers[0].lines[2][0].get_segments()[0][:, 0]
    assert ends == pytest.approx([0.4, 0.6])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == METHODS[1:]


def test_dots_of_many_methods_stay_at_their_line():
    methods = [f"m{i}" for i in range(8)]
    table = pd.DataFrame([{"recogniser": "a", "method": method, "line": line, "accuracy": 0.5,
                           "low": 0.4, "high": 0.6} for method in methods for line in "xy"])
    places = [bar.lines[0].get_ydata() for bar in dots(table, methods).axes[0].containers]
    assert max(y[0] for y in places) < min(y[1] for y in places) - 0.15


def test_a_grid_shows_every_image_with_its_caption():
    grey = np.full((4, 8, 3), 90, np.uint8)
    figure = image_grid({"blur": [("0", grey), ("2", grey)], "jpeg": [("5", grey)]})
    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title(loc="left") for axes in shown] == ["0", "2", "5"]
