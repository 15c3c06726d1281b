"""MATRN's masking and its passes; its published numbers are in test_abinet.py."""

import contextlib

import pytest
import torch

from kdltr.models import matrn as module
from kdltr.models.matrn import masked_places
from tests.models.conftest import toy


def attention(n: int, steps: int, seed: int = 0) -> torch.Tensor:
    """(N, T, 10·T): step t attends to places 10·t … 10·t + 9 above all."""
    values = torch.rand(n, steps, 10 * steps, generator=torch.Generator().manual_seed(seed))
    for t in range(steps):
        values[:, t, 10 * t : 10 * t + 10] += 1
    return values


def test_hidden_are_most_attended_places_of_one_step_of_the_word():
    torch.manual_seed(0)
    lengths = torch.tensor([2, 3, 5, 8]).repeat(50)
    hidden = masked_places(attention(200, 8), lengths, 1.0)
    assert hidden.shape == (200, 80) and hidden.dtype == torch.bool
    steps = hidden.unflatten(1, (8, 10))
    assert steps.all(-1).sum(-1).eq(1).all()  # with certainty, all ten of one step
    assert steps.any(-1).sum(-1).eq(1).all()  # and of no other
    assert (steps.any(-1).int().argmax(-1) < lengths).all()


def test_a_map_of_fewer_places_may_be_hidden_whole():
    assert masked_places(torch.rand(2, 3, 4), torch.tensor([3, 3]), 1.0).all()


@pytest.mark.parametrize("chance", [0.9, 0.3])
def test_masking_follows_its_distribution(chance):
    """Of 20 000 words, every share within four standard errors."""
    torch.manual_seed(0)
    n, steps = 20_000, 4
    hidden = masked_places(attention(1, steps).expand(n, -1, -1), torch.full((n,), steps), chance)

    def agrees(found, p, count):
        assert abs(found - p) < 4 * (p * (1 - p) / count) ** 0.5

    places = hidden.sum(1)  # (N,) 0 … 10
    touched = places > 0
    one_of_ten = 1 - (1 - chance) ** 10
    agrees(touched.double().mean(), chance * one_of_ten, n)
    binomial = torch.distributions.Binomial(10, torch.tensor(chance, dtype=torch.float64))
    for k in (1, 3, 8, 10):  # of the words masked, places by independent chances
        p = chance * binomial.log_prob(torch.tensor(float(k))).exp().item()
        agrees((places == k).double().mean(), p, n)
    step = hidden[touched].unflatten(1, (steps, 10)).any(-1).double().mean(0)
    for share in step:
        agrees(share, 1 / steps, touched.sum())


def test_nothing_is_read_back_from_the_device():
    """On the meta device there are no values: item(), cpu() and boolean indexing raise."""
    hidden = masked_places(
        torch.empty(4, 6, 20, device="meta"), torch.empty(4, dtype=torch.long, device="meta"), 0.9
    )
    assert hidden.shape == (4, 20)
    model = toy("matrn_ltr").to("meta").train()
    assert model(torch.empty(4, 3, 16, 64, device="meta")).logits.shape == (4, 26, 37)


def test_masking_acts_in_every_pass_of_training_and_only_there(monkeypatch):
    lengths = []

    def spy(attention, length, chance):
        lengths.append(length)
        assert not attention.requires_grad and chance == 0.9
        return masked_places(attention, length, chance)

    monkeypatch.setattr(module, "masked_places", spy)
    model = toy("matrn_ltr")
    with torch.no_grad():
        model.language.cls.bias[0] = 99.0  # the language model reads words that end at once
    images = torch.rand(2, 3, 16, 64)
    model.eval()(images)
    toy("matrn_ltr", masking=0.0).train()(images)
    assert lengths == []
    model.train()(images)
    assert [length.tolist() for length in lengths] == [[2, 2]] * 3


def test_the_learned_token_replaces_hidden_places_and_learns():
    model = toy("matrn_ltr", masking=1.0).train()
    seen, features = [], []
    model.semantic_visual.model1.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    model.vision.backbone.register_forward_hook(lambda *x: features.append(x[-1][1]))
    logits = model(torch.rand(2, 3, 16, 64)).logits
    places = features[0].flatten(2).transpose(1, 2)  # (N, P, E)
    assert len(seen) == 3
    for mixed in seen:
        given = mixed[:, : places.shape[1]]
        token = (given == model.semantic_visual.v_token).all(-1)
        assert token.sum(1).tolist() == [10, 10]
        assert given[~token].equal(places[~token])
    logits.square().sum().backward()
    assert model.semantic_visual.v_token.grad.abs().sum() > 0


def test_passes_without_a_graph_leave_results_and_gradients_the_same(monkeypatch):
    """Against the plain form, in which every pass carries one; masking and dropout on."""
    model = toy("matrn_ltr", dropout=0.1).double().train()
    images = torch.rand(2, 3, 16, 64, dtype=torch.float64)
    graphs, enhance = [], model.enhance

    def watched(*inputs):
        outputs = enhance(*inputs)
        graphs.append(outputs[0].requires_grad)
        return outputs

    monkeypatch.setattr(model, "enhance", watched)

    def step():
        model.zero_grad()
        graphs.clear()
        torch.manual_seed(1)
        out = model(images)
        (out.logits.square().sum() + out.semantic.square().sum()).backward()
        return [*graphs], out.logits, {name: p.grad for name, p in model.named_parameters()}

    graphs_found, logits, gradients = step()
    monkeypatch.setattr(module.torch, "no_grad", contextlib.nullcontext)
    plain_graphs, plain_logits, plain = step()
    monkeypatch.undo()
    assert graphs_found == [False, False, True] and plain_graphs == [True] * 3
    torch.testing.assert_close(logits, plain_logits, rtol=1e-12, atol=1e-12)
    assert gradients.keys() == plain.keys()
    for name, gradient in gradients.items():
        if gradient is None:
            assert plain[name] is None, name
        else:
            torch.testing.assert_close(gradient, plain[name], rtol=1e-12, atol=1e-12)


def test_passes_without_a_graph_keep_the_gradients_under_bf16_autocast():
    """Weights cast to bf16 under no_grad are cached without a graph: later passes must not use
    them."""
    images, found = torch.rand(2, 3, 16, 64), {}
    torch.manual_seed(0)
    model = toy("matrn_ltr", masking=0.0).train()
    for half in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            out = model(images)
        (out.logits.float().square().sum() + out.semantic.float().square().sum()).backward()
        found[half] = {name: p.grad for name, p in model.named_parameters()}
    for name in ("language.proj.weight", "semantic_visual.cls.weight"):
        single, half = found[False][name], found[True][name]
        assert half is not None and half.abs().sum() > 0, name
        assert (half - single).norm() < 0.1 * single.norm(), name
