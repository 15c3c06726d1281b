"""Measuring from the shell: `kdltr bench`; `kdltr data feed`, whether data keep up with a GPU."""

from __future__ import annotations

import sys
import time
import traceback
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial

import torch

from kdltr import bench
from kdltr.bench import feeding
from kdltr.data.shards import Shards
from kdltr.models import check_model
from kdltr.models.devices import checked_device
from kdltr.results import Row, write_result

# In the order of what a run that is cut off should have.
PARTS = {
    "training": bench.training,
    "reading": bench.reading,
    "operations": bench.operations,
    "search": bench.path_search,
    "memory": bench.memory,
    "cuda_graphs": partial(bench.option, compile="reduce-overhead"),
    "compile": partial(bench.option, compile="default"),  # takes a minute, as does the one before
    "by_length": partial(bench.option, batches="by_length"),
}
IN_EVERY_PRECISION = ("training", "reading")
USUAL = ("training", "reading", "search", "memory")


def command(options: Namespace) -> int:
    """Print a table after each measurement; returns 1 if one failed."""
    if unknown := {*(options.parts or ())} - {*PARTS}:
        raise ValueError(f"expected --parts of {', '.join(PARTS)}, found {', '.join(unknown)}")
    given = {name: getattr(options, name) for name in ("batch_size", "pairs", "repeats", "warmup")}
    for name, value in given.items():
        _check(name, value, 0 if name == "warmup" else 1)
    for name in options.recognisers:
        check_model(name)
    given |= {"device": _current(options.device)}
    settings = bench.Settings(**{name: value for name, value in given.items() if value is not None})
    started, rows, failed = time.monotonic(), [], []
    for precision in options.precision:
        floor = bench.matrix_throughput(replace(settings, precision=precision))
        print(f"matrix products, precision {precision!r}: {floor / 1e9:.1f} G multiply-adds a "
              f"second ({torch.get_num_threads()} threads)")
    parts = options.parts or USUAL
    for what, measure in _measurements(options.recognisers, settings, options.precision, parts):
        seconds = time.monotonic() - started
        if options.minutes is not None and seconds > 60 * options.minutes:
            print(f"left out after {seconds:.0f} s: {what}", flush=True)
            continue
        try:
            found = measure()
        except Exception:  # the rest may still be measured, on a machine that is borrowed
            traceback.print_exc()
            failed.append(what)
            continue
        rows += found
        print(f"\n{what}, {seconds:.0f} to {time.monotonic() - started:.0f} s\n"
              f"{bench.table(found, found[0].table).round(2).to_string(na_rep='')}", flush=True)
        if options.out:
            how = {"precision": options.precision, "parts": parts}
            write_result(options.out, rows, asdict(settings) | how, settings.seed,
                         wall_time=time.monotonic() - started)
    if failed:
        sys.stderr.write(f"{options.prog}: failed: {', '.join(failed)}\n")
    return 1 if failed else 0


def feed(options: Namespace) -> int:
    """A line for rendering, for reading shards in order and at random, and for augmenting."""
    for name in ("pairs", "batch_size"):
        _check(name, getattr(options, name), 1)
    shards, device = Shards(options.folder), _current(options.device)
    if len(shards) < options.batch_size:
        raise ValueError(f"expected shards of at least a batch of {options.batch_size} pairs, "
                         f"found {len(shards)}; give a smaller --batch-size")
    effects = shards.settings.get("effects", ())  # what rendering such shards takes
    rate = feeding.rendering(options.workers, options.pairs, effects)
    found = {f"rendering, {options.workers} processes, {len(effects)} effects": rate}
    for name, rate in feeding.reading(shards, options.batch_size, pin=device == "cuda").items():
        found[f"reading {len(shards)} pairs, {name}"] = rate
    found[f"augmenting on {device}"] = feeding.augmenting(device, options.batch_size)
    print(f"pairs a second, batches of {options.batch_size}, {torch.get_num_threads()} threads")
    for name, rate in found.items():
        print(f"{rate:12.0f}  {name}", flush=True)
    return 0


def _check(name: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise ValueError(f"--{name.replace('_', '-')} must be at least {least}, found {value}")


def _current(name: str) -> str:
    """The type of a device, "cpu" or "cuda"; of several GPUs it is the one that is meant then."""
    device = checked_device(name)
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"expected a device whose work can be timed, cpu or cuda, found {name!r}")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device.type


def _measurements(
    names: list[str], settings: bench.Settings, precisions: list[str], parts: list[str]
) -> Iterator[tuple[str, partial[list[Row]]]]:
    """What is measured, in order: its name, and what returns its rows."""
    for part in (part for part in PARTS if part in parts):
        for precision in precisions if part in IN_EVERY_PRECISION else precisions[:1]:
            how = replace(settings, precision=precision)
            more = {"against": settings} if part == "training" else {}
            for name in names:
                yield f"{part} of {name}, precision {precision!r}", partial(
                    PARTS[part], name, how, **more)
