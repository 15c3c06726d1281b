"""Writing a recogniser for where there is no PyTorch: `kdltr export`."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from kdltr.models.onnx import BATCHES, export
from kdltr.models.weights import load_recogniser


def command(options: Namespace) -> int:
    """Write the file and say how well it agrees."""
    model = load_recogniser(options.weights, options.model)
    difference = export(model, options.target)
    size = Path(options.target).stat().st_size / 1e6
    sys.stdout.write(
        f"{options.target}: {model.name}, {size:.1f} MB; ONNX Runtime and PyTorch agree to "
        f"{difference:.0e} of the largest logit at batch sizes {' and '.join(map(str, BATCHES))}\n"
    )
    return 0
