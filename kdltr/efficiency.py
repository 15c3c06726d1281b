"""What a recogniser costs: parameters and multiply-adds (DESIGN §2).

What it takes in time and memory is measured by `kdltr.bench`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


def parameters(model: nn.Module) -> int:
    """Number of parameters; buffers are not counted."""
    return sum(parameter.numel() for parameter in model.parameters())


def multiply_adds(model: nn.Module, images: Tensor) -> float:
    """Mean multiply-adds to read one image, of everything that multiplies matrices.

    Convolutions, linear layers and the products inside attention are counted; biases, norms,
    activations and the ×2 upsampling of "bicubic" are not. Images are read one at a time, as a
    recogniser that stops at the end of a word (PARSeq) does more for a longer one.

    Args:
        model: in any mode, which is left as it was.
        images: (N, 3, H, W) of the model's size, in [0, 1], N ≥ 1.
    """
    training = model.training
    model.eval()
    with torch.no_grad():
        total = sum(multiply_adds_of(lambda one=image[None]: model(one)) for image in images)
    model.train(training)
    return total / len(images)


def multiply_adds_of(action: Callable[[], Any]) -> float:
    """Multiply-adds of whatever ``action`` does, backward passes included; see `multiply_adds`.

    Not under ``inference_mode``: linear layers would reach the counter whole, and uncounted; so
    would attention but for the plain kernel.
    """
    with sdpa_kernel(SDPBackend.MATH), _Counter() as counter:
        action()
    return counter.total / 2  # a multiply-add is two operations


class _Counter(TorchDispatchMode):
    """Sums the operations of PyTorch's own formulas, which know every matrix product.

    (Its FlopCounterMode also follows modules and then fails on integer inputs of theirs.)
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = function(*args, **kwargs)
        if formula := flop_registry.get(function._overloadpacket):
            self.total += formula(*args, **kwargs, out_val=out)
        return out
