"""Reading word images from the shell.

    python -m kdltr.apps.read IMAGE… [--model NAME] [--checkpoint FILE] [--json] [--device DEVICE]

A line per image, in the order given: path, text and confidence, separated by tabs; with
`--json` an object with `path`, `text` and `confidence`, or `path` and `error`. The exit status is
0 if every image was read, 1 if any could not be (the others are read all the same), 2 if nothing
could: a wrong option, model or checkpoint.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from kdltr.charset import ALNUM36, ASCII94, Reading
from kdltr.checkpoint import CheckpointError
from kdltr.data.images import read_image, resize
from kdltr.data.records import ImageError
from kdltr.files import shipped
from kdltr.models import Recogniser, create_model, list_models, nearest

WEIGHTS = shipped("weights")
# What reads photographs best of what is shipped (README), without ".safetensors".
DEFAULT_WEIGHTS = "parseq_nano_ltr_photo"
_CHARSETS = {charset.name: charset for charset in (ALNUM36, ASCII94)}


def load_recogniser(
    checkpoint: str | os.PathLike | None = None,
    model: str | None = None,
    device: str | torch.device = "cpu",
) -> Recogniser:
    """A recogniser ready to read, in eval mode.

    Args:
        checkpoint: weights in any layout kdltr reads; the shipped ones of `model` if None.
        model: a name of `list_models`; if None, the one that the checkpoint's metadata names. With
            neither model nor checkpoint, the shipped student that reads photographs best.
        device: where it goes.

    Raises:
        ValueError: an unknown model, or a checkpoint that names none where none is given.
        CheckpointError: the file is missing, damaged or of another model.
    """
    if model is not None and model not in list_models():
        raise ValueError(f"unknown model {model!r}{nearest(model, list_models())}")
    if checkpoint is None:
        checkpoint = WEIGHTS / f"{model or DEFAULT_WEIGHTS}.safetensors"
        if not checkpoint.is_file():
            shipped = sorted(file.stem for file in WEIGHTS.glob("*.safetensors")
                             if file.stem in list_models())
            raise CheckpointError(
                f"no weights {checkpoint.stem} at {checkpoint}; shipped are those of "
                f"{', '.join(shipped) or 'no model'}: name a file with --checkpoint"
            )
    metadata = _metadata(Path(checkpoint))
    name = model or metadata.get("model")
    if name is None:
        raise ValueError(f"{checkpoint} does not say which model it is of; name it with --model, "
                         f"one of {', '.join(list_models())}")
    # Sizes that the file records are those of its own model, not of another that was asked for.
    config = _config(metadata) if metadata.get("model", name) == name else {}
    return create_model(name, checkpoint=checkpoint, **config).to(device).eval()


def read_files(
    model: Recogniser, paths: Sequence[str | os.PathLike], batch_size: int = 64
) -> Iterator[tuple[str, Reading | ImageError]]:
    """Each path with its reading, or with the error that kept its image from being read, in order.

    Images are resized to the model's input (Pillow bicubic), whatever their size.
    """
    for start in range(0, len(paths), batch_size):
        chunk = [os.fspath(path) for path in paths[start : start + batch_size]]
        found: list[np.ndarray | ImageError] = []
        for path in chunk:
            try:
                found.append(resize(read_image(path), model.image_size))
            except ImageError as error:
                found.append(error)
        images = [array for array in found if isinstance(array, np.ndarray)]
        readings = iter(_read(model, images) if images else [])
        for path, result in zip(chunk, found, strict=True):
            yield path, result if isinstance(result, ImageError) else next(readings)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser("python -m kdltr.apps.read", description="Read word images.")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="an image file of one word")
    parser.add_argument("--model", metavar="NAME", help="a model's name; default: the one that "
                        "the checkpoint names")
    parser.add_argument("--checkpoint", metavar="FILE", help="weights; default: those shipped of "
                        f"the model, {DEFAULT_WEIGHTS} if none is named")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, …; default: cpu")
    options = parser.parse_args(arguments)
    try:
        device = torch.empty(0, device=options.device).device  # says now if there is none
    except (RuntimeError, AssertionError) as error:
        return _fail(f"expected a device of this machine, found {options.device!r} "
                     f"({str(error).splitlines()[0]}); use --device cpu")
    try:
        model = load_recogniser(options.checkpoint, options.model, device)
    except (ValueError, CheckpointError) as error:
        return _fail(str(error))
    if hasattr(sys.stdout, "reconfigure"):  # file names need not be text
        sys.stdout.reconfigure(errors="backslashreplace")
    failed = False
    for path, result in read_files(model, options.images):
        wrong = isinstance(result, ImageError)
        failed |= wrong
        if options.json:
            said = {"error": str(result)} if wrong else {
                "text": result.text, "confidence": result.confidence}
            sys.stdout.write(json.dumps({"path": path, **said}) + "\n")
        elif wrong:
            _fail(str(result))
        else:
            sys.stdout.write(f"{path}\t{result.text}\t{result.confidence:.3f}\n")
        sys.stdout.flush()
    return 1 if failed else 0


def _fail(message: str) -> int:
    sys.stderr.write(f"kdltr.apps.read: {message}\n")
    return 2


def _read(model: Recogniser, images: list[np.ndarray]) -> list[Reading]:
    """Readings of N uint8 images (H, W, 3) of the model's size."""
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)  # (N, 3, H, W)
    device = next(model.parameters()).device
    return model.read(batch.to(device).float() / 255)


def _metadata(file: Path) -> dict[str, str]:
    """The header of a safetensors file; empty for other layouts and for damaged files."""
    if file.suffix != ".safetensors":
        return {}
    try:
        with safe_open(file, "pt") as content:
            return content.metadata() or {}
    except (SafetensorError, OSError):
        return {}  # loading says what is wrong with it


def _config(metadata: dict[str, str]) -> dict[str, Any]:
    """Settings that differ from the model's name, from the metadata's JSON under "config"."""
    config = json.loads(metadata.get("config", "{}"))
    if "charset" in config:
        config["charset"] = _CHARSETS[config["charset"]]
    return {key: tuple(value) if isinstance(value, list) else value
            for key, value in config.items()}


if __name__ == "__main__":
    sys.exit(main())
