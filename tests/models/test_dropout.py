"""Dropout drops what it should, no more often than it should, and the same in both passes."""

import pytest
import torch
from torch.nn import functional as F

from kdltr.models.attention import MultiheadAttention
from kdltr.models.dropout import Dropout, dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_share_scale_and_independence(p):
    """To four standard errors; neighbours come from one random word of 64 bits."""
    torch.manual_seed(0)
    n = 1_000_000
    kept = dropout(torch.ones(n), p) > 0
    error = 4 * (p * (1 - p) / n) ** 0.5
    assert abs(kept.double().mean() - (1 - p)) < error
    for lane in range(4):
        assert abs(kept[lane::4].double().mean() - (1 - p)) < 2 * error
    for apart in (1, 2, 3, 4):
        both = (kept[:-apart] & kept[apart:]).double().mean()
        assert abs(both - (1 - p) ** 2) < 2 * error
    values = dropout(torch.ones(n, dtype=torch.float64), p)
    assert values.unique().tolist() == pytest.approx([0, 1 / (1 - p)], rel=1e-3)
    assert values.mean().item() == pytest.approx(1, abs=4 * (p / (1 - p) / n) ** 0.5)


def test_the_gradient_goes_where_the_value_went():
    torch.manual_seed(0)
    x = torch.randn(3, 5, 7, dtype=torch.float64, requires_grad=True)  # no multiple of four
    y = dropout(x, 0.3)
    y.sum().backward()
    torch.testing.assert_close(x.grad * x.detach(), y.detach())
    assert (x.grad == 0).any() and (x.grad > 1).any()


def test_seeded_and_only_in_training():
    module, x = Dropout(0.5), torch.randn(1000)
    torch.manual_seed(1)
    one = module(x)
    torch.manual_seed(1)
    assert module(x).equal(one) and not module(x).equal(one)
    assert module.eval()(x) is x and Dropout(0.0)(x) is x


def test_in_bfloat16_and_of_a_transposed_tensor():
    x = torch.ones(4, 6, dtype=torch.bfloat16).T
    y = dropout(x, 0.5)
    assert y.dtype == torch.bfloat16 and y.shape == (6, 4)
    assert y.unique().tolist() == [0, 2]


@pytest.mark.parametrize("masked", [False, True])
def test_attention_with_a_vanishing_dropout_is_attention(masked):
    """The way taken in training on a CPU, against PyTorch's attention."""
    torch.manual_seed(0)
    layer = MultiheadAttention(16, 2, dropout=1e-9).double()  # rounds to none dropped
    query, memory = torch.randn(3, 5, 16).double(), torch.randn(3, 7, 16).double()
    visible = torch.rand(3, 1, 5, 7) < 0.5 if masked else None
    if masked:
        visible[..., 0] = True
    projected = layer.query(query), *layer.key_value(memory)
    mixed = F.scaled_dot_product_attention(*projected, visible)
    expected = layer.out_proj(mixed.transpose(1, 2).flatten(2))
    torch.testing.assert_close(layer.train()(*projected, visible), expected)
    layer.dropout = 0.5
    assert not torch.allclose(layer(*projected, visible), expected)
    torch.testing.assert_close(layer.eval()(*projected, visible), expected)


def test_under_the_transforms_of_torch_func():
    torch.manual_seed(0)
    gradient = torch.func.grad(lambda x: dropout(x, 0.5).sum())(torch.ones(1000))
    assert gradient.unique().tolist() == [0, 2]
