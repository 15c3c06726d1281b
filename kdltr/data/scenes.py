"""Which pairs of TextZoom show one scene, so that they stay on one side of a split.

Photographs are not recorded, but their words follow one another in the file, often with those of
other shots of the same scene between them. So the file is cut where neither the colour nor a label
that comes again ties what is before to what is after, and blocks that hold two pictures of one word
are one scene all the same.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kdltr.data.duplicates import duplicates
from kdltr.data.loader import WordPairs
from kdltr.data.records import DataError

SIZE = (32, 128)  # of the pictures that they are found in, whatever a model reads
COLOUR = 0.12  # distance of mean colours of neighbours on one sign, of √3 from black to white
REACH = 40  # records within which a label that comes again is another shot of the same sign
LABEL = 3  # characters at least of such a label: "of" and "12" stand on every sign
_SCENES = 3  # random stream, beside those of `kdltr.data.batches` and `kdltr.data.loader`


def scenes(pairs: WordPairs) -> Tensor:
    """The scene of each of M pairs, (M,) int64: the number of its first block."""
    block = _blocks(pairs)
    united = list(range(int(block.max()) + 1))

    def root(one: int) -> int:
        while united[one] != one:
            one = united[one]
        return one

    for i, j, _ in duplicates(pairs.hr, pairs.words, pairs.hr, pairs.words):
        first, last = sorted((root(int(block[i])), root(int(block[j]))))
        united[last] = first
    return torch.tensor([root(one) for one in block.tolist()])


def split_scenes(scene: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """As `kdltr.data.loader.split`, but whole scenes: indices of (training, validation) pairs.

    Scenes are drawn by `seed` until the validation part has its share; one is passed over that
    would make it half as large again.

    Raises:
        DataError: no scene is small enough.
    """
    sizes = torch.bincount(scene).tolist()
    wanted, found, chosen = fraction * len(scene), 0, []
    for one in np.random.default_rng((seed, _SCENES)).permutation(len(sizes)).tolist():
        if sizes[one] and found < wanted and found + sizes[one] <= 1.5 * wanted:
            chosen.append(one)
            found += sizes[one]
    if not chosen and fraction > 0:
        raise DataError(f"expected a scene of at most {int(1.5 * wanted)} pairs to hold out, found "
                        f"{min(filter(None, sizes))} in the smallest; hold out a larger share")
    held_out = torch.isin(scene, torch.tensor(chosen, dtype=scene.dtype))
    return (~held_out).nonzero().flatten(), held_out.nonzero().flatten()


def _blocks(pairs: WordPairs) -> Tensor:
    """The run of neighbours that each pair lies in (M,), numbered from 0."""
    colour = pairs.hr.float().mean((2, 3)) / 255  # (M, 3)
    near = (colour[1:] - colour[:-1]).norm(dim=1) < COLOUR
    ties = [(i, i + 1) for i in near.nonzero().flatten().tolist()]
    last: dict[str, int] = {}
    for i, word in enumerate(pairs.words):
        label = word.lower()
        if len(label) >= LABEL and i - last.get(label, -REACH - 1) <= REACH:
            ties.append((last[label], i))
        last[label] = i
    across = torch.zeros(len(pairs), dtype=torch.int64)  # ties over the gap after each pair
    for start, end in ties:
        across[start] += 1
        across[end] -= 1
    begins = across.cumsum(0)[:-1] == 0
    return torch.cat([torch.zeros(1, dtype=torch.int64), begins.long().cumsum(0)])
