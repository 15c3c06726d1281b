"""The photographs that a super-resolution network learns from, and the labels its terms need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kdltr.charset import DIGITS_FIRST36, MAX_LENGTH
from kdltr.data.loader import WordPairs, load_pairs, select_labels
from kdltr.data.opening import open_data, open_pairs
from kdltr.data.separation import training_sets
from kdltr.superres.prior import FRAMES
from kdltr.superres.trunk import HR_SIZE, LR_SIZE
from kdltr.train.material import apart_from_tests, split_held_out, there
from kdltr.train.superres.config import UpscaleConfig
from kdltr.train.superres.spelling import corpus_of
from kdltr.train.superres.terms import FROM_LABELS


@dataclass(frozen=True)
class Material:
    """The words of a run.

    Attributes:
        pairs: M training words.
        labels: (M, T) ids, 0 behind a word.
        lengths: (M,) steps of each, the end included.
        held_out: to choose the weights by.
        corpus: words that the language model learns to spell.
        report: how many words the labels leave out.
        sets: what each set holds, by path.
    """

    pairs: WordPairs
    labels: Tensor
    lengths: Tensor
    held_out: WordPairs
    corpus: list[str]
    report: dict[str, int]
    sets: dict[str, dict[str, Any]]


def gather(config: UpscaleConfig) -> Material:
    """Load the words; of terms that need labels, those whose label can be had.

    Raises:
        kdltr.data.DataError: missing or damaged data, or a test set.
    """
    opened = [open_pairs(path) for path in there(config.data, config.missing)]
    spelt = [open_data(path) for path in there(config.corpus, config.missing)]
    sets = training_sets([one.path for one in [*opened, *spelt]])
    pairs = load_pairs(opened, HR_SIZE, LR_SIZE)
    left = torch.arange(len(pairs))
    if config.words_of_tests == "left_out":
        left = apart_from_tests(opened, sets)
    kept, words = list(range(len(left))), [""] * len(left)
    report = {"total": len(left), "kept": len(left)}
    if FROM_LABELS & config.weights.keys():  # else all words are as good
        frames = FRAMES if "ctc" in config.weights else None
        kept, words, report = select_labels([pairs.words[i] for i in left], DIGITS_FIRST36,
                                            "filtered", frames=frames)
    labels, lengths = DIGITS_FIRST36.encode(words, MAX_LENGTH + 1)
    places = left[kept]
    train, held_out = split_held_out(opened, pairs, places, config)
    judged = pairs.subset(places[held_out])
    return Material(pairs.subset(places[train]), labels[train], lengths[train], judged,
                    _corpus(config, spelt, sets, judged), report, sets)


def _corpus(
    config: UpscaleConfig, spelt: Sequence, sets: dict[str, dict[str, Any]], judged: WordPairs
) -> list[str]:
    """The words to spell: no test's where those are left out, and none that is held out."""
    if not spelt:
        return []
    labels = [one.encoded(i)[-1] for one in spelt for i in range(len(one))]
    if config.words_of_tests == "left_out":
        labels = [labels[i] for i in apart_from_tests(spelt, sets)]
    return sorted({*corpus_of(labels)} - {DIGITS_FIRST36.filter(word) for word in judged.words})
