"""`python -m kdltr.bench`: the benchmark as tables in the terminal, and as a result file."""

from __future__ import annotations

import argparse
import logging
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial

import torch

from kdltr import bench
from kdltr.results import Row, write_result

# In the order of what a run that is cut off should have.
PARTS = {
    "training": bench.training,
    "reading": bench.reading,
    "operations": bench.operations,
    "search": bench.path_search,
    "memory": bench.memory,
    "by_length": partial(bench.option, batches="by_length"),
    "cuda_graphs": partial(bench.option, compile="reduce-overhead"),
    "compile": partial(bench.option, compile="default"),  # takes a minute, as does the one before
}
IN_EVERY_PRECISION = ("training", "reading")
USUAL = ("training", "reading", "search", "memory")


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, write; see ``--help``."""
    parser = argparse.ArgumentParser("python -m kdltr.bench", description=bench.__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recognisers", nargs="*", metavar="NAME", help="teachers' names",
                        default=["parseq_nano", "abinet_nano", "matrn_nano"])
    defaults = bench.Settings()
    parser.add_argument("--batch-size", type=int, default=defaults.batch_size)
    parser.add_argument("--pairs", type=int, default=defaults.pairs)
    parser.add_argument("--repeats", type=int, default=defaults.repeats)
    parser.add_argument("--warmup", type=int, default=defaults.warmup)
    parser.add_argument("--device", choices=("cpu", "cuda"), default=defaults.device)
    parser.add_argument("--precision", nargs="+", choices=("no", "bf16"), default=["no"],
                        help="kdltr's path; the plain one trains in float32. Training and reading "
                        "are measured in all of them, the rest in the first")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=USUAL,
                        help="what to measure, for all recognisers before the next of them")
    parser.add_argument("--minutes", type=float, help="begin nothing after so long")
    parser.add_argument("--out", metavar="FILE.json", help="a result file, whole after each "
                        "measurement, so that a run that is cut off leaves what it has")
    given = vars(parser.parse_args(arguments))
    started, rows, failed = time.monotonic(), [], []
    logging.basicConfig(level=logging.WARNING)
    names, precisions, parts, minutes, out = (given.pop(name) for name in (
        "recognisers", "precision", "parts", "minutes", "out"))
    settings = bench.Settings(**given)
    for precision in precisions:
        floor = bench.matrix_throughput(replace(settings, precision=precision))
        print(f"matrix products, precision {precision!r}: {floor / 1e9:.1f} G multiply-adds a "
              f"second ({torch.get_num_threads()} threads)")
    for what, measure in _measurements(names, settings, precisions, parts):
        seconds = time.monotonic() - started
        if minutes is not None and seconds > 60 * minutes:
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
        if out:
            write_result(out, rows, asdict(settings) | {"precision": precisions, "parts": parts},
                         settings.seed, wall_time=time.monotonic() - started)
    if failed:
        parser.exit(1, f"failed: {', '.join(failed)}\n")


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


if __name__ == "__main__":
    main()
