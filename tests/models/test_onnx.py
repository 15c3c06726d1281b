"""Export: the file computes what PyTorch does and says how to read it; whole or absent."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from kdltr import ALNUM36, ModelOutput, Recogniser, create_model, list_models
from kdltr.extras import MissingExtra
from kdltr.models import onnx as export
from kdltr.models.onnx_reader import OnnxReader

STUDENTS = [name for name in list_models() if name.endswith("_ltr")]
NANO = [name for name in STUDENTS if "nano" in name]


class Tiny(Recogniser):
    """A recogniser of one's own; ``wrong`` computes another thing every time it is asked."""

    name, charset, image_size, semantic_width, steps = "tiny", ALNUM36, (8, 16), 8, 4

    def __init__(self, wrong=False):
        super().__init__()
        self.classify, self.wrong, self.asked = nn.Linear(3 * 8 * 4, ALNUM36.size), wrong, 0.0

    def forward(self, images):
        steps = images.unflatten(-1, (4, 4)).permute(0, 3, 1, 2, 4).flatten(2)  # (N, 4, 96)
        self.asked += self.wrong
        return ModelOutput(self.classify(steps) + self.asked)


def facts(path):
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def agrees(name, tmp_path, batches=(1, 3)):
    """Exports a student with random weights; logits agree for batches that nothing was told of."""
    torch.manual_seed(0)
    # Steps that feed each other are written out, and what that takes grows with their square.
    model = create_model(name, **({"max_steps": 6} if name.startswith("dan") else {})).train()
    path = tmp_path / "student.onnx"
    assert export.export(model, path) <= export.TOLERANCE and model.training
    assert [file.name for file in tmp_path.iterdir()] == ["student.onnx"]  # weights are inside
    runtime = export.session(path, threads=1)
    for n in batches:
        images = torch.rand(n, 3, *model.image_size)
        with torch.no_grad():
            expected = model.eval()(images).logits.numpy()
        (found,) = runtime.run(["logits"], {"images": images.numpy()})
        steps = model.frames or getattr(model, "max_steps", 26)
        assert found.shape == (n, steps, model.charset.size)
        found = found[:, : expected.shape[1]]  # of DAN's reading, which stops at the last end
        assert np.abs(found - expected).max() <= export.TOLERANCE * np.abs(expected).max()


@pytest.mark.parametrize("name", NANO)
def test_every_small_student(name, tmp_path):
    agrees(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in STUDENTS if name not in NANO])
def test_every_student_of_the_published_size(name, tmp_path):
    agrees(name, tmp_path)


def test_the_file_says_what_it_is_and_how_to_read_it(tmp_path):
    model, path = Tiny(), tmp_path / "tiny.onnx"
    export.export(model, path)
    said = facts(path)
    assert said["model"] == "tiny" and said["charset"] == ALNUM36.characters
    assert json.loads(said["image_size"]) == [8, 16] and said["kdltr_version"]
    assert "0 ends the word" in said["decode"]
    assert said["lines"] == "false" and "one word" in said["input"]
    model.decoding, model.lines = "ctc", True
    export.export(model, path)
    said = facts(path)
    assert "0, the blank, is dropped" in said["decode"] and "a line" in said["input"]
    assert OnnxReader(path).lines
    inputs = onnx.load(path).graph.input
    assert [entry.name for entry in inputs] == ["images"]
    places = inputs[0].type.tensor_type.shape.dim
    assert [place.dim_value for place in places] == [0, 3, 8, 16] and places[0].dim_param


def test_what_disagrees_is_refused_and_the_old_file_stays(tmp_path):
    path = tmp_path / "word.onnx"
    path.write_bytes(b"old")
    with pytest.raises(export.ExportError, match="tiny: expected PyTorch's logits"):
        export.export(Tiny(wrong=True), path)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_nan_is_no_agreement(tmp_path, monkeypatch):
    class Session:
        def run(self, names, feed):
            return [np.full(Tiny().traceable_logits(torch.tensor(feed["images"])).shape, np.nan)]

    monkeypatch.setattr(export, "session", lambda path: Session())
    with pytest.raises(export.ExportError, match="found nan under ONNX Runtime"):
        export.export(Tiny(), tmp_path / "word.onnx")


@pytest.mark.parametrize(("decoding", "frames"), [("attention", None), ("ctc", 4)])
def test_a_reader_without_kdltr(tmp_path, decoding, frames):
    """The lines of README, on a word whose four steps are a letter, again it, 0, another letter."""
    torch.manual_seed(0)
    path, model = tmp_path / "tiny.onnx", Tiny()
    model.decoding, model.frames = decoding, frames
    with torch.no_grad():
        model.classify.weight *= 30
        model.classify.bias.zero_()[0] = 0.1
    export.export(model, path)
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (reader,) = re.findall(r"```python\n(import json, sys\n.*?)```", readme, re.DOTALL)
    from PIL import Image

    image = np.random.default_rng(0).integers(0, 256, (8, 16, 3), dtype=np.uint8)
    image[:, 4:8], image[:, 8:12] = image[:, :4], 0
    Image.fromarray(image).save(tmp_path / "word.png")
    command = [sys.executable, "-c", reader, str(path), str(tmp_path / "word.png")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    (file,) = [export.session(path)]
    pixels = image.transpose(2, 0, 1)[None].astype(np.float32) / 255
    logits = file.run(["logits"], {"images": pixels})[0]
    assert printed == ALNUM36.decode(torch.from_numpy(logits), decoding)[0].text
    assert len(printed) == 2 and (printed[0] == printed[1]) == (decoding == "attention")


def test_without_the_extra_its_name_is_said_before_anything_is_done(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"onnxruntime.*pip install 'kdltr\[export\]'"):
        export.export(Tiny(), tmp_path / "tiny.onnx")
    assert not list(tmp_path.iterdir())


def by_number(images):
    return images.flatten(1).view(len(images), -1)


def by_values(images):
    return images if images.sum() > 0 else -images


@pytest.mark.parametrize("way", [by_number, by_values])
def test_what_is_not_the_same_for_all_images_says_what_to_write(way, tmp_path):
    class Fixed(Tiny):
        def forward(self, images):
            return super().forward(way(images).view(-1, 3, 8, 16))

    with pytest.raises(export.ExportError, match=r"write images\.shape\[0\], not len\(images\)"):
        export.export(Fixed(), tmp_path / "fixed.onnx")
    assert not any(tmp_path.iterdir())
