"""What the measurements share: names, and timings as rows.

`Row.method` is who did it, "kdltr" or another, or "other ÷ kdltr": how many times longer the other
took, the median over rounds, in each of which both were measured. Fastest and slowest are in
`Row.extra`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from kdltr.bench.clock import Timing
from kdltr.bench.subject import Settings
from kdltr.models.devices import cpu_model
from kdltr.results import Row

TABLE = "bench"
PRECISIONS, KEPT, OPERATIONS, OPTIONS, STAGES = (  # tables too
    "precisions", "kept outputs", "operations", "options", "one stage or two")
HALF = ", bfloat16"  # ends the name of a table that was measured in it
KDLTR, PLAIN = "kdltr", "plain"
STEP, READING, ONE = "training step", "reading", "reading, batch 1"  # subsets
TEXTZOOM_PAIRS = 17_367

MakeRow = Callable[..., Row]


def ratio(other: str, base: str = KDLTR) -> str:
    """The method of a row that says how many times longer ``other`` took."""
    return f"{other} ÷ {base}"


RATIO = ratio(PLAIN)


def maker(
    recogniser: str, subset: str, settings: Settings, table: str = TABLE, **more: Any
) -> MakeRow:
    """A function that makes rows: method, metric, value, unit; how it was measured is the same.

    What was measured on a GPU or in bfloat16 has tables of its own: their names say so.
    """
    device = torch.cuda.get_device_name() if settings.device == "cuda" else cpu_model()
    how = {"batch_size": settings.batch_size, "precision": settings.precision, "device": device,
           "gpu": settings.device == "cuda", "threads": torch.get_num_threads(),
           "tf32": torch.backends.cudnn.allow_tf32} | more
    table += ", GPU" * how["gpu"] + HALF * (settings.precision == "bf16")

    def make(method: str, metric: str, value: float, unit: str, **extra: Any) -> Row:
        return Row(table, recogniser, method, subset, metric, float(value), unit,
                   n=settings.repeats, extra=how | extra)

    return make


def times(
    make: MakeRow, timings: Mapping[str, Mapping[str, Timing]], base: str = KDLTR
) -> list[Row]:
    """Milliseconds of every part, and how many times longer than ``base``."""
    rows = []
    for name, parts in timings.items():
        rows += [milliseconds(make, name, part, timing) for part, timing in parts.items()]
    for name, parts in timings.items():
        for part in [part for part in parts if part in timings[base]] if name != base else ():
            longer = parts[part].times(timings[base][part])
            rows.append(make(ratio(name, base), part, longer.median, "×", **longer.spread))
    return rows


def milliseconds(make: MakeRow, method: str, metric: str, timing: Timing) -> Row:
    """A time, with the fastest and the slowest."""
    spread = {end: 1e3 * seconds for end, seconds in timing.spread.items()}
    return make(method, metric, 1e3 * timing.median, "ms", **spread)


def share(
    make: MakeRow, method: str, metric: str, work: float, seconds: float, floor: float
) -> Row:
    """Percent of the floor: ``work`` multiply-adds took so many seconds, ``floor`` are a second."""
    return make(method, metric, 100 * work / seconds / floor, "%", matrix_throughput=floor)
