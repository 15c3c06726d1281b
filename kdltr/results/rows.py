"""Measured numbers as typed rows, and the per-image predictions they are computed from."""

from __future__ import annotations

import csv
import gzip
import math
import os
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import pandas as pd

from kdltr.evaluation.scores import Scores, score
from kdltr.files import atomic_path

AVERAGE = "average"  # over all subsets, weighted by the images counted
_TEXT = {name: str for name in ("recogniser", "method", "table", "subset", "label", "reading",
                                "image")}


@dataclass(frozen=True)
class Row:
    """One measured number.

    Attributes:
        table: which table it belongs to, for instance "textzoom".
        recogniser: a name of `kdltr.list_models`, of the teacher's family.
        method: how it was used: "teacher on HR", "bicubic", "fine-tuned", "distilled", …
        subset: of the data; "average" is over all of them.
        metric: "accuracy", "1-NED", "confidence", or what else was measured.
        value: in `unit`.
        unit: "%" for the three metrics above.
        n: images behind the value.
        low, high: ends of its 95 % interval, in `unit`.
        seed: of the training run, where there are several.
        extra: whatever else belongs to it, as JSON values.

    Raises:
        ValueError: a number that is not finite, or an interval that does not hold the value.
    """

    table: str
    recogniser: str
    method: str
    subset: str
    metric: str
    value: float
    unit: str = "%"
    n: int | None = None
    low: float | None = None
    high: float | None = None
    seed: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        wrong = [name for name, x in numbers.items() if x is not None and not math.isfinite(x)]
        where = f"{self.table}/{self.recogniser}/{self.method}/{self.subset}/{self.metric}"
        if wrong:
            raise ValueError(
                f"{where}: expected finite numbers, found {wrong[0]} = {numbers[wrong[0]]}; leave "
                "the row out and say why, or find the division by zero"
            )
        if None not in (self.low, self.high) and not self.low <= self.value <= self.high:
            raise ValueError(
                f"{where}: expected an interval that holds {self.value}, found [{self.low}, "
                f"{self.high}]; value and interval must have one unit ({self.unit!r})"
            )


def to_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Rows as a table, a column per field."""
    return pd.DataFrame([asdict(row) for row in rows], columns=[f.name for f in fields(Row)])


def collect(
    scores: Mapping[str, Mapping[str, Scores]], recogniser: str, seed: int | None = None
) -> pd.DataFrame:
    """Predictions of several methods as one table, a row per method and image.

    Args:
        scores: `scores[method][subset]`.
        recogniser: goes to the column of this name.
        seed: of the training run, where there are several.

    Returns:
        Columns recogniser, method, seed (if given), subset, and those of `Scores.predictions`;
        tables of several seeds or recognisers go together with `pandas.concat`.

    Raises:
        ValueError: no scores, or of a charset that `kdltr.evaluation.scores.PROTOCOL`, by which
            tables are, does not compare.
    """
    for own in (own for subsets in scores.values() for own in subsets.values()):
        if not own.charset.alphanumeric:
            raise ValueError(f"expected readings in [0-9a-z], which tables compare, found charset "
                             f"{own.charset.name}; count its words with kdltr.evaluation.evaluate "
                             "or kdltr evaluate")
    found = {(recogniser, method, subset): own.predictions.drop(columns="subset", errors="ignore")
             for method, subsets in scores.items() for subset, own in subsets.items()}
    if not found:
        raise ValueError("expected scores of at least one method and subset, found none")
    names = ["recogniser", "method", "subset"]
    table = pd.concat(found, names=names).reset_index(names).reset_index(drop=True)
    if seed is not None:
        table.insert(2, "seed", pd.array([seed] * len(table), "Int64"))
    return table


def collect_tables(
    scores: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Scores]]]]
) -> pd.DataFrame:
    """As `collect`, of `scores[recogniser][table][method][subset]`, with a column `table`."""
    frames = [collect(methods, name).assign(table=table)
              for name, tables in scores.items() for table, methods in tables.items()]  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def accuracies(rows: Sequence[Row]) -> pd.DataFrame:
    """What figures are drawn from: accuracy, low and high as fractions, beside the rows' names."""
    frame = to_frame([row for row in rows if row.metric == "accuracy"])
    for column, source in {"accuracy": "value", "low": "low", "high": "high"}.items():
        frame[column] = frame[source] / 100
    return frame[["table", "recogniser", "method", "subset", "n", "accuracy", "low", "high"]]


