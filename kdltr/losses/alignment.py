"""Which frames of a CTC reading are of which character, given the word.

Symbols: N words, T frames, C classes (0 the blank), S characters of the longest label, U = 2·S + 1
places of a label with blanks around its characters.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kdltr.charset import BLANK


def align(log_p: Tensor, labels: Tensor, characters: Tensor) -> tuple[Tensor, Tensor]:
    """How probable labels are, and which class each frame is of, given the label.

    The forward and the backward variables of Graves et al. (2006) by one recurrence over frames:
    the latter are the former of the mirrored word.

    Args:
        log_p: ``(N, T, C)`` log-probabilities of the frames.
        labels: ``(N, S)`` class ids; those from ``characters`` on are ignored.
        characters: ``(N,)`` of each label.

    Returns:
        log-likelihood ``(N,)``, −inf where a label does not fit T frames, and ``(N, T, C)`` the
        probability of each class at each frame, 0 there.
    """
    n, frames, classes = log_p.shape
    steps = torch.arange(labels.shape[1], device=labels.device)
    labels = labels.masked_fill(steps >= characters[:, None], BLANK)
    places = torch.stack([torch.full_like(labels, BLANK), labels], 2).flatten(1)
    places = F.pad(places, (0, 1), value=BLANK)  # (N, U)
    emission = log_p.gather(2, places[:, None].expand(n, frames, -1))  # (N, T, U)

    place = torch.arange(places.shape[1], device=labels.device)
    end = 2 * characters[:, None]  # the last blank's place
    first = (place <= 1).expand(n, -1)
    last = (place == end) | (place == end - 1)  # (N, U)
    # From a character to the next without a blank between, unless they are equal.
    jump = (places != BLANK) & (places != F.pad(places, (2, 0))[:, :-2])  # (N, U) into a place
    jump_out = F.pad(jump, (0, 2))[:, 2:]  # out of a place
    both = torch.stack([emission, emission.flip(1, 2)])  # (2, N, T, U)
    start = torch.stack([first, last.flip(1)])
    jump = torch.where(torch.stack([jump, jump_out.flip(1)]), 0.0, -torch.inf).to(log_p)
    variable = both[:, :, 0].masked_fill(~start, -torch.inf)  # (2, N, U)
    variables = [variable]
    for t in range(1, frames):
        one = F.pad(variable, (1, 0), value=-torch.inf)[..., :-1]
        two = F.pad(variable, (2, 0), value=-torch.inf)[..., :-2] + jump
        variable = torch.stack([variable, one, two]).logsumexp(0) + both[:, :, t]
        variables.append(variable)
    forward, backward = torch.stack(variables, 2)  # (N, T, U) each
    backward = backward.flip(1, 2)
    total = forward[:, -1].masked_fill(~last, -torch.inf).logsumexp(-1)  # (N,)
    share = (forward + backward - emission - total[:, None, None]).exp()  # (N, T, U)
    share = torch.where(total.isfinite()[:, None, None], share, 0.0)
    ids = torch.arange(classes, device=labels.device)
    return total, share @ (places[..., None] == ids).to(share.dtype)  # summed in a fixed order
