"""Measurements of one recogniser as rows: training, reading, memory, path search, kept outputs.

`Row.method` is "kdltr", "plain" or "plain ÷ kdltr", how many times kdltr is ahead: the median over
rounds, in each of which both were measured. Fastest and slowest are in `Row.extra`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from kdltr.bench import plain
from kdltr.bench.clock import TOTAL, Timing, interleave, matmul_throughput
from kdltr.bench.memory import peak_memory
from kdltr.bench.subject import Settings, TrainingStep, words_of_length
from kdltr.efficiency import multiply_adds_of, parameters
from kdltr.losses import path_distribution
from kdltr.losses.criterion import WEIGHTS
from kdltr.models.parseq import PARSeq
from kdltr.processor import cpu_model
from kdltr.results import Row
from kdltr.train.config import TEACHER_OUTPUTS

TABLE = "bench"
KDLTR, PLAIN, RATIO, IN_LOOP = "kdltr", "plain", "plain ÷ kdltr", "teacher in the loop"
TEXTZOOM_PAIRS = 17_367
CASES = {"sure teacher": {}, "unsure teacher": {"sure": 0.0}}
SOFTENED = 4.0  # the temperature of the soft logits loss


def matrix_throughput(settings: Settings) -> float:
    """Multiply-adds a second of matrix products on this machine: the floor."""
    return matmul_throughput(settings.device, settings.matrix_dtype)


def training(recogniser: str, settings: Settings) -> list[Row]:
    """A training step: milliseconds by part, pairs a second, ratios, share of the floor."""
    steps = {
        KDLTR: TrainingStep(recogniser, settings),
        PLAIN: TrainingStep(recogniser, settings, plain=True),
    }
    floor = matrix_throughput(settings)
    rounds = settings.repeats, settings.warmup, settings.device
    timings = interleave(steps, *rounds)
    if settings.device == "cuda":  # waiting after each part is no part of training
        for name, found in interleave(steps, *rounds, parts=False).items():
            timings[name] |= found
    floor = max(floor, matrix_throughput(settings))  # what the machine can do when left alone
    make = _maker(recogniser, "training step", settings)
    rows = [make("student", "parameters", parameters(steps[KDLTR].student), "count")]
    rows += _times(make, timings)
    for name, step in steps.items():
        rate = settings.batch_size / timings[name][TOTAL].median
        rows.append(make(name, "pairs a second", rate, "1/s"))
        done = step.multiply_adds()
        learning = timings[name]["student"].median + timings[name]["backward"].median
        rows += [make(name, f"multiply-adds, {who}", count, "count")
                 for who, count in done.items()]
        rows.append(_share(make, name, "student's work of the floor", done["student"], learning,
                           floor))
        rows.append(_share(make, name, "step of the floor", sum(done.values()),
                           timings[name][TOTAL].median, floor))
    return rows


def reading(recogniser: str, settings: Settings) -> list[Row]:
    """Reading by the student: images a second in batches, latency at batch 1, ratios, the floor.

    The plain path is PARSeq's decoding; other recognisers have none. "teacher in the loop" reads
    the sharp images with the teacher too, as the published evaluation does.
    """
    step = TrainingStep(recogniser, settings, teacher_outputs="recomputed")
    teacher, student = step.teacher, step.student.eval()
    rows = []
    for subset, n in (("reading", settings.batch_size), ("reading, batch 1", 1)):
        chosen = torch.arange(n)
        lr, hr = step.pairs.blurred(chosen), step.pairs.sharp(chosen)
        lengths = [len(word) for word in step.pairs.words[:n]]
        actions = {
            KDLTR: lambda _, lr=lr: student(lr),
            IN_LOOP: lambda _, lr=lr, hr=hr: (teacher(hr), student(lr)),
        }
        if isinstance(student, PARSeq):
            actions[PLAIN] = lambda _, lr=lr: plain.read(student, lr)
        ends = words_of_length(student, lengths), words_of_length(teacher, lengths)
        with ends[0], ends[1]:
            with torch.no_grad():
                counted = multiply_adds_of(lambda lr=lr: student(lr))
            with torch.inference_mode(), settings.autocast():
                timings = interleave(actions, settings.repeats, settings.warmup, settings.device,
                                     parts=False)
        floor = matrix_throughput(settings)
        make = _maker(recogniser, subset, settings, batch_size=n)
        rows += _times(make, timings)
        rows += [make(name, "images a second", n / found[TOTAL].median, "1/s")
                 for name, found in timings.items()]
        rows.append(_share(make, KDLTR, "reading of the floor", counted,
                           timings[KDLTR][TOTAL].median, floor))
    return rows


def memory(recogniser: str, settings: Settings) -> list[Row]:
    """Peak memory of training on both paths, and kdltr's share of the plain one's."""
    make = _maker(recogniser, "training step", settings)
    peaks = {name: peak_memory(recogniser, settings, name == PLAIN) for name in (KDLTR, PLAIN)}
    rows = [make(name, "peak memory", found["peak"] / 1e6, "MB",
                 before_the_models=found["start"] / 1e6) for name, found in peaks.items()]
    ratio = peaks[PLAIN]["peak"] / peaks[KDLTR]["peak"]
    return [*rows, make(RATIO, "peak memory", ratio, "×")]


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
        timings = interleave(actions, settings.repeats, settings.warmup, settings.device)
        make = _maker(recogniser, f"path search, {case}", settings, words=len(words),
                      plain_completed=int(completed.sum()))
        rows += _times(make, timings)
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
    make = _maker(recogniser, "teacher's outputs", settings)
    rows = [make(mode, f"{term}, loss", terms[mode][term].item(), "nat or cosine")
            for mode in terms for term in WEIGHTS]
    for mode in ("fp32", "bf16"):
        for term in WEIGHTS:
            anew = terms["recomputed"][term].item()
            difference = abs(terms[mode][term].item() - anew) / max(abs(anew), 1e-12)
            rows.append(make(mode, f"{term}, relative difference", difference, "1"))
        rows.append(make(mode, f"kept for {TEXTZOOM_PAIRS} pairs", kept[mode] / 1e9, "GB"))
    return rows


def _maker(recogniser: str, subset: str, settings: Settings, **more: Any):
    """A function that makes rows: what, value, unit; how it was measured is the same for all."""
    batch_size = more.pop("batch_size", settings.batch_size)
    device = torch.cuda.get_device_name() if settings.device == "cuda" else cpu_model()
    how = {"batch_size": batch_size, "precision": settings.precision, "device": device,
           "threads": torch.get_num_threads()} | more

    def make(method: str, metric: str, value: float, unit: str, **extra: Any) -> Row:
        return Row(TABLE, recogniser, method, subset, metric, float(value), unit,
                   n=settings.repeats, extra=how | extra)

    return make


def _times(make, timings: Mapping[str, Mapping[str, Timing]]) -> list[Row]:
    """Milliseconds of every part, and how many times longer than kdltr's."""
    rows = []
    for name, parts in timings.items():
        for part, timing in parts.items():
            spread = {end: 1e3 * seconds for end, seconds in timing.spread.items()}
            rows.append(make(name, part, 1e3 * timing.median, "ms", **spread))
    for name, parts in timings.items():
        label = RATIO if name == PLAIN else f"{name} ÷ {KDLTR}"
        for part, timing in parts.items() if name != KDLTR else ():
            ratio = timing.times(timings[KDLTR][part])
            rows.append(make(label, part, ratio.median, "×", **ratio.spread))
    return rows


def _share(make, name: str, metric: str, work: float, seconds: float, floor: float) -> Row:
    share = 100 * work / seconds / floor
    return make(name, metric, share, "%", matrix_throughput=floor)
