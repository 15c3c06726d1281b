"""Reading orders that PARSeq trains on (Bautista and Atienza, ECCV 2022, §3.2).

A permutation orders the n + 2 tokens of a target: 0 is the start token, 1…n the characters, n + 1
the end token. A token is read knowing only those before it in the permutation.
"""

from __future__ import annotations

from itertools import permutations

import torch
from torch import Tensor


def reading_orders(n: int, generator: torch.Generator, most: int = 6) -> Tensor:
    """Draw reading orders for words of up to ``n`` characters.

    The canonical order, its mirror, and random mirrored pairs, ``most`` at the most: n = 2 has 2,
    n = 3 all 6. n < 2 has one (the published code fails there).

    Args:
        n: characters of the longest word.
        generator: a CPU generator; the only source of randomness.
        most: K at the most, even, or 1 for the canonical order alone.

    Returns:
        (K, n + 2) int64.
    """
    canonical = torch.arange(n + 2)
    if n < 2 or most < 2:
        return canonical[None]
    # The end token comes first in the mirror, while all other orders close with it.
    mirror = torch.cat([torch.zeros(1, dtype=torch.int64), torch.arange(n + 1, 0, -1)])
    pairs = most // 2 - 1
    if n < 5:  # few orders: draw without repetition, one of each mirrored pair
        pool = [order for order in permutations(range(n)) if order[0] < order[-1]][1:]
        chosen = torch.randperm(len(pool), generator=generator)[:pairs].tolist()
        drawn = [torch.tensor(pool[i]) for i in chosen]
    else:
        drawn = [torch.randperm(n, generator=generator) for _ in range(pairs)]
    orders = [canonical, mirror]
    for order in drawn:
        orders += [_with_ends(order), _with_ends(order.flip(0))]
    return torch.stack(orders)


def _with_ends(order: Tensor) -> Tensor:
    n = len(order)
    return torch.cat([torch.tensor([0]), order + 1, torch.tensor([n + 1])])


def visible_tokens(orders: Tensor) -> Tensor:
    """Which tokens each query may look at, for every order.

    Args:
        orders: (K, L) permutations of L tokens.

    Returns:
        (K, L − 1, L − 1) boolean: row t predicts token t + 1 and sees token s (column s) if s comes
        before t + 1 in the order. The last token is never looked at.
    """
    place = orders.argsort(-1)  # (K, L): where each token stands in the order
    return place[:, None, :-1] < place[:, 1:, None]
