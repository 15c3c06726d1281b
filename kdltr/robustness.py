"""How reading suffers: every reader on the same words, degraded step by step.

    scores = sweep(load_readers(recognisers), pairs, {"gaussian_blur": [0, 1, 2]}, seed=0)
    predictions = predictions_of(scores)
    rows = recompute_tables(predictions)     # a table for each kind of degradation
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from kdltr.data.corruptions import corruption, degrade
from kdltr.data.images import resize
from kdltr.data.loader import WordPairs
from kdltr.evaluate import evaluate, images_for
from kdltr.models.base import Recogniser
from kdltr.results import AVERAGE, Row, collect, recompute
from kdltr.scores import Scores

log = logging.getLogger(__name__)
RESOLUTION = "resolution"  # the kind that changes what is seen of the HR images too
# scores[recogniser][kind][method][level]
Sweep = dict[str, dict[str, dict[str, dict[str, Scores]]]]


def degraded(pairs: WordPairs, kind: str, level: float, seed: int) -> WordPairs:
    """The words with their LR images degraded; HR stay as they are, but for "resolution".

    There both are made from the HR image shrunk to `level` pixels in height, each resized from
    that (Pillow's bicubic) to its own size: what a reader sees of a word that is so small.

    Args:
        kind, level: of `kdltr.data.corruptions.KINDS`.
        seed: of the random numbers; with an image's place in `pairs` it decides them.

    Raises:
        ValueError: an unknown kind or level.
    """
    change = corruption(kind, level)
    if kind != RESOLUTION:
        return replace(pairs, lr=degrade(pairs.lr, change, seed))
    height, width = pairs.hr.shape[-2:]
    small = _resized(pairs.hr, (int(level), round(level * width / height)))
    hr, lr = (_resized(small, tuple(images.shape[-2:])) for images in (pairs.hr, pairs.lr))
    return replace(pairs, hr=hr, lr=lr)


def sweep(
    readers: Mapping[str, Mapping[str, Recogniser]],
    pairs: WordPairs,
    levels: Mapping[str, Sequence[float]],
    seed: int,
) -> Sweep:
    """Every reader on every level of every kind; all of them read the same degraded images.

    Args:
        readers: `readers[recogniser][method]`, from `kdltr.evaluate.load_readers`. Those of HR
            images take part in "resolution" alone: elsewhere nothing changes for them.
        pairs: the words.
        levels: by kind, in the order in which they are to be shown.
        seed: of the random numbers.

    Returns:
        `scores[recogniser][kind][method][level]`, the level as text.
    """
    scores: Sweep = {
        name: {kind: {method: {} for method, model in methods.items() if _sees(model, pairs, kind)}
               for kind in levels}
        for name, methods in readers.items()
    }  # fmt: skip
    for kind, steps in levels.items():
        for level in steps:
            seen = degraded(pairs, kind, level, seed)
            for name, tables in scores.items():
                for method, found in tables[kind].items():
                    found[f"{level:g}"] = evaluate(readers[name][method], seen)
            log.info("%s %g: %d words read by every reader", kind, level, len(pairs))
    return scores


def predictions_of(scores: Sweep) -> pd.DataFrame:
    """The predictions of `sweep` as one table, with the kind in the column `table`."""
    return pd.concat(
        [collect(methods, name).assign(table=kind)
         for name, tables in scores.items() for kind, methods in tables.items()],
        ignore_index=True,
    )  # fmt: skip


def recompute_tables(predictions: pd.DataFrame, average: bool = False) -> list[Row]:
    """`kdltr.results.recompute` for each value of the column `table`.

    Args:
        average: whether the mean over the subsets of a table means something; over levels it
            does not.
    """
    rows = [row for table, part in predictions.groupby("table", sort=False)
            for row in recompute(part, str(table))]  # fmt: skip
    return [row for row in rows if average or row.subset != AVERAGE]


def _sees(model: Recogniser, pairs: WordPairs, kind: str) -> bool:
    return kind == RESOLUTION or images_for(model, pairs) is pairs.lr


def _resized(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(M, 3, H, W) uint8 to `size`, as every image is resized here."""
    pixels = images.permute(0, 2, 3, 1).cpu().numpy()
    result = np.stack([resize(np.ascontiguousarray(image), size) for image in pixels])
    return torch.from_numpy(result).permute(0, 3, 1, 2).contiguous().to(images.device)
