"""Where a model computes: a device by its name, if this machine has it; the processor's name."""

from __future__ import annotations

import platform

import torch

from kdltr.messages import nearest


def checked_device(name: str | torch.device) -> torch.device:
    """A device of this machine.

    Raises:
        ValueError: there is none of that name.
    """
    try:
        made = torch.ones(1, device=name)
        made.item()  # a device without memory, "meta", computes nothing
    except (RuntimeError, AssertionError, ImportError, TypeError) as error:
        known = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        raise ValueError(f"expected a device of this machine, found {str(name)!r} "
                         f"({str(error).splitlines()[0]}){nearest(name, known)}") from error
    return made.device


def cpu_model() -> str:
    """The name Linux gives it, elsewhere what Python knows, or "unknown"."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            lines = [line.partition(":") for line in file]
    except OSError:
        lines = []
    named = [value.strip() for key, _, value in lines if key.strip() == "model name"]
    return next(filter(None, [*named, platform.processor(), platform.machine()]), "unknown")
