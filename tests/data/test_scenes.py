"""Pairs of one photograph stay together."""

import pytest
import torch

from kdltr.data.loader import WordPairs
from kdltr.data.records import DataError
from kdltr.data.scenes import scenes, split_scenes
from tests.data.pictures import lettering


def pairs(*records):
    """Pairs of (seed of the look, brightness, label)."""
    hr = torch.stack([lettering(seed, light) for seed, light, _ in records])
    return WordPairs(hr, hr[:, :, ::2, ::2], [word for *_, word in records])


def test_a_scene_ends_where_colour_and_labels_do():
    found = scenes(pairs((0, 250, "one"), (1, 245, "two"), (2, 90, "three"), (3, 95, "four")))
    assert found.tolist() == [0, 0, 1, 1]


def test_a_label_that_comes_again_near_by_ties_what_lies_between():
    sign = [(0, 250, "open"), (1, 90, "daily"), (2, 250, "OPEN"), (3, 90, "else")]
    assert scenes(pairs(*sign)).tolist() == [0, 0, 0, 3 - 2]
    short = [(seed, light, word.lower()[:2]) for seed, light, word in sign]  # "op" says little
    assert scenes(pairs(*short)).tolist() == [0, 1, 2, 3]


def test_blocks_with_two_pictures_of_one_word_are_one_scene():
    found = scenes(pairs((0, 250, "a"), (1, 90, "b"), (2, 250, "c"), (1, 120, "b")))
    assert found[1] == found[3] and len(set(found.tolist())) == 3


def test_a_split_parts_no_scene():
    scene = torch.arange(300) // 3
    scene[250:] = 80  # one is large
    train, held_out = split_scenes(scene, 0.1, seed=42)
    assert sorted([*train.tolist(), *held_out.tolist()]) == list(range(300))
    assert not set(scene[train].tolist()) & set(scene[held_out].tolist())
    assert 30 <= len(held_out) <= 45
    assert torch.equal(split_scenes(scene, 0.1, seed=42)[1], held_out)
    assert not torch.equal(split_scenes(scene, 0.1, seed=43)[1], held_out)
    assert len(split_scenes(scene, 0.0, seed=1)[1]) == 0
    with pytest.raises(DataError, match="at most 15 pairs to hold out, found 50"):
        split_scenes(torch.arange(100) // 50, 0.1, seed=0)
