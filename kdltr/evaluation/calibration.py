"""Is a confidence what it says? Reliability, calibration error, and reading only what is sure.

All of it follows from the per-image predictions (columns confidence and correct). A reading counts
as right by `kdltr.evaluation.scores.PROTOCOL`, which looks at [0-9a-z] alone, while the confidence
is that of the whole reading, capitals and punctuation included: a recogniser of 94 characters has
reason to be less sure than it is right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kdltr.evaluation.bootstrap import TIMES, Estimate, estimate, resampled_sums
from kdltr.evaluation.scores import wilson

BINS = 10  # of equal width


@dataclass(frozen=True)
class CalibrationError:
    """Result of `calibration_error`; shares in [0, 1].

    Attributes:
        error: the expected calibration error (Guo et al., ICML 2017, eq. 3), over `BINS` bins.
        overconfidence: mean confidence minus accuracy; below 0: less sure than right.
        if_calibrated: 95th percentile of the error of a reader whose confidences are exact; n
            images never give 0. An error below it is no evidence of miscalibration.
    """

    error: Estimate
    overconfidence: Estimate
    if_calibrated: float


def reliability(predictions: pd.DataFrame, bins: int = BINS) -> pd.DataFrame:
    """Accuracy against confidence in bins of equal width; empty ones are left out.

    Returns:
        A row per bin: `least` and `most` (its ends), `n`, mean `confidence`, `accuracy`, and the
        accuracy's 95 % Wilson interval `low`, `high`.
    """
    frame = predictions[["confidence", "correct"]].assign(bin=_bins(predictions, bins))
    rows = []
    for number, part in frame.groupby("bin"):
        right, n = int(part["correct"].sum()), len(part)
        rows.append((number / bins, (number + 1) / bins, n, part["confidence"].mean(), right / n,
                     *wilson(right, n)))
    columns = ["least", "most", "n", "confidence", "accuracy", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def calibration_error(
    predictions: pd.DataFrame, bins: int = BINS, seed: int = 0
) -> CalibrationError:
    """How far confidence and accuracy are apart, with intervals by bootstrap over the images.

    Raises:
        ValueError: no predictions.
    """
    if predictions.empty:
        raise ValueError("expected predictions to judge the calibration of, found none")
    confidence = predictions["confidence"].to_numpy(float)
    gap = confidence - predictions["correct"].to_numpy(float)  # (M,)
    member = np.eye(bins)[_bins(predictions, bins)]  # (M, bins)
    found = member * gap[:, None]
    resampled = resampled_sums(found, seed) / len(gap)  # (times, bins)
    # A reader whose confidences are exact: right with just that probability.
    exact = np.random.default_rng(seed).random((TIMES, len(gap))) < confidence
    chance = np.abs((confidence - exact) @ member).sum(-1) / len(gap)
    error = np.abs(found.sum(0)).sum() / len(gap)
    return CalibrationError(
        estimate(float(error), np.abs(resampled).sum(-1)),
        estimate(float(gap.mean()), resampled.sum(-1), least=-1.0),
        float(np.percentile(chance, 95)),
    )


def risk_coverage(predictions: pd.DataFrame) -> pd.DataFrame:
    """What is right among the readings of at least some confidence, for every threshold.

    Returns:
        Descending `confidence` (the threshold), `coverage` (share of images read at least so
        surely) and `accuracy` among them. Equal confidences are accepted together.
    """
    by_threshold = predictions.groupby("confidence")["correct"].agg(["sum", "size"])
    accepted = by_threshold.sort_index(ascending=False).cumsum()
    return pd.DataFrame({
        "confidence": accepted.index,
        "coverage": accepted["size"].to_numpy() / len(predictions),
        "accuracy": (accepted["sum"] / accepted["size"]).to_numpy(float),
    })


def surest(predictions: pd.DataFrame, share: float = 0.5) -> pd.DataFrame:
    """The `share` of the images with the highest confidence, at least one; the first of equals."""
    kept = max(1, math.floor(share * len(predictions)))
    return predictions.sort_values("confidence", ascending=False, kind="stable").head(kept)


def _bins(predictions: pd.DataFrame, bins: int) -> np.ndarray:
    """The bin of each image (M,); a confidence of 1 belongs to the last."""
    return np.minimum((predictions["confidence"].to_numpy(float) * bins).astype(int), bins - 1)
