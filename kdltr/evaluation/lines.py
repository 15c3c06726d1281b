"""How well lines of words are read: word and character error rates over a whole set.

An error is a deletion, an insertion or a substitution (Levenshtein). Both rates are of sums over
the set, not means over lines, and can exceed 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import reduce
from typing import Any, Self

import numpy as np
from rapidfuzz.distance import Levenshtein

from kdltr.data.lines import SEPARATOR
from kdltr.evaluation.bootstrap import Estimate, estimate, resampled_sums
from kdltr.evaluation.compare import CHANCE

PUBLISHED_WER = 80.0  # percent, near which KD-LTR's teacher reads IAM's lines after bicubic


@dataclass(frozen=True)
class LineErrors:
    """Errors and what they are a share of; add two for both sets together.

    Attributes:
        lines: how many were counted.
        correct: of them, those read without an error.
        character_errors, characters: of all labels.
        word_errors, words: of all labels.
    """

    lines: int = 0
    correct: int = 0
    character_errors: int = 0
    characters: int = 0
    word_errors: int = 0
    words: int = 0

    def __add__(self, other: Self) -> Self:
        sums = (a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True))
        return type(self)(*sums)

    @property
    def cer(self) -> float:
        """Character errors a character of the labels.

        Raises:
            ValueError: the labels have no characters.
        """
        return _share(self.character_errors, self.characters, "characters")

    @property
    def wer(self) -> float:
        """Word errors a word of the labels.

        Raises:
            ValueError: there are no labels.
        """
        return _share(self.word_errors, self.words, "words")

    def __str__(self) -> str:
        return f"{100 * self.wer:.1f} WER, {100 * self.cer:.1f} CER of {self.lines} lines"


def _share(errors: int, counted: int, what: str) -> float:
    if not counted:
        raise ValueError(f"expected labels to compare readings with, found no {what} in them; "
                         "count lines that have a label")
    return errors / counted


def line_errors(
    label: str,
    reading: str,
    case_sensitive: bool = True,
    separator_counts: bool = True,
) -> LineErrors:
    """Errors of one line, whose words are parted by `SEPARATOR`.

    Args:
        label: what is written.
        reading: what was read.
        case_sensitive: False: both are lower-cased first.
        separator_counts: the separator is a character like any other, as DAN's authors count.
            False: characters are compared without it, so that words run together are word errors
            alone.
    """
    if not case_sensitive:
        label, reading = label.lower(), reading.lower()
    words = label.split(SEPARATOR)
    word_errors = Levenshtein.distance(words, reading.split(SEPARATOR))
    correct = int(label == reading)
    if not separator_counts:
        label, reading = (text.replace(SEPARATOR, "") for text in (label, reading))
    return LineErrors(
        1, correct, Levenshtein.distance(label, reading), len(label), word_errors, len(words)
    )


def error_rates(
    labels: Iterable[str],
    readings: Iterable[str],
    case_sensitive: bool = True,
    separator_counts: bool = True,
) -> LineErrors:
    """Errors of a set of lines; arguments as `line_errors`.

    Raises:
        ValueError: there are not as many readings as labels.
    """
    each = (line_errors(label, reading, case_sensitive, separator_counts)
            for label, reading in zip(labels, readings, strict=True))
    return reduce(LineErrors.__add__, each, LineErrors())


def estimates(
    errors: Sequence[LineErrors], others: Sequence[LineErrors] | None = None
) -> dict[str, Estimate]:
    """WER and CER in percent, with 95 % intervals by resampling the lines.

    Args:
        errors: of each line.
        others: of the same lines by another method: then by how many points the first's rates are
            lower than its, in resamples of the same lines.

    Raises:
        ValueError: no lines, not as many others, or a label without characters.
    """
    if not errors or (others is not None and len(others) != len(errors)):
        raise ValueError(f"expected errors of one line at least, and as many of another method; "
                         f"found {len(errors)} and {len(errors if others is None else others)}")
    if not all(line.characters for line in errors):
        raise ValueError("expected labels to compare readings with, found one without characters; "
                         "leave its line out")
    columns = np.array([astuple(line) for line in errors], float)  # (M, 6)
    rates = _rates(columns.sum(0)), _rates(resampled_sums(columns))
    if others is None:
        return {name: estimate(float(rates[0][name]), rates[1][name]) for name in rates[0]}
    columns = np.array([astuple(line) for line in others], float)
    other = _rates(columns.sum(0)), _rates(resampled_sums(columns))  # the same resamples: one seed
    return {name: estimate(float(other[0][name] - rates[0][name]), other[1][name] - rates[1][name],
                           -np.inf) for name in rates[0]}


def claim(
    text: str, metric: str, better: Sequence[LineErrors], worse: Sequence[LineErrors],
    published: float | None = None,
) -> dict[str, Any]:
    """A claim "`better` makes fewer errors than `worse`", as `kdltr.evaluation.compare.claim`.

    The interval is the bootstrap's over lines, there is no p. A published gap is of other data:
    nobody knows how KD-LTR degraded its lines.

    Args:
        metric: "WER" or "CER".
        better, worse: of the same lines.
        published: by how many points the rate is lower in the paper; None if it does not say.

    Raises:
        ValueError: as `estimates`.
    """
    found = estimates(better, worse)[metric]
    here = "holds" if found.low > 0 else "the reverse holds" if found.high < 0 else CHANCE
    return {"claim": text, "published": published, "measured": found.value, "low": found.low,
            "high": found.high, "p": None, "n": len(better), "here": here,
            "verdict": "not in the paper" if published is None else "different data"}


def _rates(sums: np.ndarray) -> dict[str, np.ndarray]:
    """WER and CER in percent of sums (…, 6) of what `LineErrors` counts."""
    _, _, character_errors, characters, word_errors, words = np.moveaxis(sums, -1, 0)
    return {"WER": 100 * word_errors / words, "CER": 100 * character_errors / characters}


def level_near(wers: Mapping[float, float], wanted: float = PUBLISHED_WER) -> float:
    """The level of degradation at which the WER is nearest to `wanted`, the mildest of equals.

    Raises:
        ValueError: no levels.
    """
    if not wers:
        raise ValueError("expected word error rates by level, found none; give levels to try")
    return min(sorted(wers), key=lambda level: abs(wers[level] - wanted))