def separate(predictions: pd.DataFrame) -> dict[str, dict[str, dict[str, Scores]]]:
    """The inverse of `collect`, for predictions of one seed: `[recogniser][method][subset]`.

    Raises:
        ValueError: predictions of several seeds.
    """
    if "seed" in predictions and predictions["seed"].nunique(dropna=False) > 1:
        raise ValueError("expected predictions of one seed, found several; choose one: "
                         "predictions[predictions['seed'] == …]")
    found: dict[str, dict[str, dict[str, Scores]]] = {}
    names = ["recogniser", "method", "subset"]
    for (recogniser, method, subset), part in predictions.groupby(names, sort=False):
        own = part.drop(columns=[*names, "seed"], errors="ignore").reset_index(drop=True)
        found.setdefault(recogniser, {}).setdefault(method, {})[subset] = score(own)
    return found


def recompute(
    predictions: pd.DataFrame, table: str = "textzoom", averaged: Container[str] | None = None
) -> list[Row]:
    """Every row that follows from per-image predictions: no model is run.

    Three metrics (accuracy with its interval, 1-NED, mean confidence; percent) for each
    recogniser, method, seed and subset, in the order of the predictions; with more than one
    subset also their "average". What is right is decided from label and reading.

    Args:
        table: of the rows; a column `table` of the predictions goes before it, and its tables
            follow one another.
        averaged: tables that get an average, for their subsets together mean something; the
            levels of a degradation do not. All if None.

    Raises:
        ValueError: a column is missing, an image is there twice, a subset is named as the average,
            or `correct` does not follow from label and reading: the file was edited, or made by
            another protocol.
    """
    if "table" in predictions:
        return [row for name, part in predictions.groupby("table", sort=False)
                for row in recompute(part.drop(columns="table"), str(name), averaged)]  # fmt: skip
    keys = ["recogniser", "method", *(["seed"] if "seed" in predictions else [])]
    needed = [*keys, "subset", "index", "label", "reading", "confidence", "correct"]
    if missing := [name for name in needed if name not in predictions]:
        raise ValueError(f"predictions: expected the columns {', '.join(needed)}, found no "
                         f"{', '.join(missing)}; make them with kdltr.results.collect")
    if predictions.duplicated([*keys, "subset", "index"]).any():
        raise ValueError("predictions: expected each image once for each method, found some twice; "
                         "runs that differ in their seed need the column seed")
    anew = score(predictions).predictions["correct"]
    if (differ := anew != predictions["correct"]).any():
        first = predictions[differ].iloc[0]
        raise ValueError(
            f"predictions: {int(differ.sum())} of {len(predictions)} values of 'correct' do not "
            f"follow from label and reading (first: {first['label']!r} read as "
            f"{first['reading']!r}); the file was edited or made by another protocol: run again"
        )
    rows = []
    for names, part in predictions.groupby(keys, sort=False, dropna=False):
        subsets = dict(list(part.groupby("subset", sort=False)))
        if len(subsets) > 1 and (averaged is None or table in averaged):
            if AVERAGE in subsets:
                raise ValueError(f"expected subsets of other names than that of their {AVERAGE}, "
                                 f"found {AVERAGE!r}; name it otherwise")
            subsets[AVERAGE] = part
        for subset, images in subsets.items():
            rows += _rows(table, dict(zip(keys, names, strict=True)), subset, score(images))
    return rows


def write_predictions(path: str | os.PathLike, predictions: pd.DataFrame) -> None:
    """Save predictions as CSV, wholly or not at all; floating-point numbers keep every bit.

    What several methods read of an image stands together, which also packs best. A `path` that
    ends in .gz is compressed; the same predictions give the same bytes.
    """
    parts = [name for name in ("table", "subset") if name in predictions]
    place = predictions.groupby(parts, sort=False).ngroup()
    predictions = predictions.iloc[np.lexsort((predictions["index"], place))]
    # All text quoted: a bare carriage return in a label would end the line for a reader.
    text = predictions.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    content = text.encode("utf-8")
    if str(path).endswith(".gz"):
        content = gzip.compress(content, mtime=0)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def read_predictions(path: str | os.PathLike) -> pd.DataFrame:
    """Predictions as they were written: labels such as "NA", "007" or "" stay words."""
    return pd.read_csv(path, dtype=_TEXT | {"seed": "Int64"}, keep_default_na=False,
                       na_values={"seed": [""]})


def _rows(table: str, names: Mapping[str, Any], subset: str, found: Scores) -> list[Row]:
    seed = None if pd.isna(names.get("seed")) else int(names["seed"])
    same = {"table": table, "recogniser": names["recogniser"], "method": names["method"],
            "subset": subset, "n": found.n, "seed": seed}
    low, high = (100 * end for end in found.interval)
    return [
        Row(metric="accuracy", value=100 * found.accuracy, low=low, high=high,
            extra={"correct": found.correct}, **same),
        Row(metric="1-NED", value=100 * found.ned, **same),
        Row(metric="confidence", value=100 * found.confidence, **same),
    ]
