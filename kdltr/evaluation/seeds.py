"""Trainings that differ only in their seed: named, told apart, and set beside each other.

    recognisers = of_seeds(recognisers, [42, 43])   # "distilled" becomes "distilled, seed 42", …
    claim(text, *runs_of(whole["parseq"], "distilled", "bicubic"))   # kdltr.evaluation.compare
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from kdltr.evaluation.scores import Scores

_NAMED = re.compile(r"(?P<method>.+), seed (?P<seed>\d+)")


def named(method: str, seed: int) -> str:
    """The name of a method's training with a seed."""
    return f"{method}, seed {seed}"


def method_of(name: str) -> str:
    """The method of a name, without a seed."""
    match = _NAMED.fullmatch(name)
    return match["method"] if match else name


def of_seeds(
    recognisers: Mapping[str, Mapping[str, Any]], seeds: Sequence[int]
) -> dict[str, dict[str, Any]]:
    """What `kdltr.evaluation.readers.load_readers` takes, with a student a seed.

    Args:
        recognisers: of their `students`, those whose path holds "{seed}" were trained with each.
        seeds: which.

    Raises:
        ValueError: a path with "{seed}" and no seeds.
    """
    def each(students: Mapping[str, str]) -> dict[str, str]:
        made = {}
        for method, weights in students.items():
            if "{seed}" not in weights:
                made[method] = weights
            elif not seeds:
                raise ValueError(f"expected seeds for the weights {weights}, found none; give the "
                                 "list of those it was trained with, or write one in its place")
            else:
                made |= {named(method, seed): weights.replace("{seed}", str(seed))
                         for seed in seeds}
        return made

    return {name: {**entry, "students": each(entry["students"])}
            for name, entry in recognisers.items()}  # fmt: skip


def apart(predictions: pd.DataFrame) -> pd.DataFrame:
    """Predictions with the seed of a name in a column of its own, if any has one."""
    found = predictions["method"].str.extract(f"^{_NAMED.pattern}$")
    if found["seed"].isna().all():
        return predictions
    method = found["method"].fillna(predictions["method"])
    frame = predictions.assign(method=method)
    frame.insert(list(frame).index("method") + 1, "seed", found["seed"].astype("Int64"))
    return frame


def together(predictions: pd.DataFrame) -> pd.DataFrame:
    """`apart` undone: the seed, if any, in the name of the method."""
    if "seed" not in predictions:
        return predictions
    pairs = zip(predictions["method"], predictions["seed"], strict=True)
    names = [method if pd.isna(seed) else named(method, int(seed)) for method, seed in pairs]
    return predictions.assign(method=names).drop(columns="seed")


def runs_of(found: Mapping[str, Scores], *methods: str) -> tuple[list[Scores], ...]:
    """What each method read by each seed, so that methods can be compared.

    A method without seeds is there as often as there are seeds of the others.

    Args:
        found: by name.
        methods: without their seeds.

    Raises:
        ValueError: methods of different seeds.
    """
    runs: dict[str, dict[int | None, Scores]] = {method: {} for method in methods}
    for name, scores in found.items():
        match = _NAMED.fullmatch(name)
        method, seed = (match["method"], int(match["seed"])) if match else (name, None)
        if method in runs:
            runs[method][seed] = scores
    seeds = list(dict.fromkeys(s for own in runs.values() for s in own if s is not None))
    made = []
    for method, own in runs.items():
        whole = own.get(None)
        if whole is None and [*own] != seeds:
            raise ValueError(f"expected {method!r} of the seeds {seeds}, found {[*own]}; train "
                             "both methods with the same seeds")
        made.append([own.get(seed, whole) for seed in seeds] or [whole])
    return tuple(made)
