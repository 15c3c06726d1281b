"""Unified (Bhunia et al., "Text is Text, No Matter What", ICCV 2021): four terms of a decoder.

No code is published. That there are these four, and that the hint is of the glimpse, the attended
vector of a step, is the paper's; norms, weights and temperature are our reading. Glimpses are
``ModelOutput.semantic``. The logits term is `kdltr.losses.baselines.divergence.step_divergence`.

Symbols: N words, T steps, E width of a glimpse, (H, W) places of attention.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from kdltr.losses.baselines.steps import mean_of_read, read


def glimpse_hint(student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
    """Squared difference of glimpses ``(N, T, E)``, mean over E and the read steps."""
    return mean_of_read((student - teacher).square().mean(-1), lengths)


def attention_difference(student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
    """Squared difference of attention ``(N, T, H, W)``, sum over places, mean over read steps."""
    return mean_of_read((student - teacher).square().sum((-2, -1)), lengths)


def glimpse_affinity(student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
    """How a word's glimpses ``(N, T, E)`` resemble each other.

    The squared difference of the matrices of cosines between the read steps of a word, mean over
    its entries, then over words.
    """
    cosines = (x @ x.mT for x in (F.normalize(student, dim=-1), F.normalize(teacher, dim=-1)))
    counted = read(lengths, student.shape[1])
    both = counted[:, :, None] & counted[:, None]  # (N, T, T)
    ours, theirs = cosines
    squared = (ours - theirs).square() * both
    return (squared.sum((1, 2)) / lengths.square()).mean()
