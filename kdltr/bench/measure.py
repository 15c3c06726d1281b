"""Measurements of training one recogniser as rows: steps, memory, path search, kept outputs."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import torch

from kdltr.bench import plain
from kdltr.bench.clock import TOTAL, Action, Laps, Timing, matmul_throughput
from kdltr.bench.peak import peak_memory
from kdltr.bench.rows import (
    KDLTR,
    KEPT,
    OPTIONS,
    PLAIN,
    PRECISIONS,
    RATIO,
    STEP,
    TEXTZOOM_PAIRS,
    MakeRow,
    maker,
    share,
    times,
)
from kdltr.bench.subject import Settings, TrainingStep
from kdltr.evaluation.efficiency import parameters
from kdltr.losses import path_distribution
from kdltr.losses.criterion import WEIGHTS
from kdltr.results import Row
from kdltr.train.config import TEACHER_OUTPUTS

log = logging.getLogger(__name__)
EPOCHS = 25  # of the published recipe, until its rate first falls
WORK = "student and backward"
PEAK, ABOVE_START = "peak memory", "peak memory above the start"
CASES = {"sure teacher": {}, "unsure teacher": {"sure": 0.0}}
SOFTENED = 4.0  # the temperature of the soft logits loss
IN_A_ROW = 10  # steps that a GPU is given without waiting for it, as training does


def matrix_throughput(settings: Settings) -> float:
    """Multiply-adds a second of matrix products on this machine: the floor."""
    half = settings.precision == "bf16"
    return matmul_throughput(settings.device, torch.bfloat16 if half else torch.float32)


def training(
    recogniser: str, settings: Settings, against: Settings | None = None
) -> list[Row]:
    """A training step: milliseconds by part, pairs a second, ratios, share of the floor.

    Args:
        recogniser: the teacher's name.
        settings: how.
        against: of the plain path, where they are others: float32 beside kdltr's bfloat16.
    """
    log.info("%s: a training step", recogniser)
    ways = {KDLTR: settings, PLAIN: against or settings}
    steps = {name: TrainingStep(recogniser, way, name == PLAIN) for name, way in ways.items()}
    # The floor is what the machine can do when it is left alone.
    before = {name: matrix_throughput(way) for name, way in ways.items()}
    timings = _steps(steps, settings)
    floors = {name: max(before[name], matrix_throughput(way)) for name, way in ways.items()}
    other = ways[PLAIN]
    makers = {PLAIN: maker(recogniser, STEP, settings, precision=other.precision,
                           batch_size=other.batch_size)}
    of_kdltr = maker(recogniser, STEP, settings, plain_precision=other.precision)

    def make(method: str, *what: Any, **extra: Any) -> Row:
        return makers.get(method, of_kdltr)(method, *what, **extra)

    rows = [make("student", "parameters", parameters(steps[KDLTR].student), "count")]
    rows += times(make, timings)
    for name, step in steps.items():
        done, found = step.multiply_adds(), timings[name]
        rows += [make(name, f"multiply-adds, {who}", count, "count")
                 for who, count in done.items()]
        rows.append(make(name, "pairs a second", ways[name].batch_size / found[TOTAL].median,
                         "1/s"))
        rows.append(share(make, name, "student's work of the floor", done["student"],
                          found[WORK].median, floors[name]))
        rows.append(share(make, name, "step of the floor", sum(done.values()),
                          found[TOTAL].median, floors[name]))
    return rows + _whole_training(make, steps[KDLTR], timings[KDLTR][TOTAL])


def precisions(recogniser: str, settings: Settings) -> list[Row]:
    """kdltr's training step in float32 and in bfloat16."""
    log.info("%s: both precisions", recogniser)
    steps = {
        name: TrainingStep(recogniser, replace(settings, precision=precision))
        for name, precision in (("float32", "no"), ("bfloat16", "bf16"))
    }
    make = maker(recogniser, STEP, settings, PRECISIONS, precision="both")
    return times(make, _steps(steps, settings), "bfloat16")


def option(recogniser: str, settings: Settings, **changes: Any) -> list[Row]:
    """How long a step takes with changes of the `DistillConfig`, and without in turn.

    Of one pass over the pairs, in whole batches. Compiling, in the warm-up, is no part of it.
    """
    way = ", ".join(f"{name}={value}" for name, value in changes.items())
    log.info("%s: %s", recogniser, way)
    n = settings.pairs // settings.batch_size
    steps = {KDLTR: TrainingStep(recogniser, settings),
             way: TrainingStep(recogniser, settings, **changes)}
    timings = settings.time({name: in_a_row(step, n) for name, step in steps.items()})
    each = {name: {TOTAL: found[TOTAL].each_of(n)} for name, found in timings.items()}
    return times(maker(recogniser, STEP, settings, OPTIONS), each, way)


