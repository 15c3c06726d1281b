"""Recognisers as ONNX files, for where there is no PyTorch.

    kdltr export parseq_nano_ltr word.onnx                  # the shipped weights of that name

The file takes `images` (N, 3, H, W) float32, RGB in [0, 1], N as you like, and gives `logits`
(N, T, C); weights are inside. Its metadata says the rest: model, charset, image size, how to
decode. It is compared with PyTorch under ONNX Runtime before it takes its name.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from kdltr.extras import optional, require
from kdltr.files import atomic_path
from kdltr.models.base import Recogniser

onnx = optional("onnx", "export")
onnxruntime = optional("onnxruntime", "export")
optimizer = optional("onnxscript.optimizer", "export")

OPSET = 18  # of ONNX 1.13 (2022): what runtimes in use read
BATCHES = (1, 32)  # compared with PyTorch
# Of the largest logit. Two float32 programs agree to about 1e-6; ABINet and MATRN with trained
# weights can make hundreds of times more of a last bit.
TOLERANCE = 1e-3
INPUT = {  # by whether it reads lines
    False: "RGB in [0, 1], the image of one word resized to image_size (height, width)",
    True: "RGB in [0, 1], a line in the middle of a white canvas of image_size (height, width), "
          "shrunk only if it does not fit",
}
DECODE = {
    "attention": (
        "Per step the class of the largest logit: 0 ends the word, class i is the i-th character "
        "of 'charset'. Confidence: the product of the softmax of these classes, end included."
    ),
    "ctc": (
        "Per frame the class of the largest logit; of equal ones in a row one is kept, then 0, the "
        "blank, is dropped; class i is the i-th character of 'charset'. Confidence: the product of "
        "the softmax of the classes kept, each at its first frame; of all frames if none is kept."
    ),
}


class ExportError(RuntimeError):
    """The file does not compute what the recogniser does, or cannot."""


class _Logits(nn.Module):
    """Images (N, 3, H, W) → logits (N, T, C) alone: what the file computes."""

    def __init__(self, model: Recogniser) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model.traceable_logits(images)


def export(model: Recogniser, path: str | os.PathLike) -> float:
    """Write a recogniser as ONNX, compared with itself under ONNX Runtime.

    By ``torch.export``, not by the TorchScript exporter: that one is deprecated, and it writes the
    number of images of the example into masks.

    Args:
        model: in any mode, which is left as it was; on any device.
        path: of the file, which is replaced wholly or not at all.

    Returns:
        The largest difference of a logit, as a share of the largest logit.

    Raises:
        ExportError: the two differ by more than `TOLERANCE`, or what it computes depends on the
            images or their number; nothing is written.
        MissingExtra: the packages of ``kdltr[export]`` are not installed.
    """
    for package in ("onnx", "onnxruntime", "onnxscript"):  # said now, not after a minute
        require(package, "export")
    training = model.training
    try:
        with atomic_path(path) as temporary, torch.no_grad():
            _write(model.eval(), temporary)
            return _compare(model, temporary)
    finally:
        model.train(training)


def session(path: str | os.PathLike, threads: int = 0) -> onnxruntime.InferenceSession:
    """The file in ONNX Runtime on the CPU; 0 threads: as many as there are cores."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _write(model: Recogniser, path: Path) -> None:
    # Here and not above: they take seconds, which who reads a word need not wait.
    from torch._dynamo.exc import TorchDynamoException
    from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

    example = torch.zeros(2, 3, *model.image_size, device=model.device)
    with _quiet():
        # Captured here, because the exporter would make a loop of every LSTM and GRU, each of which
        # takes seconds; so they stay what they are, and ONNX knows them.
        try:
            captured = torch.export.export(
                _Logits(model), (example,), dynamic_shapes={"images": {0: torch.export.Dim("N")}},
                strict=False,
            )
        except (TorchDynamoException, GuardOnDataDependentSymNode) as error:
            raise ExportError(
                f"{model.name}: expected the same operations whatever the images hold, and for any "
                "number of them, found others; in forward write images.shape[0], not len(images), "
                "and nothing that depends on values, or have a traceable_logits of its own"
            ) from error
        program = torch.onnx.export(
            captured, dynamo=True, opset_version=OPSET, verbose=False, optimize=False,
            input_names=["images"], output_names=["logits"],
        )
        # The exporter's own optimiser also looks for patterns, in a time that grows with the square
        # of the graph: minutes for PARSeq's 26 steps. ONNX Runtime does that when it loads a file.
        optimizer.fold_constants(program.model)
        optimizer.remove_unused_nodes(program.model)
    content = program.model_proto
    facts = {
        "model": model.name,
        "charset": model.charset.characters,
        "lower": json.dumps(model.charset.lower),
        "decoding": model.decoding,
        "image_size": json.dumps(list(model.image_size)),
        "lines": json.dumps(model.lines),
        "input": INPUT[model.lines],
        "decode": DECODE[model.decoding],
        "kdltr_version": metadata.version("kdltr"),
    }
    onnx.helper.set_model_props(content, facts)
    onnx.checker.check_model(content)
    onnx.save(content, path)


def _compare(model: Recogniser, path: Path) -> float:
    """The largest relative difference over `BATCHES` of noise."""
    runtime, worst = session(path), 0.0
    generator = torch.Generator().manual_seed(0)
    for n in BATCHES:
        images = torch.rand(n, 3, *model.image_size, generator=generator)
        expected = model.traceable_logits(images.to(model.device)).cpu().numpy()
        (found,) = runtime.run(["logits"], {"images": images.numpy()})
        if found.shape != expected.shape:
            raise ExportError(f"{model.name}: expected logits {expected.shape} for {n} images, "
                              f"found {found.shape} under ONNX Runtime {onnxruntime.__version__}")
        difference = np.abs(found - expected).max() / np.abs(expected).max()
        worst = float(np.maximum(worst, difference))  # NaN is the largest
    if not worst <= TOLERANCE:
        raise ExportError(
            f"{model.name}: expected PyTorch's logits to {TOLERANCE:g} of the largest, found "
            f"{worst:.2g} under ONNX Runtime {onnxruntime.__version__}; nothing was written"
        )
    return worst


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks about its own insides."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
