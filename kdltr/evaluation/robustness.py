"""How reading suffers: every reader on the same words, degraded step by step.

    words = sweep(pairs, {"gaussian_blur": [0, 1, 2]}, seed=0)
    scores = read_tables(load_readers(recognisers), words, lr_alone=[KINDS["gaussian_blur"].title])
    predictions = results.collect_tables(scores)
    rows = results.recompute(predictions, averaged=())     # a table for each kind of degradation
"""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from kdltr.data.corruptions import KINDS, corruption, degrade
from kdltr.data.images import resize
from kdltr.data.loader import WordPairs
from kdltr.evaluation.evaluate import evaluate, images_for
from kdltr.evaluation.scores import Scores
from kdltr.evaluation.sharing import sharing
from kdltr.models.base import Recogniser
from kdltr.settings import SettingError, check_names

log = logging.getLogger(__name__)
RESOLUTION = "resolution"  # the kind that changes what is seen of the HR images too
# scores[recogniser][table][method][subset]
Tables = dict[str, dict[str, dict[str, dict[str, Scores]]]]


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


def levels_of(**given: Mapping[str, Sequence[float]]) -> dict[str, Sequence[float]]:
    """The levels of all kinds for `sweep`.

    Args:
        given: by the name of a parameter, for the message, levels of some kinds.

    Raises:
        SettingError: no kind at all, an unknown one, one twice, one without levels or with the same
            level twice, or a level that its kind does not know.
    """
    levels: dict[str, Sequence[float]] = {}
    for name, kinds in given.items():
        check_names(KINDS, kinds, f"{name}: unknown degradation")
        for kind, steps in kinds.items():
            if kind in levels:
                raise SettingError(f"{' and '.join(given)}: expected each degradation in one of "
                                   f"them, found {kind} twice; leave one out")
            if not steps or len({f"{level:g}" for level in steps}) < len(steps):
                raise SettingError(f"{name}.{kind}: expected levels, each once, found {[*steps]}; "
                                   "change them, or leave the degradation out")
            try:
                [corruption(kind, level) for level in steps]
            except ValueError as error:
                raise SettingError(f"{name}: {error}; change it") from None
            levels[kind] = steps
    if not levels:
        raise SettingError(f"{' and '.join(given)}: expected a degradation in one of them, found "
                           f"none; name one. Known: {', '.join(KINDS)}")
    return levels


def sweep(
    pairs: WordPairs, levels: Mapping[str, Sequence[float]], seed: int
) -> Iterator[tuple[str, str, WordPairs]]:
    """The words of `read_tables` for every level of every kind: its title, the level, words.

    They are made one by one, as they are read.
    """
    for kind, steps in levels.items():
        for level in steps:
            yield KINDS[kind].title, f"{level:g}", degraded(pairs, kind, level, seed)


def read_tables(
    readers: Mapping[str, Mapping[str, Recogniser]],
    words: Iterable[tuple[str, str, WordPairs]],
    lr_alone: Container[str],
) -> Tables:
    """Every reader on every subset of every table; all of them read the same images.

    Networks of two-stage methods enlarge them once (`kdltr.evaluation.sharing`).

    Args:
        readers: `readers[recogniser][method]`, from `kdltr.evaluation.readers.load_readers`.
        words: table, subset and its words; from `sweep`, or a list.
        lr_alone: tables without the readers of HR images, for whom nothing changes there.

    Returns:
        `scores[recogniser][table][method][subset]`.
    """
    scores: Tables = {name: {} for name in readers}
    readers = sharing(readers)
    for table, subset, pairs in words:
        for name, methods in readers.items():
            for method, model in methods.items():
                if table in lr_alone and images_for(model, pairs) is pairs.hr:
                    continue
                found = scores[name].setdefault(table, {}).setdefault(method, {})
                found[subset] = evaluate(model, pairs)
        log.info("%s, %s: %d words read by every reader", table, subset, len(pairs))
    return scores


def _resized(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(M, 3, H, W) uint8 to `size`, as every image is resized here."""
    pixels = images.permute(0, 2, 3, 1).cpu().numpy()
    result = np.stack([resize(np.ascontiguousarray(image), size) for image in pixels])
    return torch.from_numpy(result).permute(0, 3, 1, 2).contiguous().to(images.device)
