"""How every figure looks: colours, panels, axes, one legend above all, pictures of words."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, count

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from kdltr.evaluation.seeds import method_of

MUTED = "#6b7280"
# Distinct for every kind of colour vision, in print too: those of Okabe and Ito that are neither
# faint on white nor the black of texts and error bars, and four more.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#882255", "#cc79a7", "#56b4e9", "#d55e00", "#5b3a00",
           "#332288", "#7f7f7f")  # fmt: skip
# Each of these has the colour and the marker of its place, in every figure.
METHODS = ("distilled", "bicubic", "fine-tuned", "teacher on HR", "TSRN", "STT", "TATT", "C3-STISR",
           "shipped")  # fmt: skip
MARKERS = "osD^vP*X<>"
WRITTEN = {True: {"color": "black"}, False: {"color": "#d0021b", "weight": "bold"}}  # if right


def panels(width: float, height: float, rows: int = 1, columns: int = 1, **options):
    """A figure of `width` × `height` inches, and its axes as an array (rows, columns).

    No pyplot: no state, no window, the same picture in JupyterLab and in a batch.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def wrapped(
    number: int, width: float, height: float, left: float = 0.5, most: int = 3,
    of: tuple[int, ...] = (1,), **options,
):  # fmt: skip
    """A figure of `number` panels, at most `most` in a row and as many in each as can be.

    Args:
        number: of panels.
        width, height: of a panel in inches; left: what labels left of the first take beside it.
        of: the heights, one relative to the other, of the axes that a panel consists of.
        options: of `panels`.

    Returns:
        The figure, and the axes (number, axes of a panel). Numbers stand below every panel, also
        where axes are shared.
    """
    rows = -(-number // most)
    columns = -(-number // rows)
    figure, places = panels(left + width * columns, height * rows, len(of) * rows, columns,
                            height_ratios=of * rows, **options)  # fmt: skip
    figure.get_layout_engine().set(w_pad=0.08)
    places = places.reshape(rows, len(of), columns).swapaxes(1, 2).reshape(-1, len(of))
    for axes in places[:, -1]:
        axes.tick_params(labelbottom=True)
    for axes in places[number:].flat:
        axes.remove()
    return figure, places[:number]


def pictures(width: float, height: float, rows: int, columns: int):
    """As `panels`, for pictures and text: without axes."""
    figure, places = panels(width, height, rows, columns)
    for place in places.flat:
        place.set_axis_off()
    return figure, places


def label_rows(figure: Figure, **labels: str) -> None:
    """Labels of the axes that are the first of their row."""
    for axes in figure.axes:
        if axes.get_subplotspec().is_first_col():
            axes.set(**labels)


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
    """Colour and marker of line `number`; where colours begin anew they have other markers."""
    turn, place = divmod(number, len(COLOURS))
    return {"color": COLOURS[place], "marker": MARKERS[(place + turn) % len(MARKERS)]}


def looks(methods: Iterable[str]) -> dict[str, dict[str, str]]:
    """Colour and marker of each method of a figure, all panels together.

    Those of `METHODS` have their own, of several seeds the first; others take what is left, in
    order: what belongs to none, then what belongs to methods that are not in this figure.
    """
    methods, own = list(dict.fromkeys(methods)), {}
    for method in methods:
        if method_of(method) in METHODS:
            own.setdefault(METHODS.index(method_of(method)), method)
    left = sorted({*range(len(COLOURS))} - {*own}, key=lambda number: number < len(METHODS))
    numbers = {method: number for number, method in own.items()}
    rest = chain(left, count(len(COLOURS)))
    return {method: look(numbers[method] if method in numbers else next(rest))
            for method in methods}  # fmt: skip


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


def short(count: int) -> str:
    """A count in four characters at most: "458", "1.9k", "12k", "3.4M"."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if count >= 0.9995 * size:  # which rounds to it
            digits = 1 if count < 9.95 * size else 0
            return f"{count / size:.{digits}f}{letter}"
    return str(count)


def plain(text: str) -> str:
    """Text in which a $ does not start a formula."""
    return text.replace("$", r"\$")
