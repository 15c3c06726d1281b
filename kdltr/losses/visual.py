"""Visual focus loss: the student's feature map should vary over space as the teacher's does."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

FLAT_STD = 1e-6  # below this a channel holds rounding noise, and 1 / std would amplify it


def visual_focus_loss(
    student: Tensor,
    teacher: Tensor,
    attention: Tensor | None = None,
    lengths: Tensor | None = None,
) -> Tensor:
    """Mean over channels of 1 - cosine between standardised maps (paper, visual focus loss).

    Each channel loses its spatial mean and is divided by its spatial unbiased standard
    deviation, teacher and student apart; both are then multiplied by the teacher's attention
    (its maximum over the first ``lengths`` steps) and compared by the cosine over space.

    A channel whose deviation is below 1e-6 in teacher or student carries no pattern to copy: it
    contributes the constant 1 and no gradient. (The published code divides by zero there.)

    Args:
        student: ``(N, C, H, W)`` feature map, or ``(N, P, E)`` tokens (statistics over the P).
        teacher: same shape.
        attention: ``(N, T, H, W)``, or None for no mask. Only with the first form.
        lengths: ``(N,)`` number of steps, end token included; None uses all T.

    Returns:
        Scalar in [0, 2].

    Raises:
        ValueError: shapes that do not belong together.
    """
    if student.shape != teacher.shape or student.ndim not in (3, 4):
        raise ValueError(
            "visual features of student and teacher must both be (N, C, H, W) or both (N, P, E) "
            f"of equal size; found student {tuple(student.shape)}, teacher {tuple(teacher.shape)}. "
            "Give the student strides (or patches) that make the teacher's map size."
        )
    focus = None
    if attention is not None:
        focus = _focus(attention, lengths, teacher)  # (N, 1, H·W)
    student_z, student_flat = _standardise(_channels(student))  # (N, C, P), (N, C)
    teacher_z, teacher_flat = _standardise(_channels(teacher))
    if focus is not None:
        student_z, teacher_z = student_z * focus, teacher_z * focus
    distance = 1 - F.cosine_similarity(student_z, teacher_z, dim=-1)  # (N, C)
    return torch.where(student_flat | teacher_flat, 1.0, distance).mean()


def _channels(features: Tensor) -> Tensor:
    """``(N, C, H, W)`` or ``(N, P, E)`` to (batch, channel, place)."""
    return features.flatten(2) if features.ndim == 4 else features.transpose(1, 2)


def _standardise(channels: Tensor) -> tuple[Tensor, Tensor]:
    """``(N, C, P)`` to zero mean and unit deviation over P, and which channels are flat."""
    centred = channels - channels.mean(-1, keepdim=True)
    variance = centred.square().sum(-1, keepdim=True) / max(channels.shape[-1] - 1, 1)  # (N, C, 1)
    flat = variance < FLAT_STD**2
    # Chosen before the division: of a flat channel 1 / std is up to 1e13 or infinite, and in the
    # gradient infinity times the 0 of a discarded branch is NaN.
    deviation = torch.where(flat, 1.0, variance).sqrt()
    return centred / deviation, flat.squeeze(-1)


def focus_map(attention: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Where the teacher looked while reading the word: ``(N, T, H, W)`` to ``(N, 1, H, W)``.

    The maximum over the first ``lengths`` (N,) steps, or over all. Of a map the map is the same, so
    that it can stand for the attention it was made of.
    """
    attention = attention.detach()
    if lengths is not None:
        steps = torch.arange(attention.shape[1], device=attention.device)
        read = steps < lengths[:, None]  # (N, T)
        attention = attention.masked_fill(~read[..., None, None], 0.0)  # attention is never < 0
    return attention.amax(1, keepdim=True)


def _focus(attention: Tensor, lengths: Tensor | None, teacher: Tensor) -> Tensor:
    """The mask for maps like the teacher's: ``(N, T, H, W)`` to ``(N, 1, H·W)``."""
    n, _, *space = attention.shape
    if teacher.ndim != 4 or [n, *space] != [teacher.shape[0], *teacher.shape[2:]]:
        raise ValueError(
            "attention must be (N, T, H, W) over the places of the feature map (N, C, H, W); found "
            f"attention {tuple(attention.shape)}, features {tuple(teacher.shape)}. "
            "Pass attention=None for a recogniser without a map of where it looks."
        )
    return focus_map(attention, lengths).flatten(2)
