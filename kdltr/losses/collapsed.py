"""The k best readings of a CTC teacher, and what they say of each frame, for a whole batch at once.

Many paths of frames collapse to one word; the search keeps words, not paths (prefix search, Graves
et al. 2006; with a beam, as Hannun et al. 2014), by a recurrence over frames without a loop over
words. What a word says of each frame is then exact (`kdltr.losses.alignment.align`).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from kdltr.charset import BLANK
from kdltr.losses.alignment import align


class Words(NamedTuple):
    """k words of each teacher, most probable first.

    Attributes:
        characters: ``(N, k, T)`` class ids, 0 behind the word.
        lengths: ``(N, k)`` characters.
        log_probability: ``(N, k)``, of the paths that the search kept; −inf where no word was
            left.
    """

    characters: Tensor
    lengths: Tensor
    log_probability: Tensor


def collapsed_distribution(log_p: Tensor, beam: int = 3, paths: int = 6) -> tuple[Tensor, Tensor]:
    """The distribution over classes that a teacher's best words induce in each frame.

    Each word's probability is spread, in each frame, over the classes that the frame may be of,
    given the word; the sum is normalised.

    Args:
        log_p: ``(N, T, C)`` log-probabilities, class 0 the blank.
        beam: characters to choose from at a frame, beside going on.
        paths: how many words.

    Returns:
        distribution ``(N, T, C)`` and the best word's probability ``(N,)``, both over all paths.
    """
    words = best_words(log_p, beam, paths)
    n, k, frames = words.characters.shape
    likelihood, share = align(
        log_p.repeat_interleave(k, 0), words.characters.flatten(0, 1), words.lengths.flatten()
    )
    likelihood = likelihood.view(n, k).masked_fill(words.log_probability.isneginf(), -torch.inf)
    weights = likelihood.softmax(-1)  # (N, k)
    distribution = torch.einsum("nk,nktc->ntc", weights, share.view(n, k, frames, -1))
    return distribution, likelihood.amax(-1).exp()


def best_words(log_p: Tensor, beam: int = 3, paths: int = 6) -> Words:
    """The ``paths`` most probable words by prefix search; arguments as `collapsed_distribution`.

    Exact where ``beam`` is all characters and ``paths`` all words; else words whose beginnings fall
    behind are lost.
    """
    n, frames, classes = log_p.shape
    beam = min(beam, classes - 1)
    values, chosen = log_p[..., 1:].sort(dim=-1, descending=True, stable=True)
    values, chosen = values[..., :beam], chosen[..., :beam] + 1  # (N, T, beam)

    characters = log_p.new_zeros((n, paths, frames), dtype=torch.long)
    lengths = torch.zeros_like(characters[..., 0])  # (N, k)
    blank = log_p.new_full((n, paths), -torch.inf)  # paths that end in a blank, and those that
    letter = blank.clone()  # end in the word's last character
    blank[:, 0] = 0.0
    for t in range(frames):
        last = characters.gather(2, (lengths - 1).clamp(min=0)[..., None])[..., 0]  # 0: none yet
        any_end = torch.logaddexp(blank, letter)  # (N, k)
        stay_blank = any_end + log_p[:, t, BLANK, None]
        spoken = log_p[:, t].gather(1, last).masked_fill(last == BLANK, -torch.inf)
        stay_letter = letter + spoken
        # Word i may be word j and one more character: its paths go to i, not to a twin of it.
        shorter = characters.scatter(2, (lengths - 1).clamp(min=0)[..., None], BLANK)
        parent = (shorter[:, :, None] == characters[:, None]).all(-1)  # (N, i, j)
        parent = parent & (lengths[:, :, None] == lengths[:, None] + 1)
        again = last[:, :, None] == last[:, None]  # a repeat takes a blank between
        grown = torch.where(again, blank[:, None], any_end[:, None]) + spoken[..., None]
        grown = grown.masked_fill(~parent, -torch.inf).logsumexp(-1)  # (N, k)
        stay_letter = torch.logaddexp(stay_letter, grown)

        again = chosen[:, t, None] == last[..., None]  # (N, k, beam)
        added = torch.where(again, blank[..., None], any_end[..., None]) + values[:, t, None]
        twin = parent[..., None] & (last[:, :, None, None] == chosen[:, t, None, None])
        added = added.masked_fill(twin.any(1), -torch.inf).flatten(1)  # (N, k·beam)

        blank = torch.cat([stay_blank, torch.full_like(added, -torch.inf)], 1)
        letter = torch.cat([stay_letter, added], 1)
        order = torch.logaddexp(blank, letter).sort(dim=-1, descending=True, stable=True).indices
        order = order[:, :paths]  # (N, k) of the k that stay and the k·beam that grow
        blank, letter = blank.gather(1, order), letter.gather(1, order)
        grows = order >= paths
        source = torch.where(grows, (order - paths) // beam, order)
        new = chosen[:, t].gather(1, (order - paths).clamp(min=0) % beam)
        characters = characters.gather(1, source[..., None].expand_as(characters))
        lengths = lengths.gather(1, source)
        grown = characters.scatter(2, lengths.clamp(max=frames - 1)[..., None], new[..., None])
        characters = torch.where(grows[..., None], grown, characters)
        lengths = lengths + grows
    total = torch.logaddexp(blank, letter)
    log_probability, order = total.sort(dim=-1, descending=True, stable=True)
    place = order[..., None].expand_as(characters)
    return Words(characters.gather(1, place), lengths.gather(1, order), log_probability)
