"""Settings of a training run. The defaults are the published recipe."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch

from kdltr.generator import checked_effects
from kdltr.losses import CTC_TARGETS, WEIGHTS
from kdltr.models import list_models, nearest

PARTS = ("data", "words", "generated")  # the settings that name what a distillation learns from
COMPILE = ("no", "default", "reduce-overhead")  # the last with CUDA graphs, on a GPU
TEACHER_OUTPUTS = {"fp32": torch.float32, "bf16": torch.bfloat16, "recomputed": None}


class Settings:
    """What all configurations share: building from a mapping, and saying what is wrong."""

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build from a mapping such as a YAML file.

        Raises:
            ValueError: an unknown key; the nearest known one is named.
        """
        known = [setting.name for setting in dataclasses.fields(cls)]
        for key in values:
            if key not in known:
                raise ValueError(f"unknown setting {key!r}{nearest(key, known)}")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """All settings as plain values."""
        return dataclasses.asdict(self)

    def _require(self, setting: str, valid: bool, expected: str) -> None:
        if not valid:
            raise ValueError(f"{setting} must be {expected}, found {getattr(self, setting)!r}")


@dataclass(frozen=True)
class DistillConfig(Settings):
    """One distillation: who teaches whom, on what, how.

    A run is identified by ``output_dir``; started again with the same settings it goes on where it
    was.
    """

    output_dir: str
    data: tuple[str, ...] = ("data/textzoom/train1", "data/textzoom/train2")
    words: tuple[str, ...] = ()  # words without an LR photograph, stored as benchmarks are
    generated: tuple[str, ...] = ()  # more pairs, of which none is held out
    # Shares of data, words and generated in an epoch of steps_per_epoch; without: every word once.
    mix: dict[str, float] = field(default_factory=dict)
    # Of each, the share whose LR image is made anew from the HR image at every step, by the camera
    # fitted to TextZoom (kdltr.generator.fitted_camera). The others of words are shrunk: sharp.
    camera: dict[str, float] = field(default_factory=lambda: {"words": 0.8})
    teacher: str = "parseq"
    teacher_weights: str | None = "data/checkpoints/parseq-bb5792a6.pt"
    student: str = "parseq_ltr"
    model: dict[str, Any] = field(default_factory=dict)  # sizes that differ, for both models
    start: str = "published"  # or "fitted": what depends on the resolution fitted to the teacher's
    weights: dict[str, float] = field(default_factory=lambda: dict(WEIGHTS))
    path_score: str = "published"  # or "log_normalised" (kdltr.losses)
    ctc_targets: str = "frames"  # of a CTC recogniser; or "collapsed_paths" (kdltr.losses)
    labels: str = "filtered"  # or "published" (kdltr.data.loader.select_labels)
    epochs: int = 75
    steps_per_epoch: int | None = None  # stop each epoch early; None: all full batches
    batch_size: int = 64  # a process; losses are per process, as in the published DataParallel
    batches: str = "shuffled"  # or "by_length": of words of a length, see README
    accumulate: int = 1  # batches a process adds up before a step
    learning_rate: float = 5e-5
    new_learning_rate: float = 1e-4  # of what the teacher does not initialise, and the projector
    schedule: str = "step"  # × 0.1 every 25 epochs; or "one_cycle"
    decay_every: int = 25  # epochs
    clip: float = 0.25  # gradient norm of the student, not the projector
    seed: int = 42
    validation: float = 0.05  # share of data held out to choose the weights by
    hold_out: str = "words"  # at random; or "scenes": all words of a photograph, see data.scenes
    words_of_tests: str = "kept"  # those that tests hold too; or "left_out", see data.separation
    selection: str = "validation"  # or "published": by accuracy on selection_data; or "last"
    selection_data: tuple[str, ...] = ()
    validate_every: int = 400  # steps
    checkpoint_every: int = 400  # steps
    log_every: int = 10  # steps; the loss is looked at, on the host, this often
    precision: str = "no"  # float32, PyTorch's TF32 in convolutions on a GPU; or "bf16"
    compile: str = "no"  # the student by torch.compile in mode "default", or "reduce-overhead"
    teacher_outputs: str = "fp32"  # kept so, or in "bf16"; "recomputed": not kept
    teacher_budget: float = 8.0  # GB a process on the device; above it they are kept in a file
    device: str | None = None  # None: the GPU if there is one
    threads: int | None = None  # CPU threads; part of what makes a run bit-exact
    resume: bool = True
    allow_other_threads: bool = False  # resume under another number of threads all the same

    def __post_init__(self) -> None:
        for name in PARTS:
            object.__setattr__(self, name, as_paths(getattr(self, name)))
        object.__setattr__(self, "selection_data", as_paths(self.selection_data))
        check_model(self.teacher)
        check_model(self.student)
        check_choices(
            self,
            start=("published", "fitted"),
            path_score=("published", "log_normalised"),
            ctc_targets=CTC_TARGETS,
            labels=("filtered", "published"),
            schedule=("step", "one_cycle"),
            selection=("validation", "published", "last"),
            words_of_tests=("kept", "left_out"),
            hold_out=("words", "scenes"),
            batches=("shuffled", "by_length"),
            precision=("no", "bf16"),
            compile=COMPILE,
            teacher_outputs=tuple(TEACHER_OUTPUTS),
        )
        for name in ("epochs", "batch_size", "accumulate", "validate_every", "checkpoint_every",
                     "log_every", "decay_every"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        self._require("validation", 0 <= self.validation < 1, "in [0, 1)")
        self._check_shares()
        if self.selection == "validation" and not self.validation:
            raise ValueError("selection='validation' needs validation > 0; or choose 'last'")
        if self.selection == "published" and not self.selection_data:
            raise ValueError("selection='published' chooses by accuracy on selection_data: give it")

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
    """Training a recogniser by cross-entropy on generated words, most often a teacher.

    Word ``i`` of the stream is a function of ``data_seed`` and ``i``, so that a run resumes at any
    step and no word is seen twice; shards are shuffled by ``seed`` and epoch.
    """

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
    data_seed: int = 1
    effects: tuple[str, ...] = ()  # of kdltr.generator
    augment: float = 0.0  # strength of kdltr.train.augment, on the device
    seed: int = 42
    workers: int = 1  # rendering processes; shards need none
    validate_every: int = 500  # steps
    validation_words: int = 600
    checkpoint_every: int = 250  # steps
    log_every: int = 50  # steps
    precision: str = "no"  # or "bf16"
    compile: str = "no"  # torch.compile's mode: "default", or "reduce-overhead"
    device: str | None = None
    threads: int | None = None
    resume: bool = True
    minutes: float | None = None  # stop, resumably, after so long

    def __post_init__(self) -> None:
        object.__setattr__(self, "effects", checked_effects(self.effects))
        check_model(self.model)
        check_choices(self, image=("hr", "lr"), precision=("no", "bf16"), compile=COMPILE)
        self._require("augment", self.augment >= 0, "at least 0")
        self._require("workers", self.workers >= 0, "at least 0")
        self._require("validation_words", self.validation_words >= 1, "at least 1")
        self._require("minutes", self.minutes is None or self.minutes > 0, "above 0, or None")
        made = {name: getattr(self, name) for name in ("split", "data_seed", "effects")}
        own = {field.name: field.default for field in dataclasses.fields(self)}
        if self.shards and (given := [name for name in made if made[name] != own[name]]):
            raise ValueError(f"shards have a split, seed and effects of their own, found "
                             f"{', '.join(given)} too; leave them out")
        for name in ("steps", "batch_size", "validate_every", "checkpoint_every", "log_every"):
            self._require(name, getattr(self, name) >= 1, "at least 1")


def as_paths(value: str | Path | list | tuple) -> tuple[str, ...]:
    """One path or several, as strings."""
    return (str(value),) if isinstance(value, str | Path) else tuple(str(path) for path in value)


def check_choices(config: Settings, **known: tuple[str, ...]) -> None:
    """Raise ValueError unless each of these settings has one of its known values."""
    for name, choices in known.items():
        value = getattr(config, name)
        if value not in choices:
            raise ValueError(f"{name}: unknown {value!r}{nearest(str(value), list(choices))}")


def check_model(name: str) -> None:
    """Raise ValueError unless a recogniser has this name; the nearest is named."""
    if name not in list_models():
        raise ValueError(f"unknown model {name!r}{nearest(name, list_models())}")
