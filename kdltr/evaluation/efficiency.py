"""What a recogniser costs: parameters; multiply-adds, in full and as the paper counts.

What it takes in time and memory is measured by `kdltr.bench`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from kdltr.charset import MAX_LENGTH
from kdltr.models.attention import MultiheadAttention
from kdltr.models.base import Recogniser
from kdltr.models.parseq import PARSeq
from kdltr.superres import TwoStage, Upscaler
from kdltr.superres.clues import WeightNormConv
from kdltr.superres.deformable import DeformableConv
from kdltr.superres.prior import CLASSES, FRAMES
from kdltr.superres.trunk import LR_SIZE

# Decoding steps of a PARSeq behind the paper's 2.93 G; a step is 0.04 G, so no other number is.
PUBLISHED_STEPS = 3


def parameters(model: nn.Module) -> int:
    """Number of parameters that reading uses; buffers are not counted.

    Of two stages those of the alignment, which acts in training alone, are none of them.
    """
    if isinstance(model, TwoStage):
        return model.count_parameters().evaluation
    return sum(parameter.numel() for parameter in model.parameters())


def multiply_adds(model: nn.Module, images: Tensor) -> float:
    """Mean multiply-adds to read one image, of everything that multiplies matrices.

    Convolutions, linear layers, LSTMs and the products inside attention are counted; biases, norms,
    activations and the ×2 upsampling of "bicubic" are not. Images are read one at a time, as a
    recogniser that stops at the end of a word (PARSeq) does more for a longer one.

    Args:
        model: in any mode, which is left as it was.
        images: (N, 3, H, W) of the model's size, in [0, 1], N ≥ 1, on any device.
    """
    training = model.training
    images = images.to(next(model.parameters()).device)
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


@torch.no_grad()
def published_multiply_adds(model: Recogniser, steps: int = PUBLISHED_STEPS) -> int:
    """Multiply-adds to read one image as the paper counts them: its table's "GFLOPs".

    The published code counts with ptflops, which knows PyTorch's modules and not what is computed
    between them. Counted are convolutions, linear layers and LSTMs with their biases, two
    operations for each value of a batch norm, and one for each of an activation or an upsampling
    that is a module there. Of attention nothing is counted in ABINet and MATRN, not even its
    projections (they are no modules there); in PARSeq the projections in the encoder and everything
    in the decoder, where keys and values of image and characters are computed anew at each step.

    Of two stages, what `upscaling_multiply_adds` says, the generator of text priors and the
    recogniser.

    Args:
        model: of any size; its mode is left as it was.
        steps: that a PARSeq decodes before it refines: the word's length + 1. Others always take
            as many.
    """
    if isinstance(model, TwoStage):
        readers = [part for part in (model.recogniser, model.generator) if part is not None]
        rest = sum(published_multiply_adds(reader, steps) for reader in readers)
        return upscaling_multiply_adds(model.upscaler) + rest
    counted = 0
    outputs = {m.out_proj for m in model.modules() if isinstance(m, MultiheadAttention)}

    def add(name: str, module: nn.Module, inputs: Any, out: Any) -> None:
        nonlocal counted
        bias = getattr(module, "bias", None) is not None
        if isinstance(module, nn.Conv2d):
            counted += out.numel() * (module.weight[0].numel() + bias)
        elif isinstance(module, nn.Linear) and module not in outputs:
            counted += out.numel() * module.in_features + bias * module.out_features
        elif isinstance(module, nn.LSTM):
            steps = out[0].shape[0] * out[0].shape[1]
            counted += steps * sum(parameter.numel() for parameter in module.parameters())
        elif isinstance(module, nn.BatchNorm2d):  # a ReLU follows, but for a shortcut's
            counted += out.numel() * (2 if "downsample" in name else 3)
        elif isinstance(module, nn.Identity) and "k_decoder" in name:  # where the upsampling is
            counted += out.numel()

    image = next(model.parameters()).new_zeros(1, 3, *model.image_size)
    with _watched(model, add):
        if isinstance(model, PARSeq):
            tokens = model.encode(image).shape[1]
            counted += _activations(model, tokens) + _decoding(model, tokens, steps)
        else:
            model(image)
    return counted


@torch.no_grad()
def upscaling_multiply_adds(network: Upscaler) -> int:
    """Multiply-adds to enlarge one image, of modules alone: its part of the paper's "GFLOPs".

    Convolutions, linear layers and GRUs without biases, and of attention the projections of
    queries, keys and values.
    """
    counted = 0
    outputs = {m.out_proj for m in network.modules() if isinstance(m, MultiheadAttention)}

    def add(name: str, module: nn.Module, inputs: Any, out: Any) -> None:
        nonlocal counted
        if isinstance(module, nn.Conv2d | DeformableConv):
            counted += out.numel() * module.weight[0].numel()
        elif isinstance(module, WeightNormConv):
            counted += out.numel() * module.weight_v[0].numel()
        elif isinstance(module, nn.ConvTranspose2d):
            counted += inputs[0].numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear) and module not in outputs:
            counted += out.numel() * module.in_features
        elif isinstance(module, nn.GRU):
            steps = out[0].shape[0] * out[0].shape[1]
            counted += steps * sum(p.numel() for p in module.parameters() if p.ndim > 1)
        elif isinstance(module, MultiheadAttention):
            query, key = inputs[:2]  # projected already, (N, heads, ·, d)
            counted += (query.numel() + 2 * key.numel()) * module.in_proj_weight.shape[1]

    like = next(network.parameters())
    prior = like.new_zeros(1, CLASSES, 1, FRAMES) if network.takes_prior else None
    with _watched(network, add):
        network(like.new_zeros(1, network.channels, *LR_SIZE), prior)
    return counted


@contextmanager
def _watched(model: nn.Module, add: Callable[[str, nn.Module, Any, Any], None]) -> Iterator[None]:
    """In eval mode, with ``add`` called for every module with its name, inputs and output."""
    hooks = [
        module.register_forward_hook(lambda *called, name=name: add(name, *called))
        for name, module in model.named_modules()
    ]
    training = model.training
    try:
        model.eval()
        yield
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()


def _activations(model: PARSeq, tokens: int) -> int:
    config = model.config
    return config.depth * tokens * config.ratio * config.width


def _decoding(model: PARSeq, tokens: int, steps: int) -> int:
    """``steps`` steps one by one, then 26 rows at once."""
    e, heads, ratio = model.config.width, model.config.decoder_heads, model.config.ratio
    classes = model.charset.size

    def attend(queries: int, keys: int) -> int:
        projections = (2 * queries + 2 * keys) * e * (e + 1)
        return projections + queries * e + queries * keys * (2 * e + heads)  # scale, mix, softmax

    def layer(queries: int, known: int) -> int:
        weights = 2 * ratio * e * e + e * classes
        biases = (ratio + 1) * e + classes
        return attend(queries, known) + attend(queries, tokens) + queries * weights + biases

    return sum(layer(1, step) for step in range(1, steps + 1)) + layer(MAX_LENGTH + 1, steps)


# Fused on a CPU and on a GPU; a backward pass multiplies for the input and for the weights.
_LSTM = {
    torch.ops.aten.mkldnn_rnn_layer: 1, torch.ops.aten.mkldnn_rnn_layer_backward: 2,
    torch.ops.aten._cudnn_rnn: 1, torch.ops.aten._cudnn_rnn_backward: 2,
}  # fmt: skip


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
        operation = function._overloadpacket
        if formula := flop_registry.get(operation):
            self.total += formula(*args, **kwargs, out_val=out)
        elif operation in _LSTM:  # (T, N, E) by the matrices of input and state
            weights = args[1] if isinstance(args[1], list | tuple) else args[1:3]
            products = sum(weight.numel() for weight in weights if weight.ndim > 1)
            self.total += 2 * _LSTM[operation] * args[0].shape[0] * args[0].shape[1] * products
        return out
