"""ABINet agrees with the published implementation, and its parts do what they say.

Names, outputs and lengths of MATRN are in the same files and tested alike, so they are here too.
"""

import pytest
import torch
from torch.nn import functional as F

from kdltr.evaluation.evaluate import UpsampleBicubic
from kdltr.models.language import predicted_lengths
from tests.models.conftest import agrees_with_keys, close, filled, golden, toy

NAMES = ["abinet", "abinet_vision", "matrn"]
WITH_LANGUAGE = ["abinet", "matrn"]


@pytest.mark.parity
@pytest.mark.parametrize("student", ["", "_ltr"])
class TestPublished:
    @pytest.mark.parametrize("name", NAMES)
    def test_names_shapes_and_count(self, name, student):
        count = agrees_with_keys(name + student)
        printed = {"abinet_ltr": "36.738", "matrn_ltr": "44.157"}  # millions, in the paper
        if name + student in printed:
            assert f"{count / 1e6:.3f}" == printed[name + student]

    @pytest.mark.parametrize("name", NAMES)
    @torch.inference_mode()
    def test_reading(self, name, student):
        reference = golden(f"{name}{student}.npz")
        if name == "matrn":  # its vision model is ABINet's
            reference = golden(f"abinet{student}.npz") | reference
        images, model = golden(f"parseq{student}.npz"), filled(name + student)
        out = model(images["images"].double())
        for field in ("logits", "semantic", "visual", "attention"):
            close(getattr(out, field), reference[field])
        if not student:
            baseline = UpsampleBicubic(model)
            close(baseline(images["images_lr"].double()).logits, reference["logits_from_lr"])

    @pytest.mark.parametrize("name", WITH_LANGUAGE)
    @torch.inference_mode()
    def test_words_that_end_at_different_steps(self, name, student):
        reference, model = golden("lengths_abinet.npz"), filled(name + student)
        name += student
        for part in ("vision", "language", "semantic_visual"):
            if part == "vision" or name.startswith("matrn"):
                model.get_submodule(part).cls.bias[0] += reference[f"{name}_end_bias"]
        lengths = []
        model.language.model.register_forward_pre_hook(
            # visible keys (N, 1, T, T): those some query sees
            lambda _, inputs: lengths.append(inputs[2].any(-2).sum(-1).flatten())
        )
        height = model.image_size[0]
        out = model(golden("lengths_parseq.npz")[f"images_{height}"].double())
        assert torch.stack(lengths).equal(reference[f"{name}_lengths"])
        close(out.logits, reference[f"{name}_logits"])


def readings(*words: list[int]) -> torch.Tensor:
    """Logits (N, T, 37) that read these ids."""
    return 9.0 * torch.nn.functional.one_hot(torch.tensor(words), 37).float()


def test_predicted_length_counts_the_first_end():
    logits = readings([3, 4, 0, 5, 0], [0, 1, 1, 1, 1], [1, 2, 3, 4, 5], [1, 2, 3, 4, 0])
    assert predicted_lengths(logits).tolist() == [3, 1, 5, 5]


@torch.inference_mode()
def test_no_character_sees_itself_or_what_follows_the_end():
    language = toy("abinet").language.eval()

    def changed_by(word, step):
        other = [*word[:step], 7, *word[step + 1 :]]
        one, two = language(readings(word, other))
        return (one != two).any(-1).nonzero().flatten().tolist()

    word = [3, 4, 5, 0] + [0] * 22
    assert changed_by(word, 1) == [0, *range(2, 26)]
    assert changed_by(word, 9) == []
    empty = [0] * 26  # two keys stay visible, or the first query would see none
    assert changed_by(empty, 1) == [0, *range(2, 26)]
    assert changed_by(empty, 2) == []


@pytest.mark.parametrize("name", WITH_LANGUAGE)
def test_the_reading_gets_no_gradient_from_the_language_model(name):
    logits = torch.randn(2, 26, 37, requires_grad=True)
    vectors = toy(name).language(logits)
    vectors.sum().backward()
    assert logits.grad is None


@pytest.mark.parametrize("family", ["abinet", "abinet_vision", "matrn"])
def test_a_fitted_start_hands_on_what_the_teacher_does_and_touches_nothing_else(family):
    torch.manual_seed(3)
    teacher = toy(family).eval()
    student = toy(f"{family}_ltr").init_from_teacher(teacher).eval()
    images = torch.rand(64, 3, 4, 16).repeat_interleave(4, 2).repeat_interleave(4, 3)  # smooth
    vision = [getattr(model, "vision", model) for model in (student, teacher)]
    large = F.interpolate(images, (32, 128), mode="bicubic", align_corners=True)

    @torch.no_grad()
    def left():
        mine, theirs = (model.backbone.resnet.first_stage(model.normalised(seen))
                        for model, seen in zip(vision, (images, large), strict=True))
        return ((mine - theirs) ** 2).mean() / theirs.var()

    before, weights = left(), {n: x.clone() for n, x in student.state_dict().items()}
    student.fit_start(teacher, images)
    assert not student.training and left() < 0.15 < 0.5 < before
    parts = ("resnet.conv1.", "resnet.bn1.", "resnet.layer1.")
    for name, value in student.state_dict().items():
        changed = not value.equal(weights[name])
        assert changed == any(part in name for part in parts), name
    assert all(parameter.grad is None for parameter in student.parameters())
