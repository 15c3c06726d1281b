"""What a finished run reports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        run_dir: where everything of the run lies.
        weights: the selected weights, safetensors.
        steps: optimiser steps.
        finished: whether these are all; False if ``minutes`` ended the run.
        pairs: training words seen, all processes together.
        best_step: step of the selected weights.
        best_score: what they were selected by, None where nothing was: the share of words read
            right, of lines 1 − CER, of a network without a judge dB of PSNR; with
            ``selection="published"`` the sum over the test sets.
        labels: how many words the choice of labels touches.
        seconds: wall time of this call; little for a run that was finished before.
        pairs_per_second: of this call, data loading and validation included.
        config: the settings.
    """

    run_dir: Path
    weights: Path
    steps: int
    finished: bool
    pairs: int
    best_step: int
    best_score: float | None
    labels: dict[str, int]
    seconds: float
    pairs_per_second: float
    config: dict[str, Any]

    def whole(self) -> Self:
        """Itself.

        Raises:
            RuntimeError: ``minutes`` ended the run before its last step.
        """
        if not self.finished:
            raise RuntimeError(f"{self.run_dir}: stopped at step {self.steps}, since its minutes "
                               "were over; what is done is kept, run the same again to go on")
        return self

    @classmethod
    def of(
        cls, run_dir: Path, weights: Path, steps: range, last_step: int, words: int,
        best: dict[str, Any], labels: dict[str, int], seconds: float, config: dict[str, Any],
    ) -> Self:
        """What a call reports of a run.

        Args:
            steps: from the step it went on from to the one it came to.
            last_step: of the settings.
            words: of a step, all processes together.
            best: step and score of the selected weights, {} where nothing was selected.
        """
        return cls(
            run_dir=run_dir, weights=weights, steps=steps.stop, finished=steps.stop == last_step,
            pairs=steps.stop * words, best_step=best.get("step", steps.stop),
            best_score=best.get("score"), labels=labels, seconds=seconds,
            pairs_per_second=len(steps) * words / seconds, config=config,
        )
