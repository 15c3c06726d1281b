"""The weights of PP-OCRv6's small recogniser and detector, out of the `rapidocr` wheel on PyPI.

Apache-2.0, by PaddlePaddle (https://github.com/PaddlePaddle/PaddleOCR); as ONNX in rapidocr
(https://github.com/RapidAI/RapidOCR). Nothing is downloaded and nothing of the wheel is run: its
two files are read.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kdltr.charset import Charset
from kdltr.checkpoint import CheckpointError
from kdltr.extras import optional
from kdltr.files import place

onnx = optional("onnx", "ppocr")
protobuf = optional("google.protobuf.message", "ppocr")

RECOGNISER, DETECTOR = "models/PP-OCRv6_rec_small.onnx", "models/PP-OCRv6_det_small.onnx"
SHA256 = {
    RECOGNISER: "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
    DETECTOR: "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
}
WHEEL = "rapidocr 3.10.0"
INSTALL = "pip install 'kdltr[ppocr]'"


def wheel_model(file: str = RECOGNISER) -> Path:
    """An ONNX file in the installed wheel, checked by its hash.

    Args:
        file: `RECOGNISER` or `DETECTOR`.

    Raises:
        CheckpointError: no such wheel, or one with another file.
    """
    found = importlib.util.find_spec("rapidocr")
    if found is None or not found.submodule_search_locations:
        raise CheckpointError(
            f"{Path(file).name} lies in the wheel {WHEEL}, which is not installed: {INSTALL}"
        )
    path = Path(found.submodule_search_locations[0]) / file
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no such file"
    if digest != SHA256[file]:
        raise CheckpointError(
            f"expected {path} with sha256 {SHA256[file]}, as in {WHEEL}, found {digest}; {INSTALL}"
        )
    return path


def read_onnx(
    path: str | Path, expected: Mapping[str, Tensor], charset: Charset
) -> dict[str, Tensor]:
    """The state dict of a PP-OCR recogniser from its ONNX graph.

    The file names its tensors by number; they are matched by the order in which the graph uses
    them, which is that of the module's state dict. Of the classifier only the blank and the
    characters of ``charset`` are taken.

    Args:
        path: an ONNX file with the character list in its metadata, under "character".
        expected: the module's state dict: names, in order, and shapes.
        charset: what the module reads.

    Raises:
        CheckpointError: no such file, or it is of another architecture.
        MissingExtra: onnx is not installed.
    """
    path = place(path)
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}")
    try:
        model = onnx.load(path)
    except protobuf.DecodeError as error:
        raise CheckpointError(f"{path}: expected an ONNX file, found something else or a damaged "
                              "one; get it again") from error
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    # The list leaves out the last class, which is the space.
    characters = [*metadata.get("character", "").splitlines(), " "]
    if lacking := [c for c in charset.characters if c not in characters]:
        raise CheckpointError(f"{path} lacks the characters {''.join(lacking)!r} of {charset.name}")
    classes = [0, *(characters.index(character) + 1 for character in charset.characters)]
    found = [torch.from_numpy(value.copy()) for value in _in_order(model.graph)]
    found[-2:] = [tensor[classes] for tensor in found[-2:]]  # the classifier's weight and bias
    counters = {name: value for name, value in expected.items() if "num_batches" in name}
    names = [name for name in expected if name not in counters]
    shapes = [tuple(expected[name].shape) for name in names]
    if shapes != [tuple(tensor.shape) for tensor in found]:
        raise CheckpointError(
            f"{path} is of another architecture: expected {len(names)} tensors of the shapes of "
            f"PP-OCRv6's small recogniser in their order, found {len(found)}"
        )
    return counters | dict(zip(names, found, strict=True))


def _in_order(graph) -> Iterator[np.ndarray]:
    """Weights and biases in the order of their use, matrices as linear layers keep them."""
    stored = {entry.name: onnx.numpy_helper.to_array(entry) for entry in graph.initializer}
    for node in graph.node:
        values = [stored[name] for name in node.input if name in stored]
        if node.op_type == "MatMul":
            yield from (value.T for value in values)
        elif node.op_type in ("Conv", "BatchNormalization"):
            yield from values
        elif node.op_type in ("Add", "Mul"):  # biases, scales of layer norms; not constants
            yield from (value.reshape(-1) for value in values if value.size > 1)
