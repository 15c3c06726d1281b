"""The soft logits loss: the published numbers, and gradients for the student alone."""

import pytest
import torch
from torch.testing import assert_close

from kdltr.losses import path_distribution, soft_logits_loss

KINDS = [f"{kind}-{c}" for kind in ("sharp", "confident", "unsure") for c in (37, 95)]


@pytest.mark.parity
@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_the_published_loss(golden, kind):
    student = golden[f"{kind}_student_logits"].clone().requires_grad_()
    loss = soft_logits_loss(student, golden[f"{kind}_teacher_logits"])
    (gradient,) = torch.autograd.grad(loss, student)
    if kind == "unsure-95":  # the published search gave up on a word that decides its length
        assert_close(loss.item(), 0.33922, rtol=0, atol=1e-5)
        return
    assert_close(loss, golden[f"{kind}_loss"], rtol=1e-6, atol=0)
    assert_close(gradient.norm(), golden[f"{kind}_grad_norm"], rtol=1e-6, atol=0)


def test_equal_logits_leave_only_the_sequence_target(golden):
    teacher = golden["unsure-37_teacher_logits"]  # no path is trusted: the target is the teacher
    assert soft_logits_loss(teacher, teacher).abs() < 1e-12
    trusted = golden["confident-37_teacher_logits"]
    assert soft_logits_loss(trusted, trusted) > 1e-3


def test_steps_after_the_best_path_do_not_count(golden):
    teacher = golden["confident-37_teacher_logits"]
    length = path_distribution((teacher / 4).softmax(-1))[1]
    student = golden["confident-37_student_logits"].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(soft_logits_loss(student, teacher), student)
    after = torch.arange(26) >= length[:, None]
    assert (gradient[after] == 0).all()
    assert (gradient[~after].abs().sum(-1) > 0).all()


def test_threshold_is_on_the_joint_probability():
    logits = torch.zeros(1, 10, 5)
    for t, c in enumerate([1, 2, 3, 4, 1, 0]):
        logits[0, t, c] = 16.0  # softened: 0.93 a step, 0.65 for the word, 0.11 after ÷ 6
    student = torch.zeros(1, 10, 5)
    probability = path_distribution((logits / 4).softmax(-1))[2].item()
    assert probability > 0.1 and probability / 6 < 0.12
    base = soft_logits_loss(student, logits, alpha=0.0)
    below = soft_logits_loss(student, logits, threshold=probability * 0.99)
    above = soft_logits_loss(student, logits, threshold=probability * 1.01)
    assert_close(above, base)
    assert (below - base).abs() > 1e-4


def test_target_is_a_constant():
    teacher = torch.randn(2, 4, 6).requires_grad_()
    student = torch.randn(2, 4, 6).requires_grad_()
    soft_logits_loss(student, teacher).backward()
    assert teacher.grad is None and student.grad.abs().sum() > 0


def test_permutations_are_averaged():
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 3, 4, 5, 7, dtype=torch.float64).mul(4).unbind()
    each = [soft_logits_loss(s, t) for s, t in zip(student, teacher, strict=True)]
    assert_close(soft_logits_loss(student, teacher), torch.stack(each).mean())


def test_path_score_is_passed_on():
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 8, 26, 37).unbind()
    published = soft_logits_loss(student, teacher)
    assert (
        published - soft_logits_loss(student, teacher, path_score="log_normalised")
    ).abs() > 1e-4


@pytest.mark.parametrize("margin", [0.0, 1e4])
def test_extreme_teachers_stay_finite(margin):
    teacher = torch.zeros(2, 26, 95)
    teacher[:, :, 3] = margin  # uniform, or so sure that other probabilities are exactly 0
    student = (-teacher).requires_grad_()
    loss = soft_logits_loss(student, teacher)
    (gradient,) = torch.autograd.grad(loss, student)
    assert loss.isfinite() and gradient.isfinite().all()
    if margin:  # clamped at -10: surely wrong students get no gradient, as published
        assert_close(loss.item(), 10.0) and (gradient == 0).all()


def test_nan_is_not_hidden():
    logits = torch.randn(2, 4, 5)
    broken = logits.clone()
    broken[0, 0, 0] = torch.nan
    assert soft_logits_loss(broken, logits).isnan()
    assert soft_logits_loss(logits, broken).isnan()


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match="same charset"):
        soft_logits_loss(torch.randn(2, 4, 37), torch.randn(2, 4, 95))
