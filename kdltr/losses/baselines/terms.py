"""The terms of other distillers by name, and each method as its terms with weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from kdltr.losses.baselines import askd, dld, features, unified
from kdltr.losses.baselines.divergence import divergence_of_all_steps, step_divergence
from kdltr.losses.cross_entropy import cross_entropy_loss
from kdltr.losses.weighted import full, pair
from kdltr.models.output import ModelOutput

Term = Callable[[ModelOutput, ModelOutput | None, Tensor, Tensor], Tensor]

# What a term compares, and by what function of both and of the words' lengths.
COMPARISONS: dict[str, tuple[str, Callable[[Tensor, Tensor, Tensor], Tensor]]] = {
    "askd_attention": ("attention", askd.attention_distance),
    "askd_attention_masked": ("attention", askd.masked_attention_distance),
    "dld_visual_l2": ("visual", features.mean_squared),
    "dld_semantic_l2": ("semantic", features.mean_squared),
    "dld_sequence": ("logits", dld.sequence_loss),
    "dld_kl_T5": ("logits", partial(divergence_of_all_steps, temperature=5.0)),
    "dfd_visual": ("visual", features.mean_squared),
    "unified_logits": ("logits", partial(step_divergence, temperature=2.0)),
    "unified_hint": ("semantic", unified.glimpse_hint),
    "unified_attention": ("attention", unified.attention_difference),
    "unified_affinity": ("semantic", unified.glimpse_affinity),
    "hinton_T4": ("logits", partial(step_divergence, temperature=4.0)),
    "fitnet_visual": ("visual", features.mean_squared),
    "at_visual": ("visual", features.attention_transfer),
    "at_askd_rows": ("visual", features.attention_transfer_of_rows),
    "sp_visual": ("visual", features.similarity_preserving),
}


def _compared(
    name: str, student: ModelOutput, teacher: ModelOutput | None, labels: Tensor, lengths: Tensor
) -> Tensor:
    field, distance = COMPARISONS[name]
    ours, theirs = pair(field, student, teacher, name)
    if ours.shape != theirs.shape:
        raise ValueError(f"the {name} term compares {field} of equal shapes, found student "
                         f"{tuple(ours.shape)}, teacher {tuple(theirs.shape)}")
    if field in ("logits", "semantic") and ours.ndim == 4:  # permutations are more words
        lengths = lengths.repeat(len(ours))
        ours, theirs = ours.flatten(0, 1), theirs.flatten(0, 1)
    return distance(ours, theirs, lengths)


def _cross_entropy(
    student: ModelOutput, teacher: ModelOutput | None, labels: Tensor, lengths: Tensor
) -> Tensor:
    return cross_entropy_loss(full(student.logits), labels, lengths)


TERMS: dict[str, Term] = {"cross_entropy": _cross_entropy} | {
    name: partial(_compared, name) for name in COMPARISONS
}

# The first is the baseline of all. The weights of DFD and Unified are ours (no code is published),
# those of A-SKD and DLD published; of the classics the usual ones.
BASELINES: dict[str, dict[str, float]] = {
    "fine-tuning": {"cross_entropy": 1.0},
    "dfd": {"cross_entropy": 1.0, "dfd_visual": 1.0},
    "askd": {"cross_entropy": 1.0, "askd_attention": 1.0},  # its factor 5 is in the term
    "unified": {"cross_entropy": 1.0, "unified_logits": 0.5, "unified_hint": 5.0,
                "unified_attention": 1.0, "unified_affinity": 1.0},
    "dld": {"cross_entropy": 1.0, "dld_sequence": 1.0, "dld_visual_l2": 1.0,
            "dld_semantic_l2": 1.0},
    "hinton": {"cross_entropy": 0.1, "hinton_T4": 0.9},
    "fitnet": {"cross_entropy": 1.0, "fitnet_visual": 100.0},
    "at": {"cross_entropy": 1.0, "at_visual": 1000.0},
    "sp": {"cross_entropy": 1.0, "sp_visual": 3000.0},
}  # fmt: skip
