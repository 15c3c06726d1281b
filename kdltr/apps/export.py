"""Writing a recogniser for where there is no PyTorch: `kdltr export`."""

from __future__ import annotations

import sys
import tempfile
from argparse import Namespace
from pathlib import Path

from kdltr.data.loader import WordPairs
from kdltr.evaluation.evaluate import images_for, load_for
from kdltr.models import Recogniser
from kdltr.models.onnx import BATCHES, export
from kdltr.models.onnx_reader import BATCH, OnnxReader, quantise
from kdltr.models.weights import load_recogniser

CALIBRATION = 300  # words that the ranges of activations are taken from, about


def command(options: Namespace) -> int:
    """Write the file and say how well it agrees."""
    model = load_recogniser(options.weights, options.model)
    if isinstance(model, OnnxReader):
        raise ValueError(f"expected weights of PyTorch, found {options.weights}, which is an ONNX "
                         "file already; export the weights that it was made from")
    target = Path(options.target)
    if options.int8:
        said = _int8(model, target, load_for(model, options.int8))
    else:
        difference = export(model, target)
        said = (f"ONNX Runtime and PyTorch agree to {difference:.0e} of the largest logit at batch "
                f"sizes {' and '.join(map(str, BATCHES))}")
    size = target.stat().st_size / 1e6
    sys.stdout.write(f"{target}: {model.name}, {size:.1f} MB; {said}\n")
    return 0


def _int8(model: Recogniser, target: Path, pairs: WordPairs) -> str:
    """Write the 8-bit form, and say how far it reads as the model does."""
    images = images_for(model, pairs)
    images = images[:: max(1, len(images) // CALIBRATION)]
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / target.name
        export(model, whole)
        quantise(whole, target, images)
    texts = [[reading.text for some in images.split(BATCH) for reading in reader.read(some / 255)]
             for reader in (model, OnnxReader(target))]
    alike = sum(own == other for own, other in zip(*texts, strict=True))
    return f"reads {alike} of {len(images)} words as PyTorch does"
