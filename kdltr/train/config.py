"""Settings of a training run. The defaults are the published recipe."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import torch

from kdltr.generator import checked_effects
from kdltr.losses import CTC_TARGETS, WEIGHTS, LossSettings
from kdltr.losses.baselines import BASELINES, TERMS
from kdltr.models import check_sizes
from kdltr.settings import Seed, Threads, Workers, check_fields, check_names

PARTS = ("data", "words", "generated")  # the settings that name what a distillation learns from
MISSING = ("error", "left_out")
HOLD_OUT = ("words", "scenes")
IMAGE_SETTINGS = {"image_size", "patch", "strides", "scale"}  # of models: what goes with it
WORDS_OF_TESTS = ("kept", "left_out")
METHODS = {"kd-ltr": WEIGHTS} | BASELINES  # the paper's, and others; each its terms' weights
PRECISION = ("no", "bf16", "auto")
COMPILE = ("no", "default", "reduce-overhead")  # the last with CUDA graphs, on a GPU
TEACHER_OUTPUTS = {"fp32": torch.float32, "bf16": torch.bfloat16, "recomputed": None}


class Settings:
    """What all configurations share: building from a mapping, and saying what is wrong."""

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build from a mapping such as a YAML file.

        Raises:
            ValueError: an unknown key, the nearest known one is named; or a value of another type
                than the setting's.
        """
        check_names((setting.name for setting in dataclasses.fields(cls)), values)
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """All settings as plain values."""
        return dataclasses.asdict(self)

    def _require(self, setting: str, valid: bool, expected: str) -> None:
        if not valid:
            raise ValueError(f"{setting} must be {expected}, found {getattr(self, setting)!r}")

    def _at_least(self, least: int, *settings: str) -> None:
        """Require it of those that are not None."""
        for name in settings:
            value = getattr(self, name)
            self._require(name, value is None or value >= least, f"at least {least}")

    def _above_0(self, *settings: str) -> None:
        """Require it of those that are not None."""
        for name in settings:
            value = getattr(self, name)
            self._require(name, value is None or value > 0, "above 0, or None")


