"""Which weights of a run are kept: chosen on words held out of training, never on test sets.

The published code chooses on the test sets; ``selection="published"`` reproduces that by name.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

from torch import nn

from kdltr.checkpoint import save_weights
from kdltr.data.loader import WordPairs, load_pairs
from kdltr.evaluation.evaluate import evaluate
from kdltr.evaluation.lines import error_rates
from kdltr.evaluation.scores import Scores
from kdltr.models.base import Recogniser
from kdltr.train.config import DistillConfig
from kdltr.train.history import History
from kdltr.train.models import network_of

log = logging.getLogger(__name__)


def chosen_by(model: Recogniser, scores: Scores) -> float:
    """What the best weights have most of: the share of words read right; of lines 1 − CER."""
    if not model.lines:
        return scores.accuracy
    read = scores.predictions
    return 1 - error_rates(read["label"], read["reading"]).cer


class Selection:
    """Judges what is trained now and then, and keeps the best weights.

    They are in ``<run>/best.safetensors``, what was found in ``<run>/validation.csv``.

    Args:
        config: of a training: how to select, how often.
        run: its folder.
        step, best: of the state that the run goes on from; 0 and {} at its start.
        main: whether this is the main process, which alone judges.

    Attributes:
        best: step and score of the weights kept; part of the run's state.
    """

    def __init__(
        self, config: Any, run: Path, step: int, best: dict[str, Any], main: bool = True
    ) -> None:
        self.config, self.run, self.best = config, run, best
        self.history = History(run / "validation.csv", step, write=main)

    def due(self, step: int) -> bool:
        """Whether ``step`` is one to look at."""
        return self.config.selection != "last" and step % self.config.validate_every == 0

    def consider(self, trained: nn.Module, step: int) -> None:
        """Judge it; keep its weights if none were better, the first of equals."""
        if self.config.selection == "last":
            return
        row = {"step": step} | self.judge(trained, step)
        self.history.add(row)
        self.history.save()
        if row["score"] > self.best.get("score", -math.inf):
            self.best = {"step": step, "score": row["score"]}
            self.keep(trained, self.run / "best.safetensors")

    def judge(self, trained: nn.Module, step: int) -> dict[str, float]:
        """What is found of it, its "score" among that."""
        raise NotImplementedError

    def keep(self, trained: nn.Module, path: Path) -> None:
        """Save the weights, which are the best so far."""
        raise NotImplementedError

    @property
    def weights(self) -> Path:
        """The file of the weights to use."""
        return self.run / ("best.safetensors" if self.best else "last.safetensors")


class Selector(Selection):
    """Of a distillation: by what the student reads.

    Args:
        sizes: (H, W) of the teacher's images and of the student's.
        lines: whether they read lines, see `kdltr.data.loader.load_pairs`.
        held_out: words to choose by, unless others are named, which are read at once: a wrong path
            is better found before the training than after hours of it.
        state: see `Selection`.
    """

    def __init__(
        self, config: DistillConfig, run: Path, sizes: tuple[tuple[int, int], tuple[int, int]],
        lines: bool, held_out: WordPairs, *state: Any,
    ) -> None:
        super().__init__(config, run, *state)
        self._sets = [held_out]
        if config.selection == "published":
            self._sets = [load_pairs(path, *sizes, lines=lines) for path in config.selection_data]

    def judge(self, student: Recogniser, step: int) -> dict[str, float]:
        """How many words it reads."""
        scores = [evaluate(student, pairs) for pairs in self._sets]
        # Published: the unweighted sum over the test sets of accuracies rounded to 4 digits.
        score = sum(round(chosen_by(student, one), 4) for one in scores)
        n, correct = (sum(getattr(one, name) for one in scores) for name in ("n", "correct"))
        log.info("step %d: %d of %d held-out words right", step, correct, n)
        return {"n": n, "correct": correct, "score": score}

    def keep(self, student: Recogniser, path: Path) -> None:
        """See `Selection.keep`."""
        read = network_of(student)
        save_weights(read, path, {"model": read.name} | self.best)
