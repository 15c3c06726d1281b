"""Toy words and a toy teacher on disk, for runs of a second."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from kdltr.checkpoint import save_weights
from kdltr.data.lmdb import write_pairs
from kdltr.models import create_model

SIZES = {"width": 16, "depth": 1, "heads": 2, "decoder_heads": 2, "dropout": 0.0}
ABINET_SIZES = {
    "widths": (16, 16, 16, 16, 32), "blocks": (1, 1, 1, 1, 1), "heads": 2, "hidden": 32,
    "encoder_layers": 1, "language_layers": 1, "key_channels": 16,
}  # fmt: skip
WORDS = ["seed", "yellow", "a", "Read!", "hornbill", "on", "ten", "kiwi", "42", "Zoo"]


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """`data`: an LMDB of 40 pairs; `settings`: of a run over it with a toy PARSeq."""
    folder = tmp_path_factory.mktemp("toy")
    rng = np.random.default_rng(0)

    def image(height, width):
        return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)

    write_pairs(folder / "train", [(image(32, 128), image(16, 64), WORDS[i % 10])
                                   for i in range(40)])
    torch.manual_seed(0)
    save_weights(create_model("parseq_nano", **SIZES), folder / "teacher.safetensors", {})
    settings = {
        "data": (str(folder / "train"),),
        "teacher": "parseq_nano",
        "teacher_weights": str(folder / "teacher.safetensors"),
        "student": "parseq_nano_ltr",
        "model": dict(SIZES),
        "epochs": 3,
        "batch_size": 4,
        "validation": 0.1,
        "validate_every": 5,
        "checkpoint_every": 4,
        "log_every": 2,
        "learning_rate": 1e-3,
        "threads": 1,
        "device": "cpu",
    }
    return SimpleNamespace(data=folder / "train", settings=settings, folder=folder)


@pytest.fixture
def clipped(monkeypatch):
    """What gradients were clipped: parameters, and the norm they have at most."""
    clip, given = torch.nn.utils.clip_grad_norm_, []

    def watch(parameters, most):
        given.append(([*parameters], most))
        return clip(*given[-1])

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", watch)
    return given
