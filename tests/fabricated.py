"""A small profile with a result of every kind, made up, for the tests of the report."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from kdltr.data.corruptions import KINDS
from kdltr.evaluation import compare
from kdltr.evaluation.scores import combine, score
from kdltr.results import Row, collect, published_counts, recompute, write_result
from kdltr.results.figures import plots

HASH = {"sha256": "0" * 64, "samples": 4}


def predictions(right, n):
    """Scores of a method that reads the first `right` of `n` words right."""
    return score(pd.DataFrame({
        "index": range(n), "label": "ab", "image": "00000000", "confidence": 0.5,
        "reading": ["ab"] * right + ["x"] * (n - right),
    }))  # fmt: skip


def write_main(folder, recogniser="parseq_nano", same_data=False, right=None):
    """04_textzoom of a recogniser: as many words as TextZoom has if `same_data`, else a few.

    Args:
        right: words read right by method and subset.
    """
    counts = published_counts() if same_data else {"easy": 4, "hard": 4}
    counts.pop("average", None)
    right = right or {"bicubic": {"easy": 1, "hard": 0}, "distilled": {"easy": 3, "hard": 1}}
    scores = {method: {name: predictions(found[name], n) for name, n in counts.items()}
              for method, found in right.items()}  # fmt: skip
    whole = {method: combine(parts) for method, parts in scores.items()}
    own = same_data, "nano" not in recogniser
    claims = [compare.claim(f"{recogniser}: distilled reads more words than bicubic",
                            whole["distilled"], whole["bicubic"], 2.93, 4373, *own),
              compare.claim(f"{recogniser}: distilled reads more words than <fine-tuned>",
                            whole["distilled"], whole["distilled"])]  # fmt: skip
    claims += [compare.claim(f"{recogniser}: distilled reads more words than "
                             f"{compare.against(method)}", whole["distilled"], whole[method], 9.4,
                             4373, *own) for method in whole if method == "TSRN"]  # fmt: skip
    saved = collect(scores, recogniser)
    sizes = [Row("size", recogniser, "distilled", "one word", "parameters", 23_805_023, "count"),
             Row("size", recogniser, "distilled", "one word", "multiply-adds", 2.85e9, "count")]
    place = "data/textzoom" if same_data else "data/generated/toy"
    write_result(
        folder / "04_textzoom.json", [*recompute(saved), *sizes], {"recipe": {"a": 1}}, 7,
        {f"{place}/test/{name}": HASH for name in counts}, 61.0, saved,
        extra={"claims": claims, "same_data": same_data},
    )  # fmt: skip
    image = np.zeros((8, 16, 3), np.uint8)
    plots.save(plots.contact_sheet([(image, image, "w")]),
               folder / "figures/04_textzoom-examples.png", 'Words & "signs"')  # fmt: skip
    write_notebook(folder, "04_textzoom", "# 04 · The main <table>\n\nHow many?")


def write_others(folder):
    """Data, a training, benchmarks, robustness and a benchmark of time, as notebooks write them."""
    generated = {"data/generated/toy/train1": HASH}
    pairs = Row("data", "-", "-", "train1", "pairs", 9600, "count")
    write_result(folder / "01_data.json", [pairs], {}, data_hashes=generated)
    model = "parseq_nano_ltr", "distill_parseq"
    trained = [Row("training", *model, "train", "steps", 1424, "count"),
               Row("training", *model, "held out", "accuracy", 71.5, n=600, low=67.8, high=74.9)]
    write_result(folder / "distill_parseq.json", trained, {}, 42, generated, 294.0)
    read = [Row(table, "parseq_nano", method, subset, "accuracy", value, n=n,
                low=value - 5, high=value + 5)
            for table, method, value in (("Benchmarks", "teacher on HR", 90.5),
                                         ("Benchmarks", "distilled", 80.5),
                                         ("Benchmarks, degraded", "distilled", 70.25))
            for subset, n in (("SVT 647", 647), ("CUTE80 288", 288))]  # fmt: skip
    generated = {"data/generated/toy/benchmarks/CUTE80": HASH}
    write_result(folder / "05_benchmarks.json", read, {}, None, generated, 3.0)
    curves = {KINDS["gaussian_blur"].title: (0, 0.5, 2), KINDS["jpeg"].title: (90, 50, 10, 5)}
    levels = [Row(title, "parseq_nano", method, f"{level:g}", metric, 90 - level, n=1500)
              for title, found in curves.items()
              for method in ("bicubic", "distilled") for level in found
              for metric in ("accuracy", "1-NED")]  # fmt: skip
    levels += [Row("calibration", "parseq_nano", method, f"{bin / 30:.2f}", "share", bin / 10, n=9)
               for method in ("bicubic", "distilled") for bin in range(30)]  # fmt: skip
    write_result(folder / "06_robustness.json", levels, {}, None, generated, 3.0)
    timed = [Row("bench", "parseq_nano", method, subset, metric, value, unit, n=5,
                 extra={"batch_size": 16, "precision": "no"})
             for subset in ("training step", "reading") for metric, unit in
             (("total", "ms"), ("peak memory", "MB"))
             for method, value in (("kdltr", 123.456), ("plain", 370.0))]  # fmt: skip
    timed.append(Row("bench", "parseq_nano", "plain ÷ kdltr", "reading", "total", 2.997, "×", n=5,
                     extra={"batch_size": 16, "precision": "no"}))  # fmt: skip
    timed += [Row("costs", "parseq", "student", "one word", metric, value, "count")
              for metric, value in (("parameters", 23_805_023),
                                    ("multiply-adds, the paper's way", 2.931e9))]  # fmt: skip
    write_result(folder / "07_efficiency.json", timed, {}, None, {}, 4000.0)


def write_notebook(folder: Path, run: str, text: str) -> None:
    """An executed notebook that holds one cell of text."""
    cells = [{"cell_type": "markdown", "metadata": {}, "source": text.splitlines(True)}]
    path = folder / f"notebooks/{run}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4}), encoding="utf-8")


def write_profile(folder):
    """All of it."""
    write_main(folder)
    write_others(folder)
