"""Settings of the paper's terms: the defaults are published, each other one changes its term."""

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from kdltr.losses import (
    DistillationCriterion,
    LossSettings,
    SemanticContrastiveLoss,
    soft_logits_loss,
    visual_focus_loss,
)
from kdltr.losses.visual import enlarged
from kdltr.models.output import ModelOutput
from tests.losses.test_criterion import outputs

NUMBERS = {"semantic_temperature": 0.5, "logits_paths": 2, "logits_beam": 2, "logits_alpha": 0.9,
           "logits_threshold": 0.9, "logits_temperature": 1.0}
CHANGES = [(name, value) for name, (_, *others) in LossSettings.CHOICES.items() for value in others
           if name != "ctc_targets"] + [*NUMBERS.items()]


def sharp():
    """A case whose teacher is sure of some words, so that paths count."""
    student, teacher, *rest = outputs(n=4)
    def changed(out):
        return ModelOutput(8 * out.logits, out.semantic, out.visual, out.attention,
                           (out.logits.detach().flip(-1),))  # fmt: skip

    return changed(student), changed(teacher), *rest


def terms_under(**settings):
    torch.manual_seed(0)
    return DistillationCriterion(8, **settings)(*sharp())


@pytest.mark.parametrize(("name", "value"), CHANGES)
def test_a_setting_changes_its_own_term_alone(name, value):
    own = {"visual": "visual", "semantic": "semantic"}.get(name.partition("_")[0], "soft_logits")
    published, changed = terms_under(), terms_under(**{name: value})
    assert changed["total"].isfinite()
    for term in ("visual", "semantic", "cross_entropy", "soft_logits"):
        assert torch.equal(published[term], changed[term]) == (term != own), term


