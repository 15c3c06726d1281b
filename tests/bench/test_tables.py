"""Tables of rows: the summary, everything, and the targets."""

import math

import pytest

from kdltr import bench
from kdltr.bench.aims import TARGETS
from kdltr.bench.clock import TOTAL
from kdltr.bench.rows import KDLTR, PLAIN, RATIO, READING, STEP, TABLE
from kdltr.results import Row


def row(method, metric, value, unit="ms", subset=STEP, name="abinet", gpu=False, precision="no"):
    extra = {"gpu": gpu, "precision": precision, "batch_size": 64 if gpu else 16, "threads": 2}
    return Row(TABLE, name, method, subset, metric, value, unit, extra=extra)


ROWS = [
    row("student", "parameters", 5, "count"),
    row(KDLTR, TOTAL, 10.0), row(PLAIN, TOTAL, 40.0), row(RATIO, TOTAL, 4.1, "×"),
    row(KDLTR, "pairs a second", 1600.0, "1/s"), row(PLAIN, "pairs a second", 400.0, "1/s"),
    row(KDLTR, "step of the floor", 50.0, "%"),
    row(KDLTR, TOTAL, 2.0, gpu=True, precision="bf16"),
    row(KDLTR, TOTAL, 3.0, subset=READING, name="matrn"),
]  # fmt: skip


def test_the_summary_has_a_line_for_what_matters():
    table = bench.summary(ROWS)
    step = table.loc[("abinet", "cpu", "no", "training step", "ms", 16)]
    assert step.tolist() == [40.0, 10.0, 4.1, 50.0]
    rate = table.loc[("abinet", "cpu", "no", "pairs a second", "1/s", 16)]
    assert rate[:3].tolist() == [400.0, 1600.0, 4.1] and math.isnan(rate.iloc[3])
    gpu = table.loc[("abinet", "gpu", "bf16", "training step", "ms", 64)]
    assert gpu[KDLTR] == 2.0 and math.isnan(gpu[PLAIN])
    assert len(table) == 3  # what is only measured in part is not made up


def test_everything_ratios_last_and_no_counts():
    table = bench.table(ROWS[:7])
    assert list(table) == [KDLTR, PLAIN, RATIO]
    assert table.loc[("abinet", STEP, TOTAL, "ms")].tolist() == [10.0, 40.0, 4.1]
    assert "parameters" not in table.index.get_level_values("metric")


def test_targets_are_met_missed_or_not_measured():
    aims = bench.targets(ROWS)
    assert len(aims) == len(TARGETS) == 24 and aims.index.is_unique
    place = ("cpu", "abinet", STEP, f"{TOTAL}, {RATIO}", "no")
    assert aims.loc[place, ["aim", "measured", "reached"]].tolist() == ["≥ 1.3", 4.1, "yes"]
    assert (aims["reached"] == "not measured").sum() == len(aims) - 1
    slow = bench.targets([row(RATIO, TOTAL, 1.29, "×")])
    assert slow.loc[place, "reached"] == "no"


@pytest.mark.parametrize(("minutes", "reached"), [(14.9, "yes"), (15.0, "yes"), (15.1, "no")])
def test_some_targets_are_at_most(minutes, reached):
    whole = "17367 pairs, 25 epochs"
    aims = bench.targets([row(KDLTR, whole, minutes, "min", gpu=True, precision="bf16")])
    place = ("gpu", "abinet", STEP, f"{whole}, {KDLTR}", "bf16")
    assert aims.loc[place, "aim"] == "≤ 15" and aims.loc[place, "reached"] == reached


@pytest.mark.parametrize("other", [{"batch_size": 8}, {"threads": 1}])
def test_a_target_is_not_met_by_other_circumstances(other):
    measured = row(RATIO, TOTAL, 99.0, "×")
    measured.extra.update(other)
    assert (bench.targets([measured])["reached"] == "not measured").all()
