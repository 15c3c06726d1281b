"""Where a model computes: devices by name, what they are and what they multiply in."""

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


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16; without them a CPU is many times slower."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    known = getattr(torch.cpu, "get_capabilities", dict)()  # not in every release of PyTorch
    return any(known.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def cpu_model() -> str:
    """The name Linux gives it, elsewhere what Python knows, or "unknown"."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            lines = [line.partition(":") for line in file]
    except OSError:
        lines = []
    named = [value.strip() for key, _, value in lines if key.strip() == "model name"]
    return next(filter(None, [*named, platform.processor(), platform.machine()]), "unknown")
