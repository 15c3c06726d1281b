"""Visual focus loss: the student's feature map should vary over space as the teacher's does."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

DISTANCES = ("cosine", "l1", "l2")
FLAT_STD = 1e-6  # below this a channel holds rounding noise, and 1 / std would amplify it


def visual_focus_loss(
    student: Tensor,
    teacher: Tensor,
    attention: Tensor | None = None,
    lengths: Tensor | None = None,
    normalise: bool = True,
    distance: str = "cosine",
) -> Tensor:
    """Mean over channels of 1 - cosine between standardised maps (paper, visual focus loss).

    Each channel loses its spatial mean and is divided by its spatial unbiased standard
    deviation, teacher and student apart; both are then multiplied by the teacher's attention
    (its maximum over the first ``lengths`` steps) and compared by the cosine over space.

    A channel whose deviation is below 1e-6 in teacher or student carries no pattern to copy: by
    the cosine it contributes the constant 1 and no gradient. (The published code divides by zero.)

    Args:
        student: ``(N, C, H, W)`` feature map, or ``(N, P, E)`` tokens (statistics over the P).
        teacher: same shape.
        attention: ``(N, T, H, W)``, or None for no mask. Only with the first form.
        lengths: ``(N,)`` number of steps, end token included; None uses all T.
        normalise: False compares the maps as they are.
        distance: "cosine"; or "l1" or "l2", mean over all elements of the absolute or squared
            difference.

    Returns:
        Scalar; in [0, 2] for the cosine.

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
    student, teacher = channels(student), channels(teacher)  # (N, C, P)
    flat = None
    if normalise:
        student, student_flat = _standardise(student)
        teacher, teacher_flat = _standardise(teacher)
        flat = student_flat | teacher_flat  # (N, C)
    if focus is not None:
        student, teacher = student * focus, teacher * focus
    if distance != "cosine":
        return (F.l1_loss if distance == "l1" else F.mse_loss)(student, teacher)
    apart = 1 - F.cosine_similarity(student, teacher, dim=-1)  # (N, C)
    return apart.mean() if flat is None else torch.where(flat, 1.0, apart).mean()


def channels(features: Tensor) -> Tensor:
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


def enlarged(attention: Tensor | None, features: Tensor | None) -> Tensor | None:
    """Attention ``(N, T, H, W)`` for a map of an earlier stage, each place repeated.

    Ours: the paper masks the third stage's map alone, which attention fits. What does not fit by
    whole factors stays as it is.
    """
    if attention is None or features is None or features.ndim != 4:
        return attention
    size, own = features.shape[-2:], attention.shape[-2:]
    if size == own or any(large % small for large, small in zip(size, own, strict=True)):
        return attention
    return F.interpolate(attention, size, mode="nearest")


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
