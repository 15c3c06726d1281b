"""What every recogniser returns: the four tensors that distillation compares."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ModelOutput:
    """Tensors of one forward pass; teacher and student return the same shapes.

    Symbols: N words, T decoding steps, C classes, E width of a character vector, (H, W) the
    feature map, P image tokens, K reading-order permutations.

    Attributes:
        logits: ``(N, T, C)`` class scores; ``logits[..., 0]`` is the end token, or the blank where
            steps are frames of CTC. In PARSeq training ``(K, N, T, C)``, one decoding per
            permutation.
        semantic: ``(N, T, E)`` character vectors before the classifier; ``(K, N, T, E)`` beside
            logits of that form. ``None`` if the pass made none.
        visual: ``(N, C, H, W)`` feature map (convolutional) or ``(N, P, E)`` image tokens.
            ``None`` if the pass made none.
        attention: ``(N, T, H, W)`` where each step looked, or ``None`` for a recogniser whose
            visual loss is not masked (PARSeq, and where steps are frames of CTC).
        auxiliary: logits ``(N, T, C)`` of parts that a teacher's training supervises beside the
            whole (ABINet's vision and language); distillation leaves them alone.
    """

    logits: Tensor
    semantic: Tensor | None = None
    visual: Tensor | None = None
    attention: Tensor | None = None
    auxiliary: tuple[Tensor, ...] = ()
