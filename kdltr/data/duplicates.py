"""Pictures of one word that lie in two places: found by their labels and by how alike they look.

    write_table("kdltr/data/words_of_tests.csv", training, tests)

lists the words of training sets that test sets hold too (`kdltr.data.separation` leaves them out):
numbers and labels, no pictures. Most of them are digits and short words that look the same
wherever they stand; it is safer to leave those out than to tell them from the others.
"""

from __future__ import annotations

import csv
import io
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence

from torch import Tensor
from torch.nn import functional as F

from kdltr.data.hashes import data_hash
from kdltr.data.loader import load_pairs
from kdltr.data.opening import open_data
from kdltr.files import write_text

ALIKE = 0.9  # correlation above which two pictures with one label count as one
_GRID = (12, 48)  # grey pixels that pictures are compared in


def duplicates(
    images: Tensor, words: Sequence[str], others: Tensor, other_words: Sequence[str],
    alike: float = ALIKE,
) -> list[tuple[int, int, float]]:
    """Places (i, j) of pictures with one label that look alike, and their correlation.

    Args:
        images, others: (M, 3, H, W) and (K, 3, h, w) uint8, for instance `WordPairs.hr`.
        words, other_words: their labels; case does not count.
        alike: the correlation of grey pictures, after each is normalised, from which on they do.
    """
    ours, theirs = _by_label(words), _by_label(other_words)
    left, right = _normalised(images), _normalised(others)
    found = []
    for label in ours.keys() & theirs.keys():
        rows, columns = ours[label], theirs[label]
        correlation = left[rows] @ right[columns].mT
        for a, b in (correlation >= alike).nonzero().tolist():
            found.append((rows[a], columns[b], float(correlation[a, b])))
    return sorted(found)


def write_table(
    path: str | os.PathLike,
    training: Mapping[str, str | os.PathLike],
    tests: Mapping[str, str | os.PathLike],
) -> int:
    """Write the words of training sets that test sets hold too as CSV; how many they are.

    Of a word that several pictures are like, the likest is named. A set that shares none has a line
    without a word.

    Args:
        path: of the CSV.
        training, tests: path of each set, an LMDB or a folder, by the name to write.
    """
    loaded = {name: load_pairs(open_data(where)) for name, where in {**training, **tests}.items()}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("set", "labels", "index", "label", "test", "test_index", "correlation"))
    count = 0
    for name, where in training.items():
        ours, labels, likest = loaded[name], data_hash(where)["labels"], {}
        for test in tests:
            theirs = loaded[test]
            for i, j, alike in duplicates(ours.hr, ours.words, theirs.hr, theirs.words):
                likest[i] = max(likest.get(i, (0.0,)), (alike, test, j))
        for i, (alike, test, j) in sorted(likest.items()):
            writer.writerow((name, labels, i, ours.words[i], test, j, f"{alike:.3f}"))
        if not likest:
            writer.writerow((name, labels, *[""] * 5))
        count += len(likest)
    write_text(path, text.getvalue())
    return count


def _by_label(words: Sequence[str]) -> dict[str, list[int]]:
    places = defaultdict(list)
    for i, word in enumerate(words):
        places[word.lower()].append(i)
    return places


def _normalised(images: Tensor) -> Tensor:
    """Grey pictures of mean 0 and length 1, (M, pixels)."""
    grey = images.float().mean(1, keepdim=True)
    flat = F.interpolate(grey, _GRID, mode="area").flatten(1)
    return F.normalize(flat - flat.mean(1, keepdim=True), dim=1)
