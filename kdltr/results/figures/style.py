"""How every figure looks: colours, panels, axes, one legend above all, pictures of words."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

MUTED = "#6b7280"
# Distinct for every kind of colour vision, in print too (Okabe and Ito), then two more.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7f7f7f", "#f0e442",
           "#000000", "#882255")  # fmt: skip
MARKERS = "osD^vP*Xhp"
WRITTEN = {True: {"color": "black"}, False: {"color": "#d0021b", "weight": "bold"}}  # if right


def panels(width: float, height: float, rows: int = 1, columns: int = 1, **options):
    """A figure of `width` × `height` inches, and its axes as an array (rows, columns).

    No pyplot: no state, no window, the same picture in JupyterLab and in a batch.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def pictures(width: float, height: float, rows: int, columns: int):
    """As `panels`, for pictures and text: without axes."""
    figure, places = panels(width, height, rows, columns)
    for place in places.flat:
        place.set_axis_off()
    return figure, places


def tidy(axes: Axes, title: str = "", percent: str = "", grid: str = "y", **labels) -> None:
    """No frame, a faint grid; `percent` names the axes ("x", "y", "xy") that show fractions."""
    axes.set(**labels)
    axes.set_title(title, loc="left", fontsize=10)
    for name in percent:
        getattr(axes, f"{name}axis").set_major_formatter(PercentFormatter(1.0))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)


def legend(figure: Figure) -> None:
    """Above all panels, in as many columns as fit: each label once."""
    found = [zip(*axes.get_legend_handles_labels(), strict=True) for axes in figure.axes]
    handles = {label: handle for own in found for handle, label in own}
    columns = min(6, max(1, int(figure.get_figwidth() / 1.25)))
    figure.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=columns,
                  fontsize=8, frameon=False)  # fmt: skip


def look(number: int) -> dict[str, str]:
    """Colour and marker of method `number`."""
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}


def side_by_side(places: int, number: int, of: int, step: float) -> np.ndarray:
    """Where the marks of method `number` of `of` stand, around 0, 1, … `places` - 1."""
    return np.arange(places) + (number - (of - 1) / 2) * step


def interval(rows: pd.DataFrame, value: str = "accuracy") -> tuple[pd.Series, pd.Series]:
    """The lengths of error bars below and above `value`, from the columns low and high."""
    return rows[value] - rows["low"], rows["high"] - rows[value]


def word(
    axes: Axes, image: np.ndarray, title: str = "", aspect: float = 4.0, **look
) -> None:
    """A picture of a word, stretched to 1 : 4 as a recogniser's input is, its title above.

    Args:
        image: (H, W, 3) uint8 of any size.
        aspect: width over height, where it is not a word's.
        look: of the title.
    """
    axes.imshow(image, extent=(0, aspect, 0, 1), interpolation="nearest", aspect="equal")
    if title:
        axes.set_title(plain(title), pad=2, **look)


def plain(text: str) -> str:
    """Text in which a $ does not start a formula."""
    return text.replace("$", r"\$")
