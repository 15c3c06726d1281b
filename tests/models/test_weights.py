"""Recognisers with shipped weights, by name, and with those of a file."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kdltr.charset import Charset
from kdltr.checkpoint import CheckpointError, save_weights
from kdltr.models import create_model, list_models, weights
from kdltr.models.weights import list_weights, load_recogniser
from tests.models.conftest import CRNN

ROOT = Path(__file__).parents[2]
CONFIG = {"width": 16, "depth": 1, "heads": 2, "decoder_heads": 2, "patch": [16, 4]}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    model = create_model("parseq_nano_ltr", **CONFIG | {"patch": (16, 4)})
    file = tmp_path_factory.mktemp("weights") / "toy.safetensors"
    save_weights(model, file, {"model": "parseq_nano_ltr", "config": CONFIG})
    return file


def test_the_file_says_its_model_and_sizes(checkpoint, tmp_path):
    model = load_recogniser(checkpoint)
    assert (model.name, model.semantic_width, model.training) == ("parseq_nano_ltr", 16, False)
    assert load_recogniser(checkpoint, "parseq_nano_ltr").semantic_width == 16
    with pytest.raises(CheckpointError, match="does not fit parseq_nano"):
        load_recogniser(checkpoint, "parseq_nano")
    bare = tmp_path / "bare.safetensors"
    save_weights(model, bare, {})
    with pytest.raises(ValueError, match="does not say which model"):
        load_recogniser(bare)


@pytest.mark.parametrize("name", list_weights())
def test_shipped_weights_have_a_name(name):
    model = load_recogniser(name)
    assert model.name in list_models() and name.startswith(model.name) and not model.training


def test_shipped_weights_are_found_from_anywhere_and_a_file_comes_before_them(
    checkpoint, tmp_path, monkeypatch
):
    assert {f"{name}.safetensors" for name in list_weights()} == {
        file.name for file in (ROOT / "data/weights").glob("*.safetensors")}
    assert weights.DEFAULT in list_weights()
    monkeypatch.chdir(tmp_path)
    assert load_recogniser("parseq_nano_ltr").semantic_width == 160
    assert torch.equal(create_model("matrn_nano", "matrn_nano").language.cls.weight,
                       load_recogniser("matrn_nano").language.cls.weight)
    Path("parseq_nano_ltr").write_bytes(checkpoint.read_bytes())
    assert load_recogniser("parseq_nano_ltr").semantic_width == 16


@pytest.mark.parametrize(("given", "error", "said"), [
    (("parseq_ltr",), CheckpointError, "shipped ones of .*parseq_nano_ltr.*; found no parseq_ltr"),
    (("none.safetensors",), CheckpointError, "found no none.safetensors"),
    (("none.safetensors", "parseq_nano_ltr"), CheckpointError, "no checkpoint at none"),
    (("parseq_nano", "parsec_nano"), ValueError, "did you mean 'parseq_nano'"),
])
def test_what_is_not_there_is_said(given, error, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=said):
        load_recogniser(*given)


@pytest.mark.parametrize(("content", "kind"), [
    (b"", "an empty file"), (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    (b"\x89PNG\r\n\x1a\n", "an image"),
])
@pytest.mark.parametrize("suffix", ["pt", "safetensors", "onnx"])
def test_a_file_that_holds_no_weights_is_not_asked_for_its_model(tmp_path, content, kind, suffix):
    file = tmp_path / f"w.{suffix}"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"found {kind}"):
        load_recogniser(file)


def test_the_suffix_does_not_say_what_a_file_is(checkpoint, tmp_path):
    renamed = tmp_path / "toy.onnx"
    renamed.write_bytes(checkpoint.read_bytes())
    assert load_recogniser(renamed).semantic_width == 16


@pytest.mark.parametrize("name", ["own", "ascii94"])  # one that is called as another
def test_a_charset_of_ones_own_is_in_the_file(name, tmp_path):
    own = Charset(name, "abcdeéèçñü", lower=True)
    model = create_model("crnn_nano_ltr", charset=own, **CRNN)
    save_weights(model, tmp_path / "own.safetensors", {"model": model.name})
    assert load_recogniser(tmp_path / "own.safetensors").charset == own


def test_a_charset_from_yaml_is_checked():
    given = {"name": "own", "characters": "abc", "lower": True}
    assert create_model("crnn_nano", charset=given, **CRNN).charset == Charset("own", "abc", True)
    for wrong, said in (({"name": "own"}, "characters"), ({**given, "lowr": 1}, "lower"),
                        ({**given, "characters": "aba"}, "'a' twice")):
        with pytest.raises(ValueError, match=said):
            create_model("crnn_nano", charset=wrong, **CRNN)


def test_what_reads_loads_no_compiler():
    """It takes longer than all else that `kdltr read` does."""
    check = "import sys, kdltr.models.weights; print('torch._dynamo' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
