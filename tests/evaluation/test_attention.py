"""Attention maps: they are what the recognisers compute with, and they follow the word."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from kdltr import ALNUM36, ModelOutput, Recogniser, create_model
from kdltr.evaluation.attention import (
    attend,
    attention_rows,
    centres,
    cross_attention,
    judged,
    overlay,
    steps_to_the_right,
)
from kdltr.evaluation.evaluate import UpsampleBicubic
from kdltr.generator.synthetic import arrays

WEIGHTS = Path(__file__).parents[2] / "data/weights"
SMALL = {"width": 32, "depth": 1, "heads": 2, "decoder_heads": 4}


@pytest.fixture(scope="module")
def parseq():
    torch.manual_seed(0)
    return create_model("parseq_ltr", **SMALL).eval()


@pytest.fixture(scope="module")
def words():
    return arrays("test/easy", 12, seed=7)


def images(n, size=(16, 64)):
    return torch.rand(n, 3, *size, generator=torch.Generator().manual_seed(1))


def test_parseq_s_weights_are_those_its_decoder_used(parseq):
    called = []
    attention = parseq.layer.cross_attn
    hook = attention.register_forward_hook(lambda _, inputs, out: called.append((inputs, out)))
    with torch.no_grad():
        out, weights = cross_attention(parseq, images(3))
        (_, _, value), seen = called[-1]
        again = attention.out_proj((weights @ value).transpose(1, 2).flatten(2))
    hook.remove()
    assert weights.shape == (3, 4, 26, 128)  # heads, steps of the refinement pass, tokens
    torch.testing.assert_close(again, seen)
    torch.testing.assert_close(out.logits, parseq(images(3)).logits)
    assert not attention._forward_pre_hooks  # nothing is left behind


@pytest.mark.parametrize(
    ("name", "steps", "grid"),
    [("parseq_nano_ltr", 26, (1, 32)), ("abinet_nano_ltr", 26, (4, 32)),
     ("matrn_nano", 26, (4, 32)), ("dan_nano", 40, (1, 64))],
)
def test_maps_cover_the_image_and_sum_to_one(name, steps, grid):
    model = create_model(name)
    batch = images(2, model.image_size)
    readings, maps = attend(model, batch)
    assert model.training  # as it was
    assert maps.shape == (2, steps, *grid) and maps.min() >= 0
    torch.testing.assert_close(maps.sum((-2, -1)), torch.ones(2, steps))
    assert readings == model.read(batch)


def test_of_ctc_it_is_the_frames_read_as_the_character():
    model = create_model("crnn_nano_ltr")
    ids = torch.zeros(2, 26, dtype=torch.long)
    ids[0, 3:5], ids[0, 6], ids[0, 7] = 11, 11, 12  # "aab"
    logits = torch.nn.functional.one_hot(ids, 37).float()
    model.forward = lambda images: ModelOutput(logits)
    readings, maps = attend(model, images(2))
    assert [reading.text for reading in readings] == ["aab", ""]
    assert maps.shape == (2, 26, 1, 26)
    torch.testing.assert_close(maps.sum((-2, -1)), torch.ones(2, 26))
    read = [{i: 0.5 for i in (3, 4)}, {6: 1.0}, {7: 1.0}]
    for found, expected in zip(maps[0, :, 0], read, strict=False):
        assert {i: v for i, v in enumerate(found.tolist()) if v} == expected
    assert (maps[0, 3:] == 1 / 26).all() and (maps[1] == 1 / 26).all()


def test_the_grid_is_that_of_the_patches(parseq):
    assert attend(parseq, images(2))[1].shape == (2, 26, 8, 16)  # 16 / 2 and 64 / 4


def test_bicubic_is_the_teacher_on_the_upsampled_image():
    teacher = create_model("parseq", **SMALL).eval()
    small = UpsampleBicubic(teacher)
    readings, maps = attend(small, images(2))
    assert readings == small.read(images(2)) and maps.shape == (2, 26, 8, 16)


def test_a_recogniser_without_attention_is_refused():
    class Blind(Recogniser):
        name, charset, image_size, semantic_width = "blind", ALNUM36, (16, 64), 1

        def __init__(self):
            super().__init__()
            self.scores = nn.Parameter(torch.zeros(1, 26, 37))

        def forward(self, images):
            return ModelOutput(self.scores.expand(len(images), -1, -1))

    with pytest.raises(ValueError, match="blind gives no attention"):
        attend(Blind(), images(1))
    with pytest.raises(ValueError, match="reads images"):
        attend(Blind(), images(1, (32, 128)))


@pytest.mark.parametrize("name", ["parseq_nano", "abinet_nano", "matrn_nano", "parseq_nano_ltr"])
def test_shipped_recognisers_look_from_left_to_right(name, words):
    model = create_model(name, WEIGHTS / f"{name}.safetensors")
    images = [{"hr": hr, "lr": lr, "label": label}
              for hr, lr, label in zip(*words, strict=True)]  # fmt: skip
    moves = steps_to_the_right(attention_rows(images, {name: model}))
    assert len(moves) > 40 and sum(moves) / len(moves) > 0.85


def test_centres_are_shares_of_the_width():
    maps = torch.zeros(1, 2, 2, 4)
    maps[0, 0, :, 0] = 0.5
    maps[0, 1, 1, 1] = maps[0, 1, 0, 2] = 0.5
    assert centres(maps).tolist() == [[0.125, 0.5]]


def test_an_overlay_colours_what_is_attended_and_greys_the_rest():
    image = np.zeros((4, 8, 3), np.uint8)
    image[...] = (30, 60, 90)
    shown = overlay(image, np.array([[0.0, 0.2]]))
    assert shown.shape == image.shape and shown.dtype == np.uint8
    assert (shown[:, :4] == 60).all()  # grey
    assert (shown[:, 4:, 0] > 200).all() and (shown[:, 4:, 2] < 20).all()


def test_rows_have_a_map_for_each_character_read(words):
    hr, lr, labels = words
    word = {"hr": hr[0], "lr": lr[0], "label": labels[0]}
    sharp = create_model("parseq_nano", WEIGHTS / "parseq_nano.safetensors")
    rows = attention_rows([word], {"sharp": sharp, "bicubic": UpsampleBicubic(sharp)})
    assert [row["image"].shape for row in rows] == [(32, 128, 3), (16, 64, 3)]
    assert all(row["maps"].shape == (26, 1, 32) for row in rows)
    assert rows[0]["title"].startswith("sharp, 0.") or rows[0]["title"] == "sharp, 1.00"
    assert "".join(character for character, _ in rows[0]["characters"]) == labels[0]


def test_judged_characters_have_no_gaps():
    assert judged("ct", "cat") == [("c", True), ("t", True)]
    assert judged("cut", "cat") == [("c", True), ("u", False), ("t", True)]
    assert judged("x·", None) == [("x", True), ("·", True)]
