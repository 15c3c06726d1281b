"""How time grows with the number of pairs, the batch and the length of words."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import torch

from kdltr.bench import plain
from kdltr.bench.clock import TOTAL, Action, Timing, exponent, interleave
from kdltr.bench.rows import KDLTR, PLAIN
from kdltr.bench.subject import Settings, TrainingStep, words_of_length
from kdltr.models.parseq import PARSeq
from kdltr.results import Row, to_frame

log = logging.getLogger(__name__)
TABLE = "scaling"


def scaling(
    recogniser: str,
    settings: Settings,
    pairs: Sequence[int] = (),
    batches: Sequence[int] = (),
    lengths: Sequence[int] = (),
) -> list[Row]:
    """Milliseconds against each of the sizes given; `Row.subset` is the axis, its value in extra.

    Args:
        pairs: of a training step, and of asking the teacher once before it.
        batches: of a training step.
        lengths: of words read by a PARSeq, on both paths; others take as long for every word.
    """
    log.info("%s: scaling", recogniser)
    rows = []
    if pairs:
        steps = {n: TrainingStep(recogniser, replace(settings, pairs=n)) for n in pairs}
        once = _timed({n: step.keep for n, step in steps.items()}, settings)
        rows += _rows(recogniser, KDLTR, "pairs", "asking the teacher once", once)
        rows += _rows(recogniser, KDLTR, "pairs", "training step", _timed(steps, settings))
    if batches:
        most = max(settings.pairs, *batches)
        steps = {
            n: TrainingStep(recogniser, replace(settings, batch_size=n, pairs=most))
            for n in batches
        }
        rows += _rows(recogniser, KDLTR, "batch size", "training step", _timed(steps, settings))
    if lengths:
        rows += _by_length(recogniser, settings, lengths)
    return rows


def _by_length(recogniser: str, settings: Settings, lengths: Sequence[int]) -> list[Row]:
    step = TrainingStep(recogniser, settings, teacher_outputs="recomputed")
    student, images = step.student.eval(), step.pairs.blurred(torch.arange(settings.batch_size))
    if not isinstance(student, PARSeq):
        return []
    ways = {KDLTR: student, PLAIN: lambda images: plain.read(student, images)}

    def reads(way: str, length: int) -> Action:
        def action(_: object) -> None:
            with words_of_length(student, [length] * len(images)):
                ways[way](images)

        return action

    actions = {(way, length): reads(way, length) for way in ways for length in lengths}
    with torch.inference_mode(), settings.autocast():
        timings = _timed(actions, settings)
    rows = []
    for way in ways:
        found = {length: timings[way, length] for length in lengths}
        rows += _rows(recogniser, way, "word length", "reading", found)
    return rows


def exponents(rows: Sequence[Row]) -> list[Row]:
    """One row for each curve of `scaling` with at least two sizes: b of the a·size^b that fits."""
    found = []
    keys = ["recogniser", "method", "subset", "metric"]
    for names, part in curves(rows).groupby(keys, sort=False):
        if part["size"].nunique() > 1:
            recogniser, method, subset, metric = names
            power = exponent(part["size"].tolist(), part["value"].tolist())
            found.append(Row(TABLE, recogniser, method, subset, f"exponent, {metric}", power, "1"))
    return found


def curves(rows: Sequence[Row]) -> pd.DataFrame:
    """The rows of `scaling` as a table with a column size, for figures."""
    return to_frame(rows).assign(size=[row.extra["size"] for row in rows])


def _timed(actions: dict, settings: Settings) -> dict:
    found = interleave(actions, settings.repeats, settings.warmup, settings.device, parts=False)
    return {name: timings[TOTAL] for name, timings in found.items()}


def _rows(
    recogniser: str, method: str, axis: str, metric: str, timings: dict[int, Timing]
) -> list[Row]:
    return [
        Row(TABLE, recogniser, method, axis, metric, 1e3 * timing.median, "ms",
            n=len(timing.seconds), extra={"size": size} | {
                end: 1e3 * seconds for end, seconds in timing.spread.items()})
        for size, timing in timings.items()
    ]
