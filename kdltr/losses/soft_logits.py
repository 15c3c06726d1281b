"""Soft logits loss: the student's softened reading should be the teacher's."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kdltr.losses.paths import path_distribution_of_logs

LEVELS = ("sequence", "step")
LOG_FLOOR = -10.0  # published: no gradient where the student is surer than this that it is wrong


def soft_logits_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float = 4.0,
    alpha: float = 0.2,
    threshold: float = 0.1,
    path_score: str = "published",
    paths: int = 6,
    beam: int = 3,
    level: str = "sequence",
) -> Tensor:
    """KL divergence from a mix of character- and sequence-level teacher targets (paper).

    The target is α·sequence + (1 - α)·teacher, both at ``temperature`` and detached, where
    *sequence* is `path_distribution` of the teacher, and α is ``alpha`` where its best path has
    a joint probability of at least ``threshold``, else 0. The divergence is summed over the
    first *best path length* steps and divided by that length; mean over words. No factor T².

    Args:
        student_logits: ``(N, T, C)``, class 0 the end token; or ``(K, N, T, C)``, mean over K.
        teacher_logits: same shape.
        temperature: divides both logits.
        alpha: share of the sequence target.
        threshold: least joint probability, before division by length, of a trusted best path.
        path_score: see `path_distribution`.
        paths: K of the sequence target.
        beam: see `path_distribution`.
        level: "sequence"; or "step", the published code's other way: the target is the teacher,
            and the divergence the sum over all T steps, padding included, mean over words.

    Returns:
        Scalar.

    Raises:
        ValueError: shapes that differ, or an unknown ``path_score``.
    """
    if student_logits.shape != teacher_logits.shape:
        raise ValueError(
            "logits of student and teacher must have equal shapes, found "
            f"{tuple(student_logits.shape)} and {tuple(teacher_logits.shape)}; both need the same "
            "charset and the same number of steps"
        )
    # Every permutation counts equally and has all N words, so K folds into the batch.
    student_log_p = _soften(student_logits, temperature).clamp(min=LOG_FLOOR)  # (N, T, C)
    teacher_log_p = _soften(teacher_logits.detach(), temperature)
    if level == "step":
        return _divergence(teacher_log_p.exp(), student_log_p).sum(-1).mean()
    with torch.no_grad():
        sequence, lengths, probability = path_distribution_of_logs(
            teacher_log_p, beam=beam, paths=paths, path_score=path_score
        )
        share = torch.where(probability >= threshold, alpha, 0.0)[:, None, None].to(sequence)
        target = share * sequence + (1 - share) * teacher_log_p.exp()
    steps = torch.arange(target.shape[1], device=target.device)
    counted = steps < lengths[:, None]  # (N, T)
    per_word = torch.where(counted, _divergence(target, student_log_p), 0.0).sum(-1) / lengths
    return per_word.mean()


def _divergence(target: Tensor, log_p: Tensor) -> Tensor:
    """KL of ``(N, T, C)`` from its target, ``(N, T)``."""
    return (torch.xlogy(target, target) - target * log_p).sum(-1)  # 0·log 0 = 0


def _soften(logits: Tensor, temperature: float) -> Tensor:
    logits = logits.flatten(0, -3) if logits.ndim == 4 else logits
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    return F.log_softmax(logits / temperature, dim=-1)
