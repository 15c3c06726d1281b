"""Tables: measured figures beside the published ones of `data/paper/*.csv`.

A published figure is never shown as if it were of the same data unless it is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from kdltr.evaluation.scores import verdict
from kdltr.files import shipped
from kdltr.losses.baselines import BASELINES
from kdltr.results.rows import AVERAGE, Row, to_frame

PAPER = shipped("paper")
SUBSETS = ("easy", "medium", "hard", AVERAGE)
# Our names of the paper's methods, and of its recognisers by the family of a model's name.
METHODS = {"bicubic": "Bicubic", "distilled": "Ours"}
RECOGNISERS = {"abinet": "ABINet", "matrn": "MATRN", "parseq": "PARSeq"}
# The same of super-resolution networks.
UPSCALERS = {"tsrn": "TSRN", "stt": "STT", "tatt": "TATT", "c3stisr": "C3-STISR"}
# The paper's names of other distillers, and the loss weights that its table does not change.
DISTILLERS = {"dfd": "DFD", "askd": "A-SKD", "unified": "Unified", "dld": "DLD"}
PUBLISHED_LAMBDAS = {"visual": 4.0, "semantic": 2.0}
Figure = tuple[float | None, int | None]  # published: percent, and the images behind it
_KEYS = ["recogniser", "method", "subset", "metric"]


@functools.cache
def _paper(name: str, folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / f"{name}.csv", na_values=["-"], keep_default_na=True)


def published(name: str = "textzoom") -> pd.DataFrame:
    """A published table in the paper's own words: a copy of `data/paper/<name>.csv`.

    Raises:
        FileNotFoundError: there is no such table; those there are get listed.
    """
    try:
        return _paper(name, PAPER).copy()
    except FileNotFoundError as error:
        known = ", ".join(sorted(file.stem for file in PAPER.glob("*.csv")))
        raise FileNotFoundError(f"{PAPER / name}.csv: expected one of {known}") from error


def published_counts() -> dict[str, int]:
    """Images behind the published figures of TextZoom: easy, medium, hard and their sum."""
    frame = published("datasets")
    tests = frame[(frame["dataset"] == "TextZoom") & frame["split"].str.startswith("test/")]
    counts = {split.removeprefix("test/"): int(n)
              for split, n in zip(tests["split"], tests["samples"], strict=True)}
    return counts | {AVERAGE: sum(counts.values())}


def family(recogniser: str) -> str | None:
    """The paper's name of a model's recogniser: "parseq_nano_ltr" is a "PARSeq"."""
    return RECOGNISERS.get(recogniser.split("_")[0])


def upscaler_name(network: str) -> str:
    """The paper's name of a super-resolution network: "tsrn_nano" is a "TSRN"."""
    return UPSCALERS[network.removesuffix("_nano")]


def is_published_size(recogniser: str) -> bool:
    """Whether the paper has figures of exactly this model (a `_nano` is another one)."""
    return recogniser.removesuffix("_ltr") in RECOGNISERS


def published_accuracy(recogniser: str, method: str, subset: str) -> float | None:
    """Percent in the paper's main table for our names; None where it has no figure."""
    frame = published("textzoom")
    names = (family(recogniser), METHODS.get(method, method))
    found = frame[(frame["recogniser"] == names[0]) & (frame["method"] == names[1])]
    return float(found[subset].iloc[0]) if len(found) and subset in SUBSETS else None


def published_gain(recogniser: str, method: str, other: str) -> float | None:
    """Points that a method reads more than another, on average; None where one is not there.

    Any method of two stages stands for the best of the paper's.
    """
    frame = published("textzoom")
    two_stage = set(frame.loc[frame["type"] == "SR", "method"])

    def best(method: str) -> float | None:
        names = two_stage if method in two_stage else {method}
        found = [published_accuracy(recogniser, name, AVERAGE) for name in names]
        return max((figure for figure in found if figure is not None), default=None)

    figures = best(method), best(other)
    return None if None in figures else figures[0] - figures[1]


def textzoom_figure(recogniser: str, method: str, subset: str) -> Figure:
    """A figure of the paper's main table."""
    accuracy = published_accuracy(recogniser, method, subset)
    return accuracy, published_counts().get(subset)


def ablation_figure(recogniser: str, settings: Mapping[str, Any], subset: str) -> Figure:
    """A figure of the paper's supplement for another distiller, or for other loss weights.

    Args:
        settings: of the training, ``to_dict()`` of its configuration. What changes anything else
            of the method has no published figure.
    """
    paper = family(recogniser), published_counts().get(subset)
    usual = {"student_input": "lr", "path_score": "published", "losses": {}, "model": {},
             "student_model": {}}
    if any(settings[name] != own for name, own in usual.items()) or settings["start"] == "random":
        return None, None
    if settings["method"] in DISTILLERS:
        if settings["weights"] != BASELINES[settings["method"]]:
            return None, None
        frame = published("kd_baselines")
        frame = frame[frame["method"] == DISTILLERS[settings["method"]]]
    else:
        frame = published("loss_weights")
        weights = settings["weights"]
        own = settings["method"] == "kd-ltr" and weights | PUBLISHED_LAMBDAS == weights
        given = (weights.get("cross_entropy"), weights.get("soft_logits")) if own else (None, None)
        frame = frame[(frame["lambda_ce"] == given[0]) & (frame["lambda_kl"] == given[1])]
    frame = frame[frame["recogniser"] == paper[0]]
    return (float(frame[subset].iloc[0]), paper[1]) if len(frame) and subset in SUBSETS else (
        None, None)


