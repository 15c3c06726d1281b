"""Figures: each function takes plain data and returns a matplotlib `Figure`; `save` keeps it.

No pyplot: no state, no window, the same picture in JupyterLab and in a batch.
"""

import io
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import Image, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, PercentFormatter

from kdltr.evaluation.confusion import marked
from kdltr.files import atomic_path

RIGHT, WRONG, MUTED = "black", "#d0021b", "#6b7280"
# Distinct for every kind of colour vision, in print too (Okabe and Ito).
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7f7f7f")
DPI = 110


def save(figure: Figure, path: str | os.PathLike, caption: str) -> Image:
    """Write `figure` as PNG (atomically), the caption in its metadata; return it for display.

    The report shows the caption; any PNG reader finds it under "Description".
    """
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DPI, metadata={"Description": caption, "Software": None})
    return Image(filename=str(path))


def _figure(width: float, height: float, rows: int = 1, columns: int = 1, **options):
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


def _tidy(axes: Axes, **labels: str) -> None:
    axes.set(**labels)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)


def contact_sheet(pairs: Sequence[tuple], columns: int = 4, title: str = "") -> Figure:
    """Word pairs as they are stored: LR left, HR right, the label above.

    Args:
        pairs: (hr, lr, label), the images (H, W, 3) uint8 of any size; both are drawn at one
            height so that what differs is what the camera lost.
    """
    rows = -(-len(pairs) // columns)
    figure, axes = _figure(2.1 * columns, 0.58 * rows + 0.3, rows, 2 * columns, squeeze=False)
    for place in axes.flat:
        place.set_axis_off()
    for number, (hr, lr, label) in enumerate(pairs):
        row, column = divmod(number, columns)
        for image, place in ((lr, axes[row, 2 * column]), (hr, axes[row, 2 * column + 1])):
            # Words differ in shape: stretched as the recogniser's input is, to 1 : 4.
            place.imshow(image, extent=(0, 4, 0, 1), interpolation="nearest", aspect="equal")
        axes[row, 2 * column].set_title(_plain(label), fontsize=7, loc="left", pad=2)
    if title:
        figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


def _plain(text: str) -> str:
    return text.replace("$", r"\$")  # matplotlib reads $ as the start of a formula


def label_statistics(words: Sequence[str]) -> tuple[pd.DataFrame, Figure]:
    """Counts of characters and of lengths over `words`, and the two histograms.

    Returns:
        a table with the columns kind ("length" or "character"), value and count; the figure.
    """
    lengths = pd.Series([len(word) for word in words]).value_counts().sort_index()
    characters = pd.Series(list("".join(words).lower())).value_counts()
    figure, (left, right) = _figure(9, 2.6, 1, 2, width_ratios=(1, 2))
    left.bar(lengths.index, lengths.to_numpy(), color=COLOURS[0])
    _tidy(left, xlabel="characters in the word", ylabel="words")
    top = characters.head(40)
    right.bar(range(len(top)), top.to_numpy(), color=COLOURS[0])
    right.set_xticks(range(len(top)), [_plain(c) for c in top.index], fontsize=8)
    _tidy(right, xlabel="character (lower case), the 40 most frequent", ylabel="count")
    parts = [
        pd.DataFrame({"kind": kind, "value": counts.index.astype(str), "count": counts.to_numpy()})
        for kind, counts in (("length", lengths), ("character", characters))
    ]
    return pd.concat(parts, ignore_index=True), figure


def learning_curve(history: pd.DataFrame) -> Figure:
    """Loss and accuracy against words seen: columns words, loss, accuracy (NaN: not measured)."""
    figure, (left, right) = _figure(9, 2.8, 1, 2)
    left.plot(history["words"], history["loss"], color=COLOURS[0])
    _tidy(left, xlabel="words seen", ylabel="cross-entropy")
    for axes in (left, right):
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    _accuracies(right, history.dropna(subset=["accuracy"]), "words", "words seen")
    return figure


def _accuracies(axes: Axes, rows: pd.DataFrame, x: str, xlabel: str) -> None:
    axes.plot(rows[x], rows["accuracy"], color=COLOURS[2], marker="o", markersize=3)
    axes.set_ylim(0, max(0.05, 1.1 * rows["accuracy"].max()))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    _tidy(axes, xlabel=xlabel, ylabel="accuracy, validation words")


def loss_curves(metrics: pd.DataFrame, validation: pd.DataFrame | None = None) -> Figure:
    """A run's weighted loss terms and its accuracy on the validation words.

    Args:
        metrics: `metrics.csv` of the run directory: step, total, weighted_<term>.
        validation: `validation.csv`: step, accuracy; left out if there are no rows.
    """
    shown = validation is not None and len(validation) > 0
    figure, axes = _figure(9 if shown else 5, 2.8, 1, 2 if shown else 1, squeeze=False)
    left = axes[0, 0]
    terms = [c for c in metrics if c.startswith("weighted_") and (metrics[c] > 0).any()]
    terms = terms if len(terms) > 1 else []  # a single term is the total
    for colour, column in zip(COLOURS, terms, strict=False):
        name = column.removeprefix("weighted_").replace("_", " ")
        left.plot(metrics["step"], metrics[column], color=colour, label=name, linewidth=1.2)
    left.plot(metrics["step"], metrics["total"], color="black", label="total", linewidth=1.6)
    if terms:
        left.set_yscale("log")
        figure.legend(loc="outside upper left", ncols=5, fontsize=8, frameon=False)
    _tidy(left, xlabel="step", ylabel="weighted loss")
    if shown:
        _accuracies(axes[0, 1], validation, "step", "step")
    return figure


def live_loss_curves(every: float = 3.0) -> Callable[[dict[str, float]], None]:
    """A callback for `distill(…, on_log=…)` that redraws the loss curves in the cell's output.

    Args:
        every: least seconds between two drawings.
    """
    handle = display({"text/plain": "waiting for the first steps"}, raw=True, display_id=True)
    rows: list[dict[str, float]] = []
    drawn = 0.0

    def redraw(row: dict[str, float]) -> None:
        nonlocal drawn
        rows.append(row)
        if time.monotonic() - drawn > every:
            drawn = time.monotonic()
            picture = io.BytesIO()
            loss_curves(pd.DataFrame(rows)).savefig(picture, dpi=DPI)
            handle.update(Image(data=picture.getvalue()))

    return redraw


def read_curves(run_dir: str | os.PathLike) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """`metrics.csv` and, if the run was validated, `validation.csv` with a column accuracy."""
    metrics, file = pd.read_csv(Path(run_dir) / "metrics.csv"), Path(run_dir) / "validation.csv"
    if not file.is_file() or not file.stat().st_size:
        return metrics, None
    validation = pd.read_csv(file)
    return metrics, validation.assign(accuracy=validation["correct"] / validation["n"])


def accuracy_bars(table: pd.DataFrame) -> Figure:
    """Accuracy by method and subset with 95 % intervals, a panel for each recogniser.

    Args:
        table: the columns recogniser, method, subset, accuracy, low, high (fractions), one row
            each.
    """
    methods, subsets = list(table["method"].unique()), list(table["subset"].unique())
    panels = list(table.groupby("recogniser", sort=False))
    size = 1.2 + 1.7 * len(subsets), 0.7 + 2.5 * len(panels)
    figure, places = _figure(*size, len(panels), squeeze=False, sharex=True)
    width = 0.82 / len(methods)
    for (recogniser, part), axes in zip(panels, places[:, 0], strict=True):
        for number, (method, colour) in enumerate(zip(methods, COLOURS, strict=False)):
            rows = part[part["method"] == method].set_index("subset").reindex(subsets)
            x = np.arange(len(subsets)) + (number - (len(methods) - 1) / 2) * width
            errors = rows["accuracy"] - rows["low"], rows["high"] - rows["accuracy"]
            axes.bar(x, rows["accuracy"], width * 0.92, color=colour, label=method)
            axes.errorbar(x, rows["accuracy"], errors, fmt="none", color="black", lw=1, capsize=2)
        axes.set_xticks(range(len(subsets)), subsets)
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        _tidy(axes, ylabel="words read right")
        axes.set_title(recogniser, loc="left", fontsize=10)
    bars = places[0, 0].get_legend_handles_labels()
    figure.legend(*bars, loc="outside upper left", ncols=len(methods), fontsize=8, frameon=False)
    return figure


def examples(
    rows: Sequence[Mapping], methods: Sequence[str], confidence: bool = False
) -> Figure:
    """Words with LR, HR and what each method reads: right characters black, wrong ones red.

    Args:
        rows: mappings with lr (h, w, 3), hr (H, W, 3) uint8, label, and a reading by method.
        methods: the keys of the readings, in order.
        confidence: whether to write beside each reading how sure it is: ``row["confidence"]`` by
            method, in [0, 1].
    """
    n, columns = len(rows), 3 + len(methods)
    figure, axes = _figure(1.75 * columns, 0.52 * n + 0.4, n, columns, squeeze=False)
    for place in axes.flat:
        place.set_axis_off()
    for place, title in zip(axes[0], ("LR", "HR", "label", *methods), strict=True):
        place.set_title(title, fontsize=9, loc="left", color=MUTED)
    for row, places in zip(rows, axes, strict=True):
        for key, place in zip(("lr", "hr"), places, strict=False):
            place.imshow(row[key], extent=(0, 4, 0, 1), interpolation="nearest", aspect="equal")
        _write(places[2], [(character, True) for character in row["label"]])
        for method, place in zip(methods, places[3:], strict=True):
            _write(place, marked(row[method], row["label"]))
            if confidence:
                place.text(0, 0.1, f"{row['confidence'][method]:.2f}", fontsize=6.5, color=MUTED)
    return figure


def _write(place: Axes, characters: list[tuple[str, bool]]) -> None:
    """Letters on a grid of equal steps; long words get smaller letters."""
    place.set(xlim=(0, 1), ylim=(0, 1))
    step = min(0.07, 1.0 / max(len(characters), 1))
    for number, (character, right) in enumerate(characters):
        look = {"color": RIGHT} if right else {"color": WRONG, "weight": "bold"}
        place.text((number + 0.5) * step, 0.5, _plain(character), **look, ha="center",
                   va="center", family="monospace", fontsize=11 * step / 0.07)  # fmt: skip
