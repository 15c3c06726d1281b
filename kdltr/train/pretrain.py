"""Training a recogniser by its labels alone, on generated words: a teacher, from random weights.

Words are rendered as they are needed, none twice, or come from shards rendered beforehand, in a new
order every epoch; stored words may come between, or be all, as lines are (`kdltr.train.feed`). A
step's words, and what augmentation does to them, are a function of the settings and the step, so
that a run resumes at any step. On a GPU the host waits for the device only where it looks at the
loss (``log_every``), validates or saves.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdltr.checkpoint import load_matching, save_weights
from kdltr.data.loader import WordPairs
from kdltr.evaluation.evaluate import evaluate
from kdltr.files import place
from kdltr.losses import cross_entropy_loss, ctc_loss
from kdltr.models import create_model
from kdltr.train.augment import augment
from kdltr.train.clock import Clock
from kdltr.train.config import PretrainConfig
from kdltr.train.engine import alone, sent, start_engine
from kdltr.train.feed import Pictures
from kdltr.train.history import History
from kdltr.train.result import RunResult
from kdltr.train.selection import chosen_by
from kdltr.train.state import RunState, write_settings
from kdltr.train.watch import LossWatch

log = logging.getLogger(__name__)


@alone
def pretrain(
    config: PretrainConfig, on_log: Callable[[dict[str, float]], None] | None = None
) -> RunResult:
    """Train by its labels; goes on with the unfinished run in ``config.output_dir``.

    Cross-entropy, or the CTC loss where the recogniser reads so; AdamW, one cycle of the learning
    rate. With ``config.minutes`` it stops after so long, with its state saved: call it again to go
    on.

    Raises:
        ValueError: several processes; a distillation can have them.
        kdltr.data.DataError: no shards at ``config.shards``, or of a size the model does not read;
            a test split.
        kdltr.train.NonFiniteLoss: the loss is NaN or infinite; the last checkpoint stays.
        kdltr.train.ResumeError: the interrupted run had other settings or threads.
        kdltr.locks.BusyError: another training is under way in ``config.output_dir``.
    """
    started = time.monotonic()
    accelerator = start_engine(config)
    if accelerator.num_processes > 1:
        raise ValueError(f"expected one process, found {accelerator.num_processes}; start it "
                         "without accelerate launch or torchrun")
    device = accelerator.device
    run = place(config.output_dir)
    torch.manual_seed(config.seed)
    model = create_model(config.model, **config.settings).to(device)
    if config.start_from:
        own = load_matching(model, config.start_from)
        log.info("start from %s; own start for %d tensors", config.start_from, len(own))
    pictures = Pictures(config, model, pin=device.type == "cuda")
    label_loss = ctc_loss if model.decoding == "ctc" else cross_entropy_loss
    learn = model  # reading, and the names of the weights, are never compiled
    if config.compile != "no":
        learn = torch.compile(model.forward, mode=config.compile)
    optimiser = torch.optim.AdamW(
        _decayed(model, config.weight_decay), config.learning_rate, betas=(0.9, 0.99), fused=True
    )
    optimiser = accelerator.prepare(optimiser)  # the model reads in float32, as its user will
    settings = config.to_dict() | {"precision": accelerator.mixed_precision,
                                   "source": pictures.source}
    state = RunState(run, settings, model, optimiser)
    step, best = state.load()
    first_step = step
    # PyTorch divides by 0 where one step warms up; that is as good as none.
    warmup = config.warmup if config.warmup * (config.steps + 1) != 1 else 0.0
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser.optimizer if hasattr(optimiser, "optimizer") else optimiser,
        config.learning_rate, total_steps=config.steps + 1, pct_start=warmup,
        cycle_momentum=False, last_epoch=step - 1 if step else -1,
    )
    write_settings(run, config.to_dict(), settings)
    metrics = History(run / "metrics.csv", step, run / "tensorboard")
    validation = History(run / "validation.csv", step)
    held_out = pictures.held_out()
    watch = LossWatch(accelerator, {"cross_entropy": 1.0}, lambda batch: batch)
    noise = torch.Generator(device)  # of the augmentation
    clock = Clock(config, accelerator, started)
    model.train()
    for images, words in pictures.batches(step):
        images = sent(images, device).float() / 255
        images = augment(images, config.augment, noise.manual_seed(_seed(config, step)))
        labels, lengths = model.charset.encode([model.charset.filter(word) for word in words])
        steps = model.steps or labels.shape[1]
        labels = sent(F.pad(labels, (0, steps - labels.shape[1])), device)
        generator = torch.Generator().manual_seed(_seed(config, step))
        extra = model.prepare(labels, generator)
        with accelerator.autocast():
            out = learn(images, **extra)
        lengths = sent(lengths, device)
        loss = sum(
            label_loss(logits.float(), labels, lengths)
            for logits in (out.logits, *out.auxiliary)
        )
        accelerator.backward(loss)
        norm = nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimiser.step()
        optimiser.zero_grad()
        rate = schedule.get_last_lr()[0]
        schedule.step()
        step += 1
        watch.add(step, {"cross_entropy": loss}, norm, words)

        save_now, stop = clock()
        ending = step == config.steps or stop
        selecting = step % config.validate_every == 0 or step == config.steps  # a stop: no choice
        saving = step % config.checkpoint_every == 0 or selecting or save_now or ending
        if step % config.log_every == 0 or saving:
            seconds = time.monotonic() - started
            pace = (step - first_step) * config.batch_size / seconds
            row = {"step": step, "words": step * config.batch_size}
            row |= {"learning_rate": rate} | watch.look() | {"pairs_per_second": pace}
            metrics.add(row)
            log.info("step %d/%d loss %.3f, %.0f words/s, %.1f min left", step, config.steps,
                     row["cross_entropy"], pace,
                     (config.steps - step) * config.batch_size / pace / 60)
            if on_log:
                on_log(row)
        if selecting:
            best = _validate(model, held_out, step, best, run, validation)
        if saving:
            metrics.save()  # first: a resumed run leaves out what is too much, and adds nothing
            state.save(step, best)
        if ending:
            break

    metrics.close()
    save_weights(model, run / "last.safetensors", {"model": config.model, "step": step})
    weights = run / ("best.safetensors" if best else "last.safetensors")
    return RunResult.of(run, weights, range(first_step, step), config.steps,
                        config.batch_size, best, {}, time.monotonic() - started, settings)


def _validate(
    model: nn.Module,
    held_out: WordPairs,
    step: int,
    best: dict[str, Any],
    run: Path,
    history: History,
) -> dict[str, Any]:
    """Score the teacher on words it never sees; keep the best weights."""
    scores = evaluate(model, held_out)
    accuracy = chosen_by(model, scores)
    history.add({
        "step": step, "n": scores.n, "correct": scores.correct, "accuracy": accuracy,
    })
    history.save()
    log.info("step %d: %d of %d held-out words right, accuracy %.3f", step, scores.correct,
             scores.n, accuracy)
    if best and accuracy <= best["score"]:
        return best
    metadata = {"model": model.name, "step": step, "accuracy": accuracy}
    save_weights(model, run / "best.safetensors", metadata)
    return {"step": step, "score": accuracy}


def _seed(config: PretrainConfig, step: int) -> int:
    """The seed of what is drawn at a step."""
    return config.seed + 1_000_003 * step


def _decayed(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay on matrices alone, not on biases, norms, positions and embeddings."""
    def decays(name: str, value: Tensor) -> bool:
        owner, _, own = name.rpartition(".")
        table = isinstance(model.get_submodule(owner), nn.Embedding)
        return value.ndim > 1 and not table and not own.startswith(("pos_", "char_embeddings"))

    named = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    return [
        {"params": [v for n, v in named if decays(n, v)], "weight_decay": weight_decay},
        {"params": [v for n, v in named if not decays(n, v)], "weight_decay": 0.0},
    ]
