"""Generated lines of handwriting: a function of (seed, index), hands apart, and stored as asked."""

import cv2
import numpy as np
import pytest

from kdltr.charset import IAM79
from kdltr.data.iam import IamLines
from kdltr.data.images import encode_png
from kdltr.data.lines import SEPARATOR, placed, small
from kdltr.data.opening import open_data
from kdltr.generator import fonts
from kdltr.generator.generated import is_generated, made_from
from kdltr.generator.lettering import draw_mask
from kdltr.generator.lines import (
    LONGEST,
    GeneratedLines,
    draw_line,
    write_lines,
    write_small,
)

SIZE = (48, 512)


def same(one, other):
    return one.label == other.label and np.array_equal(one.image, other.image)


def test_a_line_is_a_function_of_seed_split_and_index():
    assert same(draw_line("train", 7, 3), draw_line("train", 7, 3))
    assert same(GeneratedLines("train", 9, 3)[7], draw_line("train", 7, 3))
    for other in (("train", 8, 3), ("train", 7, 4), ("test", 7, 3)):
        assert not same(draw_line("train", 7, 3), draw_line(*other))
    with pytest.raises(IndexError):
        GeneratedLines("train", 9, 3)[9]


def test_every_split_has_hands_of_its_own_and_is_written_in_them(monkeypatch):
    families = {split: {group[0].family for group in fonts.hands(split)} for split in fonts.HANDS}
    assert all(len(own) > 1 for own in families.values())
    assert sum(map(len, families.values())) == len(set().union(*families.values()))
    drawn, draw_hand = [], fonts.draw_hand
    monkeypatch.setattr(fonts, "draw_hand", lambda rng, split: drawn.append(
        draw_hand(rng, split)) or drawn[-1])
    for split, own in families.items():
        drawn.clear()
        for index in range(40):
            draw_line(split, index, 1)
        assert {face.family for face in drawn} == own, split


def test_a_hand_is_no_face_of_words():
    words = {face.path for face in fonts.faces()}
    for split in fonts.HANDS:
        for group in fonts.hands(split):
            assert not words & {face.path for face in group}


@pytest.mark.parametrize("split", fonts.HANDS)
def test_every_hand_writes_all_that_iam_s_labels_hold(split):
    for group in fonts.hands(split):
        for face in group:
            missing = draw_mask("\uffff", face, 32)
            for character in IAM79.characters.replace(SEPARATOR, ""):
                mask = draw_mask(character, face, 32)
                assert mask.max() > 100 and not np.array_equal(mask, missing), (face, character)


def test_labels_are_words_and_marks_of_iam_s_characters():
    labels = [draw_line("train", index, 1).label for index in range(100)]
    assert all(IAM79.filter(label) == label and 1 <= len(label) <= LONGEST for label in labels)
    assert max(map(len, labels)) > 30
    tokens = [token for label in labels for token in label.split(SEPARATOR)]
    assert all(token.isalnum() or token in ",.;:!?" for token in tokens) and "," in tokens


def test_a_line_is_placed_as_it_is_or_shrunk_to_fit():
    line = np.zeros((20, 100, 3), np.uint8)
    canvas = placed(line, SIZE)
    assert canvas.shape == (*SIZE, 3) and (canvas == 0).all(2).sum() == 20 * 100  # never enlarged
    assert (canvas[14:34, 206:306] == 0).all() and canvas[13].min() == canvas[34].min() == 255
    for height, width in ((96, 100), (20, 1024)):
        dark = (placed(np.zeros((height, width, 3), np.uint8), SIZE) == 0).all(2)
        assert dark.any(1).sum() == height // 2 and dark.any(0).sum() == width // 2


