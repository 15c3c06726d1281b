"""Semantic contrastive loss: a character's vector should be told from all others of the batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

SEMANTIC_LOSSES = ("contrastive", "l1", "l2")
PROJECTORS = ("bilstm", "perceptron", "none")
TEMPERATURE = 0.1
LEAST_TEMPERATURE = 0.02  # exp(1 / 0.02) leaves float32 room for sums


class SemanticContrastiveLoss(nn.Module):
    """NT-Xent between projected character vectors of student and teacher (paper, semantic
    contrastive loss).

    One trainable BiLSTM and linear layer projects both. It runs over all T steps, padding
    included; then the first ``lengths`` vectors of every word are pooled. Each of the 2M pooled
    vectors has its twin as positive and all other 2M - 1 in the denominator, by cosine
    similarity at temperature 0.1. The projected teacher is not detached: the projector learns
    from both sides.

    Args:
        width: E, width of the character vectors.
        hidden: LSTM width per direction; the projection has twice as many features.
        packed: True pools by index, the least arithmetic, at one host synchronisation a call;
            False keeps padded places and masks them, so shapes are static. None (default) packs
            on the CPU, where there is nothing to synchronise, and masks elsewhere.
        temperature: of the similarities, at least `LEAST_TEMPERATURE`.
        projector: "bilstm"; "perceptron", two linear layers and a ReLU between them; or "none".
        loss: "contrastive"; or "l1" or "l2", the mean absolute or squared difference of the
            projected vectors as they are.
    """

    def __init__(
        self,
        width: int = 512,
        hidden: int = 256,
        packed: bool | None = None,
        temperature: float = TEMPERATURE,
        projector: str = "bilstm",
        loss: str = "contrastive",
    ):
        super().__init__()
        self.width, self.packed, self.temperature, self.loss = width, packed, temperature, loss
        self.projector = projector
        if projector == "bilstm":
            self.rnn = nn.LSTM(width, hidden, bidirectional=True, batch_first=True)
            self.linear = nn.Linear(2 * hidden, 2 * hidden)
        elif projector == "perceptron":
            self.perceptron = nn.Sequential(
                nn.Linear(width, 2 * hidden), nn.ReLU(), nn.Linear(2 * hidden, 2 * hidden)
            )

    def project(self, vectors: Tensor) -> Tensor:
        """``(B, T, E)`` to ``(B, T, F)``."""
        if self.projector == "bilstm":
            return self.linear(self.rnn(vectors)[0])
        return self.perceptron(vectors) if self.projector == "perceptron" else vectors

    def forward(self, student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
        """Contrast ``(N, T, E)`` vectors, or ``(K, N, T, E)``: then mean over the K.

        Args:
            student: character vectors before the classifier.
            teacher: same shape.
            lengths: ``(N,)`` steps of each word, end token included.

        Returns:
            Scalar, at least 0.

        Raises:
            ValueError: shapes that differ, or another width than the projector's.
        """
        if student.shape != teacher.shape or student.shape[-1] != self.width:
            raise ValueError(
                f"character vectors of student and teacher must be (N, T, {self.width}) or "
                f"(K, N, T, {self.width}) and equal; found student {tuple(student.shape)}, teacher "
                f"{tuple(teacher.shape)}. Build the loss with width= the vectors' last dimension."
            )
        if student.ndim == 3:
            student, teacher = student[None], teacher[None]
        k, _, steps, _ = student.shape
        pair = torch.stack([student, teacher], dim=1)  # (K, 2, N, T, E)
        vectors = self.project(pair.flatten(0, 2))  # (K·2·N, T, F)
        if self.loss == "contrastive":
            vectors = F.normalize(vectors, dim=-1)
        vectors = vectors.reshape(k, 2, -1, vectors.shape[-1])  # (K, 2, N·T, F)
        valid = (torch.arange(steps, device=lengths.device) < lengths[:, None]).flatten()  # (N·T,)
        packed = self.packed if self.packed is not None else vectors.device.type == "cpu"
        if packed:
            vectors = vectors.index_select(2, valid.nonzero().squeeze(1))  # (K, 2, M, F)
            valid = None
        if self.loss == "contrastive":
            return nt_xent(vectors, valid, self.temperature)
        apart = vectors[:, 0] - vectors[:, 1]  # (K, M, F)
        apart = (apart.abs() if self.loss == "l1" else apart.square()).mean((0, 2))
        return apart.mean() if valid is None else (apart * valid).sum() / valid.sum()


def nt_xent(
    vectors: Tensor, valid: Tensor | None = None, temperature: float = TEMPERATURE
) -> Tensor:
    """Normalised-temperature cross-entropy of unit vectors, mean over K and the 2M places.

    Args:
        vectors: ``(K, 2, M, F)``, of unit length; twins share K and M.
        valid: ``(M,)`` bool, the places that count (None: all).
        temperature: divides the similarities.
    """
    weight = vectors.new_ones(vectors.shape[2]) if valid is None else valid.to(vectors.dtype)
    return _NTXent.apply(vectors, weight, valid is not None, temperature)


class _NTXent(torch.autograd.Function):
    """NT-Xent with its gradient in closed form, one K at a time.

    Autograd would keep several (K, 2M, 2M) matrices; here one (2M, 2M) block is made, used for
    loss and gradient while it is in the cache, and dropped: 2.5 to 3 times faster on a CPU.

    With E = exp(v·vᵀ/τ), zero on the diagonal, d its row sums and w the rows' weights, the loss is
    Σ w (log d - v·twin/τ); E is symmetric, so with a = w/d its gradient is
    (a∘(E v) + E (a∘v) - 2 w twin) / τ.
    """

    @staticmethod
    def forward(
        ctx, vectors: Tensor, weight: Tensor, masked: bool, temperature: float
    ) -> Tensor:
        k, _, _, features = vectors.shape
        both = vectors.flatten(1, 2)  # (K, 2M, F): all students, then all teachers
        twins = vectors.flip(1).flatten(1, 2)
        counted = weight.repeat(2)  # (2M,) 0 or 1
        weight = (counted / (counted.sum() * k))[:, None]
        loss, gradient = vectors.new_zeros(()), torch.empty_like(both)
        for own, twin, slot in zip(both, twins, gradient, strict=True):
            # Similarities are within ±1/τ, so exp needs no maximum taken out first.
            e = (own @ own.mT).div_(temperature).exp_().fill_diagonal_(0.0)  # (2M, 2M)
            if masked:
                e.mul_(counted).mul_(counted[:, None])  # both ways: E stays symmetric
            rows = e.sum(1, keepdim=True) + (1 - counted[:, None])  # log 0 avoided, its weight is 0
            loss += (weight * (rows.log() - (own * twin).sum(1, keepdim=True) / temperature)).sum()
            a = weight / rows
            product = e @ torch.cat([own, a * own], 1)  # (2M, 2F)
            slot.copy_(a * product[:, :features] + product[:, features:] - 2 * weight * twin)
        ctx.save_for_backward(gradient.div_(temperature).view_as(vectors))
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_output: Tensor):
        return grad_output * ctx.saved_tensors[0], None, None, None
