"""Figures of the benchmark."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from kdltr.bench.clock import TOTAL, exponent
from kdltr.bench.growth import curves
from kdltr.bench.measure import WORK
from kdltr.bench.rows import KDLTR, PLAIN, STEP
from kdltr.extras import optional
from kdltr.results import Row, to_frame
from kdltr.results.figures import style

ticker = optional("matplotlib.ticker", "notebooks")


def parts_of_a_step(rows: Sequence[Row]) -> style.Figure:
    """Milliseconds of a training step by part, kdltr's above the plain one's."""
    frame = to_frame(rows)
    frame = frame[(frame["subset"] == STEP) & (frame["unit"] == "ms")]
    names = list(frame["recogniser"].unique())
    figure, places = style.panels(9, 0.6 + 1.0 * len(names), len(names))
    for name, axes in zip(names, places[:, 0], strict=True):
        table = frame[frame["recogniser"] == name].pivot_table(
            "value", "method", "metric", sort=False
        )
        left = np.zeros(2)
        parts = table.drop(columns=[TOTAL, WORK]).loc[[PLAIN, KDLTR]]
        for number, part in enumerate(parts):
            axes.barh([PLAIN, KDLTR], parts[part], left=left, color=style.look(number)["color"],
                      label=part, height=0.7)  # fmt: skip
            left += parts[part].to_numpy()
        style.tidy(axes, name, grid="both")
    places[-1, 0].set_xlabel("milliseconds")
    style.legend(figure)
    return figure


def growth(rows: Sequence[Row]) -> style.Figure:
    """Milliseconds against size, a panel for each axis, with the fitted exponents."""
    table = curves(rows)
    panels = list(table.groupby("axis", sort=False))
    figure, places = style.panels(4.2 * len(panels), 3.6, 1, len(panels))
    for (axis, part), axes in zip(panels, places[0], strict=True):
        lines = part.groupby(["recogniser", "metric", "method"], sort=False)
        for number, (names, line) in enumerate(lines):
            _curve(axes, style.look(number)["color"], names, line)
        axes.set(xscale="log", yscale="log")
        sizes = sorted(part["size"].unique())
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        low, high = axes.get_ylim()
        axes.set_ylim(low, high * (high / low) ** (0.12 * len(lines)))  # room for the legend
        style.tidy(axes, xlabel=axis, ylabel="milliseconds")
        axes.legend(fontsize=7, frameon=False, loc="upper left")
    return figure


def _curve(axes, colour: str, names: tuple[str, str, str], line: pd.DataFrame) -> None:
    recogniser, metric, method = names
    sizes, values = line["size"].to_numpy(), line["value"].to_numpy()
    label = f"{recogniser}, {metric}" + (f", {method}" if method != KDLTR else "")
    if len(set(sizes)) < 2:  # of which there is no growth
        axes.plot(sizes, values, "o", color=colour, markersize=4, label=label)
        return
    power = exponent(sizes, values)
    axes.plot(sizes, values, "o", color=colour, markersize=4,
              label=f"{label}: size^{round(power, 2) + 0.0:.2f}")
    level = np.log(values).mean() - power * np.log(sizes).mean()
    axes.plot(sizes, np.exp(level) * sizes**power, color=colour, linewidth=1)
