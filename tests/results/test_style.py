"""How figures look: colours and markers of methods, panels in rows, counts."""

import matplotlib.colors
import numpy as np
import pandas as pd
import pytest

from kdltr.bench.clock import TOTAL
from kdltr.bench.figures import parts_of_a_step
from kdltr.bench.measure import WORK
from kdltr.bench.rows import KDLTR, PLAIN, STEP, TABLE
from kdltr.evaluation import calibration, confusion
from kdltr.results import Row
from kdltr.results.figures import curves, diagnostics, plots, style

WORDS = pd.DataFrame({
    "label": ["cat", "dog", "bird", "fish"], "reading": ["cot", "dog", "bird", "fist"],
    "confidence": [0.3, 0.9, 0.95, 0.9], "correct": [False, True, True, False],
})  # fmt: skip
KNOWN = ["teacher on HR", "bicubic", "distilled", "fine-tuned"]


def accuracies(methods):
    """One row of each method, for every figure of accuracies."""
    return pd.DataFrame({"recogniser": "parseq", "method": methods, "subset": "easy", "level": "1",
                         "line": "blur 1", "accuracy": 0.5, "low": 0.4, "high": 0.6})  # fmt: skip


def drawn(figure):
    """Hexadecimal colour of each label in the legend of a figure."""
    found = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            while hasattr(handle, "lines"):  # of error bars
                handle = handle.lines[0]
            while hasattr(handle, "patches"):
                handle = handle.patches[0]
            bar = hasattr(handle, "get_facecolor")
            colour = handle.get_facecolor() if bar else handle.get_color()
            colour = matplotlib.colors.to_hex(colour)
            assert found.setdefault(label, colour) == colour
    return found


def coverage(methods):
    """Two panels with the same curves, in the first one without the first method."""
    curve = calibration.risk_coverage(WORDS)
    each = dict.fromkeys(methods, curve)
    return diagnostics.accuracy_coverage({"a": dict.fromkeys(methods[1:], curve), "b": each})


DRAW = {
    "accuracy_bars": lambda methods: plots.accuracy_bars(accuracies(methods)),
    "level_curves": lambda methods: curves.level_curves(accuracies(methods), "σ", methods),
    "dots": lambda methods: curves.dots(accuracies(methods), methods),
    "accuracy_coverage": coverage,
    "swap_bars": lambda methods: diagnostics.swap_bars(
        dict.fromkeys(methods, confusion.confusion_pairs(WORDS))),
    "character_errors": lambda methods: diagnostics.character_errors(
        dict.fromkeys(methods, confusion.by_character(WORDS))),
}  # fmt: skip


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_a_method_has_one_colour_in_every_figure_whoever_else_is_in_it(draw):
    own = dict(zip(style.METHODS, style.COLOURS, strict=False))
    for methods in (KNOWN, KNOWN[1:], [*KNOWN[::-1], "another"]):
        found = drawn(draw(methods))
        assert [*found] and {*found} == {*methods}
        assert {method: found[method] for method in methods if method in own} == {
            method: own[method] for method in methods if method in own}  # fmt: skip
        assert len({*found.values()}) == len(methods)


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_no_method_is_left_out_however_many_there_are(draw):
    methods = [f"m{i}" for i in range(13)]
    assert {*drawn(draw(methods))} == {*methods}


def test_reliability_is_in_the_colours_of_the_other_figures():
    methods = [f"m{i}" for i in range(9)] + KNOWN
    figure = diagnostics.reliability_curves(dict.fromkeys(methods, calibration.reliability(WORDS)))
    found = {axes.get_title(loc="left"): axes.lines[1].get_color()
             for axes in figure.axes if axes.lines}  # and not the shares below
    assert {*found} == {*methods}
    looks = style.looks(methods)
    assert found == {method: looks[method]["color"] for method in methods}
    assert found["distilled"] == style.COLOURS[0]


