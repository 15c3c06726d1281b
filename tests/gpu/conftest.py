"""Settings for all tests of a GPU."""

import pytest
import torch


@pytest.fixture(autouse=True)
def float32_in_full(monkeypatch):
    """Convolutions in float32 by default are in TF32, which has three digits."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
