"""Generated photographs of lines: words are where they are said to be, and a seed decides all."""

import numpy as np
import pytest

from kdltr.data.images import read_image
from kdltr.generator.photograph import render_photograph

LINES = ["Fresh bread", "OPEN 24 hours", "no no no"]


def test_the_same_arguments_give_the_same_bytes_and_another_seed_others():
    content, placed = render_photograph(LINES, seed=3, size=(300, 400))
    again, _ = render_photograph(LINES, seed=3, size=(300, 400))
    assert content == again != render_photograph(LINES, seed=4, size=(300, 400))[0]
    assert read_image(content).shape == (300, 400, 3)
    assert [place.word.lower() for place in placed] == " ".join(LINES).lower().split()


@pytest.mark.parametrize("seed", range(4))
def test_what_stands_out_is_inside_the_boxes(seed):
    content, placed = render_photograph(["above", "below it"], seed, (200, 400), (30, 50))
    image = read_image(content).astype(int)
    grey = np.abs(image - np.median(image, axis=(0, 1))).sum(-1)
    inside = np.zeros(grey.shape, bool)
    for place in placed:
        low, high = place.corners.min(0).astype(int), place.corners.max(0).astype(int) + 1
        inside[low[1] : high[1], low[0] : high[0]] = True
    assert grey[inside].mean() > 2 * grey[~inside].mean()


def test_words_of_a_line_follow_each_other_and_do_not_touch():
    _, placed = render_photograph(["no no no no"], seed=1)
    edges = [edge for place in placed for edge in (place.corners[0, 0], place.corners[1, 0])]
    assert edges == sorted(edges) and len(set(edges)) == 8


def test_a_character_that_no_font_has_is_said():
    with pytest.raises(ValueError, match="expected lines of ASCII's characters, found 'é'"):
        render_photograph(["Café"], 0)


def test_a_blank_line_is_a_gap():
    _, placed = render_photograph(["over", "", "under"], seed=1)
    assert [place.word.lower() for place in placed] == ["over", "under"]


@pytest.mark.parametrize("lines", [["a"] * 30, ["word " * 60]])
def test_lines_that_do_not_fit_are_said(lines):
    with pytest.raises(ValueError, match=r"expected lines that fit in 200×400 pixels, found \d+;"):
        render_photograph(lines, 0, (200, 400))
