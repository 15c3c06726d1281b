"""Tables of the benchmark: everything that was measured, and what matters most of it."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from kdltr.bench.clock import TOTAL
from kdltr.bench.measure import WORK
from kdltr.bench.rows import KDLTR, ONE, PLAIN, RATIO, READING, STEP, TABLE
from kdltr.results import Row, to_frame

# (subset, metric) of a line of the summary → its name, and the metric that says its share of the
# floor.
LINES = {
    (STEP, TOTAL): ("training step", "step of the floor"),
    (STEP, WORK): ("of it the student's own work", "student's work of the floor"),
    (STEP, "pairs a second"): ("pairs a second", None),
    (STEP, "peak memory"): ("peak memory of training", None),
    (READING, "images a second"): ("images a second, read", "reading of the floor"),
    (ONE, TOTAL): ("one image", "reading of the floor"),
}


def table(rows: Sequence[Row]) -> pd.DataFrame:
    """All of it: what was measured down, the ways across, ratios last."""
    frame = to_frame([row for row in rows if row.table == TABLE and row.unit != "count"])
    keys = ["recogniser", "subset", "metric", "unit"]
    frame["unit"] = frame["unit"].where(frame["unit"] != "×")
    frame["unit"] = frame.groupby(keys[:3])["unit"].transform("first")
    wide = frame.pivot_table("value", keys, "method", sort=False, observed=True)
    ways = sorted(wide, key=lambda name: "÷" in name)  # stable
    return wide[ways].rename_axis(columns=None)


def summary(rows: Sequence[Row]) -> pd.DataFrame:
    """What matters most, a line each: plain, kdltr, their ratio, percent of the floor."""
    found = {(row.recogniser, row.subset, row.metric, row.method): row
             for row in rows if row.table == TABLE}
    lines = []
    for recogniser in dict.fromkeys(row.recogniser for row in rows if row.table == TABLE):
        for (subset, metric), (name, floor) in LINES.items():
            mine = found.get((recogniser, subset, metric, KDLTR))
            if mine is None:
                continue
            theirs = found.get((recogniser, subset, metric, PLAIN))
            times = found.get((recogniser, subset, metric, RATIO)) or found.get(
                (recogniser, subset, TOTAL, RATIO))  # of a rate that of its time
            of_floor = found.get((recogniser, subset, floor, KDLTR))
            lines.append({
                "recogniser": recogniser, "what": name, "unit": mine.unit,
                "batch": mine.extra["batch_size"],
                PLAIN: theirs.value if theirs else None, KDLTR: mine.value,
                RATIO: times.value if times else None,
                "of the floor, %": of_floor.value if of_floor else None,
            })
    keys = ["recogniser", "what", "unit", "batch"]
    numbers = [PLAIN, KDLTR, RATIO, "of the floor, %"]
    return pd.DataFrame(lines, columns=keys + numbers).set_index(keys).astype(float)
