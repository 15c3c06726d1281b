"""The visual focus loss: the published numbers, and maps without a pattern."""

import pytest
import torch
from torch.testing import assert_close

from kdltr.losses import visual_focus_loss


@pytest.mark.parity
def test_agrees_with_the_published_loss(golden):
    loss = visual_focus_loss(
        golden["visual_student"], golden["visual_teacher"], golden["attention"], golden["lengths"]
    )
    assert_close(loss, golden["visual_focus_loss"], rtol=1e-6, atol=0)


def maps(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_token_form_is_the_map_form_with_channels_last():
    student, teacher = maps(2, 16, 4, 8), maps(2, 16, 4, 8, seed=1)
    tokens = visual_focus_loss(
        student.flatten(2).transpose(1, 2), teacher.flatten(2).transpose(1, 2)
    )
    assert_close(tokens, visual_focus_loss(student, teacher))


def test_ignores_scale_and_offset_of_each_channel():
    student = maps(2, 3, 4, 8)
    teacher = student * torch.tensor([1.0, 5.0, 0.1]).view(3, 1, 1) + 7
    assert visual_focus_loss(student, teacher).abs() < 1e-12
    assert_close(visual_focus_loss(student, -teacher).item(), 2.0)


def test_sees_only_where_the_teacher_read_the_word():
    student, teacher = maps(1, 3, 1, 8), maps(1, 3, 1, 8, seed=1)
    attention = torch.zeros(1, 4, 1, 8, dtype=torch.float64)
    attention[0, 0, 0, :4] = 1.0  # step 0 looks at the left half
    attention[0, 3, 0, 4:] = 1.0  # step 3 at the right, beyond the word's end
    one = visual_focus_loss(student, teacher, attention, torch.tensor([1]))
    all_steps = visual_focus_loss(student, teacher, attention, torch.tensor([4]))
    assert_close(all_steps, visual_focus_loss(student, teacher))
    assert (one - all_steps).abs() > 1e-3


@pytest.mark.parametrize("who", ["student", "teacher", "both"])
@pytest.mark.parametrize("spread", [0.0, 1e-13, 1e-8, 5e-7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_flat_channel_counts_one_and_pulls_nothing(who, spread, dtype):
    student, teacher = maps(2, 4, 4, 8).to(dtype), maps(2, 4, 4, 8, seed=1).to(dtype)
    rest = visual_focus_loss(student[:, 1:], teacher[:, 1:])
    for name, tensor in (("student", student), ("teacher", teacher)):
        if who in (name, "both"):
            tensor[:, 0] = spread * tensor[:, 0]
    student.requires_grad_()
    loss = visual_focus_loss(student, teacher)
    assert_close(loss, (3 * rest + 1) / 4)
    (gradient,) = torch.autograd.grad(loss, student)
    assert (gradient[:, 0] == 0).all()
    assert gradient.abs().max() < 1  # a clamp instead leaves 1e13 here


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"student \(2, 3, 4, 8\).*\(2, 3, 8, 8\)"):
        visual_focus_loss(maps(2, 3, 4, 8), maps(2, 3, 8, 8))
    with pytest.raises(ValueError, match="attention must be"):
        visual_focus_loss(maps(2, 3, 4, 8), maps(2, 3, 4, 8), maps(2, 5, 2, 8).abs())
