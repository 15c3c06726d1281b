"""What is timed: a step of the training loop with a stopwatch in it."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdltr.bench import plain as plain_way
from kdltr.bench.clock import Action, Laps, Timing, interleave
from kdltr.charset import BLANK, MAX_LENGTH, Charset
from kdltr.data.loader import WordPairs
from kdltr.evaluation.efficiency import multiply_adds_of
from kdltr.losses import DistillationCriterion
from kdltr.models import ModelOutput
from kdltr.train import DistillConfig
from kdltr.train.distill import adam
from kdltr.train.engine import sent
from kdltr.train.models import RANDOM, Distillation, build_models
from kdltr.train.teacher import TeacherOutputs, start_teaching

SHORTEST, LONGEST = 2, 10  # characters of the random words, in turn
# An untrained teacher is unsure of everything, and how long the plain search takes depends on that.
# So much is added to its logits of the word: at temperature 4 it then gives 0.97 of 95 classes.
SURE = 32.0


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        batch_size: of training and reading.
        pairs: words there are; the teacher's outputs are computed for all of them.
        repeats, warmup: rounds that count, and that come before them.
        device: "cpu" or "cuda".
        precision: "no" or "bf16", as in `DistillConfig`.
        teacher_outputs: of kdltr's path, as in `DistillConfig`.
        sizes: of teacher and student where they differ from the names'.
        seed: of weights, images and words.
    """

    batch_size: int = 16
    pairs: int = 64
    repeats: int = 7
    warmup: int = 2
    device: str = "cpu"
    precision: str = "no"
    teacher_outputs: str = "fp32"
    sizes: dict[str, Any] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch_size > self.pairs:
            raise ValueError(
                f"a batch of {self.batch_size} needs as many pairs, found {self.pairs}"
            )

    def config(self, recogniser: str, **changes: Any) -> DistillConfig:
        """Of a run of the training loop with these settings."""
        return DistillConfig(
            output_dir="", teacher=recogniser, teacher_weights=RANDOM, student=f"{recogniser}_ltr",
            model=self.sizes, batch_size=self.batch_size, precision=self.precision,
            **{"teacher_outputs": self.teacher_outputs} | changes,
        )

    def autocast(self) -> AbstractContextManager:
        """The context of every forward pass."""
        bf16 = self.precision == "bf16"
        return torch.autocast(self.device, torch.bfloat16) if bf16 else contextlib.nullcontext()

    def time(
        self, actions: Mapping[Any, Action], parts: bool = False
    ) -> dict[Any, dict[str, Timing]]:
        """`kdltr.bench.clock.interleave` in these rounds, on this device."""
        return interleave(actions, self.repeats, self.warmup, self.device, parts)


def random_pairs(
    n: int, hr_size: tuple[int, int], lr_size: tuple[int, int], charset: Charset, seed: int
) -> WordPairs:
    """Noise with words of 2 to 10 characters: every batch of 9 or more has one of the longest."""
    rng = np.random.default_rng(seed)
    hr, lr = (
        torch.from_numpy(rng.integers(0, 256, (n, 3, *size), np.uint8))
        for size in (hr_size, lr_size)
    )
    lengths = itertools.islice(itertools.cycle(range(LONGEST, SHORTEST - 1, -1)), n)
    words = ["".join(rng.choice(list(charset.characters), length)) for length in lengths]
    return WordPairs(hr, lr, words)


