"""Measurements of reading by one student: in batches, and one image at a time."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from kdltr.bench import plain
from kdltr.bench.clock import TOTAL, Laps, Timing, interleave
from kdltr.bench.lengths import words_of_length
from kdltr.bench.measure import matrix_throughput
from kdltr.bench.rows import KDLTR, ONE, PLAIN, READING, maker, share, times
from kdltr.bench.subject import Settings, TrainingStep
from kdltr.evaluation.efficiency import multiply_adds_of
from kdltr.models import Recogniser, onnx
from kdltr.results import Row

log = logging.getLogger(__name__)
IN_LOOP, ONNX = "teacher in the loop", "ONNX Runtime"


def reading(recogniser: str, settings: Settings) -> list[Row]:
    """Reading by the student: images a second in batches, latency at batch 1, ratios, the floor.

    As `kdltr.evaluation.evaluate` has it read (``Recogniser.for_reading``), beside its plain form.
    "teacher in the loop" reads the sharp images with the teacher too, as the published evaluation
    does.
    """
    log.info("%s: reading", recogniser)
    step = TrainingStep(recogniser, settings, teacher_outputs="recomputed")
    teacher, student = step.teacher, step.student.eval()
    ready, ordinary = student.for_reading(), plain.form(student)
    rows = []
    for subset, n in ((READING, settings.batch_size), (ONE, 1)):
        chosen = torch.arange(n)
        lr, hr = step.pairs.blurred(chosen), step.pairs.sharp(chosen)
        lengths = [len(word) for word in step.pairs.words[:n]]
        actions = {
            KDLTR: lambda _, lr=lr: ready(lr),
            PLAIN: lambda _, lr=lr: plain.read(ordinary, lr),
            IN_LOOP: lambda _, lr=lr, hr=hr: (teacher(hr), ready(lr)),
        }
        with ExitStack() as ends:
            for model in {ready, ordinary, teacher}:
                ends.enter_context(words_of_length(model, lengths))
            with torch.no_grad():
                counted = multiply_adds_of(lambda lr=lr: ready(lr))
            with torch.inference_mode(), settings.autocast():
                timings = settings.time(actions)
        make = maker(recogniser, subset, settings, batch_size=n)
        rows += times(make, timings)
        rows += [make(name, "images a second", n / found[TOTAL].median, "1/s")
                 for name, found in timings.items()]
        rows.append(share(make, KDLTR, "reading of the floor", counted,
                          timings[KDLTR][TOTAL].median, matrix_throughput(settings)))
    return rows


def milliseconds(
    readers: Mapping[str, Recogniser], images: torch.Tensor, repeats: int = 3
) -> dict[str, Timing]:
    """Time to read a word, one image at a time, from pixels to text; all readers in turn.

    Args:
        readers: by name; each as `Recogniser.for_reading` has it.
        images: (N, 3, H, W) uint8 of the readers' size.
        repeats: rounds over all images, after one that does not count.

    Returns:
        By reader the milliseconds a word of each round.
    """
    def read_all(model: Recogniser, laps: Laps) -> None:
        for image in images.float() / 255:
            model.read(image[None])

    actions = {name: partial(read_all, model.for_reading()) for name, model in readers.items()}
    timings = interleave(actions, repeats, parts=False)
    scale = 1000 / len(images)
    return {name: Timing(tuple(scale * seconds for seconds in found[TOTAL].seconds))
            for name, found in timings.items()}  # fmt: skip


def deployed(recogniser: str, settings: Settings) -> list[Row]:
    """Latency at batch 1 on the CPU: the exported student under ONNX Runtime, beside PyTorch.

    The file of a PARSeq decodes 26 steps whatever the word; PyTorch stops at its end.
    """
    log.info("%s: exporting", recogniser)
    settings = replace(settings, device="cpu", precision="no")
    step = TrainingStep(recogniser, settings, teacher_outputs="recomputed")
    student, images = step.student.eval().for_reading(), step.pairs.blurred(torch.arange(1))
    with tempfile.TemporaryDirectory() as folder:
        run = _exported(student, Path(folder) / "student.onnx")
        actions = {KDLTR: lambda _: student(images), ONNX: lambda _: run(images)}
        length = len(step.pairs.words[0])
        with words_of_length(student, [length]), torch.inference_mode():
            timings = settings.time(actions)
    return times(maker(recogniser, "deployed, batch 1", settings, batch_size=1, word=length),
                 timings)


def _exported(student: Recogniser, path: Path) -> Callable[[torch.Tensor], object]:
    onnx.export(student, path)
    session = onnx.session(path, torch.get_num_threads())
    return lambda images: session.run(["logits"], {"images": images.numpy()})
