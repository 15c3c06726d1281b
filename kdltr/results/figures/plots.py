"""Figures of data, training and accuracy: plain data in, a matplotlib `Figure` out; and `save`."""

import io
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd
import PIL.Image
from IPython.display import Image, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator
from PIL.PngImagePlugin import PngInfo

from kdltr.evaluation.confusion import marked
from kdltr.files import atomic_path
from kdltr.generator.generated import is_generated
from kdltr.results.figures import style

DPI = 110


def save(figure: Figure, path: str | os.PathLike, caption: str) -> Image:
    """Write `figure` as PNG (atomically), the caption in its metadata; return it for display.

    256 colours, chosen so that none is far off, make it a third as large. The report shows the
    caption; any PNG reader finds it under "Description".
    """
    drawn, described = io.BytesIO(), PngInfo()
    figure.savefig(drawn, dpi=DPI)
    described.add_text("Description", caption)
    picture = PIL.Image.open(drawn).convert("RGB")
    picture = picture.quantize(method=PIL.Image.Quantize.MAXCOVERAGE, dither=PIL.Image.Dither.NONE)
    with atomic_path(path) as temporary:
        picture.save(temporary, "PNG", optimize=True, pnginfo=described)
    return Image(filename=str(path))


def pictures_at(output_dir: str, run: str, paths: Iterable[str | os.PathLike]) -> str:
    """How the file names of a run's figures start that show the words at `paths`.

    Other people's photographs are theirs: figures of them lie in the run's own folder, which
    neither the report nor `kdltr publish` looks into. Those of generated words are with the others.
    """
    own = all(map(is_generated, paths))
    return f"{output_dir}/figures/{run}-" if own else f"{output_dir}/{run}/"


