"""Figures of what stands behind an accuracy: attention, confidence, characters misread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kdltr.evaluation.attention import overlay
from kdltr.evaluation.confusion import swaps
from kdltr.results.figures import style


def attention_maps(rows: Sequence[Mapping], columns: int = 8) -> Figure:
    """Words, a row each: the image, then where the reader looked for each character.

    Args:
        rows: mappings with title, image (H, W, 3) uint8, maps (T, h, w), and characters: each
            character read, with whether it is right (black) or wrong (red).
        columns: characters shown at most.
    """
    shown = min(columns, max(len(row["characters"]) for row in rows))
    figure, axes = style.pictures(1.15 * (shown + 1), 0.52 * len(rows) + 0.1, len(rows), shown + 1)
    for row, places in zip(rows, axes, strict=True):
        look = {"fontsize": 6.5, "color": style.MUTED, "loc": "left"}
        style.word(places[0], row["image"], row["title"], **look)
        read = zip(row["characters"], row["maps"], places[1:], strict=False)
        for (character, right), attention, place in read:
            seen = overlay(row["image"], attention)
            style.word(place, seen, character, fontsize=9, **style.WRITTEN[right])
    return figure


def reliability_curves(curves: Mapping[str, pd.DataFrame]) -> Figure:
    """Accuracy against confidence, and how many images have which: panels per method, four a row.

    Args:
        curves: tables of `kdltr.evaluation.calibration.reliability` by method.
    """
    figure, places = style.wrapped(len(curves), 2.3, 3.1, most=4, of=(3, 1), sharex=True,
                                   sharey="row")  # fmt: skip
    looks = style.looks(curves)
    shares = {method: curve["n"] / curve["n"].sum() for method, curve in curves.items()}
    highest = 1.05 * max(share.max() for share in shares.values())
    for (method, curve), (above, below) in zip(curves.items(), places, strict=True):
        above.plot((0, 1), (0, 1), color=style.MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        above.errorbar(curve["confidence"], curve["accuracy"], style.interval(curve),
                       markersize=3, linewidth=1.2, elinewidth=0.8, capsize=2,
                       **looks[method])  # fmt: skip
        below.bar(curve["least"], shares[method], curve["most"] - curve["least"], align="edge",
                  color=looks[method]["color"], edgecolor="white", linewidth=0.5)  # fmt: skip
        style.tidy(above, method, percent="y", xlim=(0, 1), ylim=(0, 1))
        style.tidy(below, percent="y", xlabel="confidence", ylim=(0, highest))
        below.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))
        if below.get_subplotspec().is_first_col():
            above.set_ylabel("words read right")
            below.set_ylabel("images")
    return figure


def accuracy_coverage(curves: Mapping[str, Mapping[str, pd.DataFrame]]) -> Figure:
    """Accuracy among the surest readings, against how many are accepted: a panel a recogniser.

    Args:
        curves: tables of `kdltr.evaluation.calibration.risk_coverage` by recogniser and method.
    """
    width = 4.0 if len(curves) < 3 else 3.0
    figure, places = style.wrapped(len(curves), width, 3.2, sharex=True, sharey=True)
    looks = style.looks(method for methods in curves.values() for method in methods)
    lowest = 1.0
    for (recogniser, methods), axes in zip(curves.items(), places[:, 0], strict=True):
        for method, curve in methods.items():
            axes.plot(curve["coverage"], curve["accuracy"], label=method, lw=1.4, ms=4,
                      markevery=0.2, **looks[method])  # fmt: skip
            # The surest one or two are right or wrong by chance: they do not set the scale.
            lowest = min(lowest, curve.loc[curve["coverage"] >= 0.1, "accuracy"].min())
        style.tidy(axes, recogniser, percent="xy", xlabel="images accepted, the surest first")
    places[0, 0].set(xlim=(0, 1), ylim=(max(0.0, lowest - 0.05), 1.005))
    style.label_rows(figure, ylabel="of these, read right")
    style.legend(figure)
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
    figure, ((axes,),) = style.panels(9, 2.8)
    width, looks = 0.82 / len(named), style.looks(named)
    for number, method in enumerate(named):
        x = style.side_by_side(len(counts), number, len(named), width)
        axes.bar(x, counts[method], width * 0.92, color=looks[method]["color"], label=method)
    axes.set_xticks(range(len(counts)), map(style.plain, counts.index), fontsize=9)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    style.tidy(axes, ylabel="times", xlabel="character of the label → character read")
    style.legend(figure)
    return figure


def character_errors(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """How often each character is misread, the most frequent first, with 95 % intervals.

    Args:
        tables: of `kdltr.evaluation.confusion.by_character` by method, on the same images.
    """
    figure, ((axes,),) = style.panels(9.6, 2.8)
    looks, step = style.looks(tables), min(0.28, 0.82 / len(tables))  # characters stand 1 apart
    for number, (method, table) in enumerate(tables.items()):
        x = style.side_by_side(len(table), number, len(tables), step)
        axes.errorbar(x, table["share"], style.interval(table, "share"), ls="none", markersize=3.5,
                      elinewidth=0.8, label=method, **looks[method])  # fmt: skip
        occurs = zip(table["character"], table["n"], strict=True)
        labels = [f"{character}\n{style.short(n)}" for character, n in occurs]
        axes.set_xticks(range(len(table)), labels, fontsize=7)
    axes.margins(x=0.01)
    style.tidy(axes, percent="y", ylabel="misread", ylim=(0, None),
         xlabel="character of the label, and how often it occurs")  # fmt: skip
    style.legend(figure)
    return figure
