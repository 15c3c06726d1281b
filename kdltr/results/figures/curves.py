"""Figures of robustness: accuracy against the level of a degradation, and images of the levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kdltr.results.figures import style


def level_curves(
    table: pd.DataFrame,
    level: str,
    methods: Sequence[str],
    published: pd.DataFrame | None = None,
) -> Figure:
    """Accuracy against level with 95 % intervals: a panel for each recogniser, three in a row.

    Levels stand at equal steps in the order of the table, from mild to strong.

    Args:
        table: columns recogniser, method, level (text), accuracy, low, high (fractions).
        level: what the level is.
        methods: all there are; what is left of colours is given out in their order.
        published: the paper's curves for a panel of their own: a column `level` and one a method,
            in percent.
    """
    parts = list(table.groupby("recogniser", sort=False))
    looks, panels = style.looks(methods), len(parts) + (published is not None)
    figure, places = style.wrapped(panels, 2.9, 3.0, sharey=True)
    for (recogniser, part), axes in zip(parts, places[:, 0], strict=False):
        levels = list(part["level"].unique())
        for method, curve in part.groupby("method", sort=False):
            x = [levels.index(step) for step in curve["level"]]
            band = {"alpha": 0.15, "lw": 0, "color": looks[method]["color"]}
            axes.fill_between(x, curve["low"], curve["high"], **band)
            axes.plot(x, curve["accuracy"], ms=4, label=method, **looks[method])
        axes.set_xticks(range(len(levels)), levels)
        style.tidy(axes, recogniser, percent="y", xlabel=level, ylim=(0, 1))
    if published is not None:
        axes, steps = places[-1, 0], [f"{step:g}" for step in published["level"]]
        for method in published.columns.drop("level"):
            ours = {"color": "black", "marker": "o", "ms": 4, "label": f"{method} (published)"}
            other = {"color": style.MUTED, "lw": 1, "ls": "--", "label": "two-stage (published)"}
            axes.plot(range(len(steps)), published[method] / 100,
                      **(ours if method == "Ours" else other))  # fmt: skip
        axes.set_xticks(range(len(steps)), steps)
        style.tidy(axes, "published, data not stated", xlabel=level)
    style.label_rows(figure, ylabel="words read right")
    style.legend(figure)
    return figure


def dots(table: pd.DataFrame, methods: Sequence[str]) -> Figure:
    """Accuracy of every line with its 95 % interval: a panel for each recogniser, three in a row.

    Args:
        table: columns recogniser, method, line (text), accuracy, low, high (fractions).
        methods: as of `level_curves`.
    """
    lines, shown = list(table["line"].unique()), set(table["method"])
    drawn = [method for method in methods if method in shown]
    step = min(0.2, 0.8 / max(len(drawn), 1))  # lines lie 1 apart
    parts = list(table.groupby("recogniser", sort=False))
    looks = style.looks(methods)
    figure, places = style.wrapped(len(parts), 2.6, 0.9 + 0.28 * len(lines), 1.8, sharex=True,
                                   sharey=True)  # fmt: skip
    for (recogniser, part), axes in zip(parts, places[:, 0], strict=True):
        for number, method in enumerate(drawn):
            rows = part[part["method"] == method].set_index("line").reindex(lines)
            y = style.side_by_side(len(lines), number, len(drawn), step)
            axes.errorbar(rows["accuracy"], y, xerr=style.interval(rows), ls="none", ms=4,
                          elinewidth=1, label=method, **looks[method])  # fmt: skip
        style.tidy(axes, recogniser, "x", "both", xlabel="words read right", xlim=(-0.02, 1))
    places[0, 0].set_yticks(range(len(lines)), lines)
    places[0, 0].invert_yaxis()
    style.legend(figure)
    return figure


def image_grid(rows: Mapping[str, Sequence[tuple[str, np.ndarray]]]) -> Figure:
    """Rows of images with a caption each: what the levels of a degradation look like.

    Args:
        rows: by title, (caption, image (H, W, 3) uint8) from left to right.
    """
    columns = max(len(row) for row in rows.values())
    figure, axes = style.pictures(1.5 + 1.35 * columns, 0.55 * len(rows) + 0.1, len(rows), columns)
    for (title, row), places in zip(rows.items(), axes, strict=True):
        for (caption, image), place in zip(row, places, strict=False):
            style.word(place, image, caption, fontsize=7, loc="left", color=style.MUTED)
        places[0].text(-0.08, 0.5, title, ha="right", va="center", fontsize=8,
                       transform=places[0].transAxes)  # fmt: skip
    return figure
