"""Tables of the benchmark: everything that was measured, and what matters most of it."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from kdltr.bench.clock import TOTAL
from kdltr.bench.measure import ABOVE_START, PEAK, WORK
from kdltr.bench.rows import HALF, KDLTR, ONE, PLAIN, RATIO, READING, STEP, TABLE
from kdltr.results import Row, to_frame

# (subset, metric) of a line of the summary → its name, and the metric that says its share of the
# floor.
LINES = {
    (STEP, TOTAL): ("training step", "step of the floor"),
    (STEP, WORK): ("of it the student's own work", "student's work of the floor"),
    (STEP, "pairs a second"): ("pairs a second", None),
    (STEP, PEAK): ("peak memory of training", None),
    (STEP, ABOVE_START): ("of it above what Python takes", None),
    (READING, "images a second"): ("images a second, read", "reading of the floor"),
    (ONE, TOTAL): ("one image", "reading of the floor"),
}


def table(rows: Sequence[Row], name: str = TABLE) -> pd.DataFrame:
    """All rows of a table: what was measured down, the ways across, ratios last."""
    frame = to_frame([row for row in rows if row.table == name and row.unit != "count"])
    keys = ["recogniser", "subset", "metric", "unit"]
    frame["unit"] = frame["unit"].where(frame["unit"] != "×")
    frame["unit"] = frame.groupby(keys[:3])["unit"].transform("first")
    wide = frame.pivot_table("value", keys, "method", sort=False, observed=True)
    ways = sorted(wide, key=lambda name: "÷" in name)  # stable
    return wide[ways].rename_axis(columns=None)


def summary(rows: Sequence[Row]) -> pd.DataFrame:
    """What matters most, a line each: plain, kdltr, their ratio, percent of the floor."""
    runs: dict[tuple, dict[tuple, Row]] = {}
    for row in rows:
        if row.table.split(", ")[0] == TABLE:  # whatever it was measured on, and in
            precision = "bf16" if row.table.endswith(HALF) else "no"
            run = row.recogniser, "gpu" if row.extra["gpu"] else "cpu", precision
            runs.setdefault(run, {})[row.subset, row.metric, row.method] = row
    lines = []
    for run, found in runs.items():
        for (subset, metric), (what, floor) in LINES.items():
            if (mine := found.get((subset, metric, KDLTR))) is None:
                continue
            ahead = metric if (subset, metric, RATIO) in found else TOTAL  # of a rate: its time's
            others = [(subset, metric, PLAIN), (subset, ahead, RATIO), (subset, floor, KDLTR)]
            plain, ratio, share = (found[key].value if key in found else None for key in others)
            lines.append((*run, what, mine.unit, mine.extra["batch_size"], plain, mine.value,
                          ratio, share))
    keys = ["recogniser", "device", "precision", "what", "unit", "batch"]
    frame = pd.DataFrame(lines, columns=[*keys, PLAIN, KDLTR, RATIO, "of the floor, %"])
    return frame.set_index(keys).astype(float)
