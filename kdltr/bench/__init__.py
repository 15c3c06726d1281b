"""The benchmark: what training and reading take, beside a plain way of doing the same.

    python -m kdltr.bench parseq_nano matrn_nano        # a table; --help for the rest

Everything is measured in one run on one machine: kdltr's path and the plain one in turn, so that
both meet the same machine, and the machine's matrix throughput, which is the floor. `plain` holds
what the other path does in place of kdltr; `subject` builds what is timed, from random images and
words, which take as long as any others; `measure` returns `kdltr.results.Row`s.
"""

from kdltr.bench.measure import (
    kept_outputs,
    matrix_throughput,
    memory,
    path_search,
    reading,
    training,
)
from kdltr.bench.scaling import exponents, scaling
from kdltr.bench.subject import Settings

__all__ = [
    "Settings",
    "exponents",
    "kept_outputs",
    "matrix_throughput",
    "memory",
    "path_search",
    "reading",
    "scaling",
    "training",
]
