"""Training a teacher from random weights on rendered words.

Words are rendered as they are needed (`kdltr.data.synthetic.arrays`); batch ``i`` holds words
``i·B … (i + 1)·B − 1`` of the stream, so a run resumes at any step without seeing a word twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Subset

from kdltr.atomic import write_json
from kdltr.checkpoint import load_matching, save_weights
from kdltr.data.loader import WordPairs
from kdltr.data.synthetic import arrays
from kdltr.evaluate import evaluate
from kdltr.losses.criterion import cross_entropy_loss
from kdltr.models import create_model
from kdltr.train.config import PretrainConfig
from kdltr.train.engine import start_engine
from kdltr.train.history import History
from kdltr.train.result import RunResult
from kdltr.train.state import RunState
from kdltr.train.watch import LossWatch

log = logging.getLogger(__name__)


class RenderedBatches(Dataset):
    """Batch ``i`` of the word stream: HR images (B, 3, 32, 128) uint8 and their B words."""

    def __init__(self, split: str, batch_size: int, seed: int, steps: int) -> None:
        self.split, self.batch_size, self.seed, self.steps = split, batch_size, seed, steps

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, i: int) -> tuple[Tensor, list[str]]:
        hr, _, words = arrays(self.split, self.batch_size, self.seed, start=i * self.batch_size)
        return _channels_first(hr), words


def pretrain(
    config: PretrainConfig, on_log: Callable[[dict[str, float]], None] | None = None
) -> RunResult:
    """Train a teacher by cross-entropy; goes on with the unfinished run in ``config.output_dir``.

    AdamW, one cycle of the learning rate. With ``config.minutes`` it stops after so long, with its
    state saved: call it again to go on.

    Raises:
        kdltr.train.NonFiniteLoss: the loss is NaN or infinite; the last checkpoint stays.
        kdltr.train.ResumeError: the interrupted run had other settings or threads.
    """
    started = time.monotonic()
    accelerator = start_engine(config)
    run = Path(config.output_dir)
    torch.manual_seed(config.seed)
    model = create_model(config.model, **config.settings)
    if config.start_from:
        own = load_matching(model, config.start_from)
        log.info("start from %s; own start for %d tensors", config.start_from, len(own))
    optimiser = torch.optim.AdamW(
        _decayed(model, config.weight_decay), config.learning_rate, betas=(0.9, 0.99), fused=True
    )
    model, optimiser = accelerator.prepare(model, optimiser)
    state = RunState(run, config.to_dict(), model, optimiser)
    step, best = state.load()
    first_step = step
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser.optimizer if hasattr(optimiser, "optimizer") else optimiser,
        config.learning_rate, total_steps=config.steps + 1, pct_start=config.warmup,
        cycle_momentum=False, last_epoch=step - 1 if step else -1,
    )
    write_json(run / "config.json", config.to_dict())
    metrics = History(run / "metrics.csv", step, run / "tensorboard")
    validation = History(run / "validation.csv", step)
    held_out = _held_out(config)
    watch = LossWatch(accelerator, {"cross_entropy": 1.0}, lambda batch: batch)
    batches = RenderedBatches(config.split, config.batch_size, config.data_seed, config.steps)
    loader = DataLoader(
        Subset(batches, range(step, config.steps)), batch_size=None, num_workers=config.workers,
        prefetch_factor=8 if config.workers else None, persistent_workers=False,
        multiprocessing_context="fork" if config.workers else None,
    )
    model.train()
    for images, words in loader:
        images = images.to(accelerator.device).float() / 255
        labels, lengths = model.charset.encode([model.charset.filter(word) for word in words])
        steps = model.steps or labels.shape[1]
        labels = F.pad(labels, (0, steps - labels.shape[1])).to(accelerator.device)
        generator = torch.Generator().manual_seed(config.seed + 1_000_003 * step)
        extra = model.prepare(labels, generator)
        with accelerator.autocast():
            out = model(images, **extra)
        lengths = lengths.to(accelerator.device)
        loss = sum(
            cross_entropy_loss(logits.float(), labels, lengths)
            for logits in (out.logits, *out.auxiliary)
        )
        accelerator.backward(loss)
        norm = nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimiser.step()
        optimiser.zero_grad()
        schedule.step()
        step += 1
        watch.add(step, {"cross_entropy": loss}, norm, words)

        timed_out = config.minutes and time.monotonic() - started > 60 * config.minutes
        ending = step == config.steps or bool(timed_out)
        if step % config.log_every == 0 or ending:
            seconds = time.monotonic() - started
            pace = (step - first_step) * config.batch_size / seconds
            row = {"step": step, "words": step * config.batch_size}
            row |= {"learning_rate": schedule.get_last_lr()[0]} | watch.look()
            metrics.add(row | {"pairs_per_second": pace})
            log.info("step %d/%d loss %.3f, %.0f words/s, %.1f min left", step, config.steps,
                     row["cross_entropy"], pace,
                     (config.steps - step) * config.batch_size / pace / 60)
            if on_log:
                on_log(row)
        if step % config.validate_every == 0 or ending:
            best = _validate(model, held_out, step, best, run, validation)
        if step % config.checkpoint_every == 0 or ending:
            state.save(step, best)
            metrics.save()
        if ending:
            break

    metrics.close()
    save_weights(model, run / "last.safetensors", {"model": config.model, "step": step})
    seconds = time.monotonic() - started
    return RunResult(
        run_dir=run,
        weights=run / "best.safetensors",
        steps=step,
        pairs=step * config.batch_size,
        best_step=best.get("step", step),
        best_accuracy=best.get("score"),
        labels={},
        seconds=seconds,
        pairs_per_second=(step - first_step) * config.batch_size / seconds,
        config=config.to_dict(),
    )


def _validate(
    model: nn.Module,
    held_out: WordPairs,
    step: int,
    best: dict[str, Any],
    run: Path,
    history: History,
) -> dict[str, Any]:
    """Score the teacher on rendered words it never sees; keep the best weights."""
    scores = evaluate(model, held_out)
    history.add({
        "step": step, "n": scores.n, "correct": scores.correct, "accuracy": scores.accuracy,
    })
    history.save()
    log.info("step %d: %d of %d held-out words right", step, scores.correct, scores.n)
    if scores.accuracy <= best.get("score", -1.0):
        return best
    metadata = {"model": model.name, "step": step, "accuracy": scores.accuracy}
    save_weights(model, run / "best.safetensors", metadata)
    return {"step": step, "score": scores.accuracy}


def _held_out(config: PretrainConfig) -> WordPairs:
    """Words of another seed, so that the test splits stay unseen until the end."""
    hr, lr, words = arrays(config.split, config.validation_words, config.data_seed + 1)
    return WordPairs(_channels_first(hr), _channels_first(lr), words)


def _channels_first(images: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).contiguous()


def _decayed(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay on matrices alone, not on biases, norms, positions and embeddings."""
    def decays(name: str, value: Tensor) -> bool:
        return value.ndim > 1 and "pos_" not in name and "embedding" not in name

    named = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    return [
        {"params": [v for n, v in named if decays(n, v)], "weight_decay": weight_decay},
        {"params": [v for n, v in named if not decays(n, v)], "weight_decay": 0.0},
    ]


