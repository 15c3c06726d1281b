"""Untrained recognisers that read words of given lengths: what a reading takes depends on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from kdltr.charset import END
from kdltr.models.parseq import PARSeq


@contextmanager
def words_of_length(model: nn.Module, lengths: list[int]) -> Iterator[None]:
    """Within it an untrained PARSeq ends word i of a batch after ``lengths[i]`` characters.

    What a recogniser takes does not depend on what it reads but for that. Other recognisers take
    as long for every word and are left alone.
    """
    if not isinstance(model, PARSeq):
        yield
        return
    wanted, step = torch.tensor(lengths), 0
    reading = wanted

    def end(_: nn.Module, __: tuple, logits: Tensor) -> Tensor:
        nonlocal reading, step
        if logits.shape[1] != 1:  # the refinement, which comes last
            reading, step = wanted, 0
            return logits
        if len(logits) != len(reading):  # all that had ended left the batch
            reading = reading[reading >= step]
        ended = (reading <= step).to(logits.device)[:, None]
        step += 1
        place = torch.arange(logits.shape[-1], device=logits.device) == END
        return logits + torch.where(ended[..., None], 1e4, -1e4).to(logits) * place

    handle = model.head.register_forward_hook(end)
    try:
        yield
    finally:
        handle.remove()
