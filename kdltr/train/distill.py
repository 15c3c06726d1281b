"""Distilling a recogniser for low resolution: one explicit loop (paper §3).

Reads top to bottom: data, models, optimiser, the state of an interrupted run, then for every step
the student's forward pass, the criterion, backward, clip, step. Accelerate supplies the device,
mixed precision and several processes; losses are per process, as in the published DataParallel.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable

import torch
from accelerate.utils import broadcast_object_list
from torch import nn

from kdltr.checkpoint import save_weights
from kdltr.data.batches import epoch_batches
from kdltr.data.batches import steps_per_epoch as full_steps
from kdltr.files import place
from kdltr.models import Recogniser
from kdltr.train.clock import Clock
from kdltr.train.config import DistillConfig
from kdltr.train.engine import alone, sent, start_engine
from kdltr.train.history import History
from kdltr.train.material import LRImages, gather, mixture
from kdltr.train.models import (
    Distillation,
    build_criterion,
    build_models,
    check_models,
    check_no_start,
    network_of,
)
from kdltr.train.result import RunResult
from kdltr.train.selection import Selector
from kdltr.train.state import RunState, will_resume, write_settings
from kdltr.train.teacher import start_teaching
from kdltr.train.watch import LossWatch

log = logging.getLogger(__name__)
FITTED_ON = 4000  # images at most to fit the start of a student on


@alone
def distill(
    config: DistillConfig,
    models: tuple[nn.Module, nn.Module] | None = None,
    on_log: Callable[[dict[str, float]], None] | None = None,
    stop_now: Callable[[], bool] | None = None,
) -> RunResult:
    """Train a student on word pairs; goes on with the unfinished run in ``config.output_dir``.

    With ``config.minutes`` it stops after so long, with its state saved: call it again to go on.

    Args:
        config: the settings.
        models: teacher (it is frozen) and student (as it is to start) in place of those the
            settings name, for recognisers that are not in the registry. The run records their
            ``name``; a run is resumed with the same teacher and a student of any weights.
        on_log: called with each row of metrics.csv, for live curves.
        stop_now: asked after every step whether to stop, as after ``config.minutes``.

    Raises:
        TypeError: a model that is not a `Recogniser`, or does not say what it reads.
        ValueError: models that do not fit each other or the settings.
        kdltr.data.DataError: missing or damaged data, a test set, or a batch larger than the data.
        kdltr.checkpoint.CheckpointError: the teacher's weights cannot be read or do not fit.
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
    teacher, student = models or build_models(config)
    check_models(config, teacher, student)
    teacher.requires_grad_(False).eval()
    settings = config.to_dict() | {"precision": accelerator.mixed_precision}
    if models:  # what was trained, not what the settings would have built
        check_no_start(config)
        settings |= {"teacher": teacher.name, "teacher_weights": None, "student": student.name,
                     "model": {}, "student_model": {}}
    criterion = build_criterion(config, student)
    torch.manual_seed(config.seed + 1 + rank)  # dropout differs from process to process

    material = gather(config, teacher, student)
    pairs, labels, lengths = material.pairs, material.labels, material.lengths
    settings |= {"sets": material.sets}
    # Batches a step, over all processes; which words they hold does not depend on how many
    # processes share them, nor do the reading orders drawn for each.
    batches = world * config.accumulate
    per_epoch = full_steps(len(pairs), config.batch_size, batches)
    mix = mixture(config, material.sizes)
    if config.steps_per_epoch:  # a mix may go on when every word has come
        per_epoch = config.steps_per_epoch if mix else min(per_epoch, config.steps_per_epoch)
    last_step = per_epoch * config.epochs

    pairs = pairs.to(device)
    lr_images = LRImages(pairs, material.sizes, config.camera)
    fitted = config.start == "fitted" and not config.student_weights
    if fitted and not will_resume(run, settings):
        n = min(len(pairs), FITTED_ON)
        some = (torch.arange(n) * len(pairs) // n).to(device)  # evenly spaced
        student.to(device).fit_start(teacher.to(device), lr_images(some, config.seed))
    labels = labels.to(device)
    ends = lengths.to(device)  # the host has its own, and does not wait for the device's

    distillation = Distillation(student, criterion, config.compile)
    optimiser = adam(config, student, criterion)
    rates = [group["lr"] for group in optimiser.param_groups]
    wrapped, optimiser = accelerator.prepare(distillation, optimiser)
    state = RunState(run, settings, distillation, optimiser, world)
    step, best = state.load(rank)
    first_step = step
    sizes = tuple(teacher.image_size), tuple(student.image_size)
    selector = Selector(config, run, sizes, teacher.lines, material.held_out, step, best, main)
    teaching = None
    distils = any(criterion.weights[name] for name in criterion.weights if name != "cross_entropy")
    if distils and step < last_step:
        teaching = start_teaching(
            teacher.to(device), pairs, lengths, config, run, accelerator.autocast(), rank, world,
            criterion.whole_attention, criterion.part_logits,
        )
    if main:
        write_settings(run, config.to_dict(), settings)
    metrics = History(run / "metrics.csv", step, run / "tensorboard", main)
    watch = LossWatch(
        accelerator, criterion.weights, lambda chosen: [pairs.words[i] for i in chosen.tolist()]
    )
    clock, stop = Clock(config, accelerator, started, stop_now), False
    wrapped.train()

    for epoch in range(step // per_epoch if per_epoch else 0, config.epochs):
        order = [
            epoch_batches(
                len(pairs), config.batch_size, config.seed, epoch, step - epoch * per_epoch,
                shard=i * world + rank, shards=batches,
                lengths=lengths if config.batches == "by_length" else None,
                mix=mix, steps=per_epoch,
            )
            for i in range(config.accumulate)
        ]
        for micro_batches in zip(*order, strict=True):
            if stop or step == (epoch + 1) * per_epoch:
                break
            factor = rate_factor(config, step, epoch, last_step)
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = factor * rate

            for i, chosen in enumerate(micro_batches):
                batch = step * batches + i * world + rank
                seed = config.seed + 1_000_003 * batch
                generator = torch.Generator().manual_seed(seed)
                places = sent(chosen, device)
                lr = lr_images(places, seed)  # (B, 3, 16, 64) in [0, 1]
                steps = student.steps or int(lengths[chosen].max())  # T
                target = labels[places, :steps]  # (B, T)
                extra = student.prepare(target, generator)
                with torch.no_grad(), accelerator.autocast():
                    taught = teaching(chosen, extra) if teaching else None
                more = i + 1 < config.accumulate
                with accelerator.no_sync(wrapped) if more else contextlib.nullcontext():
                    with accelerator.autocast():
                        terms = wrapped(lr, extra, taught, target, ends[places])
                    accelerator.backward(terms["total"] / config.accumulate)
                if more:
                    watch.add(step + 1, terms, torch.zeros((), device=device), chosen)
            norm = nn.utils.clip_grad_norm_(student.parameters(), config.clip)
            optimiser.step()
            optimiser.zero_grad()
            step += 1
            # Of a step's batches the last has the norm for all: their mean is then the step's.
            watch.add(step, terms, norm * config.accumulate, chosen)

            save_now, stop = clock()
            ending = step == last_step or stop
            selecting = selector.due(step) or step == last_step  # a stop changes no choice
            # With every choice, so that a state and the best weights are of one run.
            saving = step % config.checkpoint_every == 0 or selecting or save_now or ending
            if step % config.log_every == 0 or saving:
                seconds = time.monotonic() - started
                pace = (step - first_step) * batches * config.batch_size / seconds
                row = {"step": step, "epoch": epoch + 1, "learning_rate": factor * rates[0]}
                row |= watch.look() | {"pairs_per_second": pace}
                metrics.add(row)
                log.info("epoch %d/%d step %d/%d total %.3f, %.0f pairs/s, %.1f min left",
                         epoch + 1, config.epochs, step, last_step, row["total"], pace,
                         (last_step - step) * batches * config.batch_size / pace / 60)
                if on_log and main:
                    on_log(row)
            if selecting and main:
                selector.consider(student, step)
                wrapped.train()
            if saving:
                metrics.save()  # first: a resumed run leaves out what is too much, and adds nothing
                state.save(step, selector.best, main)
        if stop:
            break

    metrics.close()
    if main:
        read = network_of(student)
        save_weights(read, run / "last.safetensors", {"model": read.name, "step": step})
    accelerator.wait_for_everyone()
    (selector.best,) = broadcast_object_list([selector.best])  # only the main process selects
    return RunResult.of(run, selector.weights, range(first_step, step), last_step,
                        batches * config.batch_size, selector.best, material.report,
                        time.monotonic() - started, settings)


def rate_factor(config: DistillConfig, step: int, epoch: int, last_step: int) -> float:
    """What the learning rates are multiplied by at ``step`` (from 0) of ``epoch`` (from 0)."""
    if config.schedule == "step":
        return 0.1 ** (epoch // config.decay_every)
    warm = max(1, last_step // 10)  # one cycle: linear up, cosine down to 0
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, last_step - warm)))


def adam(
    config: DistillConfig, student: Recogniser, criterion: nn.Module
) -> torch.optim.Optimizer:
    """Adam with the higher rate for what depends on the resolution and the projector."""
    named = [(n, p) for n, p in student.named_parameters() if p.requires_grad]
    taught = [p for n, p in named if not student.depends_on_resolution(n)]
    fresh = [p for n, p in named if student.depends_on_resolution(n)]
    fresh += [p for p in criterion.parameters() if p.requires_grad]
    groups = [{"params": taught, "lr": config.learning_rate}]
    if fresh:
        groups.append({"params": fresh, "lr": config.new_learning_rate})
    return torch.optim.Adam(groups, betas=(0.5, 0.999), fused=True)
