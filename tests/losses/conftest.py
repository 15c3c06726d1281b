"""Reference numbers of the published losses, in float64: tests/golden/losses*.npz."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

GOLDEN = Path(__file__).parents[1] / "golden"
sys.path.insert(0, str(GOLDEN))
sys.path.insert(0, str(Path(__file__).parent))


def load(name):
    with np.load(GOLDEN / name) as arrays:
        tensors = {key: torch.from_numpy(arrays[key]) for key in arrays}
    return {k: v.double() if v.is_floating_point() else v for k, v in tensors.items()}


@pytest.fixture(scope="session")
def golden():
    return load("losses.npz")


@pytest.fixture(scope="session")
def golden_parseq():
    return load("losses_parseq.npz")


@pytest.fixture(scope="session")
def fill_projector():
    """Fill a SemanticContrastiveLoss under the published names, in float64."""
    from fill import fill_state_dict

    def fill(loss, prefix):
        named = {prefix + name: value for name, value in loss.state_dict().items()}
        filled = fill_state_dict(named)
        loss.load_state_dict({name.removeprefix(prefix): v for name, v in filled.items()})
        return loss.double()

    return fill
