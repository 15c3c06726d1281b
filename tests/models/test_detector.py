"""The detector: what becomes of a map of probabilities, and that lines are found where they are."""

import importlib.util
import math

import cv2
import numpy as np
import pytest

from kdltr.checkpoint import CheckpointError
from kdltr.data.images import read_image
from kdltr.generator.photograph import render_photograph
from kdltr.models import detector
from kdltr.models.detector import Box, Detector, cores, in_rows

with_wheel = pytest.mark.skipif(
    importlib.util.find_spec("rapidocr") is None, reason="needs the wheel rapidocr, found none"
)


def box(left, top, width, height, turn=0.0):
    """A rectangle turned clockwise about its middle by degrees."""
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (width / 2, height / 2)
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    middle = left + width / 2, top + height / 2
    return Box(corners @ np.array([[cos, sin], [-sin, cos]]) + middle, 1.0)


def chance(*boxes, value=0.9, size=(200, 300)):
    """A map that is `value` in the boxes."""
    found = np.zeros(size, np.float32)
    for each in boxes:
        cv2.fillPoly(found, [each.corners.round().astype(np.int32)], value)
    return found


@pytest.mark.parametrize("turn", [0, 10, -30, 40])
def test_a_core_grows_by_its_area_over_its_circumference(turn):
    (found,) = cores(chance(box(300, 240, 300, 60, turn), size=(600, 900)))
    grown = 1.6 * 300 * 60 / 360  # both sides together
    expected = box(300 - grown / 2, 240 - grown / 2, 300 + grown, 60 + grown, turn)
    np.testing.assert_allclose(found.corners, expected.corners, atol=6)  # the mask is widened
    assert found.size == pytest.approx(expected.size, abs=6)
    assert found.score == pytest.approx(0.9, abs=0.06)


def test_an_upright_core_begins_at_its_top_left_however_it_leans():
    for turn in (-12, 0, 12):
        (found,) = cores(chance(box(140, 40, 14, 120, turn)))
        height, width = found.size
        assert height > 3 * width
        top_left, top_right, bottom_right, _ = found.corners
        assert top_left[0] < top_right[0] and top_right[1] < bottom_right[1]


def test_thin_cores_and_unsure_ones_are_none():
    assert cores(chance()) == []
    assert cores(chance(box(50, 50, 60, 0))) == []
    assert cores(chance(box(50, 50, 60, 20), value=0.4)) == []
    assert len(cores(chance(box(20, 20, 60, 10), box(20, 120, 60, 10)))) == 2


def test_rows_go_from_the_top_and_each_from_the_left():
    rows = [[box(10, 10, 40, 20), box(70, 14, 40, 20)], [box(5, 50, 60, 20)],
            [box(30, 78, 30, 10), box(90, 70, 30, 26), box(150, 78, 30, 10)]]  # fmt: skip
    order = [each for row in rows for each in row]
    shuffled = [order[i] for i in (5, 1, 3, 0, 4, 2)]
    assert [id(each) for each in in_rows(shuffled)] == [id(each) for each in order]
    assert in_rows([]) == []


def test_a_crop_shows_a_turned_box_from_the_front():
    image = np.zeros((200, 300, 3), np.uint8)
    place = box(100, 80, 90, 30, 20)
    for part, colour in ((place.part(0, 1 / 3), 80), (place.part(1 / 3, 1), 200)):
        cv2.fillPoly(image, [part.corners.round().astype(np.int32)], (colour,) * 3)
    crop = place.crop(image)
    assert crop.shape == (*place.size, 3) == (30, 90, 3)
    assert np.median(crop[:, :28]) == 80 and np.median(crop[:, 32:]) == 200
    assert place.part(1 / 3, 1).size == (30, 60)


def test_a_box_read_from_another_side_is_turned_there():
    image = np.arange(20 * 60 * 3, dtype=np.uint8).reshape(20, 60, 3)
    place = box(0, 0, 60, 20)
    np.testing.assert_array_equal(place.crop(image), image)
    for side in (1, 2, 3):  # text turned clockwise is turned back
        np.testing.assert_array_equal(place.turned(side).crop(image), np.rot90(image, side))


@with_wheel
@pytest.mark.parametrize(("size", "heights"), [
    ((360, 480), (14, 40)), ((120, 200), (12, 20)), ((90, 110), (24, 26))])
def test_every_word_lies_in_a_line(size, heights):
    lines = ["Fresh bread", "OPEN 24 hours", "no entry"] if size[0] > 100 else ["bread"]
    content, placed = render_photograph(lines, seed=5, size=size, heights=heights)
    found = Detector(threads=1).find(read_image(content))
    assert len(found) == len(lines)
    for place in placed:
        middle = tuple(place.corners.mean(0).tolist())
        assert any(cv2.pointPolygonTest(each.corners.astype(np.float32), middle, False) > 0
                   for each in found), place.word


@with_wheel
def test_the_search_is_at_a_bounded_size():
    class Session:
        def get_inputs(self):
            return [self]

        name = "x"

        def run(self, _, feed):
            self.shape = feed["x"].shape
            assert feed["x"].min() >= -1 and feed["x"].max() <= 1
            return [np.zeros((1, 1, *self.shape[2:]), np.float32)]

    each = Detector(threads=1)
    each._session = Session()
    for size in ((3000, 5000), (3, 5), (5, 4000), (736, 1000)):
        assert each.find(np.zeros((*size, 3), np.uint8)) == []
        sides = each._session.shape[2:]
        assert max(sides) <= 2080 and not any(side % 32 for side in sides)
    assert sides == (736 + 64, 1000 + 64 + 24)


def test_without_the_wheel_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    said = r"det_small.onnx lies in the wheel.*not installed: pip install 'kdltr\[ppocr\]'"
    with pytest.raises(CheckpointError, match=said):
        Detector()
    assert detector.DETECTOR.endswith("det_small.onnx")
