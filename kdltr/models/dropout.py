"""Dropout that does not hold up a CPU.

PyTorch draws one float64 an element there, on one thread but for Intel's processors: 6 ns each,
which is an eighth of a training step of ABINet on one thread and a quarter on two. Here sixteen
random bits decide on an element, and a byte is kept for the backward pass instead of a float.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

LEVELS = 2**16  # a chance is rounded to a multiple of 1 / LEVELS


def dropout(x: Tensor, p: float) -> Tensor:
    """Zero each element of ``x`` with chance ``p`` < 1 and scale the others up by 1 / (1 − p)."""
    if not p:
        return x
    transformed = torch._C._are_functorch_transforms_active()  # torch.func knows PyTorch's alone
    if x.device.type != "cpu" or torch.compiler.is_compiling() or transformed:
        return F.dropout(x, p)
    return dropout_on_cpu(x, p)


class Dropout(nn.Dropout):
    """`dropout` in training, nothing in evaluation."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return dropout(x, self.p) if self.training else x


def dropout_on_cpu(x: Tensor, p: float) -> Tensor:
    """`dropout` by the generator of the CPU."""
    return _Dropout.apply(x, p)


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, p: float) -> Tensor:
        dropped = round(p * LEVELS)
        ctx.scale = 1 / (1 - dropped / LEVELS)
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        bits = words.view(torch.int16)[: x.numel()].view(x.shape)
        kept = bits >= dropped - LEVELS // 2
        ctx.save_for_backward(kept)
        return torch.where(kept, x, 0.0).mul_(ctx.scale)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_output: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        return torch.where(kept, grad_output, 0.0).mul_(ctx.scale), None
