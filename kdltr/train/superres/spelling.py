"""C3-STISR's language model, taught to spell before the network learns from images.

Published: it is pretrained on a corpus, by damaging words and restoring them, and learns on beside
the network. Here a damaged word comes as the frames of a CTC reading, because such frames are what
it will be given. Symbols: N words, T frames, K classes.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence

import torch
from torch import Tensor

from kdltr.charset import BLANK, DIGITS_FIRST36, MAX_LENGTH
from kdltr.data.loader import select_labels
from kdltr.losses import ctc_loss
from kdltr.superres.c3stisr import FrameSpeller
from kdltr.superres.prior import CLASSES, FRAMES

log = logging.getLogger(__name__)
BATCH = 32
DAMAGED = 0.15  # of the characters: three in five replaced, one dropped, one followed by another
SURE = 4.0, 9.0  # how far the logit of what is read lies above the others, which are normal
JUDGED = 1000  # words


def corpus_of(labels: Sequence[str]) -> list[str]:
    """The labels that fit the frames, each once, sorted.

    Raises:
        kdltr.data.DataError: no label fits.
    """
    return sorted(set(select_labels(labels, DIGITS_FIRST36, "filtered", frames=FRAMES)[1]))


def teach_spelling(
    speller: FrameSpeller, corpus: Sequence[str], steps: int, rate: float, seed: int
) -> float:
    """Train a language model to restore damaged words, by CTC; Adam, the rate rises and falls.

    No gradient is left behind.

    Args:
        corpus: words.
        rate: the highest.

    Returns:
        the share of `JUDGED` words, damaged anew, that it restores.
    """
    device = next(speller.parameters()).device
    chance = random.Random(seed)
    optimiser = torch.optim.Adam(speller.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps,
                                                   cycle_momentum=False)
    speller.train()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)  # dropout; every process teaches the same
        for step in range(1, steps + 1):
            words = chance.choices(corpus, k=BATCH)
            labels, lengths = DIGITS_FIRST36.encode(words, MAX_LENGTH + 1)
            logits = speller(damaged_readings(words, chance).to(device))
            loss = ctc_loss(logits, labels.to(device), lengths.to(device))
            loss.backward()
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
            if step % 250 == 0 or step == steps:
                log.info("spelling: step %d/%d loss %.3f", step, steps, loss.item())
        words = chance.choices(corpus, k=JUDGED)
        given = damaged_readings(words, chance)
    speller.eval()
    with torch.no_grad():
        restored = right(speller(given.to(device)), words)
    log.info("spelling: of %d damaged words %d read as they should before, %d after", JUDGED,
             right(given.log(), words), restored)
    return restored / JUDGED


def right(logits: Tensor, words: Sequence[str]) -> int:
    """How many of frames (N, T, K) spell the words."""
    read = DIGITS_FIRST36.decode(logits, "ctc")
    return sum(one.text == word for one, word in zip(read, words, strict=True))


def damaged_readings(words: Sequence[str], chance: random.Random) -> Tensor:
    """Words as an unsure reader of bad images gives them: probabilities of frames (N, T, K)."""
    generator = torch.Generator().manual_seed(chance.getrandbits(63))
    shown = torch.full((len(words), FRAMES), BLANK)
    for i, word in enumerate(words):
        classes = _damaged(DIGITS_FIRST36.encode([word])[0][0, :-1].tolist(), chance)[:FRAMES]
        frame = -1
        for k, one in enumerate(classes):  # each in one frame of its part of the word
            start, end = (FRAMES * place // len(classes) for place in (k, k + 1))
            apart = frame + 1 + (k > 0 and one == classes[k - 1])  # else doubles are read as one
            frame = chance.randrange(min(max(start, apart), end - 1), end)
            shown[i, frame] = one
    logits = torch.randn(len(words), FRAMES, CLASSES, generator=generator)
    low, high = SURE
    sure = low + (high - low) * torch.rand(len(words), FRAMES, 1, generator=generator)
    return logits.scatter_add(-1, shown[..., None], sure).softmax(-1)


def _damaged(classes: Sequence[int], chance: random.Random) -> list[int]:
    """A word's classes, some of them others, missing, or with another behind."""
    out: list[int] = []
    for one in classes:
        damage, other = chance.random() / DAMAGED, chance.randrange(1, CLASSES)
        if damage < 0.6:
            out.append(other)
        elif damage >= 0.8:
            out.append(one)
            if damage < 1:
                out.append(other)
    return out
