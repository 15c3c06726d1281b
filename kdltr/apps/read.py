"""Reading image files: `kdltr read`."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from kdltr.charset import Reading
from kdltr.data.images import read_image, resize
from kdltr.data.records import ImageError
from kdltr.models import Recogniser
from kdltr.models.devices import checked_device
from kdltr.models.weights import DEFAULT, load_recogniser


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


def command(options: Namespace) -> int:
    """A line for each image: path, text and confidence, separated by tabs; or JSON objects.

    Objects have `path`, `text` and `confidence`, or `path` and `error`; without `--json` errors go
    to stderr. Returns 1 if any image could not be read.
    """
    device = checked_device(options.device)
    model = load_recogniser(options.weights or DEFAULT, options.model, device)
    failed = False
    for path, result in read_files(model, options.images):
        wrong = isinstance(result, ImageError)
        failed |= wrong
        if options.json:
            said = {"error": str(result)} if wrong else {
                "text": result.text, "confidence": result.confidence}
            sys.stdout.write(json.dumps({"path": path, **said}) + "\n")
        elif wrong:
            sys.stderr.write(f"kdltr read: {result}\n")
        else:
            sys.stdout.write(f"{path}\t{result.text}\t{result.confidence:.3f}\n")
        sys.stdout.flush()
    return 1 if failed else 0


def _read(model: Recogniser, images: list[np.ndarray]) -> list[Reading]:
    """Readings of N uint8 images (H, W, 3) of the model's size."""
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)  # (N, 3, H, W)
    device = next((parameter.device for parameter in model.parameters()), batch.device)
    return model.read(batch.to(device).float() / 255)
