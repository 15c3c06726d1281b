"""The published search for the k best paths, in our own plain and slow words: a reference.

One word at a time, a priority queue over partial paths, which is given up after about 100
expansions. Used for comparison and as the base of the speed ratio; the library has
`kdltr.losses.paths`, which is exact.
"""

import heapq
import itertools

import torch


def search_word(probabilities, beam=3, paths=6, expansions=100):
    """``(T, C)`` probabilities to ([(probability, characters), …] best first, completed)."""
    steps = probabilities.shape[0]
    order = itertools.count()  # ties: first come, first served
    queue, done = [(-1.0, next(order), 1.0, ())], []
    for _ in range(expansions):
        while queue and _ended(queue[0][3], steps):
            _, _, p, characters = heapq.heappop(queue)
            done.append((p, characters))
            if len(done) == paths:
                return done, True
        if not queue:
            return done, True
        _, _, p, characters = heapq.heappop(queue)
        values, classes = probabilities[len(characters)].topk(beam)
        for value, c in zip(values.tolist(), classes.tolist(), strict=True):
            score = p * value / (len(characters) + 1)
            heapq.heappush(queue, (-score, next(order), p * value, (*characters, c)))
    return done, False


def _ended(characters, steps):
    return bool(characters) and (characters[-1] == 0 or len(characters) == steps)


def path_distribution(probabilities, beam=3, paths=6):
    """``(N, T, C)`` to distribution, best length, best probability and which words completed."""
    n, steps, _ = probabilities.shape
    distribution = torch.zeros_like(probabilities)
    lengths, best, completed = [], [], []
    for i in range(n):
        found, complete = search_word(probabilities[i], beam, paths)
        completed.append(complete)
        found = found or [(1.0, (0,))]  # gave up without a single path
        for p, characters in found:
            padded = (*characters, *[0] * (steps - len(characters)))
            distribution[i, range(steps), padded] += p
        distribution[i] /= sum(p for p, _ in found)
        lengths.append(len(found[0][1]))
        best.append(found[0][0])
    return distribution, torch.tensor(lengths), torch.tensor(best), torch.tensor(completed)
