"""Figures of robustness: accuracy against the level of a degradation, and images of the levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from kdltr.results.figures.plots import COLOURS, MUTED

MARKERS = "osD^vP*"


def level_curves(
    table: pd.DataFrame,
    level: str,
    methods: Sequence[str],
    published: pd.DataFrame | None = None,
) -> Figure:
    """Accuracy against level with 95 % intervals: a panel for each recogniser.

    Levels stand at equal steps in the order of the table, from mild to strong.

    Args:
        table: columns recogniser, method, level (text), accuracy, low, high (fractions).
        level: what the level is.
        methods: all there are, in the order of their colours, which one that is absent keeps.
        published: the paper's curves for a panel of their own: a column `level` and one a method,
            in percent.
    """
    panels = list(table.groupby("recogniser", sort=False))
    columns = len(panels) + (published is not None)
    figure = Figure(figsize=(0.5 + 2.7 * columns, 3.1), layout="constrained")
    places = figure.subplots(1, columns, squeeze=False, sharey=True)[0]
    for (recogniser, part), axes in zip(panels, places, strict=False):
        levels = list(part["level"].unique())
        for method, curve in part.groupby("method", sort=False):
            x = [levels.index(step) for step in curve["level"]]
            number = methods.index(method)
            look = {"color": COLOURS[number % len(COLOURS)]}
            axes.fill_between(x, curve["low"], curve["high"], alpha=0.15, lw=0, **look)
            axes.plot(x, curve["accuracy"], marker=MARKERS[number], ms=4, label=method, **look)
        _finish(axes, recogniser, levels, level)
    if published is not None:
        steps = [f"{step:g}" for step in published["level"]]
        for method in published.columns.drop("level"):
            ours = {"color": "black", "marker": "o", "ms": 4, "label": f"{method} (published)"}
            other = {"color": MUTED, "lw": 1, "ls": "--", "label": "two-stage (published)"}
            axes = places[-1]
            axes.plot(range(len(steps)), published[method] / 100,
                      **(ours if method == "Ours" else other))  # fmt: skip
        _finish(places[-1], "published, data not stated", steps, level)
    places[0].set(ylabel="words read right", ylim=(0, 1))
    places[0].yaxis.set_major_formatter(PercentFormatter(1.0))
    handles = {text: handle for axes in places
               for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)}  # fmt: skip
    figure.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=len(handles),
                  fontsize=8, frameon=False)  # fmt: skip
    return figure


def _finish(axes: Axes, title: str, levels: Sequence[str], level: str) -> None:
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xticks(range(len(levels)), levels)
    axes.set_xlabel(level)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)


def dots(table: pd.DataFrame, methods: Sequence[str]) -> Figure:
    """Accuracy of every line with its 95 % interval: a panel for each recogniser, side by side.

    Args:
        table: columns recogniser, method, line (text), accuracy, low, high (fractions).
        methods: as of `level_curves`.
    """
    lines, shown = list(table["line"].unique()), set(table["method"])
    panels = list(table.groupby("recogniser", sort=False))
    size = 2.0 + 2.6 * len(panels), 0.9 + 0.28 * len(lines)
    figure = Figure(figsize=size, layout="constrained")
    places = figure.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)[0]
    for (recogniser, part), axes in zip(panels, places, strict=True):
        for number, method in enumerate(methods):
            if method not in shown:
                continue
            rows = part[part["method"] == method].set_index("line").reindex(lines)
            y = np.arange(len(lines)) + (number - (len(methods) - 1) / 2) * 0.2
            errors = rows["accuracy"] - rows["low"], rows["high"] - rows["accuracy"]
            axes.errorbar(rows["accuracy"], y, xerr=errors, fmt=MARKERS[number], ms=4, lw=1,
                          color=COLOURS[number % len(COLOURS)], label=method)  # fmt: skip
        axes.set_title(recogniser, loc="left", fontsize=10)
        axes.set(xlim=(-0.02, 1), xlabel="words read right")
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="both", color="#e5e7eb", linewidth=0.8)
        axes.set_axisbelow(True)
    places[0].set_yticks(range(len(lines)), lines)
    places[0].invert_yaxis()
    figure.legend(*places[0].get_legend_handles_labels(), loc="outside upper left",
                  ncols=len(methods), fontsize=8, frameon=False)  # fmt: skip
    return figure


def image_grid(rows: Mapping[str, Sequence[tuple[str, np.ndarray]]]) -> Figure:
    """Rows of images with a caption each: what the levels of a degradation look like.

    Args:
        rows: by title, (caption, image (H, W, 3) uint8) from left to right.
    """
    columns = max(len(row) for row in rows.values())
    figure = Figure(figsize=(1.5 + 1.35 * columns, 0.55 * len(rows) + 0.1), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for (title, row), places in zip(rows.items(), axes, strict=True):
        for place in places:
            place.set_axis_off()
        for (caption, image), place in zip(row, places, strict=False):
            place.imshow(image, extent=(0, 4, 0, 1), interpolation="nearest", aspect="equal")
            place.set_title(caption, fontsize=7, loc="left", pad=2, color=MUTED)
        places[0].text(-0.08, 0.5, title, ha="right", va="center", fontsize=8,
                       transform=places[0].transAxes)  # fmt: skip
    return figure
