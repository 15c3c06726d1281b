"""Feature maps and vectors compared as they are, as energy over space, and as similarities.

Symbols: N words, T steps, E width of a vector, C channels, (H, W) a map.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from kdltr.losses.visual import channels


def mean_squared(student: Tensor, teacher: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Mean over all elements of the squared difference; no mask, no normalisation.

    Of maps it is the hint of FitNets (Romero et al., ICLR 2015; published code, whose regressor
    equal shapes make unnecessary), the distillation term of DFD (Zhu et al., ICASSP 2019; our
    reading: no code is published) and DLD's of RoI features; of vectors DLD's of context features
    (Chen et al., ECCV 2022; published code, in which ÷ 5 and × 25 cancel).
    """
    return F.mse_loss(student, teacher)


def attention_transfer(student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
    """Attention transfer (Zagoruyko and Komodakis, ICLR 2017; published code).

    The mean over channels of a map's squares, flattened and divided by its L2 norm; mean over all
    places of the squared difference.

    Args:
        student: ``(N, C, H, W)``, or tokens ``(N, P, E)``.
        teacher: same shape.
    """
    return F.mse_loss(*(F.normalize(_energy(x)) for x in (student, teacher)))


def attention_transfer_of_rows(student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
    """Attention transfer as the code of A-SKD has it: normalised over rows, 5·(1 − cosine).

    Args:
        student: ``(N, C, H, W)``.
        teacher: same shape.

    Raises:
        ValueError: tokens, which have no rows.
    """
    if student.ndim != 4:
        raise ValueError("attention transfer over rows takes maps (N, C, H, W), found "
                         f"{tuple(student.shape)}; use at_visual, which takes tokens too")
    q = (F.normalize(x.square().mean(1), dim=1).flatten(1) for x in (student, teacher))
    return 5 * (1 - F.cosine_similarity(*q)).mean()


def similarity_preserving(student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
    """Similarity-preserving distillation (Tung and Mori, ICCV 2019; published code).

    G = F·Fᵀ of the flattened features of a batch, its rows divided by their L2 norm; the sum of
    squared differences ÷ N².
    """
    def similarities(features: Tensor) -> Tensor:
        flat = features.flatten(1)
        return F.normalize(flat @ flat.mT)  # (N, N)

    return F.mse_loss(similarities(student), similarities(teacher))


def _energy(features: Tensor) -> Tensor:
    """Mean over channels of the squares, ``(N, places)``."""
    return channels(features).square().mean(1)
