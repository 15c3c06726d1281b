"""Does the data keep up with a GPU? Pairs a second of rendering, of reading shards, of augmenting.

    kdltr data feed data/generated/shards --workers 16 --device cuda
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Iterable

import torch
from torch import Tensor

from kdltr.bench.clock import TOTAL, interleave
from kdltr.data.shards import Shards
from kdltr.generator.synthetic import arrays
from kdltr.generator.workers import processes
from kdltr.train.augment import augment
from kdltr.train.feed import shuffled


def rendering(workers: int, pairs: int = 1000, effects: Collection[str] = ()) -> float:
    """Pairs a second of so many processes side by side: the sum of theirs, once they are started.

    Args:
        pairs: that each renders.
        effects: of `kdltr.generator.EFFECTS`.
    """
    tasks = [(pairs, number, tuple(effects)) for number in range(workers)]
    with processes(workers) as executor:
        return sum(executor.map(_rendering_rate, tasks))


def reading(shards: Shards, batch_size: int, batches: int = 200, pin: bool = False) -> dict:
    """Pairs a second of HR batches, in the order of the files and at random.

    Which of the pages are in memory already is as it happens to be: read twice to know both.
    """
    n = len(shards) // batch_size * batch_size
    orders = {"sequential": itertools.cycle(torch.arange(n).view(-1, batch_size)),
              "random": shuffled(n, batch_size, 0, 0)}
    return {name: _rate(shards, order, batches, pin) for name, order in orders.items()}


def augmenting(device: str, batch_size: int, repeats: int = 20) -> float:
    """Pairs a second that `kdltr.train.augment` changes at full strength."""
    images = torch.rand(batch_size, 3, 32, 128, device=device)
    generator = torch.Generator(device).manual_seed(0)
    action = {"augment": lambda laps: augment(images, 1.0, generator)}
    timing = interleave(action, repeats, warmup=2, device=device, parts=False)
    return batch_size / timing["augment"][TOTAL].median


def _rendering_rate(task: tuple[int, int, tuple[str, ...]]) -> float:
    pairs, number, effects = task
    arrays("train1", 10, 0, effects=effects)  # fonts, word list and textures are loaded
    begin = time.perf_counter()
    arrays("train1", pairs, 0, start=number * pairs, effects=effects)
    return pairs / (time.perf_counter() - begin)


def _rate(shards: Shards, order: Iterable[Tensor], batches: int, pin: bool) -> float:
    begin = time.perf_counter()
    for _, rows in zip(range(batches), order, strict=False):
        pictures, _ = shards.batch(rows, pin=pin)
    return batches * len(pictures) / (time.perf_counter() - begin)
