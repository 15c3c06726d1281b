"""What a teacher's training is fed: batches of words, rendered, from shards, or stored."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, repeat
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from kdltr.data.batches import epoch_batches, steps_per_epoch
from kdltr.data.loader import WordPairs
from kdltr.data.records import DataError
from kdltr.data.separation import check_split
from kdltr.data.shards import Shards
from kdltr.generator import source
from kdltr.generator.synthetic import arrays
from kdltr.models import Recogniser
from kdltr.train.config import PretrainConfig
from kdltr.train.material import stored_words, there

Batch = tuple[Tensor, list[str]]  # pictures (B, 3, H, W) uint8, and their B words
AHEAD = 4  # batches fetched from shards before they are asked for


class Pictures:
    """The words of a training: one picture of each pair, in the size that the model reads.

    Args:
        config: `image` says which picture, `shards`, or else `split`, `data_seed` and `effects`,
            of which pairs; `words` and `words_share`, which stored words come between.
        model: what is trained.
        pin: page-locked memory, for copies to a GPU that the host does not wait for.

    Attributes:
        source: what the pairs are made from, as `kdltr.generator.synthetic.source` has it; of
            stored words `sets`, as `kdltr.data.hashes.data_hash` has them.

    Raises:
        kdltr.data.DataError: no shards, or of another size; a test split or set.
    """

    def __init__(self, config: PretrainConfig, model: Recogniser, pin: bool = False) -> None:
        self.config, self.size, self.pin = config, tuple(model.image_size), pin
        self.shards, self.stored, self.generated = None, None, config.batch_size
        self.source: dict[str, Any] = source(config.split, config.data_seed, config.effects)
        if config.shards:
            self.shards = Shards(config.shards)
            self.shards.check_sizes(**{config.image: self.size})
            self.source = self.shards.settings
        check_split(self.source["split"])
        # Arguments of `kdltr.generator.synthetic.arrays`.
        self.made = {"split": self.source["split"], "seed": self.source["seed"],
                     "effects": self.source.get("effects", ())}
        words = there(config.words, config.missing)
        if config.words_share == 1 and config.words and not words:
            raise DataError("words_share=1 learns from stored words alone, found none of "
                            f"{', '.join(config.words)}; data/README.md says where data come from")
        if words:
            self.stored, self.unseen, sets = stored_words(words, config, model)
            self.source = self.source | {"sets": sets}
            # Of a batch at least one is stored, and one is generated, unless all are stored.
            few = min(max(1, round(config.batch_size * config.words_share)), config.batch_size - 1)
            self.generated = config.batch_size - few if config.words_share < 1 else 0
            if not self.generated:
                self.source = {"sets": sets}

    def batches(self, first: int) -> Iterator[Batch]:
        """Those of the steps from ``first`` on."""
        if self.stored is None:
            return self._made(first)
        few = self.config.batch_size - self.generated
        chosen = shuffled(len(self.stored), few, self.config.seed, first)
        return map(self._with_stored, self._made(first), chosen)

    def held_out(self) -> WordPairs:
        """Scenes of the stored words; without them words of another seed, and of no test split.

        HR and LR are the same picture, the one that is trained on: whatever the model's size.
        """
        if self.stored is not None and len(self.unseen):
            images = self._stored_images(self.unseen)
            return WordPairs(images, images, self.unseen.words)
        made = self.made | {"seed": self.made["seed"] + 1}
        images, words = render(self.config.image, self.size, self.config.validation_words, 0, made)
        return WordPairs(images, images, words)

    def _made(self, first: int) -> Iterator[Batch]:
        """The generated words of the steps from ``first`` on."""
        if not self.generated:
            none = torch.empty(0, 3, *self.size, dtype=torch.uint8)
            return repeat((none, []), self.config.steps - first)
        if self.shards is None:
            return (self._there(*batch) for batch in self._rendered(first))
        n, size, seed = len(self.shards), self.generated, self.config.seed
        chosen = islice(shuffled(n, size, seed, first), self.config.steps - first)
        return prefetched(lambda rows: self.shards.batch(rows, self.config.image, self.pin), chosen)

    def _stored_images(self, pairs: WordPairs) -> Tensor:
        return pairs.hr if self.config.image == "hr" else pairs.lr

    def _with_stored(self, made: Batch, chosen: Tensor) -> Batch:
        images = torch.cat([made[0], self._stored_images(self.stored)[chosen]])
        words = [self.stored.words[i] for i in chosen.tolist()]
        return images.pin_memory() if self.pin else images, made[1] + words

    def _there(self, pictures: np.ndarray, words: list[str]) -> Batch:
        made = torch.from_numpy(pictures)
        return made.pin_memory() if self.pin else made, words

    def _rendered(self, first: int) -> DataLoader:
        config = self.config
        batches = RenderedBatches(self.made, self.generated, config.steps, config.image,
                                  self.size)
        return DataLoader(
            Subset(batches, range(first, config.steps)), batch_size=None,
            num_workers=config.workers, prefetch_factor=8 if config.workers else None,
            persistent_workers=False, collate_fn=_as_it_is,
            multiprocessing_context="fork" if config.workers else None,
            # A loader draws from the run's random state, which a resumed run has drawn from before.
            generator=torch.Generator() if first else None,
        )


class RenderedBatches(Dataset):
    """Batch ``i`` of the word stream: words ``i·B … (i + 1)·B − 1``.

    As arrays, which workers send through a pipe: tensors go through shared memory, of which
    containers have little, and where it is full a worker dies and is waited for.
    """

    def __init__(
        self, made: dict[str, Any], batch_size: int, steps: int, image: str, size: tuple[int, int]
    ) -> None:
        self.made, self.batch_size, self.steps = made, batch_size, steps
        self.image, self.size = image, size

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, i: int) -> tuple[np.ndarray, list[str]]:
        pictures, words = render(self.image, self.size, self.batch_size, i * self.batch_size,
                                 self.made)
        return pictures.numpy(), words


def _as_it_is(batch: Any) -> Any:
    return batch


def render(
    image: str, size: tuple[int, int], n: int, start: int, made: dict[str, Any]
) -> Batch:
    """Pictures (n, 3, H, W) uint8 and words of the pairs from ``start`` on."""
    hr, lr, words = arrays(n=n, start=start, **made, **{f"{image}_size": size})
    chosen = hr if image == "hr" else lr
    return torch.from_numpy(np.ascontiguousarray(chosen.transpose(0, 3, 1, 2))), words


def shuffled(n: int, batch_size: int, seed: int, first: int) -> Iterator[Tensor]:
    """Indices (B,) of the steps from ``first`` on, without end; every epoch has its own order."""
    per_epoch = steps_per_epoch(n, batch_size)
    epoch, start = divmod(first, per_epoch)
    while True:
        yield from epoch_batches(n, batch_size, seed, epoch, start)
        epoch, start = epoch + 1, 0


def prefetched(fetch: Callable[[Tensor], Batch], chosen: Iterable[Tensor]) -> Iterator[Batch]:
    """What ``fetch`` makes of each, in order, in a thread that is up to `AHEAD` batches ahead."""
    with ThreadPoolExecutor(1, "prefetch") as thread:
        waiting: deque = deque()
        for rows in chosen:
            waiting.append(thread.submit(fetch, rows))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
