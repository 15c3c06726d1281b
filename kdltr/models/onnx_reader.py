"""Reading with an ONNX file of `kdltr.models.onnx`, as with any recogniser; and its 8-bit form."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kdltr.charset import Charset
from kdltr.checkpoint import CheckpointError, is_safetensors
from kdltr.extras import optional, require
from kdltr.files import atomic_path
from kdltr.models.base import Recogniser
from kdltr.models.onnx import session
from kdltr.models.output import ModelOutput

onnx = optional("onnx", "export")
quantization = optional("onnxruntime.quantization", "export")

BATCH = 32  # images that the ranges of activations are taken from at once


class OnnxReader(Recogniser):
    """A recogniser in an ONNX file, under ONNX Runtime on the CPU.

    Args:
        path: what `kdltr.models.onnx.export` or `quantise` wrote.
        threads: 0 for as many as there are cores.

    Raises:
        CheckpointError: the file is damaged, or of another making.
        MissingExtra: the packages of ``kdltr[export]`` are not installed.
    """

    def __init__(self, path: str | os.PathLike, threads: int = 0) -> None:
        super().__init__()
        require("onnxruntime", "export")
        try:
            self.session = session(path, threads)
            facts = self.session.get_modelmeta().custom_metadata_map
            self.name, self.decoding = facts["model"], facts["decoding"]
            self.charset = Charset(self.name, facts["charset"], json.loads(facts["lower"]))
            self.image_size = tuple(json.loads(facts["image_size"]))
            self.lines = json.loads(facts["lines"])
            self._check()
        except Exception as error:  # ONNX Runtime's have no common ancestor
            raise CheckpointError(f"{path}: expected an ONNX file that kdltr wrote, found another "
                                  f"({type(error).__name__}: {error}); write one with kdltr export"
                                  ) from error

    def _check(self) -> None:
        """Raise ValueError unless the file takes and gives what its metadata say."""
        found = [(one.name, one.type, ["N" if isinstance(side, str) else side
                                       for side in one.shape])
                 for one in (*self.session.get_inputs(), *self.session.get_outputs())]
        steps = found[-1][2][1:2]
        expected = [("images", "tensor(float)", ["N", 3, *self.image_size]),
                    ("logits", "tensor(float)", ["N", *steps, self.charset.size])]
        if found != expected:
            raise ValueError(f"its metadata say it takes and gives {expected}, found {found}")

    def forward(self, images: Tensor) -> ModelOutput:
        """Images (N, 3, H, W), RGB in [0, 1] → logits (N, T, C) alone."""
        (logits,) = self.session.run(["logits"], {"images": images.float().cpu().numpy()})
        return ModelOutput(torch.from_numpy(logits))


def is_onnx(path: str | os.PathLike) -> bool:
    """Whether a file is laid out so, by its first byte, whatever its suffix."""
    with open(path, "rb") as file:
        return file.read(1) == b"\x08" and not is_safetensors(path)


def quantise(path: str | os.PathLike, target: str | os.PathLike, images: Tensor) -> None:
    """Write the 8-bit form of an ONNX file, by ONNX Runtime's quantiser.

    Weights and activations of the products that a word's time goes into are 8-bit integers. The
    first convolution, those of a channel each, and products of two activations stay float32: they
    cost little, and most of the accuracy.

    Args:
        path: of `kdltr.models.onnx.export`.
        target: of the 8-bit form, which is replaced wholly or not at all.
        images: (M, 3, H, W) uint8, words like those that are to be read: the range of an activation
            is what is seen on them. A few hundred do.
    """
    require("onnxruntime", "export")
    with tempfile.TemporaryDirectory() as folder, atomic_path(target) as temporary:
        prepared = Path(folder) / "prepared.onnx"
        quantization.quant_pre_process(path, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared, temporary, _Batches(images), per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            op_types_to_quantize=["Conv", "MatMul", "Gemm"],
            nodes_to_exclude=_kept(onnx.load(prepared).graph),
        )


def _kept(graph: onnx.GraphProto) -> list[str]:
    """The nodes that stay float32."""
    constant = {tensor.name for tensor in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    depthwise = [node.name for node in convolutions
                 if any(one.name == "group" and one.i > 1 for one in node.attribute)]
    products = [node.name for node in graph.node
                if node.op_type == "MatMul" and not constant & {*node.input}]
    return [*(node.name for node in convolutions[:1]), *depthwise, *products]


class _Batches:
    """Images as the quantiser asks for them (`onnxruntime.quantization.CalibrationDataReader`)."""

    def __init__(self, images: Tensor) -> None:
        self.rest = self._batches(images)

    @staticmethod
    def _batches(images: Tensor) -> Iterator[dict[str, np.ndarray]]:
        for some in images.split(BATCH):
            yield {"images": (some.float() / 255).numpy()}

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch, None after the last."""
        return next(self.rest, None)
