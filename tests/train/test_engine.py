"""One training at a time in a folder."""

import accelerate.state
import pytest
import torch

from kdltr.locks import BusyError, only_writer
from kdltr.train import DistillConfig, PretrainConfig, distill, pretrain
from kdltr.train.engine import alone, start_engine
from kdltr.train.superres import UpscaleConfig, train_upscaler


@pytest.mark.parametrize(("train", "config"), [
    (distill, DistillConfig), (pretrain, PretrainConfig), (train_upscaler, UpscaleConfig)])
def test_a_second_training_is_refused(train, config, tmp_path):
    with only_writer(tmp_path / ".lock"):
        with pytest.raises(BusyError, match="is being written by"):
            train(config(str(tmp_path)))
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_of_several_processes_the_main_one_holds_the_lock(tmp_path, monkeypatch):
    @alone
    def train(config, more):
        return more

    with only_writer(tmp_path / ".lock"):
        monkeypatch.setenv("RANK", "1")
        assert train(DistillConfig(str(tmp_path)), "more") == "more"
        monkeypatch.setenv("RANK", "0")
        with pytest.raises(BusyError):
            train(DistillConfig(str(tmp_path)), more="more")
    assert train(DistillConfig(str(tmp_path)), more="more") == "more"


def test_a_training_that_fails_leaves_the_folder_free(tmp_path):
    @alone
    def train(config):
        raise ValueError

    for _ in range(2):
        with pytest.raises(ValueError):
            train(DistillConfig(str(tmp_path)))


def test_without_a_setting_a_gpu_of_apple_is_left_alone(tmp_path, monkeypatch):
    """Some of what training takes is not there, as float64."""
    monkeypatch.setattr(accelerate.state, "is_mps_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert start_engine(DistillConfig(str(tmp_path))).device.type == "cpu"
