"""PP-OCR's recogniser: the module computes what the wheel's file does; teacher and student."""

import importlib.util
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch

from kdltr.checkpoint import CheckpointError, save_weights
from kdltr.models import create_model, rapidocr
from kdltr.models.onnx import session
from tests.models.conftest import ctc_toy

with_wheel = pytest.mark.skipif(
    importlib.util.find_spec("rapidocr") is None, reason="needs the wheel rapidocr, found none"
)
LOGITS = "p2o.pd_op.add.79.0"  # the graph's own output is their softmax


@pytest.fixture(scope="module")
def teacher():
    return create_model("ppocr", checkpoint="rapidocr").eval()


@with_wheel
def test_it_computes_what_the_file_does(teacher, tmp_path):
    """Under ONNX Runtime, on random images: all ASCII classes and the blank."""
    model = onnx.load(rapidocr.wheel_model())
    model.graph.output.append(onnx.helper.make_tensor_value_info(LOGITS, 1, None))
    onnx.save(model, tmp_path / "logits.onnx")
    runtime = session(tmp_path / "logits.onnx", threads=1)
    images = torch.rand(3, 3, 48, 192, generator=torch.Generator().manual_seed(0))
    pixels = (2 * images.flip(1) - 1).numpy()  # BGR in [−1, 1]
    (logits,) = runtime.run([LOGITS], {"x": pixels})
    said = {entry.key: entry.value for entry in model.metadata_props}
    known = said["character"].splitlines()
    classes = [0, *(known.index(character) + 1 for character in teacher.charset.characters)]
    with torch.no_grad():
        found = teacher(images).logits.numpy()
    expected = logits[..., classes]
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


@with_wheel
def test_weights_from_a_file_are_those_of_the_wheel(teacher, tmp_path):
    save_weights(teacher, tmp_path / "saved.safetensors", {})
    for file in (rapidocr.wheel_model(), tmp_path / "saved.safetensors"):
        loaded = create_model("ppocr", file).state_dict()
        assert all(value.equal(loaded[name]) for name, value in teacher.state_dict().items())
    with pytest.raises(CheckpointError, match="another architecture: expected 139.*found 151"):
        create_model("ppocr", rapidocr.wheel_model(), depth=1)


@with_wheel
def test_a_fitted_student_starts_near_its_teacher(teacher):
    """On smooth images; the teacher's own kernel leaves several times the variance."""
    images = torch.rand(120, 3, 6, 24, generator=torch.Generator().manual_seed(0))
    images = torch.nn.functional.interpolate(images, (16, 64), mode="bicubic").clamp(0, 1)
    large = torch.nn.functional.interpolate(images[:20], (48, 192), mode="bicubic")
    student = create_model("ppocr_ltr").init_from_teacher(teacher).eval()

    def left():
        with torch.no_grad():
            wanted = teacher.stem.first(teacher.normalised(large))
            found = student.stem.first(student.normalised(images[:20]))
            return (found - wanted).var() / wanted.var()

    before = left()
    student.fit_start(teacher, images[20:])
    assert left() < 0.1 and left() < before / 3


def test_without_the_wheel_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(CheckpointError, match=r"not installed: pip install 'kdltr\[ppocr\]'"):
        create_model("ppocr", "rapidocr")


def test_another_file_in_the_wheel_is_refused(monkeypatch, tmp_path):
    found = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: found)
    with pytest.raises(CheckpointError, match="found no such file"):
        create_model("ppocr", "rapidocr")
    (tmp_path / "models").mkdir()
    (tmp_path / rapidocr.RECOGNISER).write_bytes(b"another")
    digest = rapidocr.SHA256[rapidocr.RECOGNISER]
    with pytest.raises(CheckpointError, match=f"sha256 {digest}.*found [0-9a-f]{{64}};"):
        create_model("ppocr", "rapidocr")


def test_a_file_that_is_none_is_said(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        create_model("ppocr", tmp_path / "none.onnx")
    (tmp_path / "damaged.onnx").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(CheckpointError, match="expected an ONNX file"):
        create_model("ppocr", tmp_path / "damaged.onnx")
    model = onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], []))
    onnx.save(model, tmp_path / "empty.onnx")
    with pytest.raises(CheckpointError, match="lacks the characters '0123"):
        create_model("ppocr", tmp_path / "empty.onnx")


def test_student_and_teacher_give_the_same_shapes():
    with torch.device("meta"):  # nothing is computed
        models = create_model("ppocr"), create_model("ppocr_ltr")
        one, other = (model(torch.rand(2, 3, *model.image_size)) for model in models)
    teacher, student = models
    assert (teacher.image_size, student.image_size) == ((48, 192), (16, 64))
    assert teacher.frames == student.frames == 24
    assert one.logits.shape == other.logits.shape == (2, 24, 95)
    assert one.semantic.shape == other.semantic.shape == (2, 24, student.semantic_width)
    assert one.visual.shape == other.visual.shape == (2, 192, 6, 48)
    assert one.attention is other.attention is None
    assert sum(p.numel() for p in teacher.parameters()) == sum(
        p.numel() for p in student.parameters())  # fmt: skip


def test_a_wider_input_has_more_frames():
    model = ctc_toy("ppocr", student=True, image_size=(16, 96))
    assert model.frames == 36 and model(torch.rand(1, 3, 16, 96)).logits.shape == (1, 36, 95)
    for size in ((32, 128), (16, 63)):
        with pytest.raises(ValueError, match="ppocr_ltr reads images that are 24 pixels high"):
            ctc_toy("ppocr", student=True, image_size=size)


def test_the_student_takes_every_weight_of_its_teacher():
    torch.manual_seed(0)
    teacher, student = ctc_toy("ppocr"), ctc_toy("ppocr", student=True)
    student.init_from_teacher(teacher)
    assert all(value.equal(student.state_dict()[n]) for n, value in teacher.state_dict().items())