def published_order(recogniser: str, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Rows of the distillers that the paper's supplement compares, with the percent it states.

    Args:
        recogniser: the teacher; of others than the paper's there is nothing.
        rows: settings of each training by name. The first row of a method stands for it: of the
            paper's own, also where its weights are others.

    Returns:
        From the worst published to the best.
    """
    frame = published("kd_baselines")
    frame = frame[frame["recogniser"] == family(recogniser)]
    stated = dict(zip(frame["method"], frame[AVERAGE], strict=True))
    names = DISTILLERS | {"kd-ltr": METHODS["distilled"]}
    first: dict[str, str] = {}
    for row, settings in rows.items():
        first.setdefault(settings["method"], row)
    found = {row: float(stated[names[own]]) for own, row in first.items()
             if names.get(own) in stated}
    return dict(sorted(found.items(), key=lambda item: item[1]))


def benchmark_figure(recogniser: str, method: str, subset: str) -> Figure:
    """What a teacher's own README states for a benchmark, such as "IC13 857", at full resolution.

    The paper's own figures on the benchmarks are not part of `data/paper`.
    """
    name, _, samples = subset.partition(" ")
    frame = published("teachers_hr")
    found = frame[(frame["recogniser"] == family(recogniser)) & (frame["benchmark"] == name)
                  & (frame["samples"].astype(str) == samples)]  # fmt: skip
    if method != "teacher on HR" or not len(found):
        return None, None
    return float(found["accuracy"].iloc[0]), int(samples)


def beside_published(
    rows: Sequence[Row],
    same_data: bool,
    figure: Callable[[str, str, str], Figure] = textzoom_figure,
) -> pd.DataFrame:
    """Accuracies with the published figure, the difference and the verdict.

    Runs that differ only in their seed become one line: their mean, its standard deviation `sd`,
    and the widest interval. The verdict is that of `kdltr.evaluation.scores.verdict`; it is empty
    where nothing is published.

    Args:
        rows: of metric "accuracy"; others are passed over.
        same_data: whether they were measured on the data of the published figures.
        figure: finds the published figure of (recogniser, method, subset).

    Returns:
        Columns recogniser, method, subset, n, seeds, measured, sd, low, high, published,
        difference (measured − published, points), verdict.
    """
    frame = to_frame(rows)
    frame = frame[frame["metric"] == "accuracy"]
    lines = []
    for (recogniser, method, subset, _), runs in frame.groupby(_KEYS, sort=False):
        if runs["n"].nunique() != 1:
            raise ValueError(f"{recogniser}/{method}/{subset}: expected one number of images "
                             f"over all seeds, found {sorted(set(runs['n']))}; evaluate them on "
                             "the same data")
        n, mean = int(runs["n"].iloc[0]), float(runs["value"].mean())
        paper, n_paper = figure(recogniser, method, subset)
        judged = ""
        if paper is not None:
            same_model = is_published_size(recogniser)
            judged = verdict(paper, mean, n_paper, n, same_data, same_model)
        lines.append({
            "recogniser": recogniser, "method": method, "subset": subset, "n": n,
            "seeds": len(runs), "measured": mean, "sd": runs["value"].std(),
            "low": runs["low"].min(), "high": runs["high"].max(), "published": paper,
            "difference": None if paper is None else mean - paper, "verdict": judged,
        })
    columns = ["recogniser", "method", "subset", "n", "seeds", "measured", "sd", "low", "high",
               "published", "difference", "verdict"]
    numbers = {name: float for name in ("measured", "sd", "low", "high", "published", "difference")}
    return pd.DataFrame(lines, columns=columns).astype(numbers)


def wide(rows: Sequence[Row]) -> pd.DataFrame:
    """Accuracies, one line a method, one column a subset: the layout of the paper's main table.

    Mean over seeds. Index (recogniser, method); subsets and methods in the order of `rows`.
    """
    frame = to_frame(rows)
    frame = frame[frame["metric"] == "accuracy"]
    table = frame.pivot_table(values="value", index=["recogniser", "method"], columns="subset",
                              aggfunc="mean", sort=False)
    lines = list(dict.fromkeys(zip(frame["recogniser"], frame["method"], strict=True)))
    return table.loc[lines, list(dict.fromkeys(frame["subset"]))].rename_axis(columns=None)
