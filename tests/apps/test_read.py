"""`python -m kdltr.apps.read`: readings in order, errors said, exit status."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from kdltr.apps import read
from kdltr.charset import Reading
from kdltr.checkpoint import CheckpointError, save_weights
from kdltr.data.images import read_image, resize
from kdltr.models import create_model

CONFIG = {"width": 16, "depth": 1, "heads": 2, "decoder_heads": 2, "patch": [16, 4]}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    model = create_model("parseq_nano_ltr", **CONFIG | {"patch": (16, 4)})
    file = tmp_path_factory.mktemp("weights") / "toy.safetensors"
    save_weights(model, file, {"model": "parseq_nano_ltr", "config": CONFIG})
    return file


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    files = []
    for i, size in enumerate(((20, 60), (9, 31), (48, 200))):
        files.append(tmp_path / f"{i}.png")
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(files[-1])
    return files


def run(capsys, *arguments):
    status = read.main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return status, out.splitlines(), err


def test_text_and_confidence_in_the_order_given(capsys, checkpoint, images):
    order = [images[2], images[0], images[1], images[0]]
    status, lines, err = run(capsys, *order, "--checkpoint", checkpoint, "--json")
    assert status == 0 and err == ""
    model = read.load_recogniser(checkpoint)
    said = [json.loads(line) for line in lines]
    assert [entry["path"] for entry in said] == [str(path) for path in order]
    for path, entry in zip(order, said, strict=True):
        array = resize(read_image(path), (16, 64))
        alone = model.read(torch.from_numpy(array.copy()).permute(2, 0, 1)[None].float() / 255)[0]
        assert entry["text"] == alone.text and set(entry) == {"path", "text", "confidence"}
        assert entry["confidence"] == pytest.approx(alone.confidence, rel=1e-4)
    status, lines, _ = run(capsys, images[0], "--checkpoint", checkpoint)
    path, text, confidence = lines[0].split("\t")
    assert (path, text) == (str(images[0]), said[1]["text"])
    assert confidence == f"{said[1]['confidence']:.3f}"


def test_bad_images_are_said_and_the_others_read(capsys, checkpoint, images, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    order = [tmp_path / "none.png", images[0], tmp_path / "text.png", tmp_path / "dot.png",
             images[1], tmp_path]
    status, lines, err = run(capsys, *order, "--checkpoint", checkpoint)
    assert status == 1 and len(lines) == 2 and lines[1].startswith(f"{images[1]}\t")
    errors = err.splitlines()
    assert len(errors) == 4 and all("expected" in line for line in errors)
    assert "none.png" in errors[0] and "check the path" in errors[0]
    assert "found 1×1" in errors[2]
    status, lines, err = run(capsys, *order, "--checkpoint", checkpoint, "--json")
    said = [json.loads(line) for line in lines]
    assert status == 1 and err == "" and len(said) == 6
    assert [set(entry) for entry in said[:2]] == [{"path", "error"}, {"path", "text", "confidence"}]
    status, lines, _ = run(capsys, tmp_path / "dot.png", "--checkpoint", checkpoint)
    assert status == 1 and not lines


def test_images_go_in_batches(checkpoint, images):
    model = read.load_recogniser(checkpoint)
    sizes = []
    model.register_forward_hook(lambda module, args, out: sizes.append(len(args[0])))
    found = list(read.read_files(model, images[:2] + ["none.png"] + images, batch_size=4))
    assert sizes == [3, 2] and [isinstance(r, Reading) for _, r in found] == [1, 1, 0, 1, 1, 1]
    assert found[0] == (str(images[0]), found[0][1])
    for (_, a), (_, b) in ((found[0], found[3]), (found[1], found[4])):
        assert a.text == b.text


def test_the_checkpoint_says_its_model_and_sizes(checkpoint, tmp_path):
    model = read.load_recogniser(checkpoint)
    assert (model.name, model.semantic_width, model.training) == ("parseq_nano_ltr", 16, False)
    assert read.load_recogniser(checkpoint, "parseq_nano_ltr").semantic_width == 16
    with pytest.raises(CheckpointError, match="does not fit parseq_nano"):
        read.load_recogniser(checkpoint, "parseq_nano")
    bare = tmp_path / "bare.safetensors"
    save_weights(model, bare, {})
    with pytest.raises(ValueError, match="does not say which model"):
        read.load_recogniser(bare)


def test_shipped_weights_are_found_from_anywhere(capsys, checkpoint, images, tmp_path, monkeypatch):
    weights = Path(read.__file__).parents[2] / "data" / "weights"
    assert weights == read.WEIGHTS
    monkeypatch.setattr(read, "WEIGHTS", tmp_path / "weights")
    monkeypatch.chdir(tmp_path)
    status, _, err = run(capsys, images[0])
    assert status == 2 and f"no weights {read.DEFAULT_WEIGHTS} at" in err and "no model" in err
    (tmp_path / "weights").mkdir()
    os.link(checkpoint, tmp_path / "weights" / f"{read.DEFAULT_WEIGHTS}.safetensors")
    assert run(capsys, images[0])[0] == 0
    os.link(checkpoint, tmp_path / "weights" / "parseq_nano_ltr.safetensors")
    assert run(capsys, images[0], "--model", "parseq_nano_ltr")[0] == 0
    status, _, err = run(capsys, images[0], "--model", "parseq")
    assert status == 2 and "shipped are those of parseq_nano_ltr" in err


@pytest.mark.parametrize("arguments, said", [
    (("--model", "parsec_nano"), "did you mean 'parseq_nano'?"),
    (("--checkpoint", "none.safetensors"), "none.safetensors"),
    (("--device", "warp"), "use --device cpu"),
])
def test_wrong_options_are_said_in_one_line(capsys, images, arguments, said):
    status, lines, err = run(capsys, images[0], *arguments)
    assert status == 2 and not lines and said in err and len(err.splitlines()) == 1


def test_the_module_runs_from_another_directory(checkpoint, images, tmp_path):
    odd = tmp_path / "odd \udcff.png"  # a file name that is no text
    odd.write_bytes(images[0].read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "kdltr.apps.read", images[0], odd, "none.png", "--checkpoint",
         checkpoint], cwd=tmp_path, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 1, done.stderr
    assert len(done.stdout.splitlines()) == 2 and b"none.png" in done.stderr


def test_grey_and_transparent_images_are_read(capsys, checkpoint, tmp_path):
    for mode in ("L", "RGBA", "I;16", "P"):
        Image.new(mode, (40, 12)).save(tmp_path / f"{mode[0]}.png")
    done, lines, _ = run(capsys, *sorted(tmp_path.glob("*.png")), "--checkpoint", checkpoint)
    assert done == 0 and len(lines) == 4


def test_no_images_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as stop:
        read.main([])
    assert stop.value.code == 2
