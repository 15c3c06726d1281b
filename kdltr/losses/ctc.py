"""The terms of a CTC recogniser: the loss on the labels, and the soft logits of its frames.

Symbols: N words, T frames, C classes (0 the blank), S characters of the longest label.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from kdltr.losses.alignment import align
from kdltr.losses.collapsed import collapsed_distribution

CTC_TARGETS = ("frames", "collapsed_paths")


def ctc_loss(logits: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
    """Connectionist temporal classification: −log p(label) ÷ its characters, mean over words.

    A word that does not fit the frames has no probability and is left out of the mean. On no device
    does the host wait, and equal inputs give equal bits (PyTorch's own needs the lengths on the
    host, and its gradient on a GPU is summed in any order).

    Args:
        logits: ``(N, T, C)``.
        labels: ``(N, S + 1)`` class ids, the label and at least one 0 behind.
        lengths: ``(N,)`` characters of each word + 1, as `kdltr.charset.Charset.encode` counts.
    """
    log_p = logits.log_softmax(-1)
    characters = lengths - 1
    loss = _NegativeLogLikelihood.apply(log_p, labels[:, :-1], characters)  # (N,)
    fits = ~loss.isposinf()  # NaN is no misfit: it is to be seen
    loss = torch.where(fits, loss, 0.0) / characters.clamp(min=1)
    return loss.sum() / fits.sum().clamp(min=1)


def frame_divergence(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float = 4.0,
    targets: str = "frames",
    alpha: float = 0.2,
    threshold: float = 0.1,
    paths: int = 6,
    beam: int = 3,
) -> Tensor:
    """KL divergence of the student's frames from the teacher's, mean over frames and words.

    Args:
        student_logits: ``(N, T, C)``.
        teacher_logits: same shape; treated as constant.
        temperature: divides both. No factor T².
        targets: "frames", the teacher's distributions as they are; or "collapsed_paths", mixed as
            the paper mixes (`kdltr.losses.soft_logits_loss`) with what the teacher's best words say
            of each frame (`kdltr.losses.collapsed`).
        alpha: share of the latter.
        threshold: least probability, softened, of a best word that is trusted.
        paths: how many best words.
        beam: see `kdltr.losses.collapsed.collapsed_distribution`.

    Raises:
        ValueError: shapes that differ, or unknown ``targets``.
    """
    if targets not in CTC_TARGETS:
        raise ValueError(f"targets must be one of {CTC_TARGETS}; found {targets!r}")
    if student_logits.shape != teacher_logits.shape:
        raise ValueError(
            "logits of student and teacher must have equal shapes, found "
            f"{tuple(student_logits.shape)} and {tuple(teacher_logits.shape)}; both need the same "
            "charset and the same number of frames"
        )
    student_log_p = (student_logits / temperature).log_softmax(-1)
    with torch.no_grad():
        teacher_log_p = (teacher_logits / temperature).log_softmax(-1)
        target = teacher_log_p.exp()
        if targets == "collapsed_paths":
            words, probability = collapsed_distribution(teacher_log_p, beam, paths)
            share = torch.where(probability >= threshold, alpha, 0.0)[:, None, None].to(target)
            target = share * words + (1 - share) * target
    return F.kl_div(student_log_p, target, reduction="none").sum(-1).mean()


class _NegativeLogLikelihood(torch.autograd.Function):
    """−log p(label) of each word; what `align` says of the frames is minus its gradient."""

    @staticmethod
    def forward(ctx, log_p: Tensor, labels: Tensor, characters: Tensor) -> Tensor:
        likelihood, share = align(log_p, labels, characters)
        ctx.save_for_backward(share)
        return -likelihood

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_output: Tensor):
        (share,) = ctx.saved_tensors
        return -grad_output[:, None, None] * share, None, None
