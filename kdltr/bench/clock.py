"""Time: parts of an action, several actions in turn, and what is said of repeated measurements."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

TOTAL = "total"


class Laps:
    """A stopwatch an action is given: called with a part's name when that part has ended.

    Args:
        device: waited for at the end of a part, so that its work is counted where it was asked for.
        parts: False only takes the whole: on a GPU the waiting costs time of its own.
    """

    def __init__(self, device: str | torch.device = "cpu", parts: bool = True) -> None:
        self.device, self.parts = torch.device(device), parts
        self.seconds: dict[str, float] = {}
        self.wait()
        self.started = self.last = time.perf_counter()

    def __call__(self, part: str) -> None:
        if self.parts:
            self.wait()
            now = time.perf_counter()
            self.seconds[part] = self.seconds.get(part, 0.0) + now - self.last
            self.last = now

    def finish(self) -> dict[str, float]:
        """Seconds by part, and the total."""
        self.wait()
        return self.seconds | {TOTAL: time.perf_counter() - self.started}

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


Action = Callable[[Laps], object]


@dataclass(frozen=True)
class Timing:
    """Seconds of one thing, measured several times."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> dict[str, float]:
        """Fastest and slowest, in seconds."""
        return {"fastest": min(self.seconds), "slowest": max(self.seconds)}

    def each_of(self, n: int) -> Timing:
        """What one of n equal things took that were measured together."""
        return Timing(tuple(seconds / n for seconds in self.seconds))

    def times(self, other: Timing) -> Timing:
        """How many times longer than ``other``, round by round: neighbours in time compared."""
        pairs = zip(self.seconds, other.seconds, strict=True)
        return Timing(tuple(mine / theirs for mine, theirs in pairs))


def interleave(
    actions: Mapping[str, Action],
    repeats: int,
    warmup: int = 1,
    device: str | torch.device = "cpu",
    parts: bool = True,
) -> dict[str, dict[str, Timing]]:
    """Time actions in turn, every other round in reverse, so that all meet the same machine.

    Returns:
        by action and part ("total" among them), without the first ``warmup`` rounds.
    """
    found: dict[str, list[dict[str, float]]] = {name: [] for name in actions}
    for turn in range(warmup + repeats):
        for name in list(actions)[:: -1 if turn % 2 else 1]:
            laps = Laps(device, parts)
            actions[name](laps)
            found[name].append(laps.finish())
    return {
        name: {part: Timing(tuple(r[part] for r in rounds[warmup:])) for part in rounds[-1]}
        for name, rounds in found.items()
    }


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """b of the a·size^b that fits best: least squares of the logarithms.

    Raises:
        ValueError: fewer than two sizes.
    """
    if len(set(sizes)) < 2:
        raise ValueError(f"expected at least two different sizes to fit a power, found {sizes}")
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def matmul_throughput(
    device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32, size: int = 0,
    repeats: int = 8,
) -> float:
    """Multiply-adds a second of square matrix products: the best of several, the machine's floor.

    Args:
        size: rows; 0 takes 8192 on a GPU, and on a CPU as many as keep each thread as busy as
            one is with 1024, which it reaches its best with.
    """
    of_a_cpu = 64 * round(16 * torch.get_num_threads() ** (1 / 3))
    size = size or (8192 if torch.device(device).type == "cuda" else of_a_cpu)
    left, right = (torch.rand(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(left)
    timing = interleave(
        {"matmul": lambda laps: torch.matmul(left, right, out=out)}, repeats, 2, device, parts=False
    )
    return size**3 / timing["matmul"][TOTAL].spread["fastest"]
