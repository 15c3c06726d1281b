"""Recognisers as parameters name them, loaded side by side."""

import pytest
import torch

from kdltr.checkpoint import save_weights
from kdltr.evaluation.readers import load_readers
from tests.models.conftest import PPOCR, ctc_toy


def test_readers_of_a_recogniser_whose_teacher_is_not_twice_its_student(tmp_path):
    teacher = ctc_toy("ppocr")
    save_weights(teacher, tmp_path / "teacher.safetensors", {})
    entry = {"weights": tmp_path / "teacher.safetensors", "student": "ppocr_ltr",
             "students": {"as it starts": None}, "sizes": PPOCR}  # fmt: skip
    readers, again = (load_readers({"ppocr": entry})["ppocr"] for _ in range(2))
    first, second = (one["as it starts"].state_dict().values() for one in (readers, again))
    assert all(map(torch.equal, first, second))  # also what is not the teacher's
    assert {method: model.image_size for method, model in readers.items()} == {
        "teacher on HR": (48, 192), "bicubic": (16, 64), "as it starts": (16, 64)}
    assert readers["as it starts"].head.weight.equal(teacher.head.weight)


def test_weights_of_several_seeds_are_not_one_reader():
    entry = {"weights": None, "student": "x", "students": {"distilled": "a-{seed}.safetensors"}}
    with pytest.raises(ValueError, match="expected the weights of one training, found a-"):
        load_readers({"parseq_nano": entry})


@pytest.mark.parametrize("methods", [
    {"students": {"bicubic": ""}},
    {"students": {"TSRN": ""}, "two_stage": {"TSRN": "tsrn.safetensors"}},
])
def test_methods_of_one_name_are_refused(methods):
    with pytest.raises(ValueError, match="a name for each method, found '(bicubic|TSRN)' twice"):
        load_readers({"parseq_nano": {"weights": None, "student": "parseq_nano_ltr"} | methods})
