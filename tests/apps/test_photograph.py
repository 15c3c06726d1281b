"""`kdltr read --detect`: words of whole photographs, found where they are and read in order."""

import importlib.util
import json
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from kdltr.apps import photograph
from kdltr.apps.command import main
from kdltr.apps.drawing import LEGEND, drawn
from kdltr.apps.photograph import SMALL, PhotographReader, Word
from kdltr.charset import Reading
from kdltr.data.images import read_image
from kdltr.generator.photograph import render_photograph
from kdltr.models.detector import Box
from kdltr.models.lines import Part

pytestmark = pytest.mark.skipif(importlib.util.find_spec("rapidocr") is None,
                                reason="needs the wheel rapidocr, found none")
LINES = ["Fresh bread", "OPEN 24 hours", "please mind the step"]
TEXT = " ".join(LINES).lower().split()
THERE = " ".join(LINES).split()


@pytest.fixture(scope="module")
def reader():
    return PhotographReader()


@pytest.fixture(scope="module")
def photo():
    """(image, words at their places), with words above and below `SMALL`."""
    content, placed = render_photograph(LINES, seed=5, size=(300, 400), heights=(14, 44))
    return read_image(content), placed


@pytest.fixture(scope="module")
def clear():
    """One whose words are all easily seen, lying on their side, too."""
    content, placed = render_photograph(LINES, seed=8, size=(300, 400), heights=(14, 44))
    return read_image(content), placed


@pytest.fixture
def loaded(reader, monkeypatch):
    """The command takes the reader that is loaded already."""
    monkeypatch.setattr("kdltr.apps.read.PhotographReader", lambda student: reader)


def run(capsys, *arguments):
    status = main(["read", "--detect", *map(str, arguments)])
    out, err = capsys.readouterr()
    return status, out.splitlines(), err


def texts(words):
    return [word.reading.text.lower() for word in words]


def lies_in(corners, box, slack=0.0):
    """Whether all corners lie in a box, or out of it by at most so many pixels."""
    return all(cv2.pointPolygonTest(box.corners.astype(np.float32), corner, True) >= -slack
               for corner in corners.tolist())


def test_words_are_read_in_order_where_they_are(reader, photo):
    image, placed = photo
    words = reader.read(image)
    assert texts(words) == TEXT
    for word, place in zip(words, placed, strict=True):
        assert lies_in(place.corners, word.box, slack=3)
        ink, box = np.ptp(place.corners, axis=0), np.ptp(word.box.corners, axis=0)
        assert (box < ink + 1.2 * word.box.size[0]).all()  # no more than margins and half spaces
        assert word.reading.confidence > 0.5
    heights = [word.box.size[0] for word in words]
    assert min(heights) <= SMALL < max(heights)
    assert {word.model for word in words} == {"ppocr", "ppocr_ltr"}
    assert all(word.model == "ppocr" for word in words if word.box.size[0] > SMALL)
    boxes = reader.find_words(image)
    np.testing.assert_array_equal([box.corners for box in boxes],
                                  [word.box.corners for word in words])


@pytest.mark.parametrize(("large", "small", "model", "text"), [
    (0.9, 0.7, "ppocr", "teacher"), (0.7, 0.9, "ppocr_ltr", "student"), (0.3, 0.2, None, "")])
def test_of_two_readings_of_a_small_word_the_surer_stands(
    reader, monkeypatch, large, small, model, text
):
    box = Box(np.array([[0, 0], [60, 0], [60, SMALL], [0, SMALL]], float), 1.0)
    monkeypatch.setattr(reader._detector, "find", lambda _: [box])
    part = Part(Reading("teacher", large**7), 0.0, 1.0)
    monkeypatch.setattr(reader._lines, "read", lambda _: [part])
    monkeypatch.setattr(reader.student, "read", lambda _: [Reading("student", small**7)])
    found = reader.read(np.zeros((SMALL, 60, 3), np.uint8))
    assert [(word.model, word.reading.text) for word in found] == ([(model, text)] if model else [])
    one_more = Box(box.corners * (1, (SMALL + 1) / SMALL), 1.0)  # too high for the student
    monkeypatch.setattr(reader._detector, "find", lambda _: [one_more])
    found = reader.read(np.zeros((SMALL + 1, 60, 3), np.uint8))
    assert texts(found) == (["teacher"] if large > 0.5 else [])