def test_the_defaults_are_the_published():
    default = LossSettings()
    assert all(getattr(default, name) == known[0] for name, known in LossSettings.CHOICES.items())
    assert terms_under().keys() == terms_under(**vars(default)).keys()
    for name, term in terms_under().items():
        assert torch.equal(term, terms_under(**vars(default))[name])


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="unknown setting 'visual_masc'; did you mean 'visual"):
        LossSettings.from_dict({"visual_masc": "none"})
    for name, value, expected in (
        ("logits_alpha", "0.2", "a number"), ("logits_beam", 3.0, "a whole number"),
        ("logits_paths", 0, "at least 1"),
        ("logits_alpha", 1.5, r"in \[0, 1\]"), ("semantic_temperature", 0.001, "at least 0.02"),
        ("logits_temperature", float("inf"), "a finite number"),
        ("logits_temperature", 0.0, "above 0"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"{name} must be {expected}"):
            LossSettings.from_dict({name: value})
    with pytest.raises(ValueError, match="visual_distance: unknown 'l3'; Known: cosine, l1"):
        LossSettings.from_dict({"visual_distance": "l3"})
    with pytest.raises(ValueError, match="logits_level='step' has no meaning for a recogniser"):
        DistillationCriterion(8, decoding="ctc", logits_level="step")
    assert DistillationCriterion(8, decoding="ctc", logits_level="sequence")


@pytest.mark.parametrize(("decoding", "settings", "idle"), [
    ("ctc", {"path_score": "log_normalised"}, "path_score"),
    ("ctc", {"semantic_positions": "all"}, "semantic_positions"),
    ("ctc", {"logits_alpha": 0.5}, "logits_alpha"),
    ("attention", {"ctc_targets": "collapsed_paths"}, "ctc_targets"),
    ("attention", {"logits_level": "step", "logits_paths": 3}, "logits_paths"),
    ("attention", {"semantic_loss": "l1", "semantic_temperature": 0.5}, "semantic_temperature"),
])
def test_settings_without_effect_are_refused(decoding, settings, idle):
    with pytest.raises(ValueError, match=f"{idle}=.* has no meaning"):
        DistillationCriterion(8, decoding=decoding, **settings)


def test_settings_of_paths_count_where_there_are_paths():
    assert DistillationCriterion(8, logits_alpha=0.5)
    assert DistillationCriterion(8, decoding="ctc", ctc_targets="collapsed_paths", logits_alpha=0.5)


def test_a_term_turned_off_keeps_its_settings():
    """Fine-tuning shares distillation's recipe, with other weights."""
    off = dict.fromkeys(("visual", "semantic", "soft_logits"), 0)
    settings = {"logits_of": "vision", "visual_mask": "none", "semantic_projector": "none"}
    assert not DistillationCriterion(None, off, **settings).part_logits
    assert DistillationCriterion(8, **settings).part_logits


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_visual_distances_by_hand():
    student, teacher = random(2, 3, 4, 8), random(2, 3, 4, 8, seed=1)
    plain = visual_focus_loss(student, teacher, normalise=False, distance="l2")
    assert_close(plain, (student - teacher).square().mean())
    def z(x):
        return (x - x.mean((2, 3), True)) / x.std((2, 3), keepdim=True)

    l1 = visual_focus_loss(student, teacher, distance="l1")
    assert_close(l1, (z(student) - z(teacher)).abs().mean())
    cosine = visual_focus_loss(student, teacher, normalise=False)
    assert_close(cosine, 1 - F.cosine_similarity(student.flatten(2), teacher.flatten(2), -1).mean())


def test_the_mask_grows_with_an_earlier_stage_s_map():
    attention, lengths = random(2, 5, 2, 4).softmax(-1), torch.tensor([2, 5])
    large, small = random(2, 3, 4, 16), random(2, 3, 2, 4)
    assert enlarged(attention, small) is attention and enlarged(None, small) is None
    grown = enlarged(attention, large)
    assert grown.shape == (2, 5, 4, 16)
    assert torch.equal(grown[..., ::2, ::4], attention)
    assert torch.equal(grown[..., 1::2, 3::4], attention)
    assert visual_focus_loss(large, large + random(2, 3, 4, 16, seed=2), grown, lengths) > 0
    uneven = random(2, 3, 3, 4)
    with pytest.raises(ValueError, match="attention must be"):
        visual_focus_loss(uneven, uneven, enlarged(attention, uneven), lengths)


@pytest.mark.parametrize("loss", ["l1", "l2"])
@pytest.mark.parametrize("packed", [True, False])
def test_semantic_distances_are_of_the_read_positions(loss, packed):
    student, teacher = random(2, 3, 5, 8), random(2, 3, 5, 8, seed=1)
    lengths = torch.tensor([2, 5, 1])
    own = SemanticContrastiveLoss(8, packed=packed, projector="none", loss=loss)
    assert not list(own.parameters())
    read = torch.arange(5) < lengths[:, None]
    apart = (student - teacher)[:, read]
    expected = apart.abs().mean() if loss == "l1" else apart.square().mean()
    assert_close(own(student, teacher, lengths), expected)


def test_projectors_and_what_they_train():
    by_name = {name: SemanticContrastiveLoss(8, 4, projector=name)
               for name in LossSettings.CHOICES["semantic_projector"]}
    shapes = {name: [tuple(p.shape) for p in loss.parameters()] for name, loss in by_name.items()}
    assert shapes["perceptron"] == [(8, 8), (8,), (8, 8), (8,)] and shapes["none"] == []
    student, teacher = random(3, 5, 8).float(), random(3, 5, 8, seed=1).float()
    lengths = torch.tensor([2, 4, 1])
    for name in ("perceptron", "none"):  # what follows a word does not reach it
        before = by_name[name](student, teacher, lengths)
        changed = student.clone()
        changed[:, 4] += 10
        assert torch.equal(by_name[name](changed, teacher, lengths), before)


def test_logits_step_by_step_is_the_plain_divergence():
    student = random(3, 5, 7).requires_grad_()
    teacher = random(3, 5, 7, seed=1).requires_grad_()
    plain = F.kl_div((student / 4).log_softmax(-1), (teacher.detach() / 4).softmax(-1),
                     reduction="sum") / 3
    (wanted,) = torch.autograd.grad(plain, student)
    found = soft_logits_loss(student, teacher, level="step")
    assert_close(found, plain)
    found.backward()
    assert_close(student.grad, wanted)
    assert student.grad.abs().sum() > 0 and teacher.grad is None


def test_the_logits_of_vision_need_a_part():
    criterion = DistillationCriterion(8, logits_of="vision")
    student, teacher, *rest = sharp()
    assert criterion.part_logits
    swapped = [ModelOutput(out.auxiliary[0], out.semantic, out.visual, out.attention)
               for out in (student, teacher)]
    expected = DistillationCriterion(8)(*swapped, *rest)["soft_logits"]
    assert torch.equal(criterion(student, teacher, *rest)["soft_logits"], expected)
    with pytest.raises(ValueError, match=r"first of ModelOutput.auxiliary, but the student gave"):
        criterion(swapped[0], teacher, *rest)


def test_options_of_a_model_s_criterion_are_weights_and_settings():
    criterion = DistillationCriterion.for_model(
        "abinet_nano_ltr", semantic=0, visual_mask="none", path_score="log_normalised"
    )
    assert criterion.weights["semantic"] == 0 and criterion.weights["visual"] == 4
    assert criterion.settings == LossSettings(visual_mask="none", path_score="log_normalised")
    with pytest.raises(ValueError, match="unknown setting 'visuel'"):
        DistillationCriterion.for_model("abinet_nano_ltr", visuel=0)
