"""The processor's name: what results report, and what a bit-exact run depends on."""

import platform


def cpu_model() -> str:
    """The name Linux gives it, elsewhere what Python knows, or "unknown"."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            lines = [line.partition(":") for line in file]
    except OSError:
        lines = []
    named = [value.strip() for key, _, value in lines if key.strip() == "model name"]
    return next(filter(None, [*named, platform.processor(), platform.machine()]), "unknown")