@dataclass(frozen=True)
class DistillConfig(Settings):
    """One distillation: who teaches whom, on what, how.

    A run is identified by ``output_dir``; started again with the same settings it goes on where it
    was.
    """

    CHOICES: ClassVar[dict[str, tuple[str, ...]]] = {
        "student_input": ("lr", "upsampled"),
        "start": ("published", "fitted", "random"),
        "method": tuple(METHODS),
        "path_score": ("published", "log_normalised"),
        "ctc_targets": CTC_TARGETS,
        "labels": ("filtered", "published"),
        "schedule": ("step", "one_cycle"),
        "selection": ("validation", "published", "last"),
        "words_of_tests": WORDS_OF_TESTS,
        "missing": MISSING,
        "hold_out": HOLD_OUT,
        "batches": ("shuffled", "by_length"),
        "precision": PRECISION,
        "compile": COMPILE,
        "teacher_outputs": tuple(TEACHER_OUTPUTS),
    }

    output_dir: str
    data: tuple[str, ...] = ("data/textzoom/train1", "data/textzoom/train2")
    words: tuple[str, ...] = ()  # words without an LR photograph, stored as benchmarks are
    generated: tuple[str, ...] = ()  # more pairs, of which none is held out
    missing: str = "error"  # or "left_out": sets that are not there, by name; their share too
    # Shares of data, words and generated in an epoch of steps_per_epoch; without: every word once.
    mix: dict[str, float] = field(default_factory=dict)
    # Of each, the share whose LR image is made anew from the HR image at every step, by the camera
    # fitted to TextZoom (kdltr.generator.fitted_camera). The others of words are shrunk: sharp.
    camera: dict[str, float] = field(default_factory=lambda: {"words": 0.8})
    teacher: str = "parseq"
    # A file of weights, the name of shipped ones, or "random".
    teacher_weights: str | None = "data/checkpoints/parseq-bb5792a6.pt"
    student: str = "parseq_ltr"
    student_weights: str | None = None  # what it starts from; None: from the teacher, see start
    model: dict[str, Any] = field(default_factory=dict)  # sizes that differ, for both models
    student_model: dict[str, Any] = field(default_factory=dict)  # and for the student alone
    # "lr", or "upsampled": the teacher's architecture, on the LR image enlarged (bicubic).
    student_input: str = "lr"
    # Or "fitted": what depends on the resolution fitted to the teacher's; or "random": all of it.
    start: str = "published"
    method: str = "kd-ltr"  # the paper's; or one of kdltr.losses.baselines
    weights: dict[str, float] | None = None  # of its terms; those left out keep the method's
    losses: dict[str, Any] = field(default_factory=dict)  # kdltr.losses.LossSettings that differ
    path_score: str = "published"  # or "log_normalised" (kdltr.losses)
    ctc_targets: str = "frames"  # of a CTC recogniser; or "collapsed_paths" (kdltr.losses)
    labels: str = "filtered"  # or "published" (kdltr.data.loader.select_labels)
    epochs: int = 75
    steps_per_epoch: int | None = None  # stop each epoch early; None: all full batches
    batch_size: int = 64  # a process; losses are per process, as in the published DataParallel
    batches: str = "shuffled"  # or "by_length": of words of a length, see README
    accumulate: int = 1  # batches a process adds up before a step
    learning_rate: float = 5e-5
    new_learning_rate: float = 1e-4  # of what depends on the resolution, and the projector
    schedule: str = "step"  # × 0.1 every 25 epochs; or "one_cycle"
    decay_every: int = 25  # epochs
    clip: float = 0.25  # gradient norm of the student, not the projector
    seed: Seed = 42
    validation: float = 0.05  # share of data held out to choose the weights by
    hold_out: str = "words"  # at random; or "scenes": all words of a photograph, see data.scenes
    hold_out_seed: Seed = 42  # one for a teacher, its students and networks of any seed
    words_of_tests: str = "kept"  # those that tests hold too; or "left_out", see data.separation
    selection: str = "validation"  # or "published": by accuracy on selection_data; or "last"
    selection_data: tuple[str, ...] = ()
    validate_every: int = 400  # steps
    checkpoint_every: int = 400  # steps
    log_every: int = 10  # steps; the loss is looked at, on the host, this often
    # "no": float32, PyTorch's TF32 in convolutions on a GPU; "bf16"; or "auto": bf16 where the
    # device has instructions for it, else float32. The run records which.
    precision: str = "no"
    compile: str = "no"  # the student by torch.compile in mode "default", or "reduce-overhead"
    teacher_outputs: str = "fp32"  # kept so, or in "bf16"; "recomputed": not kept
    teacher_budget: float = 8.0  # GB a process, of a GPU half of what is free; above it: a file
    device: str | None = None  # None: the GPU if there is one
    threads: Threads | None = None  # CPU threads; part of what makes a run bit-exact
    resume: bool = True
    allow_other_threads: bool = False  # resume under another number of threads all the same
    minutes: float | None = None  # stop, resumably, after so long
    checkpoint_minutes: float | None = None  # save by the clock too, this often

    def __post_init__(self) -> None:
        for name in (*PARTS, "selection_data"):
            object.__setattr__(self, name, several(getattr(self, name)))
        check_fields(self)
        check_sizes(self.teacher, self.model)
        check_sizes(self.student, self.model | self.student_model)
        self._at_least(1, "epochs", "batch_size", "accumulate", "validate_every", "log_every",
                       "checkpoint_every", "decay_every", "steps_per_epoch")
        self._at_least(0, "learning_rate", "new_learning_rate", "teacher_budget")
        self._require("clip", self.clip > 0, "above 0")
        self._require("validation", 0 <= self.validation < 1, "in [0, 1)")
        self._above_0("minutes", "checkpoint_minutes")
        self._check_shares()
        self._check_losses()
        if self.student_weights and self.start != "published":
            raise ValueError(f"start={self.start!r} says how a student without weights of its own "
                             "starts, found student_weights too; leave one of them out")
        if self.student_input == "upsampled" and (own := {*self.student_model} - IMAGE_SETTINGS):
            raise ValueError(f"student_input='upsampled' trains the teacher's architecture, of "
                             f"student_model only the image counts; leave out {', '.join(own)}")
        if self.selection == "validation" and not self.validation:
            raise ValueError("selection='validation' needs validation > 0; or choose 'last'")
        if self.selection == "published" and not self.selection_data:
            raise ValueError("selection='published' chooses by accuracy on selection_data: give it")

    def _check_losses(self) -> None:
        known = WEIGHTS if self.method == "kd-ltr" else TERMS
        if self.weights is None:
            object.__setattr__(self, "weights", dict(METHODS[self.method]))
        check_names(known, self.weights, "weights: unknown loss term")
        if not any((METHODS[self.method] | self.weights).values()):
            raise ValueError("weights must have a term above 0, found none; leave weights out for "
                             "the method's own")
        LossSettings.from_dict(self.losses)
        own = [name for name in ("path_score", "ctc_targets")
               if getattr(self, name) != getattr(DistillConfig, name)]
        if own and self.method != "kd-ltr":
            raise ValueError(f"{own[0]} is a setting of the paper's soft logits, which method "
                             f"{self.method!r} does not have; leave one of the two out")
        if own := [name for name in ("path_score", "ctc_targets") if name in self.losses]:
            raise ValueError(f"losses: {own[0]} is a setting of its own; give it beside losses")
        if self.losses and self.method != "kd-ltr":
            raise ValueError(f"losses changes the paper's terms, which method {self.method!r} does "
                             "not have; leave one of the two out")

    def _check_shares(self) -> None:
        given = [name for name in PARTS if getattr(self, name)]
        fair = all(share > 0 for share in self.mix.values()) and (
            abs(sum(self.mix.values()) - 1) < 1e-6)
        if self.mix and (sorted(self.mix) != sorted(given) or not fair):
            raise ValueError(f"mix must be a share above 0 for each of {', '.join(given)}, 1 in "
                             f"all, found {self.mix}")
        self._require("camera", {*self.camera} <= {*PARTS} and all(
            0 <= share <= 1 for share in self.camera.values()),
            f"shares in [0, 1] of {', '.join(PARTS)}")