def contact_sheet(
    pairs: Sequence[tuple], columns: int = 4, title: str = "", aspect: float = 4.0
) -> Figure:
    """Word pairs as they are stored: LR left, HR right, the label above.

    Args:
        pairs: (hr, lr, label), the images (H, W, 3) uint8 of any size; both are drawn at one
            height so that what differs is what the camera lost.
        aspect: width over height that images are stretched to; of a word, 4.
    """
    rows = -(-len(pairs) // columns)
    figure, axes = style.pictures(0.525 * aspect * columns, 0.58 * rows + 0.3, rows, 2 * columns)
    for (hr, lr, label), (left, right) in zip(pairs, axes.reshape(-1, 2), strict=False):
        style.word(left, lr, label, aspect, fontsize=7, loc="left")
        style.word(right, hr, aspect=aspect)
    if title:
        figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


def label_statistics(words: Sequence[str]) -> tuple[pd.DataFrame, Figure]:
    """Counts of characters and of lengths over `words`, and the two histograms.

    Returns:
        a table with the columns kind ("length" or "character"), value and count; the figure.
    """
    lengths = pd.Series([len(word) for word in words]).value_counts().sort_index()
    characters = pd.Series(list("".join(words).lower())).value_counts()
    figure, ((left, right),) = style.panels(9, 2.6, 1, 2, width_ratios=(1, 2))
    left.bar(lengths.index, lengths.to_numpy(), color=style.COLOURS[0])
    style.tidy(left, xlabel="characters in the word", ylabel="words")
    top = characters.head(40)
    right.bar(range(len(top)), top.to_numpy(), color=style.COLOURS[0])
    right.set_xticks(range(len(top)), map(style.plain, top.index), fontsize=8)
    style.tidy(right, xlabel="character (lower case), the 40 most frequent", ylabel="count")
    parts = [
        pd.DataFrame({"kind": kind, "value": counts.index.astype(str), "count": counts.to_numpy()})
        for kind, counts in (("length", lengths), ("character", characters))
    ]
    return pd.concat(parts, ignore_index=True), figure


def learning_curve(history: pd.DataFrame) -> Figure:
    """Loss and accuracy against words seen: columns words, loss, accuracy (NaN: not measured)."""
    figure, ((left, right),) = style.panels(9, 2.8, 1, 2)
    left.plot(history["words"], history["loss"], color=style.COLOURS[0])
    style.tidy(left, xlabel="words seen", ylabel="cross-entropy")
    _accuracies(right, history.dropna(subset=["accuracy"]), "words", "words seen")
    for axes in (left, right):
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    return figure


def _accuracies(axes: Axes, rows: pd.DataFrame, x: str, xlabel: str) -> None:
    axes.plot(rows[x], rows["accuracy"], color=style.COLOURS[2], marker="o", markersize=3)
    style.tidy(axes, percent="y", xlabel=xlabel, ylabel="accuracy, validation words",
         ylim=(0, max(0.05, 1.1 * rows["accuracy"].max())))  # fmt: skip


def loss_curves(metrics: pd.DataFrame, validation: pd.DataFrame | None = None) -> Figure:
    """A run's weighted loss terms and its accuracy on the validation words.

    Args:
        metrics: `metrics.csv` of the run directory: step, total, weighted_<term>.
        validation: `validation.csv`: step, accuracy; left out if there are no rows.
    """
    shown = validation is not None and len(validation) > 0
    figure, axes = style.panels(9 if shown else 5, 2.8, 1, 2 if shown else 1)
    left = axes[0, 0]
    terms = [c for c in metrics if c.startswith("weighted_") and (metrics[c] > 0).any()]
    terms = terms if len(terms) > 1 else []  # a single term is the total
    for number, column in enumerate(terms):
        name = column.removeprefix("weighted_").replace("_", " ")
        left.plot(metrics["step"], metrics[column], color=style.look(number)["color"], label=name,
                  linewidth=1.2)  # fmt: skip
    left.plot(metrics["step"], metrics["total"], color="black", label="total", linewidth=1.6)
    if terms:
        left.set_yscale("log")
        style.legend(figure)
    style.tidy(left, xlabel="step", ylabel="weighted loss")
    if shown:
        _accuracies(axes[0, 1], validation, "step", "step")
    for panel in axes.flat:
        panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
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
    parts = list(table.groupby("recogniser", sort=False))
    size = 1.2 + 1.7 * len(subsets), 0.7 + 2.5 * len(parts)
    figure, places = style.panels(*size, len(parts), sharex=True)
    width, looks = 0.82 / len(methods), style.looks(methods)
    for (recogniser, part), axes in zip(parts, places[:, 0], strict=True):
        for number, method in enumerate(methods):
            rows = part[part["method"] == method].set_index("subset").reindex(subsets)
            x = style.side_by_side(len(subsets), number, len(methods), width)
            axes.bar(x, rows["accuracy"], width * 0.92, label=method,
                     color=looks[method]["color"])  # fmt: skip
            axes.errorbar(x, rows["accuracy"], style.interval(rows), fmt="none", color="black",
                          lw=1, capsize=2)  # fmt: skip
        axes.set_xticks(range(len(subsets)), subsets)
        style.tidy(axes, recogniser, percent="y", ylabel="words read right", ylim=(0, 1))
    style.legend(figure)
    return figure


def differences(table: pd.DataFrame) -> Figure:
    """Differences in points with their 95 % intervals, the largest on top; 0 is the default.

    Args:
        table: the columns row, measured, low, high and published (NaN: none), in points.
    """
    table = table.sort_values("measured", ignore_index=True)
    figure, ((axes,),) = style.panels(7, 0.9 + 0.28 * len(table))
    axes.axvline(0, color="black", lw=1)
    axes.errorbar(table["measured"], table.index, xerr=style.interval(table, "measured"), fmt="o",
                  color=style.COLOURS[0], lw=1, capsize=2, label="measured, 95 % interval")
    known = table["published"].notna()
    if known.any():
        axes.plot(table["published"][known], table.index[known], "D", mfc="none",
                  color=style.COLOURS[1], label="published, on TextZoom")
    axes.set_yticks(table.index, map(style.plain, table["row"]))
    axes.set_ylim(-0.6, len(table) - 0.4)
    style.tidy(axes, grid="x", xlabel="points of accuracy against the default")
    style.legend(figure)
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
    figure, axes = style.pictures(1.75 * columns, 0.52 * n + 0.4, n, columns)
    for place, title in zip(axes[0], ("LR", "HR", "label", *methods), strict=True):
        place.set_title(title, fontsize=9, loc="left", color=style.MUTED)
    for row, places in zip(rows, axes, strict=True):
        style.word(places[0], row["lr"])
        style.word(places[1], row["hr"])
        _write(places[2], [(character, True) for character in row["label"]])
        for method, place in zip(methods, places[3:], strict=True):
            _write(place, marked(row[method], row["label"]))
            if confidence:
                sure = f"{row['confidence'][method]:.2f}"
                place.text(0, 0.1, sure, fontsize=6.5, color=style.MUTED)
    return figure


def _write(place: Axes, characters: list[tuple[str, bool]]) -> None:
    """Letters on a grid of equal steps; long words get smaller letters."""
    place.set(xlim=(0, 1), ylim=(0, 1))
    step = min(0.07, 1.0 / max(len(characters), 1))
    for number, (character, right) in enumerate(characters):
        place.text((number + 0.5) * step, 0.5, style.plain(character), ha="center", va="center",
                   family="monospace", fontsize=11 * step / 0.07, **style.WRITTEN[right])
