"""Which weights of a network are kept: judged on words held out of training, never on tests."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import torch

from kdltr.data.loader import WordPairs
from kdltr.evaluation.evaluate import evaluate
from kdltr.evaluation.quality import image_quality
from kdltr.models import Recogniser, create_model
from kdltr.superres import TwoStage, save_upscaler
from kdltr.superres.two_stage import upscaled
from kdltr.train.history import History
from kdltr.train.superres.config import UpscaleConfig
from kdltr.train.superres.terms import Upscaling

log = logging.getLogger(__name__)


class Choice:
    """Judges the network now and then, and keeps the best weights in ``<run>/best.safetensors``.

    By the words of the held-out pairs that a recogniser reads, or without one by their PSNR.

    Attributes:
        best: step and score of the weights kept; part of the run's state.
    """

    def __init__(
        self, config: UpscaleConfig, run: Path, held_out: WordPairs, best: dict[str, Any]
    ) -> None:
        self.config, self.run, self.held_out, self.best = config, run, held_out, best
        self.judge: Recogniser | None = None

    def due(self, step: int) -> bool:
        """Whether ``step`` is one to look at."""
        return self.config.selection != "last" and step % self.config.validate_every == 0

    def consider(self, training: Upscaling, step: int) -> None:
        """Judge the network; keep its weights if none were better, the first of equals."""
        if self.config.selection == "last":
            return
        training.eval()
        parts = training.upscaler, training.generator
        quality = image_quality(lambda images: upscaled(images, *parts), self.held_out)
        row = {"step": step, "n": len(self.held_out), **quality._asdict(), "score": quality.psnr}
        if self.config.judge:
            if self.judge is None:
                with torch.random.fork_rng([]):  # a resumed run does this once more
                    judge = create_model(self.config.judge, self.config.judge_weights)
                self.judge = judge.to(self.held_out.hr.device)
            reader = TwoStage(parts[0], self.judge, parts[1])
            row["score"] = evaluate(reader, self.held_out).accuracy
        history = History(self.run / "validation.csv", step - 1)
        history.add(row)
        history.close()
        log.info("step %d: score %.4f on held-out words", step, row["score"])
        if row["score"] > self.best.get("score", -math.inf):
            self.best = {"step": step, "score": row["score"]}
            save(self.config, training, self.run / "best.safetensors", step)

    @property
    def weights(self) -> Path:
        """The file of the weights to use."""
        return self.run / ("best.safetensors" if self.best else "last.safetensors")


def save(config: UpscaleConfig, training: Upscaling, path: Path, step: int) -> None:
    """The network and its generator in one file that says what they are."""
    facts = {"settings": json.dumps(config.settings), "step": step,
             "generator_settings": json.dumps(config.generator_settings)}
    save_upscaler(path, training.upscaler, training.generator, facts)
