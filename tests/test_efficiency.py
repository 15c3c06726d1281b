"""Costs are counted in full: what a layer multiplies by hand, and the published models."""

import pytest
import torch
from torch import nn

from kdltr import create_model
from kdltr.efficiency import multiply_adds, parameters
from kdltr.models.transformer import EncoderLayer


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
    model = create_model(name)  # reference counts: ../shared/parity/README.md
    assert round(multiply_adds(model, torch.rand(1, 3, 32, 128)) / 1e9, 2) == billions
