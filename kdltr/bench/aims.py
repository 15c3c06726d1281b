"""What was to be reached, beside what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from kdltr.bench.clock import TOTAL
from kdltr.bench.measure import EPOCHS, PEAK
from kdltr.bench.rows import KDLTR, RATIO, READING, STEP, TEXTZOOM_PAIRS
from kdltr.results import Row


@dataclass(frozen=True)
class Target:
    """One number of one recogniser, by what the row that measures it says.

    Attributes:
        aim: at least this, or at most if ``most``.
        precision: that it is measured in; None: any.
    """

    device: str
    recogniser: str
    method: str
    subset: str
    metric: str
    aim: float
    most: bool = False
    precision: str = "no"

    def measures(self, row: Row) -> bool:
        """Whether a row is about this target."""
        device = "gpu" if row.extra.get("gpu") else "cpu"
        stated = CIRCUMSTANCES[self.device].items()
        if any(row.extra.get(name) != value for name, value in stated):
            return False
        said = (device, row.recogniser, row.method, row.subset, row.metric)
        wanted = (self.device, self.recogniser, self.method, self.subset, self.metric)
        return said == wanted and row.extra.get("precision") == self.precision


# What the aims are stated for, by device: as `Row.extra` has it.
CIRCUMSTANCES = {"cpu": {"batch_size": 16, "threads": 2}, "gpu": {"batch_size": 64}}
SHARE = "student's work of the floor"
WHOLE = f"{TEXTZOOM_PAIRS} pairs, {EPOCHS} epochs"
# By recogniser: times faster a step, times faster reading, minutes of a training on a GPU.
AIMS = {"abinet": (1.3, 1.2, 15.0), "matrn": (2.0, 1.2, 15.0), "parseq": (1.5, 4.0, 10.0)}
TARGETS = [
    target
    for name, (step, read, minutes) in AIMS.items()
    for target in (
        Target("cpu", name, RATIO, STEP, TOTAL, step),
        Target("cpu", name, KDLTR, STEP, SHARE, 65.0),
        Target("cpu", name, RATIO, STEP, PEAK, 1 / 0.7),
        Target("cpu", name, RATIO, READING, TOTAL, read),
        Target("cpu", name, RATIO, "path search, sure teacher", TOTAL, 30.0),
        Target("gpu", name, RATIO, STEP, TOTAL, 8.0),
        Target("gpu", name, RATIO, STEP, TOTAL, 20.0, precision="bf16"),
        Target("gpu", name, KDLTR, STEP, WHOLE, minutes, most=True, precision="bf16"),
    )
]


def targets(rows: Sequence[Row]) -> pd.DataFrame:
    """Every target with what was measured: "yes", "no", or "not measured"."""
    lines = []
    for target in TARGETS:
        found = [row for row in rows if target.measures(row)]
        value = found[-1].value if found else None
        reached = "not measured"
        if value is not None:
            good = value <= target.aim if target.most else value >= target.aim
            reached = "yes" if good else "no"
        lines.append({
            "device": target.device, "recogniser": target.recogniser, "what": target.subset,
            "number": f"{target.metric}, {target.method}", "precision": target.precision,
            "aim": f"{'≤' if target.most else '≥'} {target.aim:.3g}",
            "measured": value, "reached": reached,
        })
    frame = pd.DataFrame(lines).astype({"measured": float})
    return frame.set_index(["device", "recogniser", "what", "number", "precision"])
