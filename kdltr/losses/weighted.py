"""What every criterion is: a weighted sum of named terms of a student's and a teacher's output."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from kdltr.models.output import ModelOutput

Terms = dict[str, Callable[[], Tensor]]


class WeightedSum(nn.Module):
    """Terms by name, computed where they have a weight, and their weighted sum.

    Args:
        published: weights by term.
        weights: those that differ. A term of weight 0 is not computed and reported as 0.
        known: all terms that may have a weight; None: those of ``published``.

    Attributes:
        weights: by term.
        whole_attention: whether a term compares the attention of every step, and not only where
            a word was looked at.
        part_logits: whether a term compares the logits of a part (``ModelOutput.auxiliary``).

    Raises:
        ValueError: an unknown term, or a weight that is negative or not finite.
    """

    whole_attention = False
    part_logits = False

    def __init__(
        self,
        published: Mapping[str, float],
        weights: Mapping[str, float] | None = None,
        known: Iterable[str] | None = None,
    ) -> None:
        super().__init__()
        self.weights = dict(published) | dict(weights or {})
        known = list(published if known is None else known)
        if unknown := set(self.weights) - set(known):
            raise ValueError(f"unknown loss terms {sorted(unknown)}; the terms are {known}")
        for name, weight in self.weights.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise ValueError(f"the weight of {name} must be finite and >= 0, found {weight}")

    def terms(
        self, student: ModelOutput, teacher: ModelOutput | None, labels: Tensor, lengths: Tensor
    ) -> Terms:
        """What computes each term."""
        raise NotImplementedError

    def forward(
        self,
        student: ModelOutput,
        teacher: ModelOutput | None,
        labels: Tensor,
        lengths: Tensor,
    ) -> dict[str, Tensor]:
        """Unweighted terms by name, and "total", their weighted sum.

        Computed in float32 at least, also under autocast. PARSeq's leading K (permutations) in
        logits and semantic is averaged over.

        Args:
            student: see `ModelOutput` for the shapes.
            teacher: equal shapes, treated as constant; None if only cross-entropy has a weight.
            labels: ``(N, T)`` class ids, end token 0.
            lengths: ``(N,)`` steps of each word, end token included.

        Raises:
            ValueError: a missing teacher or output, or shapes that do not fit; names the term.
        """
        compute = self.terms(student, teacher, labels, lengths)
        # Half precision would leave the similarities ÷ 0.1 and products over steps few digits.
        with torch.autocast(student.logits.device.type, enabled=False):
            zero = student.logits.new_zeros((), dtype=torch.float32)
            terms = {name: compute[name]() if weight else zero
                     for name, weight in self.weights.items()}
            total = sum((self.weights[name] * term for name, term in terms.items()), zero)
        return terms | {"total": total}


def pair(
    field: str, student: ModelOutput, teacher: ModelOutput | None, term: str
) -> tuple[Tensor, Tensor]:
    """``field`` of the student and, detached, of the teacher, at least in float32.

    Raises:
        ValueError: one of them gave none; names the ``term`` that compares it.
    """
    found = getattr(student, field), getattr(teacher, field, None)
    for who, tensor in zip(("student", "teacher"), found, strict=True):
        if tensor is None:
            raise ValueError(
                f"the {term} term compares {field} of student and teacher, but the {who} gave "
                f"none; return it in ModelOutput, or set the weight of {term} to 0"
            )
    return full(found[0]), full(found[1]).detach()


def full(tensor: Tensor | None) -> Tensor | None:
    """The tensor, at least in float32."""
    half = tensor is not None and tensor.dtype in (torch.float16, torch.bfloat16)
    return tensor.float() if half else tensor