@pytest.mark.parametrize(("shape", "fit"), [
    ((61, 300), (48, 236)), ((50, 700), (36, 512)), ((48, 513), (47, 512)), ((49, 512), (48, 501)),
    ((97, 1031), (48, 510)), ((3, 2000), (1, 512)), ((30, 512), (30, 512)),
])
def test_a_line_that_is_too_large_is_shrunk_as_in_dan_s_code(shape, fit):
    line = np.random.default_rng(3).integers(0, 256, (*shape, 3), np.uint8)
    expected = np.full((*SIZE, 3), 255, np.uint8)
    top, left = (SIZE[0] - fit[0]) // 2, (SIZE[1] - fit[1]) // 2
    shrunk = cv2.resize(line, fit[::-1])  # its default, INTER_LINEAR
    expected[top : top + fit[0], left : left + fit[1]] = shrunk
    difference = placed(line, SIZE).astype(int) - expected
    assert abs(difference).max() <= 1  # OpenCV rounds its weights


def test_degradation_is_by_level_seed_and_index():
    image = placed(draw_line("test", 0, 1).image, SIZE)
    clean = small(image, 4, 0.0, 1, 5)
    assert clean.shape == (12, 128, 3)
    worse = small(image, 4, 1.0, 1, 5)
    assert np.array_equal(worse, small(image, 4, 1.0, 1, 5))
    assert not np.array_equal(worse, small(image, 4, 1.0, 1, 6))
    assert not np.array_equal(worse, clean)
    contrast = [small(image, 4, level, 1, 5).std() for level in (0.0, 1.0, 2.0)]
    assert contrast == sorted(contrast, reverse=True)


def test_stored_once_and_anew_where_something_differs(tmp_path):
    lines = GeneratedLines("validation", 3, 1)
    sharp = write_lines(tmp_path / "sharp", lines, SIZE)
    assert [open_data(sharp)[i].label for i in range(3)] == [lines[i].label for i in range(3)]
    assert np.array_equal(open_data(sharp)[2].image, placed(lines[2].image, SIZE))
    pairs = write_small(tmp_path / "pairs", sharp, 2, 1.0, seed=5)
    written = (pairs / "data.mdb").stat().st_mtime_ns
    write_lines(sharp, lines, SIZE)
    write_small(pairs, sharp, 2, 1.0, seed=5)
    assert (pairs / "data.mdb").stat().st_mtime_ns == written
    pair = open_data(pairs)[1]
    assert np.array_equal(pair.lr, small(pair.hr, 2, 1.0, 5, 1))
    write_small(pairs, sharp, 2, 2.0, seed=5)
    assert made_from(pairs) == made_from(sharp) | {"scale": 2, "level": 2.0, "seed": 5}
    assert not np.array_equal(open_data(pairs)[1].lr, pair.lr)
    write_lines(sharp, GeneratedLines("validation", 3, 2), SIZE)
    assert open_data(write_small(pairs, sharp, 2, 2.0, seed=5))[1].label != pair.label


def test_iam_s_lines_are_stored_alike_and_not_called_generated(tmp_path):
    (tmp_path / "lines.txt").write_text("a01-000u-00 ok 154 19 408 746 1661 89 A|MOVE|to|stop\n")
    file = tmp_path / "lines/a01/a01-000u/a01-000u-00.png"
    file.parent.mkdir(parents=True)
    file.write_bytes(encode_png(np.full((20, 60, 3), 7, np.uint8)))
    sharp = write_lines(tmp_path / "sharp", GeneratedLines("test", 1, 2), SIZE)
    assert is_generated(sharp) and is_generated(
        write_small(tmp_path / "pairs", sharp, 2, 1.0, seed=5))  # what lay there before
    sharp = write_lines(tmp_path / "sharp", IamLines(tmp_path), SIZE)
    pairs = write_small(tmp_path / "pairs", sharp, 2, 1.0, seed=5)
    assert open_data(pairs)[0].label == "A|MOVE|to|stop" and open_data(pairs)[0].hr.min() == 7
    assert not is_generated(sharp) and not is_generated(pairs)


def test_what_cannot_be_made():
    with pytest.raises(ValueError, match="expected a split, found 'tset'.*test"):
        GeneratedLines("tset", 1, 1)
    for wrong in ({"n": 0, "seed": 1}, {"n": 1, "seed": -1}):
        with pytest.raises(ValueError, match="expected n >= 1 and seed >= 0"):
            GeneratedLines("test", **wrong)
