"""What a distillation learns from: its words, their shares of a batch, and their LR images."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kdltr.data import scenes
from kdltr.data.hashes import portable
from kdltr.data.loader import WordPairs, load_pairs, select_labels, split
from kdltr.data.opening import open_data, open_pairs, open_words
from kdltr.data.records import Pair
from kdltr.data.separation import training_sets, words_of_tests
from kdltr.data.shards import Shards
from kdltr.files import place
from kdltr.generator.fitted_camera import FittedCamera
from kdltr.generator.generated import is_generated
from kdltr.models import Recogniser
from kdltr.train.config import PARTS, DistillConfig, PretrainConfig, Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Material:
    """The words of a run, those of the parts one after another.

    Attributes:
        pairs: M training words.
        labels: (M, T) ids.
        lengths: (M,) steps of each.
        sizes: how many of them are in each of `PARTS`.
        held_out: of ``data``, to choose the weights by.
        report: how many words the choice of labels touches.
        sets: what each set holds, by path, as `kdltr.data.hashes.data_hash` has it.
    """

    pairs: WordPairs
    labels: Tensor
    lengths: Tensor
    sizes: dict[str, int]
    held_out: WordPairs
    report: dict[str, int]
    sets: dict[str, dict[str, Any]]


def gather(config: DistillConfig, teacher: Recogniser, student: Recogniser) -> Material:
    """Load the words of all parts, choose their labels, hold some of ``data`` out.

    Raises:
        kdltr.data.DataError: missing or damaged data, or a test set.
    """
    opened = {"data": open_pairs, "words": open_words, "generated": open_pairs}
    parts = {part: [opened[part](path) for path in there(getattr(config, part), config.missing)]
             for part in PARTS}
    sets = [one for part in parts.values() for one in part]
    found = training_sets([one.path for one in sets])
    pairs = load_pairs(sets, teacher.image_size, student.image_size, lines=teacher.lines)
    counts = torch.tensor([sum(map(len, part)) for part in parts.values()])
    part = torch.arange(len(PARTS)).repeat_interleave(counts)  # of each word
    left = torch.arange(len(pairs))
    if config.words_of_tests == "left_out":
        left = apart_from_tests(sets, found)
    kept, words, report = select_labels([pairs.words[i] for i in left], student.charset,
                                        config.labels, student.longest, student.frames)
    # ABINet's published targets turn an unknown character into an end token; PARSeq's raise.
    unknown = "end" if config.labels == "published" and student.steps else "error"
    labels, lengths = student.charset.encode(words, student.longest + 1, unknown)
    kept = left[kept]
    part = part[kept]
    n = int((part == 0).sum())  # of ``data``, which comes first
    train, held_out = split_held_out(parts["data"], pairs.subset(range(int(counts[0]))), kept[:n],
                                     config)
    if len(held_out) and config.selection != "validation":
        log.info("%d words are held out, by which selection=%r chooses nothing; with validation: 0 "
                 "they are learned from", len(held_out), config.selection)
    train = torch.cat([train, torch.arange(n, len(kept))])
    sizes = torch.bincount(part[train], minlength=len(PARTS)).tolist()
    return Material(pairs.subset(kept[train]), labels[train], lengths[train],
                    dict(zip(PARTS, sizes, strict=True)), pairs.subset(kept[held_out]), report,
                    found)


def stored_words(
    paths: Sequence[str], config: PretrainConfig, model: Recogniser
) -> tuple[WordPairs, WordPairs, dict[str, dict[str, Any]]]:
    """The stored words that a teacher's training takes: to learn from, held out, and their sets.

    Words that test sets hold too, and those that `model` cannot be taught (`select_labels`), are
    left out. What is held out are scenes of the pairs, and single words are all learned from; or it
    is any of all.

    Args:
        paths: of the sets, which are there.

    Raises:
        ValueError: nothing can be held out of them, and nothing is generated beside them.
        kdltr.data.DataError: missing or damaged data, or a test set.
    """
    sets = sorted(map(open_data, paths), key=lambda one: not isinstance(one[0], Pair))
    found = training_sets([one.path for one in sets])
    pairs = load_pairs(sets, model.image_size, model.image_size, lines=model.lines)
    paired = sum(len(one) for one in sets if isinstance(one[0], Pair))  # they come first
    left = apart_from_tests(sets, found)
    kept, words, _ = select_labels([pairs.words[i] for i in left], model.charset, "filtered",
                                   model.longest, model.frames)
    chosen = left[kept]
    n = int((chosen < paired).sum()) if config.hold_out == "scenes" else len(chosen)
    train = held_out = torch.arange(0)
    if n:
        drawn = [one for one in sets if isinstance(one[0], Pair)]
        train, held_out = split_held_out(drawn, pairs.subset(range(paired)), chosen[:n], config)
    elif config.words_share == 1:
        raise ValueError("hold_out='scenes' holds nothing out of single words, and words_share=1 "
                         "leaves no generated ones to choose the weights by; set hold_out='words'")
    train = torch.cat([train, torch.arange(n, len(chosen))])
    pairs = WordPairs(pairs.hr[chosen], pairs.lr[chosen], words)
    return pairs.subset(train), pairs.subset(held_out), found


def split_held_out(
    sets: Sequence, pairs: WordPairs, kept: Tensor, config: Settings
) -> tuple[Tensor, Tensor]:
    """Which of the pairs `kept` (K,) are to learn from and which are held out: places in `kept`.

    Single "words" are held out, or whole "scenes". These are found and drawn among all stored
    pairs in one size, so that models that keep others of them or read them in other sizes (as a
    teacher of HR and a student of LR do) hold the same photographs out.

    Args:
        sets: of the pairs, opened.
        pairs: as the model reads them.
        config: its hold_out, hold_out_seed and validation count.
    """
    share, seed = config.validation, config.hold_out_seed
    if config.hold_out == "words" or not len(kept):
        return split(len(kept), share, seed)
    rendered = any(isinstance(one, Shards) for one in sets)  # which have the size they have
    if tuple(pairs.hr.shape[2:]) != scenes.SIZE and not rendered:
        pairs = load_pairs(sets, scenes.SIZE)
    held_out = torch.isin(kept, scenes.split_scenes(scenes.scenes(pairs), share, seed)[1])
    return (~held_out).nonzero().flatten(), held_out.nonzero().flatten()


def there(paths: Sequence[str], missing: str) -> list[str]:
    """The sets to take: all of them, or with missing="left_out" those that are there."""
    found = [path for path in paths if missing == "error" or place(path).exists()]
    if absent := [path for path in paths if path not in found]:
        log.warning("not there, and left out: %s; data/README.md says where data come from",
                    ", ".join(absent))
    return found


def apart_from_tests(sets: Sequence, found: dict[str, dict[str, Any]]) -> Tensor:
    """Places of the words, of all sets one after another, that no test set holds too."""
    kept, start = [], 0
    for one in sets:
        name = portable(one.path)
        shared = words_of_tests(found[name]["labels"])
        if shared is None and not is_generated(one.path):
            log.warning("%s: it was never compared with the test sets, so none of its words is "
                        "left out; kdltr.data.duplicates finds those that tests hold too", name)
        elif shared:
            log.info("%s: %d words that test sets hold too are left out", name, len(shared))
        kept += [start + i for i in range(len(one)) if i not in (shared or ())]
        start += len(one)
    return torch.tensor(kept, dtype=torch.int64)


class LRImages:
    """The LR images of chosen words: those they have, or for a share new ones by a camera.

    Args:
        pairs: M words, on the device of the training.
        sizes: how many of them are in each part.
        shares: of each part's draws, those that the camera makes an LR image for.
    """

    def __init__(
        self, pairs: WordPairs, sizes: dict[str, int], shares: dict[str, float]
    ) -> None:
        self.pairs, device = pairs, pairs.hr.device
        self.camera = None
        if any(shares.get(name, 0) for name in sizes if sizes[name]):
            self.camera = FittedCamera(device, pairs.lr.shape[-2:])
            self.generator = torch.Generator(device)
            each = [torch.full((n,), shares.get(name, 0.0)) for name, n in sizes.items()]
            self.shares = torch.cat(each).to(device)
            self.characters = torch.tensor([len(word) for word in pairs.words]).to(device)

    def __call__(self, chosen: Tensor, seed: int) -> Tensor:
        """(B, 3, h, w) in [0, 1] of ``chosen`` (B,), by the random numbers of ``seed``.

        All of it is on the device of the training, and the host waits for nothing.
        """
        stored = self.pairs.blurred(chosen)
        if self.camera is None:
            return stored
        generator = self.generator.manual_seed(seed)
        chance = torch.rand(len(chosen), generator=generator, device=stored.device)
        made = self.camera(self.pairs.sharp(chosen), self.characters[chosen], generator)
        return torch.where((chance < self.shares[chosen])[:, None, None, None], made, stored)


def mixture(config: DistillConfig, sizes: dict[str, int]) -> Sequence[tuple[int, float]]:
    """Words and share of each part for `kdltr.data.batches`; () if every word comes once.

    The share of a part without words goes to the others.
    """
    whole = sum(share for name, share in config.mix.items() if sizes[name])
    return [(n, config.mix.get(name, 0.0) / whole if n else 0.0) for name, n in sizes.items()
            ] if config.mix else ()
