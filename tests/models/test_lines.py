"""Lines parted at their spaces."""

import importlib.util

import numpy as np
import pytest
import torch

from kdltr.charset import ASCII95
from kdltr.data.images import read_image, resize
from kdltr.generator.photograph import render_photograph
from kdltr.models.lines import LATE, LineReader, parts


def logits(frames, sure=8.0):
    """Logits (T, 96) whose best classes are the characters, "_" the blank."""
    found = torch.zeros(len(frames), ASCII95.size)
    for row, character in zip(found, frames, strict=True):
        row[0 if character == "_" else ASCII95.characters.index(character) + 1] = sure
    return found


@pytest.mark.parametrize(("frames", "words"), [
    ("_aab_ _cc_c", [("ab", 0, 5.5), ("cc", 5.5, 11)]),
    ("ab    cd__", [("ab", 0, 4), ("cd", 4, 10)]),
    (" a _ b ", [("a", 0.5, 2.5), ("b", 4.5, 6.5)]),
    ("__one__", [("one", 0, 7)]),
    ("___", []),
    ("_ _", []),
])
def test_words_meet_in_the_middle_of_a_space(frames, words):
    found = parts(logits(frames), ASCII95)
    places = [np.multiply([part.start, part.end], len(frames)) for part in found]
    inner = [[a + LATE * (a > 0), b + LATE * (b < len(frames))] for a, b in places]
    assert [(part.reading.text, *np.round(place, 6))
            for part, place in zip(found, inner, strict=True)] == words


def test_confidence_is_of_the_word_s_own_characters():
    values = logits("ab cd")
    values[1, 5] = 8.0  # as likely as the b
    one, other = parts(values, ASCII95)
    each = float(logits("a").softmax(-1).max())
    assert other.reading.confidence == pytest.approx(each**2)
    assert one.reading.confidence == pytest.approx(each * float(values[1].softmax(-1).max()))


@pytest.mark.skipif(importlib.util.find_spec("rapidocr") is None,
                    reason="needs the wheel rapidocr, found none")
def test_a_line_of_any_width_is_read_with_its_spaces():
    reader = LineReader()
    for text in ("mind the small step", "I am", "Bread"):
        content, placed = render_photograph([text], seed=11, size=(80, 700), heights=(30, 32))
        low = np.min([place.corners.min(0) for place in placed], axis=0).astype(int) - 5
        high = np.max([place.corners.max(0) for place in placed], axis=0).astype(int) + 5
        line = read_image(content)[low[1] : high[1], low[0] : high[0]]
        width = reader.width(*line.shape[:2])
        assert width % 8 == 0 and width == pytest.approx(48 * line.shape[1] / line.shape[0], abs=8)
        pixels = torch.from_numpy(resize(line, (48, width)).copy()).permute(2, 0, 1).float() / 255
        found = reader.read(pixels)
        assert [part.reading.text.lower() for part in found] == text.lower().split()
        for part, place in zip(found, placed, strict=True):
            middle = (place.corners[:, 0].mean() - low[0]) / line.shape[1]
            assert part.start < middle < part.end
