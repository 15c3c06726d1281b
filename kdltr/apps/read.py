"""Reading image files: `kdltr read`."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kdltr.apps.drawing import drawn
from kdltr.apps.photograph import BATCH, PhotographReader, Word, read_resized
from kdltr.charset import Reading
from kdltr.data.images import read_image, resize
from kdltr.data.lines import placed
from kdltr.data.records import ImageError
from kdltr.files import atomic_path
from kdltr.models import Recogniser
from kdltr.models.devices import checked_device
from kdltr.models.weights import load_recogniser

Source = str | os.PathLike | bytes  # a path, or the bytes of a file
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def read_files(
    model: Recogniser, files: Source | Sequence[Source], batch_size: int = BATCH
) -> Iterator[tuple[Source, Reading | ImageError]]:
    """Each file with its reading, or with the error that kept its image from being read, in order.

    Images are resized to the model's input (Pillow bicubic), whatever their size; of a recogniser
    of lines they are placed on it (`kdltr.data.lines.placed`).

    Args:
        files: paths, or the bytes of image files; or one.
    """
    fit = placed if model.lines else resize
    files = _listed(files)
    for start in range(0, len(files), batch_size):
        chunk = files[start : start + batch_size]
        found: list[np.ndarray | ImageError] = []
        for file in chunk:
            try:
                found.append(fit(read_image(file), model.image_size))
            except ImageError as error:
                found.append(error)
        images = [array for array in found if isinstance(array, np.ndarray)]
        readings = iter(read_resized(model, images))
        for file, result in zip(chunk, found, strict=True):
            yield file, result if isinstance(result, ImageError) else next(readings)


def read_photographs(
    reader: PhotographReader, files: Source | Sequence[Source],
    picture: str | os.PathLike | None = None,
) -> Iterator[tuple[Source, list[Word] | ImageError]]:
    """Each file with its words, or with the error that kept its image from being read, in order.

    Args:
        files: paths, or the bytes of image files; or one.
        picture: a file, for the words drawn (`kdltr.apps.drawing`) of the last photograph; written
            when the next, or the end, is asked for.
    """
    for file in _listed(files):
        try:
            image = read_image(file)
        except ImageError as error:
            yield file, error
            continue
        words = reader.read(image)
        yield file, words  # first: a folder that cannot be written to takes no reading away
        if picture:
            with atomic_path(picture) as temporary:
                Image.fromarray(drawn(image, words)).save(temporary)


def command(options: Namespace) -> int:
    """A line for each image or word: path, text and confidence, separated by tabs; or JSON objects.

    With `--detect` left, top, width and height follow. Objects have `path`, `text` and
    `confidence`, and of words `box` (four corners), `height` and `model`; or `path` and `error`.
    Without `--json` errors go to stderr. A photograph without words has no line, and one on stderr
    says so. Returns 1 if any image could not be read.
    """
    device = checked_device(options.device)
    _check_picture(options)
    model = load_recogniser(options.weights, options.model, device)
    if options.images.count("-") > (sys.stdin is not None):
        raise ValueError("expected - once, and an image on standard input, found "
                         f"{options.images.count('-')} of them" if sys.stdin else
                         "expected an image on standard input, found it closed")
    files = [sys.stdin.buffer.read() if path == "-" else path for path in options.images]
    if options.detect:
        results = read_photographs(PhotographReader(model), files, options.picture)
    else:
        results = read_files(model, files)
    failed = False
    for path, (_, result) in zip(options.images, results, strict=True):
        failed |= isinstance(result, ImageError)
        lines = []
        if isinstance(result, list) and not result:
            sys.stderr.write(f"kdltr read: {_one_line(path)}: no words found\n")
        elif options.json:
            lines = [json.dumps({"path": path, **each}) for each in _said(result)]
        elif isinstance(result, ImageError):
            sys.stderr.write(f"kdltr read: {_one_line(str(result))}\n")
        else:
            lines = ["\t".join([_one_line(path), *each]) for each in _columns(result)]
        sys.stdout.writelines(f"{line}\n" for line in lines)
        sys.stdout.flush()
    return 1 if failed else 0


def _listed(files: Source | Sequence[Source]) -> list[str | bytes]:
    files = [files] if isinstance(files, Source) else files
    return [file if isinstance(file, bytes) else os.fspath(file) for file in files]


def _one_line(path: str) -> str:
    """A path with tabs, line breaks and other control characters written as \\t, \\n and so on."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], path)


def _check_picture(options: Namespace) -> None:
    """Raise ValueError unless what --picture asks for can be done."""
    if not options.picture:
        return
    if not options.detect or len(options.images) != 1:
        raise ValueError("expected --picture with --detect and one photograph, found "
                         f"{len(options.images)} images{'' if options.detect else ', no --detect'}")
    Image.init()
    kind = Image.EXTENSION.get(Path(options.picture).suffix.lower())
    try:  # not every format takes colours, or can be written
        Image.new("RGB", (2, 2)).save(io.BytesIO(), kind or "")
    except (KeyError, OSError, ValueError):
        raise ValueError(f"expected --picture to name an image file, such as found.png, found "
                         f"{options.picture}") from None
    if Path(options.picture).resolve() == Path(options.images[0]).resolve():
        raise ValueError(f"expected another file than the photograph itself with --picture, found "
                         f"{options.picture}")


def _said(result: Reading | list[Word] | ImageError) -> list[dict[str, Any]]:
    """What JSON objects say of an image, beside its path."""
    if isinstance(result, ImageError):
        return [{"error": str(result)}]
    if isinstance(result, Reading):
        return [{"text": result.text, "confidence": result.confidence}]
    return [
        {**_said(word.reading)[0], "box": word.box.corners.round(1).tolist(),
         "height": word.box.size[0], "model": word.model} for word in result
    ]


def _columns(result: Reading | list[Word]) -> list[list[str]]:
    """What lines say of an image, beside its path."""
    if isinstance(result, Reading):
        return [[result.text, f"{result.confidence:.3f}"]]
    return [[*_columns(word.reading)[0], *map(str, word.bounds)] for word in result]
