"""Recognisers as parameters name them, loaded side by side."""

import pytest

from kdltr.checkpoint import save_weights
from kdltr.evaluation.readers import load_readers
from kdltr.models import create_model
from tests.models.conftest import PPOCR, ctc_toy
from tests.train.conftest import SIZES


def test_readers_of_a_recogniser_whose_teacher_is_not_twice_its_student(tmp_path):
    teacher = ctc_toy("ppocr")
    save_weights(teacher, tmp_path / "teacher.safetensors", {})
    entry = {"weights": tmp_path / "teacher.safetensors", "student": "ppocr_ltr",
             "students": {"as it starts": None}, "sizes": PPOCR}  # fmt: skip
    readers = load_readers({"ppocr": entry})["ppocr"]
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


def test_a_student_that_is_not_trained_is_the_same_at_every_load(tmp_path):
    """Also what it has not from the teacher, whatever is loaded before it."""
    save_weights(create_model("parseq_nano", **SIZES), tmp_path / "teacher.safetensors", {})
    found = []
    for before in ({}, {"another": ""}):
        entry = {"weights": tmp_path / "teacher.safetensors", "student": "parseq_nano_ltr",
                 "students": {**before, "as it starts": ""}, "sizes": SIZES}  # fmt: skip
        student = load_readers({"parseq_nano": entry})["parseq_nano"]["as it starts"]
        found.append(student.state_dict()["encoder.patch_embed.proj.weight"])
        assert found[-1].equal(found[0])
