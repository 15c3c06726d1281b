"""What all recognisers share: the registry, starting from a teacher, frozen parts, half precision.

Containers and prefixes of checkpoints in general are in tests/test_checkpoint.py.
"""

import numpy as np
import pytest
import torch

from kdltr.checkpoint import CheckpointError
from kdltr.losses import DistillationCriterion
from kdltr.models import check_sizes, create_model, list_models
from kdltr.train.models import Distillation
from tests.models.conftest import CRNN, ctc_toy, toy

FAMILIES = ["abinet", "abinet_vision", "matrn"]
ALL = [*FAMILIES, "parseq"]
FROZEN = {
    "abinet_vision": [],
    "abinet": ["language.cls", "vision.cls"],
    "matrn": ["language.cls", "semantic_visual.cls_sem", "semantic_visual.cls_vis", "vision.cls"],
}


def fields(out):
    return {name: value for name in ("logits", "semantic", "visual", "attention")
            if (value := getattr(out, name)) is not None}


def terms_of(teacher, student):
    """All terms of the criterion on two words, the student's parts without gradient frozen."""
    criterion = DistillationCriterion.for_model(student)
    distillation = Distillation(student, criterion).train()
    labels, lengths = student.charset.encode(["word", "a"])
    extra = student.prepare(labels, torch.Generator().manual_seed(0))
    with torch.no_grad():
        taught = teacher.eval()(torch.rand(2, 3, *teacher.image_size), **extra)
    images = torch.rand(2, 3, *student.image_size)
    return distillation, distillation(images, extra, taught, labels, lengths)


def test_the_registry_holds_a_student_for_every_recogniser():
    both = {f"{name}{nano}" for name in (*ALL, "crnn", "dan") for nano in ("", "_nano")}
    both |= {"dan_scene", "ppocr"}
    assert sorted(list_models()) == sorted(both | {f"{name}_ltr" for name in both})


@pytest.mark.parametrize("size", ["", "_nano"])
@pytest.mark.parametrize("name", FAMILIES)
def test_student_and_teacher_give_the_same_shapes(name, size):
    with torch.device("meta"):  # nothing is computed
        teacher, student = create_model(name + size), create_model(f"{name}{size}_ltr")
        one, other = (model(torch.rand(2, 3, *model.image_size)) for model in (teacher, student))
    assert (teacher.image_size, student.image_size) == ((32, 128), (16, 64))
    shapes = {field: tuple(value.shape) for field, value in fields(one).items()}
    assert shapes == {field: tuple(value.shape) for field, value in fields(other).items()}
    height, width = shapes["visual"][2:]
    assert shapes["logits"] == (2, 26, 37)
    assert shapes["attention"] == (2, 26, height, width)
    assert shapes["semantic"] == (2, 26, student.semantic_width)
    if not size:
        assert shapes["visual"] == (2, 128, 8, 32)


