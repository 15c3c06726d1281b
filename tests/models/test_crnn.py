"""CRNN agrees with the published copy, and its student has the same maps."""

import logging

import pytest
import torch

from kdltr.models import create_model
from tests.models.conftest import agrees_with_keys, close, ctc_toy, filled, golden


@pytest.mark.parity
class TestPublished:
    def test_names_shapes_and_count(self):
        assert agrees_with_keys("crnn") == 8331301

    @torch.inference_mode()
    def test_reading(self):
        reference, model = golden("crnn.npz"), filled("crnn")
        lr, hr = (reference[f"{which}_uint8"].double() / 255 for which in ("lr", "hr"))
        close(model.grey(lr), reference["input"])
        close(model.grey(hr)[:1], reference["input_hr"])
        out = model(lr)
        close(out.visual[:1, ::16], reference["conv3"])
        close(model.cnn(model.grey(lr))[1][:, ::4], reference["features"])
        close(out.logits.transpose(0, 1), reference["logits"])
        close(model(hr).logits.transpose(0, 1), reference["logits_hr"])
        assert out.attention is None


@pytest.mark.parametrize("size", ["", "_nano"])
def test_student_and_teacher_give_the_same_shapes(size):
    with torch.device("meta"):  # nothing is computed
        models = create_model(f"crnn{size}"), create_model(f"crnn{size}_ltr")
        one, other = (model(torch.rand(2, 3, *model.image_size)) for model in models)
    teacher, student = models
    assert (teacher.image_size, student.image_size) == ((32, 128), (16, 64))
    assert teacher.frames == student.frames == 26
    assert one.logits.shape == other.logits.shape == (2, 26, 37)
    assert one.semantic.shape == other.semantic.shape == (2, 26, student.semantic_width)
    assert one.visual.shape == other.visual.shape and one.visual.shape[2:] == (8, 25)


def test_a_wider_input_has_more_frames():
    model = ctc_toy("crnn", student=True, image_size=(16, 128), read_size=(16, 100))
    assert model.frames == 51 and model(torch.rand(1, 3, 16, 128)).logits.shape == (1, 51, 37)
    with pytest.raises(ValueError, match="crnn_ltr reads at a height of 16 pixels"):
        ctc_toy("crnn", student=True, read_size=(32, 100))


def test_a_fitted_start_is_nearer_to_the_teacher(caplog):
    torch.manual_seed(0)
    teacher, student = ctc_toy("crnn").eval(), ctc_toy("crnn", student=True)
    student.init_from_teacher(teacher).eval()
    images = torch.rand(300, 3, 4, 16)  # smooth once enlarged, as photographs are
    images = torch.nn.functional.interpolate(images, (16, 64), mode="bicubic").clamp(0, 1)
    large = torch.nn.functional.interpolate(images[:50], (32, 128), mode="bicubic")

    def distance():
        with torch.no_grad():
            return (teacher(large).visual - student(images[:50]).visual).square().mean()

    before = distance()
    with caplog.at_level(logging.INFO):
        student.fit_start(teacher, images)
    assert distance() < before / 4
    assert "crnn_ltr: first convolution fitted" in caplog.text
