"""What the figures show is what was measured."""

import numpy as np
import pytest

from kdltr.bench import figures
from kdltr.bench.clock import TOTAL
from kdltr.bench.measure import WORK
from kdltr.bench.rows import KDLTR, PLAIN, RATIO, STEP, TABLE
from kdltr.results import Row

PARTS = {"data": 1.0, "teacher": 2.0, "student": 4.0, "losses": 8.0}


def step_rows():
    times = {**PARTS, TOTAL: 15.0, WORK: 99.0}
    rows = [Row(TABLE, name, way, STEP, part, factor * value, "ms")
            for name in ("parseq", "matrn") for way, factor in ((KDLTR, 1), (PLAIN, 10))
            for part, value in times.items()]
    return [*rows, Row(TABLE, "parseq", RATIO, STEP, TOTAL, 10.0, "×"),
            Row(TABLE, "parseq", KDLTR, "reading", TOTAL, 3.0, "ms")]


def test_bars_are_the_parts_end_to_end():
    figure = figures.parts_of_a_step(step_rows())
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["parseq", "matrn"]
    for axes in figure.axes:
        assert [bar.get_label() for bar in axes.containers] == list(PARTS)
        for bar, width in zip(axes.containers, PARTS.values(), strict=True):
            assert [patch.get_width() for patch in bar] == [10 * width, width]  # plain, kdltr
        ends = [patch.get_x() + patch.get_width() for patch in axes.containers[-1]]
        assert ends == [150.0, 15.0]


def test_points_are_the_measurements_and_lines_the_fit():
    rows = [Row("scaling", "parseq", way, f"{axis}: {n}", "reading", factor * n**0.5, "ms",
                extra={"axis": axis, "size": n})
            for axis, sizes in (("pairs", (1, 4, 16)), ("word length", (2, 8)))
            for way, factor in ((KDLTR, 1.0), (PLAIN, 5.0)) for n in sizes]
    figure = figures.growth(rows)
    assert [axes.get_xlabel() for axes in figure.axes] == ["pairs", "word length"]
    axes = figure.axes[0]
    points, line = axes.lines[0], axes.lines[1]
    assert points.get_xydata().tolist() == [[1, 1], [4, 2], [16, 4]]
    np.testing.assert_allclose(line.get_ydata(), [1, 2, 4])
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["parseq, reading: size^0.50", "parseq, reading, plain: size^0.50"]
    assert axes.get_xscale() == axes.get_yscale() == "log"


def test_of_one_size_there_is_a_point_and_no_growth():
    row = Row("scaling", "parseq", KDLTR, "pairs: 4", "reading", 2.0, "ms",
              extra={"axis": "pairs", "size": 4})
    (axes,) = figures.growth([row]).axes
    (point,) = axes.lines
    assert point.get_xydata().tolist() == [[4, 2]] and point.get_label() == "parseq, reading"


@pytest.mark.parametrize("draw", [figures.parts_of_a_step, figures.growth])
def test_they_can_be_saved(draw, tmp_path):
    rows = step_rows() if draw is figures.parts_of_a_step else [
        Row("scaling", "parseq", KDLTR, f"pairs: {n}", "reading", n, "ms",
            extra={"axis": "pairs", "size": n}) for n in (1, 2)]
    draw(rows).savefig(tmp_path / "figure.png")
