"""The benchmark: what training and reading take, beside a plain way of doing the same.

    kdltr bench parseq_nano matrn_nano        # a table; --help for the rest

Everything is measured in one run on one machine: kdltr's path and the plain one in turn, so that
both meet the same machine, and the machine's matrix throughput, which is the floor. `plain` holds
what the other path does in place of kdltr; `subject` builds what is timed, from random images and
words, which take as long as any others. `measure` (training), `inference`, `stages`, `growth`
(scaling), `profiling` and `counts` return `kdltr.results.Row`s; `tables` and `figures` make of them
what is looked at.
"""

from kdltr.bench.counts import costs, costs_beside_published
from kdltr.bench.growth import exponents, scaling
from kdltr.bench.inference import deployed, reading
from kdltr.bench.measure import (
    kept_outputs,
    matrix_throughput,
    memory,
    option,
    path_search,
    precisions,
    training,
)
from kdltr.bench.profiling import operations
from kdltr.bench.stages import two_stages
from kdltr.bench.subject import Settings
from kdltr.bench.tables import summary, table

__all__ = [
    "Settings",
    "costs",
    "costs_beside_published",
    "deployed",
    "exponents",
    "kept_outputs",
    "matrix_throughput",
    "memory",
    "operations",
    "option",
    "path_search",
    "precisions",
    "reading",
    "scaling",
    "summary",
    "table",
    "training",
    "two_stages",
]
