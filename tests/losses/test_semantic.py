"""The semantic contrastive loss: the published numbers, and what counts as a word's."""

import math

import pytest
import torch
from torch.testing import assert_close

from kdltr.losses import SemanticContrastiveLoss
from kdltr.losses.semantic import nt_xent


@pytest.mark.parity
@pytest.mark.parametrize("packed", [True, False])
def test_agrees_with_the_published_loss(golden, fill_projector, packed):
    loss = fill_projector(SemanticContrastiveLoss(512, packed=packed), "proj.")
    value = loss(golden["semantic_student_512"], golden["semantic_teacher_512"], golden["lengths"])
    assert_close(value, golden["semantic_loss_512"], rtol=1e-6, atol=0)


@pytest.mark.parity
@pytest.mark.parametrize("packed", [True, False])
def test_mean_over_permutations_agrees(golden_parseq, fill_projector, packed):
    loss = fill_projector(SemanticContrastiveLoss(384, packed=packed), "sematic_loss.proj.")
    lengths = (golden_parseq["targets"][:, 1:] != 96).sum(1)
    value = loss(golden_parseq["parseq_ltr_semantic"], golden_parseq["parseq_semantic"], lengths)
    assert_close(value, golden_parseq["visual_semantic_cross_entropy"][1], rtol=1e-6, atol=0)


def test_projector_has_the_published_names_and_shapes():
    shapes = {k: tuple(v.shape) for k, v in SemanticContrastiveLoss(384).state_dict().items()}
    assert shapes["rnn.weight_ih_l0"] == (1024, 384)
    assert shapes["rnn.weight_hh_l0_reverse"] == (1024, 256)
    assert shapes["linear.weight"] == (512, 512)
    assert len(shapes) == 10


def test_nt_xent_by_hand():
    a, b = torch.eye(2, dtype=torch.float64)
    vectors = torch.stack([torch.stack([a, b]), torch.stack([a, b])])[None]  # twins are equal
    # twin at similarity 1, two others at 0, itself left out
    assert_close(nt_xent(vectors).item(), math.log(math.exp(10) + 2) - 10)


def test_closed_form_gradient_is_that_of_the_plain_formula():
    torch.manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(2, 2, 5, 4, dtype=torch.float64), dim=-1)
    vectors.requires_grad_()
    plain = 0
    for student, teacher in vectors:
        both, twins = torch.cat([student, teacher]), torch.cat([teacher, student])
        exp = (both @ both.T / 0.1).exp()
        ratio = (both * twins).sum(1).div(0.1).exp() / (exp.sum(1) - exp.diagonal())
        plain = plain - ratio.log().mean() / 2
    assert_close(nt_xent(vectors), plain)
    (expected,) = torch.autograd.grad(3 * plain, vectors)
    (found,) = torch.autograd.grad(3 * nt_xent(vectors), vectors)
    assert_close(found, expected)


def test_packed_and_masked_have_the_same_gradients():
    torch.manual_seed(0)
    loss = SemanticContrastiveLoss(8, hidden=4).double()
    student, teacher = torch.randn(2, 2, 3, 5, 8, dtype=torch.float64).requires_grad_().unbind()
    lengths = torch.tensor([2, 5, 1])
    gradients = []
    for loss.packed in (True, False):
        value = loss(student, teacher, lengths)
        gradients.append(torch.autograd.grad(value, [student, *loss.parameters()]))
    for packed, masked in zip(*gradients, strict=True):
        assert_close(packed, masked)
    assert all(g.abs().sum() > 0 for g in gradients[0])


def test_the_projector_learns_from_the_teacher_too():
    torch.manual_seed(0)
    loss = SemanticContrastiveLoss(8, hidden=4)
    student, teacher, lengths = torch.randn(3, 5, 8), torch.randn(3, 5, 8), torch.tensor([2, 5, 1])
    both = torch.autograd.grad(loss(student, teacher, lengths), loss.linear.weight)[0]
    swapped = torch.autograd.grad(loss(teacher, student, lengths), loss.linear.weight)[0]
    assert_close(both, swapped)  # symmetric, which a detached teacher would not be


def test_lstm_runs_over_padding():
    torch.manual_seed(0)
    loss = SemanticContrastiveLoss(8, hidden=4)
    student, teacher, lengths = torch.randn(3, 5, 8), torch.randn(3, 5, 8), torch.tensor([2, 4, 1])
    before = loss(student, teacher, lengths)
    student[:, 4] += 10  # beyond every word, but the backward LSTM starts there
    assert not torch.isclose(before, loss(student, teacher, lengths))


def test_wrong_width_is_refused():
    with pytest.raises(ValueError, match=r"\(N, T, 8\).*found student \(3, 5, 6\)"):
        SemanticContrastiveLoss(8)(torch.randn(3, 5, 6), torch.randn(3, 5, 6), torch.ones(3))
