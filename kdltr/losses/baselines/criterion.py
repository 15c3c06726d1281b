"""The criterion of another distiller, in place of the paper's."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from kdltr.losses.baselines.terms import BASELINES, COMPARISONS, TERMS
from kdltr.losses.ctc import ctc_loss
from kdltr.losses.weighted import Terms, WeightedSum, full
from kdltr.models.output import ModelOutput

TO_AN_END = ("dld_sequence",)  # terms that read logits up to an end token


class BaselineCriterion(WeightedSum):
    """The terms of one method of `BASELINES`; none of them trains anything of its own.

    Args:
        method: its name.
        weights: where they differ from the method's; another of `TERMS` may join its own.
        decoding: how the recogniser reads. For "ctc" all frames count, and "cross_entropy" is the
            CTC loss.

    Raises:
        ValueError: an unknown method or term, a weight that cannot be, or a method that needs an
            end token for a recogniser that reads by CTC.
    """

    def __init__(
        self,
        method: str,
        weights: Mapping[str, float] | None = None,
        decoding: str = "attention",
    ) -> None:
        if method not in BASELINES:
            raise ValueError(f"unknown method {method!r}; the methods are {list(BASELINES)}")
        super().__init__(BASELINES[method], weights, TERMS)
        self.method, self.decoding = method, decoding
        used = [name for name, weight in self.weights.items() if weight]
        if decoding == "ctc" and (wrong := [name for name in used if name in TO_AN_END]):
            raise ValueError(
                f"method {method!r} follows a reading to its end token ({', '.join(wrong)}), which "
                f"a recogniser that reads by CTC does not have; set the weight of {wrong[0]} to 0, "
                "or choose another method"
            )
        compared = {COMPARISONS[name][0] for name in used if name in COMPARISONS}
        self.whole_attention = "attention" in compared

    def terms(
        self, student: ModelOutput, teacher: ModelOutput | None, labels: Tensor, lengths: Tensor
    ) -> Terms:
        """The method's, each to be computed when asked for."""
        ctc = self.decoding == "ctc"
        counted = torch.full_like(lengths, student.logits.shape[-2]) if ctc else lengths
        terms = {name: partial(self._term, name, student, teacher, labels, counted)
                 for name in self.weights}
        if ctc:
            terms["cross_entropy"] = lambda: ctc_loss(full(student.logits), labels, lengths)
        return terms

    def _term(self, name: str, *given: ModelOutput | Tensor | None) -> Tensor:
        try:
            return TERMS[name](*given)
        except ValueError as error:
            raise ValueError(f"method {self.method!r}: {error}") from error
