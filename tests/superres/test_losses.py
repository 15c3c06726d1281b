"""The losses and measures of images agree with the published ones."""

import pytest
import torch
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from kdltr.losses import ctc_loss
from kdltr.superres import losses
from tests.models.conftest import close, golden
from tests.superres.conftest import HR, LR, thin


@pytest.fixture(scope="module")
def reference():
    return {name: value.double() if value.is_floating_point() else value
            for name, value in golden("sr_losses.npz").items()}


def norm(loss, of):
    (gradient,) = torch.autograd.grad(loss, of)
    return gradient.norm()[None]


@pytest.mark.parity
class TestPublished:
    def test_images(self, reference):
        sr = reference["sr"].requires_grad_()

        def each(loss):
            return torch.stack([loss(*pair) for pair in zip(sr.split(1), HR.split(1),
                                                            strict=True)])

        close(each(F.mse_loss), reference["mse"])
        close(each(losses.gradient_profile_loss), reference["gradient_profile_loss"])
        close(thin(losses.gradient_map(HR[:1, :3])), reference["gradient_map_hr"])
        close(each(losses.image_loss), reference["image_loss"])
        close(norm(losses.image_loss(sr, HR), sr), reference["image_loss_grad_norm"])
        close(losses.ssim(sr, HR)[None], reference["ssim"])
        close(losses.psnr(sr, HR)[None], reference["psnr"])

    def test_three_images(self, reference):
        sr, second = reference["sr"].requires_grad_(), reference["sr_second"]
        found = losses.triplet_ssim(second, sr, HR)
        close(found[None], reference["triplet_ssim"])
        close(losses.triplet_ssim(HR, second, sr), found)
        close(norm(1 - found, sr), reference["triplet_ssim_grad_norm"])
        assert losses.triplet_ssim(HR, HR, HR).item() == pytest.approx(1)

    def test_priors(self, reference):
        student, teacher = reference["prior_student"], reference["prior_teacher"]
        close((student - teacher).abs().mean()[None], reference["prior_loss_l1"])
        logits = student.log().requires_grad_()
        loss = losses.prior_loss(logits.softmax(-1), teacher)
        close(loss[None], reference["prior_loss"])
        close(norm(loss, logits), reference["prior_loss_grad_norm_logits"])

    def test_rotation(self, reference):
        turn = reference["angles"], reference["offsets"]
        close(thin(losses.rotate(LR, *turn)), reference["rotated_lr"])
        close(thin(losses.rotate(HR, *turn)[:1]), reference["rotated_hr"])

    def test_ctc(self, reference):
        logits = reference["ctc_logits"].transpose(0, 1).requires_grad_()
        lengths = reference["ctc_lengths"]
        words = pad_sequence(reference["ctc_targets"].split(lengths.tolist()), batch_first=True)
        loss = ctc_loss(logits, F.pad(words, (0, 1)), lengths + 1)
        close(loss[None], reference["ctc_loss"])
        close(norm(loss, logits), reference["ctc_grad_norm"])


def test_a_rotation_and_its_opposite_leave_the_middle_as_it_was():
    smooth = F.interpolate(torch.rand(1, 3, 4, 16), (16, 64), mode="bilinear")
    angle, offset = torch.tensor([0.05]), torch.tensor([0.5])
    back = losses.rotate(losses.rotate(smooth, angle, offset), -angle, offset)
    middle = (..., slice(6, 10), slice(24, 40))
    assert (back - smooth)[middle].abs().max() < 0.05 < (back - smooth).abs().max()


def test_similar_glyphs_forgive():
    logits = torch.tensor([[[0.0, 1.0, 3.0]]])
    label, length = torch.tensor([[1]]), torch.tensor([1])
    plain = losses.content_loss(logits, label, length)
    assert plain == pytest.approx(F.cross_entropy(logits[0], label[0]).item())
    alike = torch.tensor([[1, 1, 1], [0.1, 1, 0.1], [1, 1, 1.0]])
    assert losses.content_loss(logits, label, length, alike) < plain
