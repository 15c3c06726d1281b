"""Recognisers ready to read: with the weights that kdltr ships, or with those of a file."""

from __future__ import annotations

import json
import os
from typing import Any

import torch

from kdltr.checkpoint import CheckpointError, read_metadata, read_weights
from kdltr.files import list_weights, weights_file
from kdltr.models import Recogniser, check_model, create_model, list_models
from kdltr.models.onnx_reader import OnnxReader, is_onnx

DEFAULT = "ppocr_ltr"  # what reads photographs best of what is shipped (README)


def load_recogniser(
    weights: str | os.PathLike | None = None,
    model: str | None = None,
    device: str | torch.device = "cpu",
) -> Recogniser:
    """A recogniser ready to read, in eval mode.

    Args:
        weights: a file in any layout kdltr reads, an ONNX file of `kdltr.models.onnx`, or the name
            of shipped ones (`list_weights`); if None, those of the model's name, or `DEFAULT`.
        model: a name of `kdltr.list_models`; if None, the one that the file's metadata name.
        device: where it goes.

    Raises:
        ValueError: an unknown model, weights that name none where none is given, or an ONNX file
            for another device than the CPU.
        CheckpointError: the file is missing, damaged, no weights, or of another model.
    """
    if model is not None:
        check_model(model)
    if weights is None:  # "" is a mistake
        weights = model if model in list_weights() else DEFAULT
    file = weights_file(weights)
    if file.is_file() and is_onnx(file) and model != "ppocr":  # whose own weights are one
        if torch.device(device).type != "cpu":
            raise ValueError(f"expected cpu for an ONNX file, which is read there, found {device}; "
                             "leave the device out")
        reader = OnnxReader(file).eval()
        if model not in (None, reader.name):
            raise CheckpointError(f"{file}: expected {model}, found an ONNX file of {reader.name}; "
                                  "name the right one, or leave the model out")
        return reader
    metadata = read_metadata(file)
    name = model or metadata.get("model")
    if name is None and not file.is_file():
        raise CheckpointError(f"expected a file of weights, or shipped ones of "
                              f"{', '.join(list_weights())}; found no {weights}")
    if name is None:
        read_weights(file)  # which says what the file is where it holds none
        raise ValueError(f"{file} does not say which model it is of; name it with --model, "
                         f"one of {', '.join(list_models())}")
    # Sizes that the file records are those of its own model, not of another that was asked for.
    config = _config(metadata) if metadata.get("model", name) == name else {}
    return create_model(name, checkpoint=file, **config).to(device).eval()


def _config(metadata: dict[str, str]) -> dict[str, Any]:
    """Settings that differ from the model's name, from the metadata's JSON under "config"."""
    text = metadata.get("config", "{}")
    try:
        config = json.loads(text)
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise CheckpointError(f"expected the sizes of the model as JSON in the metadata of its "
                              f"weights, found {text[:80]!r}; save them by kdltr.checkpoint")
    return config
