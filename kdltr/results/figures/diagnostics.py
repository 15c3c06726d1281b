"""Figures of what stands behind an accuracy: plain data in, a matplotlib `Figure` out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from kdltr.evaluation.attention import overlay
from kdltr.evaluation.confusion import swaps
from kdltr.results.figures.plots import COLOURS, MUTED, RIGHT, WRONG, _figure, _plain, _tidy


def attention_maps(rows: Sequence[Mapping], columns: int = 8) -> Figure:
    """Words, a row each: the image, then where the reader looked for each character.

    Args:
        rows: mappings with title, image (H, W, 3) uint8, maps (T, h, w), and characters: each
            character read, with whether it is right (black) or wrong (red).
        columns: characters shown at most.
    """
    shown = min(columns, max(len(row["characters"]) for row in rows))
    size = 1.15 * (shown + 1), 0.52 * len(rows) + 0.1
    figure, axes = _figure(*size, len(rows), shown + 1, squeeze=False)
    for place in axes.flat:
        place.set_axis_off()
    for row, places in zip(rows, axes, strict=True):
        _picture(places[0], row["image"], row["title"], MUTED, 6.5)
        for (character, right), attention, place in zip(
            row["characters"], row["maps"], places[1:], strict=False
        ):
            seen = overlay(row["image"], attention)
            _picture(place, seen, character, RIGHT if right else WRONG, 9)
    return figure


def _picture(axes, image: np.ndarray, title: str, colour: str, size: float) -> None:
    axes.imshow(image, extent=(0, 4, 0, 1), interpolation="nearest", aspect="equal")
    weight = "bold" if colour == WRONG else "normal"
    axes.set_title(_plain(title), fontsize=size, color=colour, weight=weight, pad=2,
                   loc="left" if colour == MUTED else "center")  # fmt: skip


def reliability_curves(curves: Mapping[str, pd.DataFrame]) -> Figure:
    """Accuracy against confidence, and how many images have which: a panel per method.

    Args:
        curves: tables of `kdltr.evaluation.calibration.reliability` by method.
    """
    figure, places = _figure(2.3 * len(curves) + 0.4, 3.1, 2, len(curves), squeeze=False,
                             sharex=True, sharey="row", height_ratios=(3, 1))  # fmt: skip
    for (method, curve), colour, (above, below) in zip(
        curves.items(), COLOURS, places.T, strict=False
    ):
        above.plot((0, 1), (0, 1), color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        errors = curve["accuracy"] - curve["low"], curve["high"] - curve["accuracy"]
        above.errorbar(curve["confidence"], curve["accuracy"], errors, fmt="o-", color=colour,
                       markersize=3, linewidth=1.2, elinewidth=0.8, capsize=2)  # fmt: skip
        width = curve["most"] - curve["least"]
        below.bar(curve["least"], curve["n"] / curve["n"].sum(), width, align="edge", color=colour,
                  edgecolor="white", linewidth=0.5)  # fmt: skip
        above.set(xlim=(0, 1), ylim=(0, 1))
        above.set_title(method, loc="left", fontsize=9)
        for axes in (above, below):
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
            axes.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))
            _tidy(axes)
        below.set_xlabel("confidence")
    places[0, 0].set_ylabel("words read right")
    places[1, 0].set_ylabel("images")
    return figure


def accuracy_coverage(curves: Mapping[str, Mapping[str, pd.DataFrame]]) -> Figure:
    """Accuracy among the surest readings, against how many are accepted.

    Args:
        curves: tables of `kdltr.evaluation.calibration.risk_coverage` by recogniser and method.
    """
    figure, places = _figure(4.2 * len(curves) + 0.2, 3.2, 1, len(curves), squeeze=False,
                             sharey=True)  # fmt: skip
    lowest = 1.0
    for (recogniser, methods), axes in zip(curves.items(), places[0], strict=True):
        for (method, curve), colour in zip(methods.items(), COLOURS, strict=False):
            axes.plot(curve["coverage"], curve["accuracy"], color=colour, label=method, lw=1.4)
            # The surest one or two are right or wrong by chance: they do not set the scale.
            lowest = min(lowest, curve.loc[curve["coverage"] >= 0.1, "accuracy"].min())
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_title(recogniser, loc="left", fontsize=10)
        _tidy(axes, xlabel="images accepted, the surest first")
    places[0, 0].set(xlim=(0, 1), ylim=(max(0.0, lowest - 0.05), 1.005),
                     ylabel="of these, read right")  # fmt: skip
    figure.legend(*places[0, 0].get_legend_handles_labels(), loc="outside upper left",
                  ncols=4, fontsize=8, frameon=False)  # fmt: skip
    return figure


def swap_bars(pairs: Mapping[str, pd.DataFrame], top: int = 16) -> Figure:
    """The most frequent swaps over all methods, a bar for each method.

    Args:
        pairs: tables of `kdltr.evaluation.confusion.confusion_pairs` by method, on the same
            images; missing and added characters are passed over.
        top: swaps shown at most.
    """
    named = {}
    for method, table in pairs.items():
        table = swaps(table)
        named[method] = table.set_index(table["label"] + " → " + table["reading"])["count"]
    counts = pd.DataFrame(named).fillna(0)
    order = counts.sum(axis=1).sort_values(ascending=False, kind="stable")
    counts = counts.loc[order.index[:top]]
    figure, axes = _figure(9, 2.8)
    width = 0.82 / len(named)
    for number, (method, colour) in enumerate(zip(named, COLOURS, strict=False)):
        x = np.arange(len(counts)) + (number - (len(named) - 1) / 2) * width
        axes.bar(x, counts[method], width * 0.92, color=colour, label=method)
    axes.set_xticks(range(len(counts)), [_plain(name) for name in counts.index], fontsize=9)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    _tidy(axes, ylabel="times", xlabel="character of the label → character read")
    figure.legend(loc="outside upper left", ncols=4, fontsize=8, frameon=False)
    return figure


def character_errors(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """How often each character is misread, the most frequent first, with 95 % intervals.

    Args:
        tables: of `kdltr.evaluation.confusion.by_character` by method, on the same images.
    """
    figure, axes = _figure(9, 2.8)
    for number, ((method, table), colour) in enumerate(zip(tables.items(), COLOURS, strict=False)):
        x = np.arange(len(table)) + (number - (len(tables) - 1) / 2) * 0.28
        errors = table["share"] - table["low"], table["high"] - table["share"]
        axes.errorbar(x, table["share"], errors, fmt="o", color=colour, markersize=3.5,
                      elinewidth=0.8, label=method)  # fmt: skip
        labels = [f"{c}\n{n}" for c, n in zip(table["character"], table["n"], strict=True)]
        axes.set_xticks(range(len(table)), labels, fontsize=7)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_ylim(0, None)
    axes.margins(x=0.01)
    _tidy(axes, ylabel="misread", xlabel="character of the label, and how often it occurs")
    figure.legend(loc="outside upper left", ncols=4, fontsize=8, frameon=False)
    return figure
