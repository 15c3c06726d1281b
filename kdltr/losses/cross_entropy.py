"""Cross-entropy with the label, of every step of every word."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def cross_entropy_loss(logits: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
    """Mean cross-entropy over all steps of all words, each to its end token.

    Args:
        logits: ``(N, T, C)``, or ``(K, N, T, C)``: every permutation has the same targets.
        labels: ``(N, T)`` class ids; steps beyond T are ignored.
        lengths: ``(N,)`` steps of each word, end token included.
    """
    steps, classes = logits.shape[-2:]
    labels = labels[:, :steps]
    labels = F.pad(labels, (0, steps - labels.shape[1]))
    read = torch.arange(steps, device=labels.device) < lengths[:, None]  # (N, T)
    targets = labels.masked_fill(~read, -100).expand(logits.shape[:-1])  # -100 is ignored
    return F.cross_entropy(logits.reshape(-1, classes), targets.reshape(-1), ignore_index=-100)
