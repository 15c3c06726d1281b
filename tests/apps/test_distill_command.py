"""`kdltr distill`: settings from a file and the command line; weights at the end."""

import pytest
import yaml

from kdltr.apps.command import main
from kdltr.apps.distill import SettingsError, read_settings
from kdltr.checkpoint import read_weights
from kdltr.data.lmdb import write_pairs
from kdltr.generator.synthetic import generate_files

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


def test_it_trains_says_how_far_it_is_and_where_the_weights_are(settings, capsys, caplog):
    assert main(["distill", str(settings), "--set", "epochs=1", "--set", "validation=0"]) == 0
    out, err = capsys.readouterr()
    assert out == "runs/mine/last.safetensors\n" and "all of the run is in runs/mine" in err
    assert "step 1/2" in caplog.text and "step 2/2" in caplog.text
    weights = read_weights(out.strip())
    assert weights["encoder.pos_embed"].shape[-1] == SIZES["width"]


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
    ("teacher_weights=null", "expected the weights of a trained teacher, found none"),
    ("threads=100000", "threads must be less than or equal to"),
])
def test_a_wrong_setting_is_one_line(settings, change, said, capsys):
    assert main(["distill", str(settings), "--set", change]) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.splitlines()) == 1


@pytest.mark.parametrize(("text", "said"), [
    (None, "expected a file of settings"),
    ("- epochs", "expected `name: value` lines, found list"),
    ("epochs: 3", "expected output_dir"),
    ("epochs: [", "expected YAML"),
])
def test_a_file_that_is_none_is_said(text, said, tmp_path):
    file = tmp_path / "mine.yaml"
    if text:
        file.write_text(text)
    with pytest.raises(SettingsError, match=said):
        read_settings(str(file))
