"""A run of several seeds is a job a seed, so that they go side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def by_seed(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The entries of a plan with one entry a seed in place of those that have `seeds`.

    A job reads the parameter files of its run and is given its seed; "{seed}" in a path stands for
    it. What needs the run needs all its jobs.
    """
    jobs = {name: [f"{name}-{seed}" for seed in entry.get("seeds") or ()] or [name]
            for name, entry in runs.items()}
    made = {}
    for name, entry in runs.items():
        needs = [each for need in entry.get("needs", ()) for each in jobs.get(need, [need])]
        entry = {**entry, "needs": needs}
        seeds = entry.pop("seeds", None) or [None]
        for each, seed in zip(jobs[name], seeds, strict=True):
            made[each] = entry if seed is None else {
                "notebook": name, "own": name, **_filled(entry, seed), "seeds": [seed]
            }
    return made


def _filled(entry: Mapping[str, Any], seed: int) -> dict[str, Any]:
    return {
        key: [path.replace("{seed}", str(seed)) for path in value]
        if key in ("inputs", "optional", "outputs", "state") else value
        for key, value in entry.items()
    }  # fmt: skip
