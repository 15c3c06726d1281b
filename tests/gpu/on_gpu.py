"""What the tests of a GPU share: the device, the mark that skips them without one, and toys."""

import pytest
import torch

DEVICE = torch.device("cuda")
on_gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU, found none"),
]

# No dropout and no masking: two devices draw other numbers.
CONVOLUTIONAL = {
    "widths": (16, 16, 16, 16, 32), "blocks": (1,) * 5, "heads": 2, "hidden": 32,
    "encoder_layers": 1, "language_layers": 1, "key_channels": 16, "dropout": 0.0,
}
TOYS = {
    "parseq": {"width": 32, "depth": 2, "heads": 2, "decoder_heads": 2, "dropout": 0.0},
    "abinet": CONVOLUTIONAL,
    "matrn": CONVOLUTIONAL | {"fusion_layers": 1, "masking": 0.0},
    "crnn": {"widths": (16,) * 7, "hidden": 16},
    "ppocr": {
        "stem": 16, "widths": (16, 32, 32), "depths": (1, 2, 1), "squeezed": ((0,), (1,), ()),
        "width": 32, "depth": 1, "heads": 2,
    },
}


def pair(family: str) -> tuple[str, str]:
    """Names of the small teacher and student."""
    small = "ppocr" if family == "ppocr" else f"{family}_nano"
    return small, f"{small}_ltr"


def error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference over the largest value expected; infinite where anything is not finite."""
    found, expected = found.detach().double().cpu(), expected.detach().double().cpu()
    assert found.shape == expected.shape
    if not found.isfinite().all():
        return float("inf")
    return ((found - expected).abs().max() / expected.abs().max()).item()