def test_no_term_of_a_loss_is_left_out():
    terms = {f"weighted_{i}": [1.0] for i in range(12)}
    (axes,) = plots.loss_curves(pd.DataFrame({"step": [1], "total": [12.0]} | terms)).axes
    assert len(axes.lines) == 13


def test_no_part_of_a_step_is_left_out():
    rows = [Row(TABLE, "parseq", way, STEP, part, 1.0, "ms") for way in (PLAIN, KDLTR)
            for part in (*(f"part {i}" for i in range(12)), TOTAL, WORK)]  # fmt: skip
    (axes,) = parts_of_a_step(rows).axes
    assert len(axes.containers) == 12


def test_others_take_first_what_belongs_to_no_method():
    looks = style.looks(["x", "distilled", "y"])
    assert looks["x"] == style.look(len(style.METHODS))
    assert looks["distilled"] == style.look(0) and looks["y"] == style.look(1)


def test_however_many_methods_there_are_each_looks_its_own_way():
    looks = style.looks([*style.METHODS, *(f"m{i}" for i in range(40))])
    assert len({tuple(look.values()) for look in looks.values()}) == len(looks)


def test_of_several_seeds_the_first_has_the_colour_of_its_method():
    looks = style.looks(["distilled, seed 42", "distilled, seed 43", "bicubic"])
    assert looks["distilled, seed 42"] == style.look(0) and looks["bicubic"] == style.look(1)
    assert looks["distilled, seed 43"]["color"] not in style.COLOURS[:2]


def test_every_colour_is_seen_on_white():
    for colour in style.COLOURS:
        rgb = np.array(matplotlib.colors.to_rgb(colour))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        assert 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05) > 2, colour


@pytest.mark.parametrize("number, most, shape", [
    (1, 3, (1, 1)), (3, 3, (1, 3)), (4, 3, (2, 2)), (5, 3, (2, 3)), (8, 4, (2, 4)), (9, 4, (3, 3)),
])  # fmt: skip
def test_panels_are_wrapped_in_rows_of_much_the_same_length(number, most, shape):
    figure, places = style.wrapped(number, 2.0, 3.0, most=most, of=(3, 1), sharex=True)
    assert places.shape == (number, 2) and len(figure.axes) == 2 * number
    above, below = places[-1]
    grid = above.get_subplotspec().get_gridspec()
    assert (grid.nrows, grid.ncols) == (2 * shape[0], shape[1])
    assert (figure.get_figheight(), figure.get_figwidth()) == (3.0 * shape[0], 0.5 + 2.0 * shape[1])
    assert above.get_subplotspec().rowspan.stop == below.get_subplotspec().rowspan.start
    assert above.get_subplotspec().colspan == below.get_subplotspec().colspan
    for upper, lower in places:
        assert lower.xaxis.get_tick_params()["labelbottom"]
        assert not upper.xaxis.get_tick_params()["labelbottom"]


@pytest.mark.parametrize("make", [
    lambda names: diagnostics.reliability_curves(
        dict.fromkeys(names, calibration.reliability(WORDS))),
    lambda names: diagnostics.accuracy_coverage(
        {name: {"a": calibration.risk_coverage(WORDS)} for name in names}),
    lambda names: curves.level_curves(
        pd.concat([accuracies(["a"]).assign(recogniser=name) for name in names]), "σ", ["a"]),
    lambda names: curves.dots(
        pd.concat([accuracies(["a"]).assign(recogniser=name) for name in names]), ["a"]),
], ids=["reliability_curves", "accuracy_coverage", "level_curves", "dots"])  # fmt: skip
def test_figures_of_many_panels_are_as_wide_as_the_page(make):
    figure = make([f"panel {i}" for i in range(9)])
    assert figure.get_figwidth() <= 9.75  # at 110 dots an inch about the 1065 pixels of the report
    assert {f"panel {i}" for i in range(9)} <= {axes.get_title(loc="left") for axes in figure.axes}
    named = [axes for axes in figure.axes if axes.get_ylabel()]
    assert all(axes.get_subplotspec().is_first_col() for axes in named)
