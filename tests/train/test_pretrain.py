"""Training a teacher: every part is supervised, it resumes, and it may start from a relative."""

import logging

import pytest
import torch

from kdltr.checkpoint import CheckpointError, read_weights, save_weights
from kdltr.models import create_model
from kdltr.train import PretrainConfig, pretrain
from tests.train.conftest import ABINET_SIZES as SIZES


def config(folder, **changed):
    return PretrainConfig(**{
        "output_dir": str(folder), "model": "abinet_nano", "settings": SIZES, "steps": 4,
        "batch_size": 4, "workers": 0, "validate_every": 2, "validation_words": 4,
        "checkpoint_every": 2, "log_every": 1, "device": "cpu", "threads": 1,
    } | changed)  # fmt: skip


def test_every_part_of_abinet_is_trained(tmp_path):
    torch.manual_seed(42)  # the run's seed: the same start
    start = create_model("abinet_nano", **SIZES).state_dict()
    pretrain(config(tmp_path))
    trained = read_weights(tmp_path / "last.safetensors")
    for part in ("vision.cls", "language.cls", "alignment.cls", "vision.backbone.resnet.conv1"):
        assert not torch.equal(trained[f"{part}.weight"], start[f"{part}.weight"]), part


def test_a_resumed_run_ends_as_an_uninterrupted_one(tmp_path):
    pretrain(config(tmp_path / "whole"))
    pretrain(config(tmp_path / "parts", minutes=1e-6))  # stops after one step
    pretrain(config(tmp_path / "parts"))
    whole, parts = (read_weights(tmp_path / run / "last.safetensors") for run in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_matrn_starts_from_the_vision_and_language_of_an_abinet(tmp_path, caplog):
    abinet = create_model("abinet_nano", **SIZES)
    save_weights(abinet, tmp_path / "abinet.safetensors", {})
    caplog.set_level(logging.INFO)
    pretrain(config(tmp_path / "run", model="matrn_nano", learning_rate=1e-12,
                    start_from=str(tmp_path / "abinet.safetensors")))  # fmt: skip
    trained = read_weights(tmp_path / "run/last.safetensors")
    for name, value in abinet.named_parameters():
        if name.startswith(("vision.", "language.")):
            assert torch.allclose(trained[name], value, atol=1e-6), name
    own = sum(name.startswith("semantic_visual") for name in trained)
    assert f"own start for {own} tensors" in caplog.text


def test_a_stranger_is_no_start(tmp_path):
    save_weights(torch.nn.Linear(2, 2), tmp_path / "stranger.safetensors", {})
    with pytest.raises(CheckpointError, match="shares no entry with abinet_nano"):
        pretrain(config(tmp_path / "run", start_from=str(tmp_path / "stranger.safetensors")))
