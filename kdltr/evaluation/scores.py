"""What one evaluation found, and what it means: protocol, intervals, tests, and the verdicts.

Every score is a function of the per-image predictions, which are kept, so that any number can
be computed again without the model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import pandas as pd
from rapidfuzz.distance import Levenshtein

from kdltr.charset import ALNUM36, MAX_LENGTH, Charset

PROTOCOL = (
    "kdltr-1: reading and label without accents (é is e) and wide forms (ａ is a), lower-cased, "
    "only [0-9a-z] kept, exact match; every image counts "
    f"(an empty label is right only if nothing is read, one over {MAX_LENGTH} characters is "
    "wrong); averages weighted by images counted; 95 % Wilson intervals; 1 − NED is the mean of "
    "1 − Levenshtein / longer length; two methods on the same images: McNemar's exact test."
)
OF_A_CHARSET = (
    "as kdltr-1, but all letters and digits are compared, in lower case, and accents and wide "
    "forms that charset {name} has stay what they are"
)
COLUMNS = ("index", "label", "reading", "confidence", "correct", "image")
Z95 = NormalDist().inv_cdf(0.975)  # half of a 95 % interval, in standard deviations
REPRODUCED_WITHIN = 1.5  # percentage points


class Interval(NamedTuple):
    """A 95 % interval of a proportion, both ends in [0, 1]."""

    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Scores:
    """What `evaluate` found. Shares are in [0, 1].

    Attributes:
        predictions: a row per image: `index` (place in the data), `label` (as in the data),
            `reading` (as the model read it, unfiltered), `confidence`, `correct`, and `image`, a
            checksum of the HR and LR pixels, which says whether two methods saw the same images.
            Scores of `combine` have `subset` too.
        skipped: damaged records that the loader left out on request; they are not in n.
        charset: what is compared of a word (`Charset.comparable`).
    """

    predictions: pd.DataFrame = field(repr=False)
    skipped: int = 0
    charset: Charset = ALNUM36

    @property
    def protocol(self) -> str:
        """`PROTOCOL`, or what a charset of other letters than [0-9a-z] changes of it."""
        if self.charset.alphanumeric:
            return PROTOCOL
        return OF_A_CHARSET.format(name=self.charset.name)

    @property
    def n(self) -> int:
        """Images counted."""
        return len(self.predictions)

    @cached_property
    def correct(self) -> int:
        """Images read right."""
        return int(self.predictions["correct"].sum())

    @property
    def accuracy(self) -> float:
        """Share of images read right."""
        return self.correct / self.n

    @cached_property
    def interval(self) -> Interval:
        """95 % Wilson interval of the accuracy."""
        return wilson(self.correct, self.n)

    @cached_property
    def ned(self) -> float:
        """1 − normalised edit distance, mean over the images."""
        words = zip(self.predictions["label"], self.predictions["reading"], strict=True)
        return math.fsum(similarity(*pair, self.charset) for pair in words) / self.n

    @cached_property
    def confidence(self) -> float:
        """Mean confidence."""
        return math.fsum(self.predictions["confidence"]) / self.n

    def __str__(self) -> str:
        low, high = (100 * end for end in self.interval)
        return f"{100 * self.accuracy:.2f} % of {self.n} [{low:.2f}, {high:.2f}]"


def score(predictions: pd.DataFrame, skipped: int = 0, charset: Charset = ALNUM36) -> Scores:
    """Scores from labels and readings; a column `correct` that is there already is made anew."""
    words = zip(predictions["label"], predictions["reading"], strict=True)
    right = np.array([matches(*pair, charset) for pair in words], dtype=bool)
    frame = predictions.assign(correct=right)
    first = [column for column in COLUMNS if column in frame]
    return Scores(frame[first + [c for c in frame if c not in first]], skipped, charset)


def matches(label: str, reading: str, charset: Charset = ALNUM36) -> bool:
    """Whether a word counts as read right by `PROTOCOL`, or by that of another charset."""
    label = charset.comparable(label)
    return len(label) <= MAX_LENGTH and charset.comparable(reading) == label


def similarity(label: str, reading: str, charset: Charset = ALNUM36) -> float:
    """1 − Levenshtein distance / longer length of what is compared; 1 if both are empty."""
    return Levenshtein.normalized_similarity(*map(charset.comparable, (label, reading)))


def wilson(correct: int, n: int) -> Interval:
    """95 % Wilson interval of `correct` in `n`."""
    share, spread = correct / n, Z95**2 / n
    centre = share + spread / 2
    half = Z95 * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    low, high = (end / (1 + spread) for end in (centre - half, centre + half))
    return Interval(low if correct else 0.0, high if correct < n else 1.0)


def combine(scores: Sequence[Scores] | Mapping[str, Scores]) -> Scores:
    """Several subsets as one: every average is weighted by the images counted.

    The predictions get a column `subset`: the mapping's keys, or "0", "1", … of a sequence.
    """
    named = scores if isinstance(scores, Mapping) else {str(i): s for i, s in enumerate(scores)}
    if not named:
        raise ValueError("expected scores to combine, found none")
    frames = [part.predictions.assign(subset=name) for name, part in named.items()]
    found, *others = {part.charset for part in named.values()}
    if others:
        raise ValueError("expected scores of one charset to combine, found "
                         f"{', '.join(sorted(one.name for one in (found, *others)))}")
    skipped = sum(part.skipped for part in named.values())
    return Scores(pd.concat(frames, ignore_index=True), skipped, found)


class Counts(NamedTuple):
    """How many images both methods, only one, or neither read right."""

    both: int
    only_a: int
    only_b: int
    neither: int


class McNemar(NamedTuple):
    """Result of `mcnemar`: two-sided p and the four counts."""

    p: float
    counts: Counts


def mcnemar(a: Scores, b: Scores) -> McNemar:
    """McNemar's exact test between two methods on the same images.

    Raises:
        ValueError: the images, their labels, their order, or what is compared of words, differ.
    """
    if a.charset != b.charset:
        raise ValueError(f"McNemar's test needs readings that are compared alike, found charsets "
                         f"{a.charset.name} and {b.charset.name}")
    keys = ["index", "label", "image"]
    keys += ["subset"] if "subset" in a.predictions or "subset" in b.predictions else []
    first, second = (s.predictions.reindex(columns=keys).reset_index(drop=True) for s in (a, b))
    if not first.equals(second):
        where = "their numbers differ"
        if a.n == b.n:
            row = int((first != second).any(axis=1).to_numpy().argmax())
            where = f"the first difference is at row {row}"
        raise ValueError(
            f"McNemar's test needs two methods on the same images in the same order, found {a.n} "
            f"and {b.n} images, and {where}; evaluate both on the same pairs"
        )
    right_a, right_b = (s.predictions["correct"].to_numpy(dtype=bool) for s in (a, b))
    counts = Counts(*(int(x.sum()) for x in (right_a & right_b, right_a & ~right_b,
                                             ~right_a & right_b, ~right_a & ~right_b)))
    return McNemar(sign_flips(right_a.astype(int) - right_b), counts)


def sign_flips(ahead: np.ndarray) -> float:
    """The exact two-sided p that a sum is as far from 0 if chance chose the sign of each summand.

    Args:
        ahead: of every image, by how many seeds more one method reads it (N,). Of one seed it is
            McNemar's exact test.
    """
    chances = np.ones(1)  # of the sums from −reach to reach
    for size, images in zip(*np.unique(np.abs(ahead[ahead != 0]), return_counts=True), strict=True):
        logs = np.append(0.0, np.cumsum(np.log(np.arange(1, images + 1))))  # of factorials
        flipped = np.zeros(2 * size * images + 1)
        flipped[:: 2 * size] = np.exp(logs[-1] - logs - logs[::-1] - images * math.log(2))
        chances = np.convolve(chances, flipped)
    reach = len(chances) // 2
    far = np.abs(np.arange(-reach, reach + 1)) >= abs(int(ahead.sum()))
    return min(1.0, float(chances[far].sum()))


def verdict(
    published: float, measured_mean: float, n_published: int | None, n_measured: int,
    same_data: bool = True, same_model: bool = True,
) -> str:
    """"reproduced", "not reproduced", "different data" or "different model".

    Args:
        published: percent.
        measured_mean: percent, mean over seeds.
        n_published: images behind the published figure; None if unknown.
        n_measured: images counted.
        same_data: False for other data that happen to have as many images.
        same_model: False for a recogniser of another size than the published one.
    """
    if not same_data or n_published != n_measured:
        return "different data"
    if not same_model:
        return "different model"
    # Rounded, so that 78.23 − 76.73 is 1.5 as printed and not 1.5000000000000142.
    within = round(abs(measured_mean - published), 6) <= REPRODUCED_WITHIN
    return "reproduced" if within else "not reproduced"
