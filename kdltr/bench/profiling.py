"""Where the time of a training step goes, operation by operation, by PyTorch's profiler."""

from __future__ import annotations

import os

from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from kdltr.bench.clock import Laps
from kdltr.bench.rows import KDLTR, OPERATIONS, STEP, maker
from kdltr.bench.subject import Settings, TrainingStep
from kdltr.results import Row

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler announces itself on stderr
TOP = 12
OTHERS = "all others"


def operations(recogniser: str, settings: Settings, steps: int = 3) -> list[Row]:
    """Percent of the device's time in each of the operations that take most, of kdltr's path.

    On a GPU the kernels' time; what is missing to the step's duration is waiting for the host,
    which is the row "device idle".
    """
    step = TrainingStep(recogniser, settings)
    gpu = settings.device == "cuda"
    for _ in range(max(1, settings.warmup)):
        step(Laps(settings.device, parts=False))
    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * gpu
    with profile(activities=kinds, acc_events=True) as profiler:
        laps = Laps(settings.device, parts=False)
        for _ in range(steps):
            step(laps)
        seconds = laps.finish()["total"]
    kind = "self_device_time_total" if gpu else "self_cpu_time_total"
    # On a GPU each kernel is there twice: by its own name, and with the operation it belongs to.
    spent = {event.key: getattr(event, kind) / 1e6 for event in profiler.key_averages()
             if event.device_type == DeviceType.CPU}
    busy = sum(spent.values())
    top = sorted(spent, key=spent.get, reverse=True)[:TOP]
    shares = {name: spent[name] for name in top} | {OTHERS: busy - sum(map(spent.get, top))}
    if gpu:
        shares["device idle"] = max(0.0, seconds - busy)
    make = maker(recogniser, STEP, settings, OPERATIONS)
    whole = sum(shares.values())
    return [make(KDLTR, name, 100 * value / whole, "%") for name, value in shares.items()]
