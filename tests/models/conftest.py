"""Models filled as those that gave the numbers in tests/golden, and toys of the same families.

What several files of the reference held is stored once: images in the ``parseq*.npz``, and MATRN's
vision outputs, which with these weights are ABINet's, in the ``abinet*.npz``.
"""

import json
from pathlib import Path

import numpy as np
import torch

from kdltr.models import create_model
from tests.golden.fill import fill_state_dict

GOLDEN = Path(__file__).parents[1] / "golden"

# Widths are multiples of 16: with 8 channels PyTorch 2.13's CPU build corrupts the heap.
TOY = {
    "widths": (16, 16, 16, 16, 32), "blocks": (1,) * 5, "heads": 2, "hidden": 32,
    "encoder_layers": 1, "language_layers": 1, "key_channels": 16, "dropout": 0.0,
}
TOYS = {"abinet": TOY, "abinet_vision": TOY, "matrn": {**TOY, "fusion_layers": 1}}
# Of those that read by CTC.
CRNN = {"widths": (16,) * 7, "hidden": 16}
PPOCR = {
    "stem": 16, "widths": (16, 32, 32), "depths": (1, 2, 1), "squeezed": ((0,), (1,), ()),
    "width": 32, "depth": 1, "heads": 2,
}


def golden(name: str) -> dict[str, torch.Tensor]:
    """The numeric arrays of one file, as stored."""
    with np.load(GOLDEN / name) as file:
        return {key: torch.from_numpy(np.asarray(file[key])) for key in file.files
                if file[key].dtype.kind != "U"}


def fill(module: torch.nn.Module, prefix: str = "") -> None:
    """Fill under the names the reference has for it: ``prefix`` and its own."""
    named = {prefix + name: value for name, value in module.state_dict().items()}
    module.load_state_dict(
        {name.removeprefix(prefix): value for name, value in fill_state_dict(named).items()}
    )


def filled(name: str, **config):
    """The published-size model in float64 and eval mode, filled as the reference was."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # while building, or mean and std have 7 digits
    try:
        model = create_model(name, **config)
    finally:
        torch.set_default_dtype(before)
    fill(model)
    return model.eval()


def toy(name: str, checkpoint=None, **config):
    """A convolutional model of a few units; ``name`` as in the registry, without ``_nano``."""
    family, *student = name.split("_ltr")
    suffix = "_ltr" if student else ""
    return create_model(f"{family}_nano{suffix}", checkpoint, **{**TOYS[family], **config})


def ctc_toy(family: str, student: bool = False, **config):
    """A CTC recogniser of a few units."""
    sizes = {"crnn": CRNN, "ppocr": PPOCR}[family]
    return create_model(family + "_ltr" * student, **{**sizes, **config})


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Agreement to 1e-6 of the largest value."""
    assert found.shape == expected.shape
    error = (found - expected.double()).abs().max() / expected.double().abs().max()
    assert error < 1e-6, f"relative error {error:.1e}"


def agrees_with_keys(name: str, model_name: str | None = None) -> int:
    """Assert that every name and shape is the published one; the number of parameters."""
    keys = json.loads((GOLDEN / f"{name}.keys.json").read_text())
    with torch.device("meta"):  # nothing is computed
        model = create_model(model_name or name)
    assert {k: list(v.shape) for k, v in model.state_dict().items()} == keys["state_dict"]
    count = sum(p.numel() for p in model.parameters())
    assert count == keys["parameters"]
    return count
