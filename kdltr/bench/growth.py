"""How time grows with the number of pairs, the batch and the length of words."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import torch

from kdltr.bench import plain
from kdltr.bench.clock import TOTAL, Action, exponent
from kdltr.bench.lengths import words_of_length
from kdltr.bench.rows import KDLTR, PLAIN, maker, milliseconds
from kdltr.bench.subject import Settings, TrainingStep
from kdltr.models.parseq import PARSeq
from kdltr.results import Row, to_frame

log = logging.getLogger(__name__)
TABLE, POWERS = "scaling", "growth"


def scaling(
    recogniser: str,
    settings: Settings,
    pairs: Sequence[int] = (),
    batches: Sequence[int] = (),
    lengths: Sequence[int] = (),
) -> list[Row]:
    """Milliseconds against each of the sizes given, axis and size in `Row.extra`.

    Args:
        pairs: of a training step, and of asking the teacher once before it.
        batches: of a training step.
        lengths: of words read by a PARSeq, on both paths; others take as long for every word.
    """
    log.info("%s: scaling", recogniser)
    def rows(axis: str, metric: str, actions: dict[tuple[str, int], Action]) -> list[Row]:
        made = []
        for (way, size), timing in settings.time(actions).items():
            how = {"axis": axis, "size": size}
            how |= {"batch_size": size} if axis == "batch size" else {}
            make = maker(recogniser, f"{axis}: {size}", settings, TABLE, **how)
            made.append(milliseconds(make, way, metric, timing[TOTAL]))
        return made

    found = []
    if pairs:
        steps = {(KDLTR, n): TrainingStep(recogniser, replace(settings, pairs=n)) for n in pairs}
        once = {key: step.keep for key, step in steps.items()}
        found += rows("pairs", "asking the teacher once", once)
        found += rows("pairs", "training step", steps)
    if batches:
        most = max(settings.pairs, *batches)
        found += rows("batch size", "training step", {
            (KDLTR, n): TrainingStep(recogniser, replace(settings, batch_size=n, pairs=most))
            for n in batches
        })
    if lengths:
        with torch.inference_mode(), settings.autocast():
            found += rows("word length", "reading", _by_length(recogniser, settings, lengths))
    return found


def _by_length(
    recogniser: str, settings: Settings, lengths: Sequence[int]
) -> dict[tuple[str, int], Action]:
    """Readings of words of each length on both paths; none where the length makes no difference."""
    step = TrainingStep(recogniser, settings, teacher_outputs="recomputed")
    student, images = step.student.eval(), step.pairs.blurred(torch.arange(settings.batch_size))
    if not isinstance(student, PARSeq):
        return {}
    ways = {KDLTR: student, PLAIN: lambda images: plain.read(student, images)}

    def reads(way: str, length: int) -> Action:
        def action(_: object) -> None:
            with words_of_length(student, [length] * len(images)):
                ways[way](images)

        return action

    return {(way, length): reads(way, length) for way in ways for length in lengths}


def exponents(rows: Sequence[Row]) -> list[Row]:
    """One row for each curve of `scaling` with at least two sizes: b of the a·size^b that fits."""
    found = []
    keys = ["recogniser", "method", "axis", "metric"]
    for names, part in curves(rows).groupby(keys, sort=False):
        if part["size"].nunique() > 1:
            recogniser, method, axis, metric = names
            power = exponent(part["size"].tolist(), part["value"].tolist())
            found.append(Row(POWERS, recogniser, method, axis, metric, power, "1"))
    return found


def curves(rows: Sequence[Row]) -> pd.DataFrame:
    """The rows of `scaling` as a table with the columns axis and size, for figures."""
    return to_frame(rows).assign(**{key: [row.extra[key] for row in rows]
                                    for key in ("axis", "size")})