def test_only_the_student_may_read_a_word(reader, monkeypatch):
    box = Box(np.array([[0, 0], [60, 0], [60, 20], [0, 20]], float), 1.0)
    monkeypatch.setattr(reader._detector, "find", lambda _: [box])
    monkeypatch.setattr(reader._lines, "read", lambda _: [])
    monkeypatch.setattr(reader.student, "read", lambda _: [Reading("word", 0.9)])
    (word,) = reader.read(np.zeros((20, 60, 3), np.uint8))
    assert word.reading.text == "word" and word.model == "ppocr_ltr"


@pytest.mark.parametrize("turn", [1, 3])
def test_words_that_stand_upright_are_turned(reader, clear, turn):
    image, placed = clear
    words = reader.read(np.ascontiguousarray(np.rot90(image, turn)))
    assert sorted(texts(words)) == sorted(TEXT)
    width = image.shape[1] if turn == 1 else image.shape[0]
    for word in words:  # turned back, they are where they were
        x, y = word.box.corners.T
        back = np.stack([width - y, x] if turn == 1 else [y, width - x], axis=1)
        (place,) = (each for each in placed if each.word.lower() == word.reading.text.lower())
        assert lies_in(place.corners, Box(back, 1.0), slack=4)


@pytest.mark.parametrize("image", [
    np.full((300, 400, 3), 255, np.uint8), np.zeros((3, 5, 3), np.uint8),
    np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8),
], ids=["white", "tiny", "noise"])
def test_where_there_is_no_text_no_word_is_found(reader, image):
    assert reader.read(image) == [] == reader.find_words(image)


def test_a_huge_photograph_is_searched_small_and_cut_out_of_its_full_size(reader, photo):
    image, placed = photo
    huge = np.array(Image.fromarray(image).resize((4000, 3000), Image.Resampling.BICUBIC))
    words = reader.read(huge)
    assert texts(words) == TEXT
    for word, place in zip(words, placed, strict=True):
        assert lies_in(10 * place.corners, word.box, slack=40)
        assert word.model == "ppocr"


def test_lines_have_text_confidence_and_box(capsys, loaded, photo, tmp_path):
    image, _ = photo
    grey = tmp_path / "grey.png"
    Image.fromarray(image).convert("L").save(grey)
    status, lines, err = run(capsys, grey)
    assert status == 0 and err == ""
    columns = [line.split("\t") for line in lines]
    assert [row[:2] for row in columns] == [[str(grey), text] for text in THERE]
    assert all(len(row) == 7 and 0 < float(row[2]) <= 1 for row in columns)
    status, objects, _ = run(capsys, grey, "--json")
    assert status == 0 and len(objects) == len(lines)
    for row, said in zip(columns, map(json.loads, objects), strict=True):
        assert set(said) == {"path", "text", "confidence", "box", "height", "model"}
        assert said["text"] == row[1] and f"{said['confidence']:.3f}" == row[2]
        corners = np.array(said["box"])
        left, top, width, height = map(int, row[3:])
        assert corners.shape == (4, 2) and said["model"] in ("ppocr", "ppocr_ltr")
        assert np.abs(corners.min(0) - (left, top)).max() <= 1
        assert np.abs(corners.max(0) - (left + width, top + height)).max() <= 1
        assert (corners >= 0).all() and (corners <= image.shape[1::-1]).all()
        assert said["height"] <= height + 1


@pytest.mark.parametrize("name", ["turned.jpg", "transparent.png"])
def test_a_photograph_is_read_as_it_is_shown(capsys, loaded, clear, tmp_path, name):
    """Turned by its EXIF data, or with transparency."""
    image, _ = clear
    file, exif = tmp_path / name, Image.Exif()
    if name == "turned.jpg":
        exif[0x0112] = 6  # stored lying on its left side; shown turned clockwise
        Image.fromarray(np.rot90(image)).save(file, exif=exif, quality=95)
    else:
        layer = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
        layer[:4, :, 3] = 0
        Image.fromarray(layer).save(file)
    status, objects, err = run(capsys, file, "--json")
    assert status == 0 and err == ""
    said = list(map(json.loads, objects))
    assert [each["text"].lower() for each in said] == TEXT
    assert all(np.array(each["box"]).max(0)[1] <= image.shape[0] for each in said)


def test_what_is_no_photograph_is_said_and_the_others_are_read(
    capsys, loaded, photo, tmp_path
):
    Image.fromarray(photo[0]).save(tmp_path / "photo.png")
    Image.new("RGB", (90, 60), "white").save(tmp_path / "white.png")
    order = [tmp_path / "none.png", tmp_path / "white.png", tmp_path / "photo.png"]
    status, lines, err = run(capsys, *order)
    assert status == 1 and len(lines) == len(TEXT)
    missing, empty = err.splitlines()
    assert "none.png: expected an image file" in missing
    assert empty == f"kdltr read: {order[1]}: no words found"
    status, objects, err = run(capsys, *order, "--json")
    assert status == 1 and err.splitlines() == [empty] and len(objects) == 1 + len(TEXT)
    assert set(json.loads(objects[0])) == {"path", "error"}
    assert run(capsys, order[1])[0] == 0
    assert run(capsys, order[1], "--json") == (0, [], f"{empty}\n")


