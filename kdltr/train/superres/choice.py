"""Which weights of a network are kept: judged on words held out of training, never on tests."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import torch

from kdltr.data.loader import WordPairs
from kdltr.evaluation.evaluate import evaluate
from kdltr.evaluation.quality import image_quality
from kdltr.models import create_model
from kdltr.superres import TwoStage, save_upscaler
from kdltr.superres.two_stage import upscaled
from kdltr.train.selection import Selection
from kdltr.train.superres.config import UpscaleConfig
from kdltr.train.superres.terms import Upscaling

log = logging.getLogger(__name__)


class Choice(Selection):
    """By the words of the held-out pairs that a recogniser reads, or without one by their PSNR.

    Args:
        held_out: pairs to choose by.
        state: see `kdltr.train.selection.Selection`.
    """

    def __init__(self, config: UpscaleConfig, run: Path, held_out: WordPairs, *state: Any) -> None:
        super().__init__(config, run, *state)
        self.held_out = held_out
        if config.judge:
            with torch.random.fork_rng([]):
                reader = create_model(config.judge, config.judge_weights)
            self.reader = reader.to(held_out.hr.device)

    def judge(self, training: Upscaling, step: int) -> dict[str, float]:
        """How near its images are, and how they are read."""
        training.eval()
        parts = training.upscaler, training.generator
        quality = image_quality(lambda images: upscaled(images, *parts), self.held_out)
        score = quality.psnr
        if self.config.judge:
            score = evaluate(TwoStage(parts[0], self.reader, parts[1]), self.held_out).accuracy
        log.info("step %d: score %.4f on held-out words", step, score)
        return {"n": len(self.held_out), **quality._asdict(), "score": score}

    def keep(self, training: Upscaling, path: Path) -> None:
        """See `Selection.keep`."""
        save(self.config, training, path, self.best["step"])


def save(config: UpscaleConfig, training: Upscaling, path: Path, step: int) -> None:
    """The network and its generator in one file that says what they are."""
    facts = {"settings": json.dumps(config.settings), "step": step,
             "generator_settings": json.dumps(config.generator_settings)}
    save_upscaler(path, training.upscaler, training.generator, facts)
