"""DLD (Chen et al., ECCV 2022): the probability of the teacher's best path as a sequence.

Its published code, without the selector of image sizes. The search is best-first, over all words at
once; how often it expands is what the most unsure word takes.

Symbols: N words, T steps, C classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

BEAM = 5  # continuations of a prefix
MOST_QUEUED = 2000
ASK_EVERY = 8  # expansions; whether all words are done, for which the host waits for a GPU
EPSILON = 1e-6  # of a score's denominator
PROBABILITY = 1e-5  # added to a path's: below it the loss saturates and teaches nothing


def sequence_loss(student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
    """−log(Π p + 1e-5) of the student's probabilities along `dld_path`, mean over words.

    Args:
        student: logits ``(N, T, C)``, class 0 the end token.
        teacher: same shape.
    """
    path = dld_path(teacher.softmax(-1))  # (N, T)
    along = student.softmax(-1).gather(2, path.clamp(min=0)[..., None])[..., 0]
    along = torch.where(path < 0, 1.0, along)
    return -(along.prod(-1) + PROBABILITY).log().mean()


def dld_path(probabilities: Tensor) -> Tensor:
    """The path that DLD's search takes through a teacher's distributions.

    Prefixes wait in a queue, the root first. The best one leaves it: if it ends with the end token
    it is the path, else its five most probable continuations go in. A prefix scores the **sum** of
    its probabilities ÷ (their number + 1e-6), which for a sure teacher finds the greedy reading,
    but not the path of the highest mean probability. Of equal scores the one queued first wins.
    With more than 2000 in the queue the best one is the path as it is, and so is a prefix of T
    characters (where the published code fails).

    Args:
        probabilities: ``(N, T, C)``, class 0 the end token; the search is in float64.

    Returns:
        ``(N, T)`` class ids, the end token included, −1 behind the path.
    """
    p = probabilities.detach().double()
    n, steps, classes = p.shape
    beam = min(BEAM, classes)
    values, chosen = p.sort(dim=-1, descending=True, stable=True)
    values, chosen = values[..., :beam], chosen[..., :beam]  # (N, T, beam)

    # Nodes by the order in which they were queued; node 0 is the root, its own parent.
    most = -(-MOST_QUEUED // max(beam - 1, 1))  # expansions
    score = p.new_full((n, 1 + beam * most), -torch.inf)  # −inf: not in the queue
    score[:, 0] = 0.0
    total = torch.zeros_like(score)
    character, length, parent = torch.zeros((3, *score.shape), dtype=torch.long, device=p.device)
    rows = torch.arange(n, device=p.device)
    path_end = torch.full_like(rows, -1)  # node
    nodes = 1
    for expansion in range(most):
        best = score[:, :nodes].argmax(1)  # of equals the first
        read = length[rows, best]
        ended = ((read > 0) & (character[rows, best] == 0)) | (read == steps)
        path_end = torch.where((path_end < 0) & ended, best, path_end)
        if expansion % ASK_EVERY == 0 and (path_end >= 0).all():
            break
        score[rows, best] = -torch.inf
        step, new = read.clamp(max=steps - 1), slice(nodes, nodes + beam)  # of ended words: unused
        total[:, new] = total[rows, best, None] + values[rows, step]
        score[:, new] = total[:, new] / (read[:, None] + 1 + EPSILON)
        character[:, new], length[:, new] = chosen[rows, step], read[:, None] + 1
        parent[:, new] = best[:, None]
        nodes += beam
    path_end = torch.where(path_end < 0, score[:, :nodes].argmax(1), path_end)

    path = torch.full((n, steps + 1), -1, device=p.device)  # column 0: the root
    node = path_end
    for _ in range(steps):
        path[rows, length[rows, node]] = character[rows, node]
        node = parent[rows, node]
    return path[:, 1:]
