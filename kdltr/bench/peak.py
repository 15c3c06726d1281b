"""Peak memory of training, each measurement in a process of its own.

    python -m kdltr.bench.peak '{"recogniser": "parseq_nano", "settings": {}, "plain": false}'

A process never gives back its peak, and what was measured before would be in it.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from kdltr.bench.clock import Laps
from kdltr.bench.subject import Settings, TrainingStep

STEPS = 2  # the optimiser's state is there from the second on


def peak_memory(recogniser: str, settings: Settings, plain: bool) -> dict[str, int]:
    """Bytes at most of a process that trains: "peak", and "start", before there was a model.

    On a CPU all that is resident, code and libraries included; on a GPU what PyTorch allocated on
    it.

    Raises:
        RuntimeError: the process failed; the message ends with what it said.
    """
    task = {"recogniser": recogniser, "settings": asdict(settings), "plain": plain,
            "threads": torch.get_num_threads(),
            "card": torch.cuda.current_device() if settings.device == "cuda" else None}
    command = [sys.executable, "-m", "kdltr.bench.peak", json.dumps(task)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    if child.returncode:
        raise RuntimeError(f"measuring the memory of {recogniser} failed with status "
                           f"{child.returncode}: {child.stderr.strip()[-500:]}")
    return json.loads(child.stdout.splitlines()[-1])


def measure(
    recogniser: str, settings: Settings, plain: bool, threads: int, card: int | None = None
) -> dict[str, int]:
    """What `peak_memory` returns, of this process; of several GPUs on the one of number `card`."""
    torch.set_num_threads(threads)
    if card is not None:
        torch.cuda.set_device(card)
    start = _peak(settings.device)
    step = TrainingStep(recogniser, settings, plain)
    for _ in range(STEPS):
        step(Laps(settings.device, parts=False))
    return {"start": start, "peak": _peak(settings.device)}


def _peak(device: str) -> int:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if status.is_file():  # ru_maxrss of Linux holds the parent's too
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return 1024 * int(lines["VmHWM"].split()[0])
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else 1024 * used


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    print(json.dumps(measure(**given | {"settings": Settings(**given["settings"])})))
