"""Confusions and calibration as rows of a result, for one method's predictions."""

from __future__ import annotations

import pandas as pd

from kdltr.evaluation.calibration import calibration_error, surest
from kdltr.evaluation.confusion import character_error_rate, confusion_pairs, kinds, swaps
from kdltr.evaluation.scores import score
from kdltr.results import AVERAGE, Row


def confusion_rows(predictions: pd.DataFrame, recogniser: str, method: str) -> list[Row]:
    """Character error rate (percent) and the number of errors by kind, over all words."""
    same = ("confusion", recogniser, method, AVERAGE)
    n = len(predictions)
    value, low, high = (100 * end for end in character_error_rate(predictions))
    errors = kinds(confusion_pairs(predictions, similar=0.0))
    return [
        Row(*same, "character error rate", value, "%", n, low, high),
        *(Row(*same, kind, count, "count", n) for kind, count in errors.items()),
    ]


def swap_rows(
    predictions: pd.DataFrame, recogniser: str, method: str, top: int = 10
) -> list[Row]:
    """The most frequent swaps: how often, of `n` occurrences of the label's character."""
    frequent = swaps(confusion_pairs(predictions)).head(top)
    return [
        Row("swaps", recogniser, method, f"{label} → {reading}", "times", count, "count", n)
        for label, reading, count, n in frequent.itertuples(index=False)
    ]


def calibration_rows(predictions: pd.DataFrame, recogniser: str, method: str) -> list[Row]:
    """Percent: ECE, what a calibrated reader stays below, overconfidence, the surest half."""
    found, half = calibration_error(predictions), score(surest(predictions))
    same = ("calibration", recogniser, method, AVERAGE)
    n = len(predictions)
    intervals = {
        "ECE": found.error, "overconfidence": found.overconfidence,
        "accuracy, surest half": (half.accuracy, *half.interval),
    }  # fmt: skip
    rows = []
    for metric, interval in intervals.items():
        value, low, high = (100 * end for end in interval)
        rows.append(Row(*same, metric, value, "%", n, low, high))
    return [rows[0], Row(*same, "if calibrated", 100 * found.if_calibrated, "%", n), *rows[1:]]
