"""The criterion: the published sum of the terms, weights, half precision, what does not fit."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from kdltr.losses import WEIGHTS, DistillationCriterion, cross_entropy_loss
from kdltr.models import ModelOutput, create_model, list_models

TERMS = ["visual", "semantic", "cross_entropy", "soft_logits"]


@pytest.mark.parity
def test_convolutional_form_agrees_with_the_published_criterion(golden, fill_projector):
    criterion = DistillationCriterion.for_model("abinet_ltr")
    fill_projector(criterion.semantic_loss, "sematic_loss.proj.")
    student, teacher = (
        ModelOutput(
            logits=golden[f"confident-37_{who}_logits"],
            semantic=golden[f"semantic_{who}_512"],
            visual=golden[f"visual_{who}"],
            attention=golden["attention"],
        )
        for who in ("student", "teacher")
    )
    terms = criterion(student, teacher, golden["labels"], golden["lengths"])
    found = torch.stack([terms[name] for name in ("total", *TERMS)])
    assert_close(found, golden["criterion_total_visual_semantic_ce_kl"], rtol=1e-6, atol=0)


@pytest.mark.parity
def test_parseq_form_agrees_with_the_published_criterion(golden_parseq, fill_projector):
    criterion = DistillationCriterion.for_model("parseq_ltr", visual=0, soft_logits=0)
    fill_projector(criterion.semantic_loss, "sematic_loss.proj.")
    labels = golden_parseq["targets"][:, 1:]  # without the start token; 96 is padding
    student, teacher = (
        ModelOutput(golden_parseq[f"{who}_logits"], golden_parseq[f"{who}_semantic"])
        for who in ("parseq_ltr", "parseq")
    )
    terms = criterion(student, teacher, labels, (labels != 96).sum(1))
    _, semantic, cross_entropy = golden_parseq["visual_semantic_cross_entropy"]
    assert_close(terms["semantic"], semantic, rtol=1e-6, atol=0)
    assert_close(terms["cross_entropy"], cross_entropy, rtol=1e-6, atol=0)


@pytest.mark.parity
def test_cross_entropy_agrees(golden):
    loss = cross_entropy_loss(golden["ce_logits"], golden["labels"], golden["lengths"])
    assert_close(loss, golden["ce_loss"], rtol=1e-6, atol=0)


def outputs(seed=0, n=4, steps=5, permutations=None, width=8, classes=7):
    """A toy student and teacher: permutations=None the convolutional form, else PARSeq's."""
    generator = torch.Generator().manual_seed(seed)
    lead = (n, steps) if permutations is None else (permutations, n, steps)
    made = []
    for _ in range(2):
        visual = (n, 3, 2, 4) if permutations is None else (n, 8, 3)
        logits, semantic, visual = (
            torch.randn(shape, generator=generator).requires_grad_()
            for shape in ((*lead, classes), (*lead, width), visual)
        )
        attention = None
        if permutations is None:
            attention = torch.rand(n, steps, 2, 4, generator=generator).requires_grad_()
        made.append(ModelOutput(logits, semantic, visual, attention))
    labels = torch.tensor([[1, 2, 3, 0, 0], [4, 0, 0, 0, 0], [5, 6, 1, 2, 0], [0, 0, 0, 0, 0]])
    return (*made, labels, torch.tensor([4, 2, 5, 1]))


def test_total_is_the_weighted_sum_and_weights_are_published():
    assert WEIGHTS == {"visual": 4, "semantic": 2, "cross_entropy": 0.025, "soft_logits": 20}
    terms = DistillationCriterion(8)(*outputs())
    assert list(terms) == [*TERMS, "total"]
    assert_close(terms["total"], sum(WEIGHTS[name] * terms[name] for name in TERMS))
    changed = DistillationCriterion(8, {"visual": 1})
    assert changed.weights == WEIGHTS | {"visual": 1}


def test_parseq_form_is_the_mean_over_permutations():
    criterion = DistillationCriterion(8)
    student, teacher, labels, lengths = outputs(permutations=3)
    terms = criterion(student, teacher, labels, lengths)
    each = [
        criterion(
            ModelOutput(student.logits[k], student.semantic[k], student.visual),
            ModelOutput(teacher.logits[k], teacher.semantic[k], teacher.visual),
            labels,
            lengths,
        )
        for k in range(3)
    ]
    for name in (*TERMS, "total"):
        assert_close(terms[name], torch.stack([t[name] for t in each]).mean())


@pytest.mark.parametrize("permutations", [None, 3])
def test_the_teacher_gets_no_gradient(permutations):
    criterion = DistillationCriterion(8)
    student, teacher, *rest = outputs(permutations=permutations)
    criterion(student, teacher, *rest)["total"].backward()
    for tensor in (teacher.logits, teacher.semantic, teacher.visual):
        assert tensor.grad is None
    for tensor in (student.logits, student.semantic, student.visual):
        assert tensor.grad.abs().sum() > 0
    assert all(p.grad.abs().sum() > 0 for p in criterion.parameters())


