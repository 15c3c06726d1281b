"""`kdltr distill`: settings from a file and the command line; weights at the end."""

import os
import re
import signal
from pathlib import Path

import pytest
import yaml

from kdltr.apps.command import main
from kdltr.apps.distill import read_settings
from kdltr.apps.signals import Stop, Terminated
from kdltr.checkpoint import read_weights
from kdltr.data.lmdb import write_pairs
from kdltr.generator.synthetic import generate_files
from kdltr.locks import only_writer
from kdltr.models.weights import load_recogniser
from kdltr.settings import SettingError
from kdltr.train import distill

ROOT = Path(__file__).parents[2]
SIZES = {"width": 32, "depth": 1, "heads": 2, "decoder_heads": 2}


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """A file of settings for two steps of a toy on nine pairs."""
    monkeypatch.chdir(tmp_path)
    write_pairs(tmp_path / "words", generate_files("train1", 9, seed=1))
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({
        "output_dir": "runs/mine", "data": ["words"], "teacher": "parseq_nano", "model": SIZES,
        "teacher_weights": "random", "student": "parseq_nano_ltr", "epochs": 3, "batch_size": 4,
        "selection": "last", "threads": 1, "log_every": 1}))
    return file


def test_the_settings_of_the_readme_train(tmp_path, monkeypatch):
    (text,) = re.findall(r"```yaml\n(output_dir: .*?)```", (ROOT / "README.md").read_text(), re.S)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(text)
    write_pairs(tmp_path / "my-pairs", generate_files("train1", 30, seed=1))
    command = ["distill", "mine.yaml", "--set", "epochs=1", "--set", "batch_size=4", "--set",
               "steps_per_epoch=2", "--set", "threads=1"]
    assert main(command) == 0
    assert load_recogniser("runs/mine/best.safetensors").name == "abinet_nano_ltr"
    same = ROOT / "data/weights/abinet_nano.safetensors"  # what goes on has the same teacher
    assert main([*command, "--set", f"teacher_weights={same}"]) == 0


def test_it_trains_says_how_far_it_is_and_where_the_weights_are(settings, capsys, caplog):
    assert main(["distill", str(settings), "--set", "epochs=1", "--set", "validation=0"]) == 0
    out, err = capsys.readouterr()
    assert out == "runs/mine/last.safetensors\n" and "all of the run is in runs/mine" in err
    assert "step 1/2" in caplog.text and "step 2/2" in caplog.text
    weights = read_weights(out.strip())
    assert weights["encoder.pos_embed"].shape[-1] == SIZES["width"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_training_saves_its_last_step_and_goes_on(
    number, status, settings, monkeypatch, capsys
):
    def interrupted(config, stop_now):
        def interrupt(row):
            if row["step"] == 2:
                signal.raise_signal(number)

        return distill(config, on_log=interrupt, stop_now=stop_now)

    assert main(["distill", str(settings), "--set", "output_dir=runs/whole"]) == 0
    with monkeypatch.context() as patch:
        patch.setattr("kdltr.apps.distill.distill", interrupted)
        assert main(["distill", str(settings)]) == status
    out, err = capsys.readouterr()
    assert out == "runs/whole/last.safetensors\n"
    assert "kdltr distill: interrupted after step 3, which is saved in runs/mine; run the" in err
    assert main(["distill", str(settings)]) == 0
    whole, resumed = (read_weights(f"runs/{name}/last.safetensors") for name in ("whole", "mine"))
    assert all(value.equal(resumed[name]) for name, value in whole.items())


def test_before_its_first_step_and_the_second_time_a_signal_ends_it_at_once():
    with Stop().noting() as stop:
        with pytest.raises(Terminated):
            signal.raise_signal(signal.SIGTERM)
        assert not stop()
        signal.raise_signal(signal.SIGTERM)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_second_run_in_one_folder_is_one_line(settings, capsys):
    with only_writer(Path("runs/mine/.lock")):
        assert main(["distill", str(settings)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"kdltr distill: runs/mine is being written by process {os.getpid()} ")


def test_changes_come_after_the_file_and_are_yaml(settings):
    config = read_settings(str(settings), ["epochs=7", "weights={visual: 0}", "data=[a, b]"])
    assert (config.epochs, config.batch_size, config.data) == (7, 4, ("a", "b"))
    assert config.weights == {"visual": 0}


@pytest.mark.parametrize(("change", "said"), [
    ("epoch=3", "unknown setting 'epoch'; did you mean 'epochs'"),
    ("epochs=0", "epochs must be at least 1, found 0"),
    ("epochs=two", "epochs must be a whole number, found 'two'"),
    ("epochs", "expected --set NAME=VALUE, found 'epochs'"),
    ("data=[", "--set data=[: expected YAML"),
    ("teacher=parsec", "did you mean 'parseq'"),
    ("output_dir=", "expected output_dir in"),
    ("teacher_weights=null", "expected the weights of a trained teacher, found none"),
    ("threads=100000", "threads must be less than or equal to"),
])
def test_a_wrong_setting_is_one_line(settings, change, said, capsys):
    assert main(["distill", str(settings), "--set", change]) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.splitlines()) == 1


@pytest.mark.parametrize(("text", "said"), [
    (None, "expected a file of settings at .*mine.yaml, found: no such file"),
    (b"output_dir: caf\xe9\n", "expected UTF-8, found other text"),
    ("- epochs", "expected `name: value` lines, found list"),
    ("epochs: 3", "expected output_dir"),
    ("output_dir: a\nepochs: 3\nepochs: 4", "epochs stands twice.*line 3"),
    ("epochs: [", "expected YAML"),
])
def test_a_file_that_is_none_is_said(text, said, tmp_path):
    file = tmp_path / "mine.yaml"
    if text:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SettingError, match=said):
        read_settings(str(file))
