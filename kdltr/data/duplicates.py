"""Pictures of one word that lie in two places: found by their labels and by how alike they look."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

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
