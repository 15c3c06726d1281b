"""`python -m kdltr.bench`: the benchmark as tables in the terminal."""

from __future__ import annotations

import argparse

import torch

from kdltr import bench


def main(arguments: list[str] | None = None) -> None:
    """Measure and print; see ``--help``."""
    parser = argparse.ArgumentParser("python -m kdltr.bench", description=bench.__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recognisers", nargs="*", metavar="NAME", help="teachers' names",
                        default=["parseq_nano", "abinet_nano", "matrn_nano"])
    defaults = bench.Settings()
    parser.add_argument("--batch-size", type=int, default=defaults.batch_size)
    parser.add_argument("--pairs", type=int, default=defaults.pairs)
    parser.add_argument("--repeats", type=int, default=defaults.repeats)
    parser.add_argument("--device", choices=("cpu", "cuda"), default=defaults.device)
    parser.add_argument("--precision", choices=("no", "bf16"), default=defaults.precision)
    parser.add_argument("--no-memory", action="store_true", help="leave out peak memory")
    given = vars(parser.parse_args(arguments))
    recognisers, no_memory = given.pop("recognisers"), given.pop("no_memory")
    settings = bench.Settings(**given)
    floor = bench.matrix_throughput(settings)
    print(f"{settings}\n{torch.get_num_threads()} threads; matrix products: "
          f"{floor / 1e9:.1f} G multiply-adds a second")
    for name in recognisers:
        rows = bench.training(name, settings) + bench.reading(name, settings)
        rows += bench.path_search(name, settings)
        rows += [] if no_memory else bench.memory(name, settings)
        print(f"\n{bench.table(rows).round(2).to_string(na_rep='')}", flush=True)


if __name__ == "__main__":
    main()