@pytest.mark.parametrize("off", TERMS)
def test_a_term_without_weight_is_not_computed_and_reads_zero(off):
    student, teacher, *rest = outputs()
    field = off if off in ("visual", "semantic") else "logits"
    if field != "logits":  # not even looked at
        student = ModelOutput(**{**vars(student), field: None})
    terms = DistillationCriterion(8, {off: 0})(student, teacher, *rest)
    assert terms[off].item() == 0
    assert terms["total"].isfinite() and terms["total"] > 0


def test_fine_tuning_needs_neither_teacher_nor_projector():
    criterion = DistillationCriterion.for_model(
        "parseq_nano_ltr", visual=0, semantic=0, soft_logits=0
    )
    assert list(criterion.parameters()) == []
    student, _, labels, lengths = outputs()
    terms = criterion(student, None, labels, lengths)
    assert_close(terms["total"], 0.025 * terms["cross_entropy"])


def test_missing_outputs_name_the_term():
    student, teacher, *rest = outputs()
    criterion = DistillationCriterion(8)
    with pytest.raises(ValueError, match=r"the visual term.*the teacher gave"):
        criterion(student, None, *rest)
    with pytest.raises(ValueError, match=r"the semantic term.*the student gave"):
        criterion(ModelOutput(student.logits, None, student.visual), teacher, *rest)


def test_cross_entropy_ignores_what_follows_the_end():
    student, _, labels, lengths = outputs()
    before = cross_entropy_loss(student.logits, labels, lengths)
    padded = labels.masked_fill(torch.arange(5) >= lengths[:, None], 96)  # beyond the classes
    assert_close(cross_entropy_loss(student.logits, padded, lengths), before)
    longer = torch.cat([labels, labels], 1)  # encoded to more steps than the batch needs
    assert_close(cross_entropy_loss(student.logits, longer, lengths), before)
    word = torch.stack([cross_entropy_loss(student.logits[n : n + 1], labels[n : n + 1],
                                           lengths[n : n + 1]) for n in range(4)])  # fmt: skip
    assert_close(before, (word * lengths).sum() / lengths.sum())  # pooled steps, not words


@pytest.mark.parametrize(
    "name, width",
    [("abinet_ltr", 512), ("matrn_ltr", 512), ("abinet_vision_ltr", 512), ("parseq_ltr", 384),
     ("dan_ltr", 256)],
)
def test_projector_width_by_name(name, width):
    projector = DistillationCriterion.for_model(name).semantic_loss
    assert projector.rnn.input_size == width and projector.rnn.hidden_size == 256


@pytest.mark.parametrize("name", list_models())
def test_one_criterion_for_every_registered_model(name):
    """Of a name it asks the model."""
    with torch.device("meta"):  # nothing is computed
        model = create_model(name)
        projector = DistillationCriterion.for_model(model).semantic_loss
        assert projector.rnn.input_size == model.semantic_width
    criterion = DistillationCriterion.for_model(name)
    assert criterion.semantic_loss.width == model.semantic_width
    assert criterion.decoding == model.decoding


def test_projector_width_of_a_model():
    toy = nn.Linear(2, 2)
    toy.semantic_width = 32
    assert DistillationCriterion.for_model(toy).semantic_loss.rnn.input_size == 32
    by_width = DistillationCriterion.for_model("parseq_nano_ltr", width=96).semantic_loss
    assert by_width.rnn.input_size == 96 and by_width.rnn.hidden_size == 48
    with pytest.raises(ValueError, match="semantic_width"):
        DistillationCriterion.for_model(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="unknown model 'parsek'"):
        DistillationCriterion.for_model("parsek")


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match=r"unknown loss terms.*visuel"):
        DistillationCriterion(8, {"visuel": 1})
    with pytest.raises(ValueError, match="weight of visual must be"):
        DistillationCriterion(8, {"visual": float("nan")})
    with pytest.raises(ValueError, match="path_score"):
        DistillationCriterion(8, path_score="short")


def test_path_score_reaches_the_soft_logits():
    case = outputs(n=4)
    published = DistillationCriterion(8)(*case)["soft_logits"]
    other = DistillationCriterion(8, path_score="log_normalised")(*case)["soft_logits"]
    assert not torch.isclose(published, other)


def test_half_precision_outputs_are_compared_in_full():
    student, teacher, *rest = outputs()
    criterion = DistillationCriterion(8)
    def cast(out, dtype):
        tensors = out.logits, out.semantic, out.visual, out.attention
        return ModelOutput(*[tensor.detach().to(dtype) for tensor in tensors])

    halved = [cast(out, torch.bfloat16) for out in (student, teacher)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = criterion(*halved, *rest)
    exact = criterion(*[cast(out, torch.float32) for out in halved], *rest)
    for name, term in terms.items():
        assert term.dtype == torch.float32
        assert torch.equal(term, exact[name])


def test_broken_outputs_show_in_their_term():
    student, teacher, *rest = outputs()
    student.visual.data[0, 0, 0, 0] = torch.nan
    terms = DistillationCriterion(8)(student, teacher, *rest)
    finite = {name: bool(term.isfinite()) for name, term in terms.items()}
    assert [name for name, ok in finite.items() if not ok] == ["visual", "total"]
