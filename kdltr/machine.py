"""What of this machine a process may use."""

import os


def cores() -> int:
    """Logical cores: those that a cluster's queue or a container lends, where it says so."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
