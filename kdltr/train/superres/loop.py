"""Training a super-resolution network for text: one explicit loop, on the engine of `distill`.

Published: Adam, the gradient norm of the network clipped at 0.25, batches of the photographs of
TextZoom without augmentation, the last partial one dropped. Words whose label is empty or does not
fit are left out where a term needs labels.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn

from kdltr.charset import DIGITS_FIRST36
from kdltr.data.batches import epoch_batches
from kdltr.data.batches import steps_per_epoch as full_steps
from kdltr.files import place
from kdltr.models import create_model
from kdltr.superres import create_upscaler
from kdltr.superres.prior import check_generator
from kdltr.superres.reader import create_reader
from kdltr.superres.saved import load_into
from kdltr.train.engine import alone, sent, start_engine
from kdltr.train.history import History
from kdltr.train.result import RunResult
from kdltr.train.state import RunState, will_resume, write_settings
from kdltr.train.superres.choice import Choice, save
from kdltr.train.superres.config import UpscaleConfig
from kdltr.train.superres.material import gather
from kdltr.train.superres.spelling import teach_spelling
from kdltr.train.superres.terms import FROM_LABELS, Looking, Upscaling
from kdltr.train.watch import LossWatch

log = logging.getLogger(__name__)
LARGEST_TURN = 5.0  # degrees, of TATT's consistency


@alone
def train_upscaler(
    config: UpscaleConfig, on_log: Callable[[dict[str, float]], None] | None = None
) -> RunResult:
    """Train a network; goes on with the unfinished run in ``config.output_dir``.

    Args:
        config: the settings.
        on_log: called with each row of metrics.csv, for live curves.

    Raises:
        ValueError: settings that do not fit each other, or no table of glyphs where one is named.
        kdltr.data.DataError: missing or damaged data, a test set, or a batch larger than the data.
        kdltr.checkpoint.CheckpointError: weights that cannot be read or do not fit.
        kdltr.train.NonFiniteLoss: a loss term is NaN or infinite; the last checkpoint stays.
        kdltr.train.ResumeError: the interrupted run had other settings or threads.
        kdltr.locks.BusyError: another training is under way in ``config.output_dir``.
    """
    started = time.monotonic()
    accelerator = start_engine(config)
    device, rank, world = accelerator.device, accelerator.process_index, accelerator.num_processes
    main = accelerator.is_main_process
    run = place(config.output_dir)
    torch.manual_seed(config.seed)  # every process starts from the same weights
    training = build(config)
    training.send(device)
    torch.manual_seed(config.seed + 1 + rank)  # dropout differs from process to process
    material = gather(config)
    pairs = material.pairs.to(device)
    settings = config.to_dict() | {"precision": accelerator.mixed_precision, "sets": material.sets}
    labels, ends = material.labels.to(device), material.lengths.to(device)
    per_epoch = full_steps(len(pairs), config.batch_size, world)
    if config.steps_per_epoch:
        per_epoch = min(per_epoch, config.steps_per_epoch)
    last_step = per_epoch * config.epochs

    if material.corpus and not will_resume(run, settings):  # before DDP copies the main process's
        teach_spelling(training.upscaler.lm.to(device), material.corpus, config.spelling_steps,
                       config.spelling_rate, config.seed)
    optimiser = adam(training, config.learning_rate)
    wrapped, optimiser = accelerator.prepare(training, optimiser)
    state = RunState(run, settings, training, optimiser, world)
    step, best = state.load(rank)
    first_step = step
    choice = Choice(config, run, material.held_out.to(device), step, best, main)
    looking = None
    if config.reads and step < last_step:
        looking = Looking(training.frozen["reader"], pairs, labels, config.reader_budget,
                          accelerator.autocast(), rank, world)
    if main:
        write_settings(run, config.to_dict(), settings)
    metrics = History(run / "metrics.csv", step, run / "tensorboard", main)
    watch = LossWatch(accelerator, config.weights,
                      lambda chosen: [pairs.words[i] for i in chosen.tolist()])
    wrapped.train()

    for epoch in range(step // per_epoch, config.epochs):
        batches = epoch_batches(
            len(pairs), config.batch_size, config.seed, epoch, step - epoch * per_epoch, rank, world
        )
        rate = config.learning_rate * 0.1 ** sum(epoch >= end for end in config.decay_at)
        for group in optimiser.param_groups:
            group["lr"] = rate
        for chosen in batches:
            if step == (epoch + 1) * per_epoch:
                break
            places = sent(chosen, device)
            given: dict[str, Any] = {}
            if FROM_LABELS & config.weights.keys():
                steps = int(material.lengths[chosen].max())  # L
                given = {"labels": labels[places, :steps], "lengths": ends[places]}
            if looking:
                given["looked"] = looking(chosen, steps)
            if "consistency" in config.weights:
                given["turn"] = turns(len(chosen), config.seed + 1_000_003 * (step * world + rank),
                                      device)
            with accelerator.autocast():
                terms = wrapped(pairs.blurred(places), pairs.sharp(places), **given)
            accelerator.backward(terms["total"])
            norm = nn.utils.clip_grad_norm_(training.upscaler.parameters(), config.clip)
            optimiser.step()
            optimiser.zero_grad()
            step += 1
            watch.add(step, terms, norm, chosen)

            selecting = choice.due(step) or step == last_step
            saving = step % config.checkpoint_every == 0 or selecting
            if step % config.log_every == 0 or saving:
                seconds = time.monotonic() - started
                pace = (step - first_step) * world * config.batch_size / seconds
                row = {"step": step, "epoch": epoch + 1, "learning_rate": rate}
                row |= watch.look() | {"pairs_per_second": pace}
                metrics.add(row)
                log.info("epoch %d/%d step %d/%d total %.3f, %.0f pairs/s", epoch + 1,
                         config.epochs, step, last_step, row["total"], pace)
                if on_log and main:
                    on_log(row)
            if selecting and main:
                choice.consider(training, step)
                wrapped.train()
            if saving:
                metrics.save()  # first: a resumed run leaves out what is too much, and adds nothing
                state.save(step, choice.best, main)

    metrics.close()
    if main:
        save(config, training, run / "last.safetensors", step)
    accelerator.wait_for_everyone()
    (choice.best,) = broadcast_object_list([choice.best])  # only the main process selects
    return RunResult.of(run, choice.weights, range(first_step, step), last_step,
                        world * config.batch_size, choice.best, material.report,
                        time.monotonic() - started, settings)


def build(config: UpscaleConfig) -> Upscaling:
    """The network that is trained and all that watches it, as the settings have them."""
    upscaler = create_upscaler(config.network, **config.settings)
    generator = reader = similarity = None
    if upscaler.takes_prior:
        generator = create_model(config.generator, config.generator_weights,
                                 **config.generator_settings)
        check_generator(generator)
    if config.reads:
        reader = create_reader(config.reader, config.reader_weights)
    for role, model, weights in (("generator of text priors", generator, config.generator_weights),
                                 ("reader", reader, config.reader_weights)):
        if model is not None and weights is None:
            log.warning("the %s, %s, starts from random weights and says nothing of words; give "
                        "the file of a trained one", role, model.name)
    if config.similarity:
        similarity = glyphs(config.similarity)
    training = Upscaling(upscaler, config.weights, generator, reader, similarity)
    if config.start_from:  # the frozen generator stays the one that was given
        load_into(config.start_from, upscaler, generator)
    return training


def glyphs(file: str) -> Tensor:
    """How alike glyphs are (K, K), from a .npy file.

    Raises:
        ValueError: no such file, another kind of one, or of other numbers than K × K above 0.
    """
    try:
        table = torch.from_numpy(np.load(place(file))).float()
    except (OSError, EOFError, TypeError) as error:
        raise ValueError(f"similarity: expected a .npy file of numbers at {file}, found none that "
                         f"can be read ({error})") from error
    size = DIGITS_FIRST36.size
    if table.shape != (size, size) or not (table > 0).all():
        raise ValueError(f"similarity: expected {size} × {size} numbers above 0 in {file}, found "
                         f"{' × '.join(map(str, table.shape))}, the least {table.min():g}")
    return table


def adam(training: Upscaling, learning_rate: float) -> torch.optim.Optimizer:
    """Adam as published, of the network and its generator."""
    return torch.optim.Adam(training.parameters(), learning_rate, betas=(0.5, 0.999), fused=True)


def turns(n: int, seed: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Angles, uniform in ± `LARGEST_TURN`, and offsets in [0, 1) of `rotate`: (n,) each."""
    generator = torch.Generator().manual_seed(seed)
    angles, offsets = torch.rand(2, n, generator=generator)
    return sent((2 * angles - 1) * math.radians(LARGEST_TURN), device), sent(offsets, device)
