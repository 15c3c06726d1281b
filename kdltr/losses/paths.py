"""The k best readings of a teacher, exactly and for a whole batch at once.

The decoders' distributions at one step do not depend on what was read before it (position
queries, teacher forcing), so the best paths through them follow from a recurrence over steps:
the k best unfinished prefixes of t + 1 characters extend the k best of t characters. A path
scores by its probability and its length, and at a given length the score grows with the
probability: the k best of every length therefore contain the k best of all.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

PATH_SCORES = ("published", "log_normalised")


class Paths(NamedTuple):
    """The k best paths of each word, best first. Fewer than k exist: log-probability -inf.

    Attributes:
        characters: ``(N, k, T)`` class ids, 0 (end) from the end of a path on.
        lengths: ``(N, k)`` steps, the end token included.
        log_probability: ``(N, k)`` joint log-probability.
    """

    characters: Tensor
    lengths: Tensor
    log_probability: Tensor


def path_distribution(
    probabilities: Tensor, beam: int = 3, paths: int = 6, path_score: str = "published"
) -> tuple[Tensor, Tensor, Tensor]:
    """The distribution over characters induced by a teacher's best readings (paper, soft logits).

    A path takes one of the ``beam`` most probable classes at each step and ends at the end token
    or after T steps. The ``paths`` best by score each spread their probability over the
    characters they visit (the end token after their end); the sum is normalised.

    Args:
        probabilities: ``(N, T, C)``, class 0 is the end token.
        beam: classes to choose from at a step; equally probable ones by lowest id.
        paths: how many paths.
        path_score: "published" is probability ÷ length; "log_normalised" is the mean
            log-probability a step, i.e. exp(Σ log p ÷ length), which does not favour short
            paths. It changes only which paths are best and their order, not their weights.

    Returns:
        distribution ``(N, T, C)``, length of the best path ``(N,)`` (end token included), its
        joint probability ``(N,)``. Half precision comes back as float32.

    Raises:
        ValueError: another shape, or an unknown ``path_score``.
    """
    if probabilities.dtype in (torch.float16, torch.bfloat16):
        probabilities = probabilities.float()
    return path_distribution_of_logs(probabilities.log(), beam, paths, path_score)


def path_distribution_of_logs(
    log_probabilities: Tensor, beam: int = 3, paths: int = 6, path_score: str = "published"
) -> tuple[Tensor, Tensor, Tensor]:
    """`path_distribution` of log-probabilities ``(N, T, C)``."""
    best = best_paths(log_probabilities, beam, paths, path_score)
    # A product over 26 steps underflows float32; softmax normalises from the logarithms.
    weights = best.log_probability.softmax(-1)[..., None].expand(best.characters.shape)  # (N, k, T)
    distribution = torch.zeros_like(log_probabilities)  # (N, T, C)
    distribution.scatter_add_(2, best.characters.mT, weights.mT)
    return distribution, best.lengths[:, 0], best.log_probability[:, 0].exp()


def best_paths(
    log_probabilities: Tensor, beam: int = 3, paths: int = 6, path_score: str = "published"
) -> Paths:
    """The ``paths`` best paths; arguments and errors as `path_distribution`.

    Equal scores are ordered shorter first, then by the rank of their characters' ids, so that
    the result does not depend on the device.
    """
    if path_score not in PATH_SCORES:
        raise ValueError(f"path_score must be one of {PATH_SCORES}; found {path_score!r}")
    if log_probabilities.ndim != 3:
        raise ValueError(
            f"expected (N, T, C) probabilities, found {tuple(log_probabilities.shape)}; "
            "fold other leading dimensions into N"
        )
    n, steps, classes = log_probabilities.shape
    step_log_p, step_class = _most_probable(log_probabilities, min(beam, classes))  # (N, T, beam)
    is_end = step_class == 0
    end_log_p = step_log_p.masked_fill(~is_end, -torch.inf).amax(-1)  # (N, T)
    step_log_p = step_log_p.masked_fill(is_end, -torch.inf)  # what continues a prefix

    # prefix: (N, k) log-probability of the best unfinished prefixes, padded by impossible ones.
    prefix = log_probabilities.new_full((n, paths), -torch.inf)
    prefix[:, 0] = 0.0
    finished, parents, taken = [], [], []
    for t in range(steps):
        finished.append(prefix + end_log_p[:, t, None])  # a path of t characters and the end
        extended = prefix[:, :, None] + step_log_p[:, t, None, :]  # (N, k, beam)
        prefix, choice = extended.flatten(1).sort(dim=-1, descending=True, stable=True)
        prefix, choice = prefix[:, :paths], choice[:, :paths]
        parents.append(choice // extended.shape[2])  # (N, k)
        taken.append(step_class[:, t].gather(1, choice % extended.shape[2]))
    finished.append(prefix)  # T characters, cut off without an end

    log_probability = torch.stack(finished, 1).flatten(1)  # (N, (T + 1)·k), shorter paths first
    candidate = torch.arange(log_probability.shape[1], device=log_probability.device)
    characters_read, length = candidate // paths, (candidate // paths + 1).clamp(max=steps)
    if path_score == "published":
        score = log_probability - length.to(log_probability.dtype).log()
    else:
        score = log_probability / length
    chosen = score.sort(dim=-1, descending=True, stable=True).indices[:, :paths]  # (N, k)
    return Paths(
        _trace(parents, taken, characters_read[chosen], chosen % paths),
        length[chosen],
        log_probability.gather(1, chosen),
    )


def _most_probable(log_probabilities: Tensor, beam: int) -> tuple[Tensor, Tensor]:
    """The ``beam`` largest of the last dimension; ties by lowest class, unlike ``topk``."""
    values, classes, rest = [], [], log_probabilities.clone()
    for _ in range(beam):
        value, index = rest.max(-1, keepdim=True)  # documented to return the first of equals
        values.append(value)
        classes.append(index)
        rest.scatter_(-1, index, -torch.inf)
    return torch.cat(values, -1), torch.cat(classes, -1)


def _trace(parents: list[Tensor], taken: list[Tensor], read: Tensor, slot: Tensor) -> Tensor:
    """Follow parents back from prefix ``slot`` of ``read`` characters; ``(N, k)`` to (N, k, T)."""
    columns = []
    for t in reversed(range(len(parents))):
        inside = t < read
        columns.append(torch.where(inside, taken[t].gather(1, slot), 0))
        slot = torch.where(inside, parents[t].gather(1, slot), slot)
    return torch.stack(columns[::-1], -1)
