"""Softened distributions of student and teacher compared step by step."""

from __future__ import annotations

from torch import Tensor

from kdltr.losses.baselines.steps import mean_of_read


def step_divergence(
    student: Tensor, teacher: Tensor, lengths: Tensor, temperature: float
) -> Tensor:
    """T²·KL(teacher ‖ student) at temperature T, mean over the read steps of all words.

    Hinton et al. (2015; published code of RepDistiller, T = 4); at T = 2 the logits term of
    Unified (`kdltr.losses.baselines.unified`).

    Args:
        student: logits ``(N, T, C)``.
        teacher: same shape.
        lengths: ``(N,)`` steps of each word, end token included.
    """
    divergence = _divergence(student, teacher, temperature)
    return temperature**2 * mean_of_read(divergence, lengths)


def divergence_of_all_steps(
    student: Tensor, teacher: Tensor, lengths: Tensor, temperature: float
) -> Tensor:
    """KL(teacher ‖ student) without the factor T², mean over words and all steps.

    At T = 5 the alternative to its sequence term in DLD's published code.
    """
    return _divergence(student, teacher, temperature).mean()


def _divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """``(N, T, C)`` logits to ``(N, T)``."""
    student_log_p = (student / temperature).log_softmax(-1)
    teacher_log_p = (teacher / temperature).log_softmax(-1)
    return (teacher_log_p.exp() * (teacher_log_p - student_log_p)).sum(-1)