@dataclass(frozen=True)
class PretrainConfig(Settings):
    """Training a recogniser by cross-entropy on generated or stored words, most often a teacher.

    Word ``i`` of the stream is a function of ``data_seed`` and ``i``, so that a run resumes at any
    step and no word is seen twice; shards are shuffled by ``seed`` and epoch.
    """

    CHOICES: ClassVar[dict[str, tuple[str, ...]]] = {
        "image": ("hr", "lr"), "precision": PRECISION, "compile": COMPILE,
        "missing": MISSING, "hold_out": HOLD_OUT}

    output_dir: str
    model: str = "parseq_nano"
    settings: dict[str, Any] = field(default_factory=dict)  # sizes that differ from the name's
    start_from: str | None = None  # weights to start from where names and shapes agree
    steps: int = 6000
    batch_size: int = 128
    learning_rate: float = 1e-3  # peak of a one-cycle schedule
    warmup: float = 0.08  # share of the steps
    weight_decay: float = 0.05
    clip: float = 5.0
    image: str = "hr"  # the picture of a pair to read; "lr" trains a student without a teacher
    shards: str | None = None  # a folder of kdltr.data.shards; None: words are rendered as needed
    split: str = "train1"  # of kdltr.generator; shards have their own, as the next two
    data_seed: Seed = 1
    effects: tuple[str, ...] = ()  # of kdltr.generator
    words: tuple[str, ...] = ()  # stored words, pairs or single ones, of which none tests hold too
    missing: str = "error"  # or "left_out": sets of words that are not there, by name
    words_share: float = 0.5  # of a batch, where there are words; the others are generated; 1: none
    validation: float = 0.1  # share of the stored words held out, to choose the weights by
    hold_out: str = "scenes"  # of the pairs among them; or "words": any, at random
    hold_out_seed: Seed = 42  # one for it, what it starts from and its students
    augment: float = 0.0  # strength of kdltr.train.augment, on the device
    seed: Seed = 42
    workers: Workers = 1  # rendering processes; shards need none
    validate_every: int = 500  # steps
    validation_words: int = 600
    checkpoint_every: int = 250  # steps
    log_every: int = 50  # steps
    precision: str = "no"  # as in `DistillConfig`
    compile: str = "no"  # torch.compile's mode: "default", or "reduce-overhead"
    device: str | None = None
    threads: Threads | None = None
    resume: bool = True
    allow_other_threads: bool = False  # resume under another number of threads all the same
    minutes: float | None = None  # stop, resumably, after so long
    checkpoint_minutes: float | None = None  # save by the clock too, this often

    def __post_init__(self) -> None:
        for name in ("effects", "words"):
            object.__setattr__(self, name, several(getattr(self, name)))
        check_fields(self)
        object.__setattr__(self, "effects", checked_effects(self.effects))
        check_sizes(self.model, self.settings)
        self._at_least(1, "steps", "batch_size", "validate_every", "checkpoint_every", "log_every",
                       "validation_words")
        self._at_least(0, "augment", "learning_rate", "weight_decay")
        self._require("clip", self.clip > 0, "above 0")
        self._require("warmup", 0 <= self.warmup <= 1, "in [0, 1]")
        self._require("words_share", 0 < self.words_share <= 1, "above 0, and at most 1")
        self._require("validation", 0 <= self.validation < 1, "in [0, 1)")
        self._require("validation", self.validation > 0 or self.words_share < 1,
                      "above 0 where all words are stored ones")
        self._require("batch_size", self.batch_size > 1 or not self.words or self.words_share == 1,
                      "at least 2 where some words are stored and some generated")
        self._above_0("minutes", "checkpoint_minutes")
        made = {name: getattr(self, name) for name in ("split", "data_seed", "effects")}
        own = {field.name: field.default for field in dataclasses.fields(self)}
        if self.shards and (given := [name for name in made if made[name] != own[name]]):
            raise ValueError(f"shards have a split, seed and effects of their own, found "
                             f"{', '.join(given)} too; leave them out")


def several(value: Any) -> Any:
    """One path, or one name, stands for a list of it."""
    return (value,) if isinstance(value, str | Path) else value
