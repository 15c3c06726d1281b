"""Which characters are taken for which.

Label and reading are compared as accuracies are, lower-cased and on [0-9a-z] alone, and aligned by
the fewest edits (Levenshtein). `GAP` stands for no character: a missing or an added one.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
from rapidfuzz.distance import Levenshtein

from kdltr.charset import alphanumeric_lower
from kdltr.evaluation.bootstrap import Estimate, estimate, resampled_sums
from kdltr.evaluation.scores import similarity, wilson

GAP = "·"  # in the place of a character that is not there
SIMILAR = 0.5  # 1 − NED from which an alignment says which character became which


def confusion_pairs(predictions: pd.DataFrame, similar: float = SIMILAR) -> pd.DataFrame:
    """How often each character was read as each other, most frequent first.

    Words less similar to their label than `similar` are passed over: where little agrees, the
    fewest edits pair characters that have nothing to do with each other.

    Returns:
        `label` and `reading` (a character or `GAP`), `count`, and `n`, how often the character
        occurs in the labels compared (for an added one: the characters compared).
    """
    counts: Counter[tuple[str, str]] = Counter()
    occurrences: Counter[str] = Counter()
    for label, reading in _filtered(predictions):
        if similarity(label, reading) >= similar:
            occurrences.update(label)
            counts.update(_edits(label, reading))
    occurrences[GAP] = occurrences.total()
    rows = [(*pair, count, occurrences[pair[0]]) for pair, count in counts.items()]
    frame = pd.DataFrame(rows, columns=["label", "reading", "count", "n"])
    order = ["count", "label", "reading"]  # the last two: the same table on every machine
    return frame.sort_values(order, ascending=[False, True, True], ignore_index=True)


def swaps(pairs: pd.DataFrame) -> pd.DataFrame:
    """Those of `confusion_pairs` in which one character stands for another."""
    return pairs[(pairs["label"] != GAP) & (pairs["reading"] != GAP)]


def kinds(pairs: pd.DataFrame) -> dict[str, int]:
    """How many edits of `confusion_pairs` are of each kind: swapped, missed, added."""
    which = {"swapped": swaps(pairs), "missed": pairs[pairs["reading"] == GAP],
             "added": pairs[pairs["label"] == GAP]}  # fmt: skip
    return {kind: int(chosen["count"].sum()) for kind, chosen in which.items()}


def by_character(predictions: pd.DataFrame) -> pd.DataFrame:
    """Every character of the labels, most frequent first, and how often it was misread.

    Returns:
        `character`, `n` (occurrences), `wrong` (read as another or not at all), `share` = wrong / n
        and its 95 % Wilson interval `low`, `high`. All words count.
    """
    wrong: Counter[str] = Counter()
    occurrences: Counter[str] = Counter()
    for label, reading in _filtered(predictions):
        occurrences.update(label)
        wrong.update(character for character, _ in _edits(label, reading))
    rows = [
        (character, n, wrong[character], wrong[character] / n, *wilson(wrong[character], n))
        for character, n in sorted(occurrences.items(), key=lambda item: (-item[1], item[0]))
    ]
    return pd.DataFrame(rows, columns=["character", "n", "wrong", "share", "low", "high"])


def character_error_rate(predictions: pd.DataFrame, seed: int = 0) -> Estimate:
    """Edits over characters of the labels, all words; interval by bootstrap over the images.

    Raises:
        ValueError: no label holds a character that counts.
    """
    words = _filtered(predictions)
    columns = np.array([(Levenshtein.distance(*word), len(word[0])) for word in words])  # (M, 2)
    edits, characters = columns.sum(0)
    if not characters:
        raise ValueError("expected labels with characters of [0-9a-z], found none")
    resampled = resampled_sums(columns, seed)
    return estimate(float(edits / characters), resampled[:, 0] / resampled[:, 1].clip(1))


def _filtered(predictions: pd.DataFrame) -> list[tuple[str, str]]:
    pairs = zip(predictions["label"], predictions["reading"], strict=True)
    return [(alphanumeric_lower(label), alphanumeric_lower(reading)) for label, reading in pairs]


def _edits(label: str, reading: str) -> list[tuple[str, str]]:
    """(character of the label, character read) wherever they differ."""
    places = {
        "replace": lambda i, k: (label[i], reading[k]),
        "delete": lambda i, k: (label[i], GAP),
        "insert": lambda i, k: (GAP, reading[k]),
    }
    return [places[kind](i, k) for kind, i, k in Levenshtein.editops(label, reading)]


def marked(reading: str, label: str) -> list[tuple[str, bool]]:
    """The characters of `reading`, each with whether it is right.

    Compared as accuracies are: without case, [0-9a-z] alone; other characters count as right.
    A character of the label that the reading lacks is `GAP`, wrong.
    """
    compared = [i for i, c in enumerate(reading) for _ in alphanumeric_lower(c)]  # ½ is two of them
    right = [True] * len(reading)
    gaps: dict[int, int] = {}
    for kind, place, _ in Levenshtein.editops(*map(alphanumeric_lower, (reading, label))):
        if kind == "insert":
            position = compared[place] if place < len(compared) else len(reading)
            gaps[position] = gaps.get(position, 0) + 1
        else:
            right[compared[place]] = False
    characters = []
    for i in range(len(reading) + 1):
        characters += [(GAP, False)] * gaps.get(i, 0)
        if i < len(reading):
            characters.append((reading[i], right[i]))
    return characters