def test_other_weights_read_the_small_words(capsys, photo, tmp_path):
    Image.fromarray(photo[0]).save(tmp_path / "photo.png")
    _, objects, _ = run(capsys, tmp_path / "photo.png", "--weights", "parseq_nano_ltr", "--json")
    said = list(map(json.loads, objects))
    assert len(said) == len(TEXT)
    assert {each["model"] for each in said} <= {"ppocr", "parseq_nano_ltr"}


def test_the_picture_has_the_photograph_untouched_but_for_frames_and_a_sheet_with_readings(
    capsys, loaded, photo, tmp_path
):
    image, placed = photo
    Image.fromarray(image).save(tmp_path / "photo.png")
    status, lines, _ = run(capsys, tmp_path / "photo.png", "--picture", tmp_path / "new/found.png")
    assert status == 0 and len(lines) == len(TEXT)
    with Image.open(tmp_path / "new/found.png") as picture:
        found = np.asarray(picture.convert("RGB")).astype(int)
    height, width = image.shape[:2]
    scale = (found.shape[0] - LEGEND) / (2 * height)
    assert scale >= 1 and found.shape[1] == round(scale * width)
    half = found.shape[0] // 2 - LEGEND // 2
    photograph, sheet = found[:half], found[half : 2 * half]
    expected = np.asarray(Image.fromarray(image).resize((found.shape[1], half))).astype(int)
    changed = np.abs(photograph - expected).max(-1) > 0
    for place in placed:  # no frame runs through the middle of a word; something is written there
        x, y = (scale * place.corners.mean(0)).astype(int)
        across, down = (scale * np.ptp(place.corners, axis=0) / 4).astype(int)
        middle = slice(y - down, y + down), slice(x - across, x + across)
        assert not changed[middle].any() and sheet[middle].min() < 120
    assert 0 < changed.mean() < 0.2
    assert (sheet == 255).all(-1).mean() > 0.8


def test_a_small_upright_photograph_is_drawn_larger_beside_its_sheet():
    corners = np.array([[10, 20], [40, 20], [40, 29], [10, 29]], float)
    words = [Word(Reading("tiny", 0.9), Box(corners, 1.0), "ppocr_ltr")]
    image = np.full((90, 60, 3), 200, np.uint8)
    found = drawn(image, words)
    height, width = found.shape[0] - LEGEND, found.shape[1] // 2
    assert (height, width) == (round(90 * 32 / 9), round(60 * 32 / 9)) and found.dtype == np.uint8
    assert found[:height, :width].mean() < 210 and found[:height, width:].mean() > 245
    assert drawn(image, []).shape == (90 + LEGEND, 120, 3)
    large = drawn(np.zeros((3000, 2000, 3), np.uint8), [])
    assert large.shape == (1600 + LEGEND, 2 * 1067, 3)


@pytest.mark.parametrize(("arguments", "said"), [
    (["a.png", "--picture", "x.png"], "one photograph, found 1 images, no --detect"),
    (["--detect", "a.png", "b.png", "--picture", "x.png"], "one photograph, found 2 images"),
    (["--detect", "a.png", "--picture", "x.text"], "expected --picture to name an image file"),
    (["--detect", "a.png", "--picture", "x.h5"], "expected --picture to name an image file"),
    (["--detect", "a.png", "--picture", "x.xbm"], "expected --picture to name an image file"),
    (["--detect", "a.png", "--picture", "a.png"], "another file than the photograph itself"),
])
def test_a_picture_that_cannot_be_is_said_in_one_line(
    capsys, monkeypatch, tmp_path, arguments, said
):
    monkeypatch.chdir(tmp_path)
    assert main(["read", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and said in err and len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", ["onnxruntime", "rapidocr"])
def test_without_the_extra_the_error_names_it(capsys, monkeypatch, tmp_path, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    if missing == "rapidocr":
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    status, lines, err = run(capsys, tmp_path / "photo.png")
    assert status == 2 and lines == [] and len(err.splitlines()) == 1
    assert "pip install 'kdltr[ppocr]'" in err and missing in err


def test_nothing_of_the_wheel_is_run(reader, photo):
    assert photograph.SMALL and texts(reader.read(photo[0])) == TEXT
    assert not [name for name in sys.modules if name.startswith("rapidocr.")]