def memory(recogniser: str, settings: Settings) -> list[Row]:
    """Peak memory of training on both paths, and how many times more the plain one takes.

    With what Python and its libraries take, which is there before the first model, and without.
    """
    log.info("%s: peak memory", recogniser)
    make = maker(recogniser, STEP, settings)
    rows, peaks = [], {}
    for name in (KDLTR, PLAIN):
        found = peak_memory(recogniser, settings, name == PLAIN)
        peaks[name] = {PEAK: found["peak"], ABOVE_START: found["peak"] - found["start"]}
        rows += [make(name, what, size / 1e6, "MB") for what, size in peaks[name].items()]
    return rows + [make(RATIO, what, peaks[PLAIN][what] / peaks[KDLTR][what], "×")
                   for what in (PEAK, ABOVE_START)]


def path_search(recogniser: str, settings: Settings) -> list[Row]:
    """The search for the best paths alone: batched, and word by word with a priority queue.

    Of a teacher as sure as a trained one, and of one that is unsure of everything, for which the
    published search gives up.
    """
    step = TrainingStep(recogniser, settings, plain=True)
    chosen, _, target, _, extra = step.batch()
    rows = []
    for case, changes in CASES.items():
        logits = step.teach(chosen, target, extra, **changes).logits
        words = (logits.float() / SOFTENED).softmax(-1).flatten(0, -3)  # (K·B, T, C)
        completed = plain.path_distribution(words)[3]
        actions = {KDLTR: lambda _, words=words: path_distribution(words),
                   PLAIN: lambda _, words=words: plain.path_distribution(words)}
        timings = settings.time(actions)
        make = maker(recogniser, f"path search, {case}", settings, words=len(words),
                     plain_completed=int(completed.sum()))
        rows += times(make, timings)
    return rows


def kept_outputs(recogniser: str, settings: Settings) -> list[Row]:
    """The loss terms of one batch by how the teacher's outputs are kept, and their size.

    Relative differences are to the teacher asked anew.
    """
    terms, kept = {}, {}
    for mode in TEACHER_OUTPUTS:
        step = TrainingStep(recogniser, settings, teacher_outputs=mode)
        chosen, images, target, lengths, extra = step.batch()
        step.student.eval()  # the same student for all: no dropout, no masking
        with torch.no_grad(), settings.autocast():
            taught = step.teach(chosen, target, extra)
            terms[mode] = step.criterion(step.student(images, **extra), taught, target, lengths)
        kept[mode] = step.kept_bytes / len(step.pairs) * TEXTZOOM_PAIRS
    make = maker(recogniser, "one batch", settings, KEPT)
    rows = [make(mode, f"{term}, loss", terms[mode][term].item(), "nat or cosine")
            for mode in terms for term in WEIGHTS]
    for mode in ("fp32", "bf16"):
        for term in WEIGHTS:
            anew = terms["recomputed"][term].item()
            difference = abs(terms[mode][term].item() - anew) / max(abs(anew), 1e-12)
            rows.append(make(mode, f"{term}, relative difference", difference, "1"))
        rows.append(make(mode, f"kept for {TEXTZOOM_PAIRS} pairs", kept[mode] / 1e9, "GB"))
    return rows


def _steps(steps: dict[str, TrainingStep], settings: Settings) -> dict[str, dict[str, Timing]]:
    """Timings by name and part; the student's own work is a part too."""
    timings = settings.time(steps, parts=True)
    if settings.device == "cuda":  # waiting is no part of training, but of the plain path
        ours = {name: in_a_row(step) for name, step in steps.items() if not step.plain}
        for name, found in settings.time(ours).items():
            timings[name][TOTAL] = found[TOTAL].each_of(IN_A_ROW)
    for found in timings.values():
        both = zip(found["student"].seconds, found["backward"].seconds, strict=True)
        found[WORK] = Timing(tuple(forward + backward for forward, backward in both))
    return timings


def in_a_row(step: TrainingStep, n: int = IN_A_ROW) -> Action:
    """So many steps as one action."""
    def action(laps: Laps) -> None:
        for _ in range(n):
            step(laps)

    return action


def _whole_training(make: MakeRow, step: TrainingStep, total: Timing) -> list[Row]:
    """What a TextZoom-sized training takes: the teacher asked once, then the epochs."""
    settings = step.settings
    keeping = settings.time({KDLTR: step.keep})[KDLTR][TOTAL]
    once = keeping.median / len(step.pairs) * TEXTZOOM_PAIRS
    each = total.median / settings.batch_size * TEXTZOOM_PAIRS
    return [
        make(KDLTR, f"asking the teacher once, {TEXTZOOM_PAIRS} pairs", once / 60, "min"),
        make(KDLTR, f"{TEXTZOOM_PAIRS} pairs, {EPOCHS} epochs", (once + EPOCHS * each) / 60, "min"),
    ]