class TrainingStep:
    """The step of `kdltr.train.distill`, timed in parts: data, teacher, student, losses, …

    Args:
        recogniser: name of the teacher; the student is its ``_ltr``.
        settings: how.
        plain: the plain path (`kdltr.bench.plain`).
        changes: of the `DistillConfig`.
    """

    def __init__(
        self, recogniser: str, settings: Settings, plain: bool = False, **changes: Any
    ) -> None:
        self.settings, self.plain, self.device = settings, plain, settings.device
        torch.backends.cudnn.allow_tf32 = False  # float32 is float32, in convolutions too
        changes = ({"teacher_outputs": "recomputed"} if plain else {}) | changes
        self.config = settings.config(recogniser, **changes)
        torch.manual_seed(settings.seed)
        self.teacher, self.student = self._models()
        self.teacher.requires_grad_(False).eval()
        self.criterion = DistillationCriterion.for_model(self.student).to(self.device)
        self.trained = Distillation(self.student, self.criterion, self.config.compile).train()
        self.optimiser = adam(self.config, self.student, self.criterion)
        self.pairs = self._pairs()
        labels, self.lengths = self.student.charset.encode(self.pairs.words, MAX_LENGTH + 1)
        self.labels, self.ends = labels.to(self.device), self.lengths.to(self.device)
        self.steps, self.order = 0, torch.arange(len(self.pairs))
        if self.config.batches == "by_length":
            self.order = self.lengths.argsort(stable=True)
        self.keep()

    def keep(self, _: Laps | None = None) -> None:
        """Ask the teacher once, where its outputs are kept."""
        self.teaching = None  # not twice in memory
        self.teaching = start_teaching(
            self.teacher, self.pairs, self.lengths, self.config, Path("."),
            self.settings.autocast(),
        )

    def _models(self) -> list[nn.Module]:
        """Teacher and student."""
        with torch.device(self.device):  # random weights are made where they are used
            models = build_models(self.config)
        if self.plain:
            models = map(plain_way.form, models)
        return [model.to(self.device) for model in models]

    def _pairs(self) -> WordPairs:
        pairs = random_pairs(
            self.settings.pairs, self.teacher.image_size, self.student.image_size,
            self.student.charset, self.settings.seed,
        )
        if self.plain:
            return plain_way.HostPairs(pairs.hr, pairs.lr, pairs.words, device=self.device)
        return pairs.to(self.device)

    def __call__(self, laps: Laps) -> dict[str, Tensor]:
        """One step on the next batch → the loss terms."""
        chosen, images, target, lengths, extra = self.batch()
        laps("data")
        taught = self.teach(chosen, target, extra)
        laps("teacher")
        output = self.look(self.trained.compiled or self.student, images, extra)
        laps("student")
        with plain_way.per_word_search() if self.plain else contextlib.nullcontext():
            terms = self.criterion(output, taught, target, lengths)
        laps("losses")
        terms["total"].backward()
        laps("backward")
        nn.utils.clip_grad_norm_(self.student.parameters(), self.config.clip)
        self.optimiser.step()
        self.optimiser.zero_grad()
        laps("optimiser")
        return terms

    def look(self, model: nn.Module, images: Tensor, extra: dict[str, Any]) -> ModelOutput:
        """The forward pass of teacher or student."""
        with self.settings.autocast():
            if self.plain:
                return plain_way.forward(model, images, **extra)
            return model(images, **extra)

    def batch(self) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Any]]:
        """Chosen pairs (B,), their images, labels (B, T), lengths (B,), and what `prepare` says."""
        first = self.steps * self.settings.batch_size
        self.steps += 1
        chosen = torch.arange(first, first + self.settings.batch_size) % len(self.pairs)
        chosen = self.order[chosen]
        places = sent(chosen, torch.device(self.device))
        images, ends = self.pairs.blurred(places), self.ends[places]
        steps = self.student.steps or int(self.lengths[chosen].max())  # T
        target = self.labels[places, :steps]
        generator = torch.Generator().manual_seed(self.settings.seed + self.steps)
        extra = self.student.prepare(target, generator)
        return chosen, images, target, ends, extra

    @torch.no_grad()
    def teach(
        self, chosen: Tensor, target: Tensor, extra: dict[str, Any], sure: float = SURE
    ) -> ModelOutput:
        """What the teacher says, as sure as if it were trained; with ``sure`` = 0 as it is."""
        if self.plain:
            taught = self.look(self.teacher, self.pairs.sharp(chosen), extra)
        else:
            with self.settings.autocast():
                taught = self.teaching(chosen, extra)
        if self.student.decoding == "ctc":  # a frame a character, a blank between two
            blanks = torch.full_like(target, BLANK)
            target = torch.stack([blanks, target], 2).flatten(1)[:, : self.student.frames]
        word = F.one_hot(target, taught.logits.shape[-1]) * sure  # (B, T, C)
        return dataclasses.replace(taught, logits=taught.logits + word)

    def multiply_adds(self) -> dict[str, float]:
        """Of the teacher and of the student, forward and backward, in one step.

        Counted as they happen: passes without gradient have no backward pass, and what the teacher
        need not do again is not there.
        """
        chosen, images, target, _, extra = self.batch()

        def learn() -> None:
            out = self.look(self.student, images, extra)
            sum(x.sum() for x in (out.logits, out.semantic, out.visual)).backward()

        counted = {
            "teacher": multiply_adds_of(lambda: self.teach(chosen, target, extra)),
            "student": multiply_adds_of(learn),
        }
        self.optimiser.zero_grad()
        return counted

    @property
    def kept_bytes(self) -> int:
        """Of the teacher's outputs."""
        return self.teaching.bytes if isinstance(self.teaching, TeacherOutputs) else 0
