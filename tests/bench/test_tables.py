"""Tables of rows: the summary, and everything."""

import math

from kdltr import bench
from kdltr.bench.clock import TOTAL
from kdltr.bench.rows import KDLTR, PLAIN, RATIO, READING, STEP, TABLE
from kdltr.results import Row


def row(method, metric, value, unit="ms", subset=STEP, name="abinet", gpu=False, precision="no"):
    extra = {"gpu": gpu, "precision": precision, "batch_size": 64 if gpu else 16, "threads": 2}
    table = f"{TABLE}, GPU, bfloat16" if gpu else TABLE
    return Row(table, name, method, subset, metric, value, unit, extra=extra)


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
