"""Intervals of statistics that are no proportions, by resampling the images."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

TIMES = 1000  # resamples


class Estimate(NamedTuple):
    """A value and the ends of its 95 % interval, in the same unit."""

    value: float
    low: float
    high: float


def resampled_sums(columns: np.ndarray, seed: int = 0, times: int = TIMES) -> np.ndarray:
    """Sums over bootstrap resamples of M images: (M, S) → (times, S).

    Any statistic that is a function of sums over images has its bootstrap distribution from these
    without a loop over resamples.
    """
    images = len(columns)
    counts = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), times)
    return counts @ columns


def estimate(value: float, resampled: np.ndarray, least: float = 0.0) -> Estimate:
    """`value` with the bootstrap's spread about its median; not below `least`.

    The spread is moved to the value, because a statistic such as the calibration error is larger
    in resamples than in the sample: plain percentiles may miss the value itself.
    """
    low, middle, high = np.percentile(resampled, (2.5, 50.0, 97.5)).tolist()
    return Estimate(value, max(value - (middle - low), least), value + (high - middle))