@pytest.mark.parametrize("name", ALL)
def test_nano_models_train_in_bfloat16(name):
    torch.manual_seed(0)
    teacher, student = create_model(f"{name}_nano"), create_model(f"{name}_nano_ltr")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, terms = terms_of(teacher, student)
        terms["total"].backward()
        out = teacher(torch.rand(2, 3, 32, 128))  # with gradient: pretraining does
        sum(value.float().mean() for value in fields(out).values()).backward()
    assert out.logits.dtype == torch.bfloat16
    for value in (*terms.values(), *fields(out).values()):
        assert value.isfinite().all()
    for model in (teacher, student):
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        assert gradients and all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("family", ["crnn", "ppocr"])
def test_recognisers_by_ctc_train_in_bfloat16_and_every_part_learns(family):
    torch.manual_seed(0)
    teacher, student = ctc_toy(family), ctc_toy(family, student=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        distillation, terms = terms_of(teacher, student)
    assert all(term.isfinite() and term > 0 for term in terms.values())
    assert all(term.dtype == torch.float32 for term in terms.values())
    terms["total"].backward()
    for name, parameter in distillation.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("name", FAMILIES)
def test_exactly_the_parts_without_gradient_are_frozen(name):
    """All the rest gets one: DistributedDataParallel fails on a parameter that does not."""
    torch.manual_seed(0)
    distillation, terms = terms_of(toy(name), toy(f"{name}_ltr"))
    assert all(term > 0 for term in terms.values())
    terms["total"].backward()
    named = dict(distillation.student.named_parameters())
    frozen = {n.rpartition(".")[0] for n, p in named.items() if not p.requires_grad}
    assert sorted(frozen) == FROZEN[name]
    for part in frozen:
        module = distillation.student.get_submodule(part)
        assert not any(p.requires_grad for p in module.parameters())
    for n, p in distillation.named_parameters():
        assert (p.grad is not None) == p.requires_grad, n


@pytest.mark.parametrize("name", FAMILIES)
def test_student_takes_all_but_the_first_shortcut(name, caplog):
    teacher, student = toy(name), toy(f"{name}_ltr")
    for model, value in ((teacher, 1.0), (student, 2.0)):  # so that copied can be told from kept
        model.load_state_dict({
            n: torch.full_like(v, value) if v.is_floating_point() else v + int(value)
            for n, v in model.state_dict().items()
        })
    with caplog.at_level("INFO", "kdltr"):
        assert student.init_from_teacher(teacher) is student
    source, target = teacher.state_dict(), student.state_dict()
    left = [n for n in source if n not in target]
    assert len(left) == 6 and all("resnet.layer1.0.downsample." in n for n in left)
    assert target.keys() == source.keys() - set(left)
    for n, value in target.items():
        assert value.equal(source[n]), n
    assert caplog.messages == [
        f"{name}_nano_ltr: {len(target)} of {len(source)} tensors copied from {name}_nano; "
        f"not copied: {', '.join(left)}"
    ]


@pytest.mark.parametrize(
    ("student", "teacher", "sizes"),
    [("abinet", "matrn", {}), ("matrn", "abinet", {}), ("abinet", "abinet_vision", {}),
     ("abinet_vision", "abinet", {}), ("abinet", "abinet", {"hidden": 48}),
     ("matrn", "matrn", {"language_layers": 2})],
)  # fmt: skip
def test_another_family_or_size_is_refused(student, teacher, sizes):
    with pytest.raises(ValueError, match=f"^{student}_nano_ltr cannot start from {teacher}_nano: "):
        toy(f"{student}_ltr").init_from_teacher(toy(teacher, **sizes))


@pytest.mark.parametrize(
    ("name", "container", "prefix"),
    [("abinet", "model", ""), ("abinet_vision", "model", ""), ("matrn", "model", ""),
     ("abinet_ltr", "state_dict_G", ""), ("abinet_ltr", "state_dict_G", "module."),
     ("matrn_ltr", "state_dict_G", ""), ("matrn_ltr", "state_dict_G", "module.")],
)  # fmt: skip
def test_published_layouts_load_strictly(name, container, prefix, tmp_path):
    path = tmp_path / "weights.pt"
    source = toy(name).state_dict()

    def save(state):
        torch.save({container: {prefix + n: v for n, v in state.items()}, "info": {}}, path)

    save(source)
    loaded = toy(name, checkpoint=path).state_dict()
    assert loaded.keys() == source.keys()
    assert all(value.equal(source[n]) for n, value in loaded.items())
    *rest, last = source
    save({n: source[n] for n in rest} | {"alignment.extra": torch.zeros(3)})
    with pytest.raises(CheckpointError, match="2 differences") as caught:
        toy(name, checkpoint=path)
    assert f"missing {last} {tuple(source[last].shape)}" in str(caught.value)
    assert "unexpected alignment.extra (3,)" in str(caught.value)


def test_published_dropout():
    published = {"dan": 0.7, "dan_ltr": 0.7, "dan_scene": 0.3, "abinet": 0.1, "matrn_ltr": 0.1,
                 "parseq": 0.1}
    assert {name: check_sizes(name, {}).dropout for name in published} == published
    assert {check_sizes(name, {}).context_dropout for name in ("dan", "dan_scene")} == {0.3}


def test_reading_leaves_every_modules_mode_and_touches_none_in_eval_mode(monkeypatch):
    model = create_model("crnn_nano_ltr", **CRNN)
    next(model.children()).eval()
    before = {name: module.training for name, module in model.named_modules()}
    assert len({*before.values()}) == 2
    images = torch.rand(1, 3, 16, 64)
    model.read(images)
    assert {name: module.training for name, module in model.named_modules()} == before
    model.eval()
    monkeypatch.setattr(type(model), "train", lambda *_: pytest.fail("another thread may read"))
    model.read(images)


@pytest.mark.parametrize("images", [
    torch.zeros(1, 3, 16, 64, dtype=torch.float64), torch.zeros(1, 3, 16, 64, dtype=torch.uint8),
    np.zeros((1, 3, 16, 64), np.float32), [0.0],
])
def test_what_is_no_batch_of_float32_is_refused(images):
    with pytest.raises(ValueError, match=r"images \(N, 3, 16, 64\) of torch.float32 in .* found"):
        create_model("crnn_nano_ltr", **CRNN).read(images)
