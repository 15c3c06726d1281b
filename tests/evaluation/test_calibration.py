"""Calibration, against readers whose calibration is known."""

import numpy as np
import pandas as pd
import pytest

from kdltr.evaluation.bootstrap import estimate
from kdltr.evaluation.calibration import (
    calibration_error,
    reliability,
    risk_coverage,
    surest,
)


def predictions(confidence, correct):
    return pd.DataFrame({"confidence": confidence, "correct": correct})


def test_a_reliability_curve_bins_by_confidence():
    found = reliability(predictions([0.0, 0.05, 0.95, 1.0], [False, True, True, True]))
    assert found[["least", "most"]].to_numpy().tolist() == [[0.0, 0.1], [0.9, 1.0]]
    assert found["n"].tolist() == [2, 2]  # a confidence of 1 is in the last bin
    assert found["accuracy"].tolist() == [0.5, 1.0]
    assert found["confidence"].tolist() == pytest.approx([0.025, 0.975])
    assert found["low"].lt(found["accuracy"]).all() and found["high"].ge(found["accuracy"]).all()


def test_the_calibration_error_is_the_weighted_gap_of_the_bins():
    # Of three images in one bin two are right, of one in another none: 3/4·|0.9 − 2/3| + 1/4·0.2.
    found = calibration_error(predictions([0.9, 0.9, 0.9, 0.2], [True, True, False, False]))
    assert found.error.value == pytest.approx(0.75 * (0.9 - 2 / 3) + 0.25 * 0.2)
    assert found.overconfidence.value == pytest.approx((3 * 0.9 + 0.2 - 2) / 4)
    assert found.error.low <= found.error.value <= found.error.high


def test_gaps_of_opposite_sign_do_not_cancel_in_the_error():
    found = calibration_error(predictions([0.95, 0.05], [False, True]))
    assert found.error.value == pytest.approx(0.95)
    assert found.overconfidence.value == pytest.approx(0.0)


@pytest.mark.parametrize("seed", range(3))
def test_only_a_miscalibrated_reader_is_above_what_chance_gives(seed):
    random = np.random.default_rng(seed)
    confidence = random.random(2000)
    exact = random.random(2000) < confidence
    honest = calibration_error(predictions(confidence, exact), seed=seed)
    boastful = calibration_error(predictions(confidence**0.5, exact), seed=seed)
    assert honest.error.value < 1.3 * honest.if_calibrated  # a 95th percentile: not always below
    assert boastful.error.low > boastful.if_calibrated
    assert boastful.overconfidence.low > 0.1 > abs(honest.overconfidence.value)


def test_the_interval_covers_the_error_of_large_samples():
    # Confidence 0.8, right half the time: the error is 0.3.
    covered = 0
    for seed in range(40):
        right = np.random.default_rng(seed).random(300) < 0.5
        found = calibration_error(predictions(np.full(300, 0.8), right), seed=seed).error
        covered += found.low <= 0.3 <= found.high
    assert covered >= 34


def test_the_same_seed_gives_the_same_interval():
    table = predictions(np.linspace(0, 1, 50), np.arange(50) % 3 > 0)
    assert calibration_error(table, seed=1) == calibration_error(table, seed=1)
    assert calibration_error(table, seed=1).error != calibration_error(table, seed=2).error


def test_no_predictions_are_refused():
    with pytest.raises(ValueError, match="found none"):
        calibration_error(predictions([], []))


def test_equal_confidences_are_accepted_together():
    found = risk_coverage(predictions([0.5, 0.9, 0.5, 0.1], [False, True, True, False]))
    assert found["confidence"].tolist() == [0.9, 0.5, 0.1]
    assert found["coverage"].tolist() == [0.25, 0.75, 1.0]
    assert found["accuracy"].tolist() == pytest.approx([1.0, 2 / 3, 0.5])


def test_the_surest_half():
    table = predictions([0.1, 0.9, 0.8], [False, True, True])
    assert surest(table, 0.7)["confidence"].tolist() == [0.9, 0.8]
    assert len(surest(table, 0.01)) == 1


def test_an_interval_by_resampling_is_of_95_percent():
    assert estimate(5.0, np.arange(1001.0), -np.inf) == (5.0, -470.0, 480.0)
