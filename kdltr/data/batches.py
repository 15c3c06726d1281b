"""Which words share a batch: index tensors, a function of (seed, epoch) alone.

A run resumes in mid-epoch by skipping some. A step of B batches, over all processes and accumulated
ones, takes one from each of B shards of the words: a process sees the words of its own shards and
no others, so that it needs to keep only their teacher's outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from kdltr.data.records import DataError

_ORDER, _GROUPS = 0, 2  # random streams; 1 is `kdltr.data.loader.split`'s


def steps_per_epoch(n: int, batch_size: int, shards: int = 1) -> int:
    """Full steps of a batch from each of the shards of n words; the partial rest is dropped.

    Raises:
        DataError: not even one.
    """
    steps = n // shards // batch_size
    if steps == 0:
        raise DataError(f"expected at least one batch of {batch_size} words for each of {shards} "
                        f"batch(es) a step, {batch_size * shards} words, found {n}; use a batch "
                        f"size of at most {n // shards}, or more data")
    return steps


def epoch_batches(
    n: int,
    batch_size: int,
    seed: int,
    epoch: int,
    start: int = 0,
    shard: int = 0,
    shards: int = 1,
    lengths: Tensor | None = None,
    mix: Sequence[tuple[int, float]] = (),
    steps: int | None = None,
) -> Iterator[Tensor]:
    """Batches of word indices (batch_size,) int64 of one epoch, from step `start` on.

    Word i belongs to shard i mod `shards`; each shard is shuffled anew every epoch.

    Args:
        n: number of words.
        mix: the parts that the words lie in, one after another: how many of them, and the share of
            an epoch that they get. A part's words come again when all have been seen. Without it
            an epoch is every word once.
        steps: of an epoch of a mix; None: as many as `n` words fill.
        lengths: (n,) to group words by: a batch holds words of (nearly) one length, and batches
            come in a random order, the same in every shard, so that processes have equal work.

    Raises:
        DataError: a step needs more words than there are.
        ValueError: `start` or `shard` out of range.
    """
    full = steps_per_epoch(n, batch_size, shards)
    steps = steps if mix and steps else full
    if not 0 <= shard < shards:
        raise ValueError(f"shard: expected 0 to {shards - 1} of {shards}, found {shard}")
    if not 0 <= start <= steps:
        raise ValueError(f"start: expected a step from 0 to {steps} ({n} words, {shards} batch(es) "
                         f"of {batch_size} a step), found {start}; the data or the batch size "
                         "differ from those of the interrupted run")
    # Trailing zeros seed nothing: the random stream of shard 0 is that of (seed, _ORDER, epoch).
    rng = np.random.default_rng((seed, _ORDER, epoch, shard))
    order = _mixed(mix, steps * batch_size, shard, shards, rng) if mix else rng.permutation(
        np.arange(shard, n, shards))
    order = torch.from_numpy(order)[: steps * batch_size]
    if lengths is None:
        return iter(order.view(steps, batch_size)[start:])
    grouped = order[lengths[order].argsort(stable=True)].view(steps, batch_size)
    turns = np.random.default_rng((seed, _GROUPS, epoch)).permutation(steps)
    return iter(grouped[torch.from_numpy(turns)][start:])


def _mixed(
    mix: Sequence[tuple[int, float]], needed: int, shard: int, shards: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """`needed` words of a shard, of each part its share, in random order."""
    chosen, first, share_before = [], 0, 0.0
    for words, share in mix:
        mine = np.arange(first + (shard - first) % shards, first + words, shards)
        wanted = round((share_before + share) * needed) - round(share_before * needed)
        if wanted and not len(mine):
            raise DataError(f"expected a word at least for each of {shards} batch(es) a step in a "
                            f"part of the mix, found {words} words; give it more, or no share")
        passes = -(-wanted // max(1, len(mine)))
        chosen += [rng.permutation(mine)[: wanted - k * len(mine)] for k in range(passes)]
        first, share_before = first + words, share_before + share
    return rng.permutation(np.concatenate(chosen))
