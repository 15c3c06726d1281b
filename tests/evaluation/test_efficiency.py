"""Costs are counted in full: what a layer multiplies by hand, and the published models."""

import pytest
import torch
from torch import nn

from kdltr import create_model
from kdltr.evaluation.efficiency import (
    multiply_adds,
    multiply_adds_of,
    parameters,
    published_multiply_adds,
)
from kdltr.models.transformer import EncoderLayer
from kdltr.results.tables import family, published


def test_a_convolution_and_a_linear_layer_by_hand():
    model = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.Flatten(), nn.Linear(16 * 4 * 8, 10))
    assert parameters(model) == 3 * 16 * 9 + 16 + 16 * 32 * 10 + 10
    counted = multiply_adds(model, torch.rand(2, 3, 8, 16))
    assert counted == 3 * 16 * 9 * (4 * 8) + 16 * 32 * 10


def test_the_products_inside_attention_are_counted():
    layer = EncoderLayer(width=16, heads=2, hidden=32, dropout=0.0)
    n, width = 5, 16  # images are (N, …): one "image" of 5 places
    projections, feed_forward, products = 4 * n * width**2, 2 * n * width * 32, 2 * n * n * width
    assert multiply_adds(layer, torch.rand(1, n, width)) == projections + feed_forward + products


def test_a_longer_word_costs_parseq_more_and_the_mode_is_kept():
    model = create_model("parseq_nano_ltr", width=16, depth=1, heads=2, decoder_heads=2).train()
    image = torch.rand(1, 3, 16, 64)
    with torch.no_grad():
        model.head.bias[0] = 100  # ends at once
        short = multiply_adds(model, image)
        model.head.bias[0] = -100  # never ends
        assert multiply_adds(model, image) > short
    assert model.training


@pytest.mark.parametrize(("name", "billions"), [("abinet", 6.58), ("matrn", 13.50)])
def test_the_published_sizes_in_full(name, billions):
    model = create_model(name)  # as counted on the published code
    assert round(multiply_adds(model, torch.rand(1, 3, 32, 128)) / 1e9, 2) == billions


def test_lstms_are_counted_forward_and_backward():
    lstm, steps = nn.LSTM(12, 8, bidirectional=True), 5
    inside = steps * 2 * 4 * 8 * (12 + 8)  # two ways, four gates, of input and state
    words = torch.rand(steps, 1, 12, requires_grad=True)
    assert multiply_adds_of(lambda: lstm(words)) == inside
    assert multiply_adds_of(lambda: lstm(words)[0].sum().backward()) == 3 * inside


def test_the_crnn_of_text_priors():
    model = create_model("crnn")  # as counted on the published copy
    assert round(published_multiply_adds(model) / 1e9, 2) == 0.71
    assert f"{multiply_adds(model, torch.rand(1, 3, 32, 128)) / 1e9:.3f}" == "0.705"


PUBLISHED = {"abinet_ltr": "5.460", "matrn_ltr": "9.863", "parseq_ltr": "2.931"}


@pytest.mark.parametrize(("name", "billions"), PUBLISHED.items())
def test_the_paper_s_way_of_counting_gives_the_paper_s_figures(name, billions):
    model = create_model(name).train()
    counted = published_multiply_adds(model)
    assert f"{counted / 1e9:.3f}" == billions  # as of the published code
    paper = published("textzoom").set_index(["recogniser", "method"])
    row = paper.loc[family(name), "Ours"]
    assert f"{counted / 1e9:.2f}" == f"{row['gflops']:.2f}"
    assert f"{parameters(model) / 1e6:.2f}" == f"{row['mparams']:.2f}"
    assert model.training and not any(module._forward_hooks for module in model.modules())


def test_a_step_of_decoding_is_what_the_paper_s_figure_turns_on():
    model = create_model("parseq_ltr")
    each = [published_multiply_adds(model, steps) / 1e9 for steps in (1, 2, 3, 4)]
    assert [f"{billions:.2f}" for billions in each] == ["2.85", "2.89", "2.93", "2.97"]


def test_images_go_where_the_model_is():
    """On the meta device nothing is computed, and images of the CPU are refused."""
    model = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1)).to("meta")
    assert multiply_adds(model, torch.rand(1, 3, 8, 16)) == 3 * 16 * 9 * (4 * 8)
    student = create_model("abinet_nano_ltr")
    counted = published_multiply_adds(student)
    assert published_multiply_adds(student.to("meta")) == counted
