"""Which weights of a run are kept: chosen on words held out of training, never on test sets.

The published code chooses on the test sets; ``selection="published"`` reproduces that by name.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from kdltr.checkpoint import save_weights
from kdltr.data.loader import WordPairs, load_pairs
from kdltr.evaluation.evaluate import evaluate
from kdltr.evaluation.lines import error_rates
from kdltr.evaluation.scores import Scores
from kdltr.models.base import Recogniser
from kdltr.train.config import DistillConfig
from kdltr.train.history import History

log = logging.getLogger(__name__)


def chosen_by(model: Recogniser, scores: Scores) -> float:
    """What the best weights have most of: the share of words read right; of lines 1 − CER."""
    if not model.lines:
        return scores.accuracy
    read = scores.predictions
    return 1 - error_rates(read["label"], read["reading"]).cer


class Selector:
    """Scores the student now and then, and keeps the best weights in ``<run>/best.safetensors``.

    Attributes:
        best: step and score of the weights kept; part of the run's state.
    """

    def __init__(self, config: DistillConfig, run: Path, held_out: WordPairs | None) -> None:
        self.config, self.run = config, run
        self.best: dict[str, Any] = {}
        self._held_out = held_out
        self._sets: list[WordPairs] | None = None

    def due(self, step: int) -> bool:
        """Whether ``step`` is one to look at."""
        return self.config.selection != "last" and step % self.config.validate_every == 0

    def consider(self, student: Recogniser, step: int) -> None:
        """Score the student; keep its weights if none were better, the first of equals."""
        if self.config.selection == "last":
            return
        if self._sets is None:
            sizes = {"lr_size": student.image_size}
            self._sets = (
                [load_pairs(path, **sizes) for path in self.config.selection_data]
                if self.config.selection == "published"
                else [self._held_out]
            )
        scores = [evaluate(student, pairs) for pairs in self._sets]
        # Published: the unweighted sum over the test sets of accuracies rounded to 4 digits.
        score = sum(round(chosen_by(student, one), 4) for one in scores)
        history = History(self.run / "validation.csv", step - 1)
        history.add({
            "step": step,
            "n": sum(one.n for one in scores),
            "correct": sum(one.correct for one in scores),
            "score": score,
        })
        history.close()
        log.info("step %d: %d of %d held-out words right", step, history.rows[-1]["correct"],
                 history.rows[-1]["n"])
        if not self.best or score > self.best["score"]:
            self.best = {"step": step, "score": score}
            metadata = {"model": student.name, "step": step, "score": score}
            save_weights(student, self.run / "best.safetensors", metadata)

    @property
    def weights(self) -> Path:
        """The file of the weights to use."""
        return self.run / ("best.safetensors" if self.best else "last.safetensors")
