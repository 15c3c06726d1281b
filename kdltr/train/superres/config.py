"""Settings of a super-resolution network's training. The defaults are TSRN's published recipe."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from kdltr.models import check_model
from kdltr.settings import Seed, Threads, check_fields, check_names
from kdltr.superres.registry import check_options
from kdltr.train.config import HOLD_OUT, MISSING, PRECISION, WORDS_OF_TESTS, Settings, several
from kdltr.train.superres.terms import FROM_READER, OF_PRIORS, TERMS, WEIGHTS


@dataclass(frozen=True)
class UpscaleConfig(Settings):
    """One training of a network, and of the generator of its text priors where it takes one."""

    CHOICES: ClassVar[dict[str, tuple[str, ...]]] = {
        "selection": ("validation", "last"), "precision": PRECISION, "missing": MISSING,
        "hold_out": HOLD_OUT, "words_of_tests": WORDS_OF_TESTS}

    output_dir: str
    data: tuple[str, ...] = ("data/textzoom/train1", "data/textzoom/train2")
    missing: str = "error"  # or "left_out": sets that are not there, by name
    words_of_tests: str = "kept"  # those that tests hold too; or "left_out", see data.separation
    network: str = "tsrn"  # of kdltr.superres.list_upscalers()
    settings: dict[str, Any] = field(default_factory=dict)  # options of create_upscaler
    start_from: str | None = None  # a file of such a training; TATT's published second run
    generator: str = "crnn"  # of text priors, where the network takes one
    generator_settings: dict[str, Any] = field(default_factory=dict)
    generator_weights: str | None = None  # it starts pretrained; a copy stays as it is
    reader: str = "stt_reader"  # frozen, where a term looks at its reading; see superres.reader
    reader_weights: str | None = None
    reader_budget: float = 8.0  # GB a process on the device for where it looked in the HR images
    # Sets whose labels C3-STISR's language model learns to spell first, in so many steps.
    corpus: tuple[str, ...] = ()
    spelling_steps: int = 3000
    spelling_rate: float = 3e-3  # at a quarter of the width; less for the full one
    similarity: str | None = None  # a .npy table of glyphs for the content term; None: all alike
    weights: dict[str, float] = field(default_factory=dict)  # of the terms; {}: as published
    epochs: int = 500
    steps_per_epoch: int | None = None  # stop each epoch early; None: all full batches
    batch_size: int = 512  # a process
    learning_rate: float = 1e-3
    decay_at: tuple[int, ...] = ()  # epochs after which the rate is a tenth
    clip: float = 0.25  # gradient norm of the network, not of the generator
    seed: Seed = 42
    validation: float = 0.05  # share of data held out to choose the weights by
    hold_out: str = "words"  # at random; or "scenes": all words of a photograph, see data.scenes
    hold_out_seed: Seed = 42  # one for a teacher, its students and networks of any seed
    # By what is read of them, or by PSNR without a judge; or "last". Published: by the test sets.
    selection: str = "validation"
    judge: str | None = None  # a recogniser of HR images
    judge_weights: str | None = None
    validate_every: int = 400  # steps
    checkpoint_every: int = 400  # steps
    log_every: int = 10  # steps; the loss is looked at, on the host, this often
    precision: str = "no"  # as in `kdltr.train.DistillConfig`
    device: str | None = None  # None: the GPU if there is one
    threads: Threads | None = None  # CPU threads; part of what makes a run bit-exact
    resume: bool = True
    allow_other_threads: bool = False  # resume under another number of threads all the same

    def __post_init__(self) -> None:
        for name in ("data", "corpus"):
            object.__setattr__(self, name, several(getattr(self, name)))
        check_fields(self)
        aligned = check_options(self.network, self.settings).align
        for name in filter(None, (self.generator, self.judge)):
            check_model(name)
        self._check_terms()
        self._at_least(1, "epochs", "batch_size", "validate_every", "checkpoint_every", "log_every",
                       "spelling_steps", "steps_per_epoch")
        self._at_least(0, "learning_rate", "spelling_rate", "reader_budget")
        self._require("clip", self.clip > 0, "above 0")
        self._require("batch_size", self.batch_size > 1 or not aligned,
                      "at least 2 for the statistics of the alignment, or settings {align: false}")
        if self.corpus and self.family != "c3stisr":
            raise ValueError("corpus is for the language model of c3stisr, found network "
                             f"{self.network}, which has none; leave it out")
        self._require("validation", 0 <= self.validation < 1, "in [0, 1)")
        if self.selection == "validation" and not self.validation:
            raise ValueError("selection='validation' needs validation > 0; or choose 'last'")
        if self.judge and not self.judge_weights:
            raise ValueError("judge chooses by what it reads, and reads nothing without weights; "
                             "give judge_weights, or leave judge out")

    def _check_terms(self) -> None:
        given = dict(self.weights or WEIGHTS[self.family])
        check_names(TERMS, given, "unknown term")
        for term, weight in given.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise ValueError(f"the weight of {term} must be finite and >= 0, found {weight}")
            if term in OF_PRIORS and term not in WEIGHTS[self.family]:
                raise ValueError(f"{self.network} has no term {term!r}: it takes no text prior, or "
                                 "has no language model; leave it out")
        if given.get("consistency") and any(given.get(term) for term in FROM_READER):
            raise ValueError("consistency turns the images, and the reader of attention and "
                             "content looks at upright ones; leave one of the two out")
        if not any(given.values()):
            raise ValueError("weights must have a term above 0, found none; leave weights out for "
                             "the published ones")
        object.__setattr__(self, "weights", {term: w for term, w in given.items() if w})

    @property
    def family(self) -> str:
        """The network's name without its size."""
        return self.network.removesuffix("_nano")

    @property
    def reads(self) -> bool:
        """Whether a term looks at what STT's recogniser reads."""
        return bool(FROM_READER & self.weights.keys())
