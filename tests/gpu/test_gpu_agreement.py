"""A GPU reads and judges as the CPU does: the published sizes, every loss term, every gradient."""

import pytest
import torch

from kdltr.losses import DistillationCriterion, SemanticContrastiveLoss
from kdltr.losses.paths import PATH_SCORES, best_paths
from kdltr.models import ModelOutput, create_model
from kdltr.train.models import Distillation
from tests.golden.fill import fill_state_dict
from tests.gpu.on_gpu import DEVICE, TOYS, error, on_gpu, pair
from tests.models.conftest import filled, golden

pytestmark = on_gpu
NAMES = ["parseq", "parseq_ltr", "abinet", "abinet_ltr", "matrn", "matrn_ltr"]
# Of the largest value. The weights of the reference make attention sharp: on a CPU float32 is off
# by up to 1e-6 (PARSeq), 7e-4 (logits, vectors), 2e-3 (attention), 4e-6 (the distilled map).
FLOAT32 = {"parseq": 1e-5, "logits": 5e-3, "semantic": 5e-3, "attention": 2e-2, "visual": 5e-5}
TERMS = ["total", "visual", "semantic", "cross_entropy", "soft_logits"]


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_published_sizes_read_as_the_reference(name):
    family, *_ = name.split("_")
    student = name.removeprefix(family)
    reference = golden(f"{name}.npz")
    if family == "matrn":  # its vision model is ABINet's
        reference = golden(f"abinet{student}.npz") | reference
    if family == "parseq":
        reference["visual"] = reference["encoder"]
    images, model = golden(f"parseq{student}.npz")["images"], filled(name)
    for dtype in (torch.float64, torch.float32):
        model = model.to(DEVICE, dtype)
        for form, reader in (("ordinary", model), ("for reading", model.for_reading())):
            out = reader(images.to(DEVICE, dtype))
            for field in ("logits", "visual", "semantic", "attention"):
                if field in reference:
                    most = FLOAT32["parseq" if family == "parseq" else field]
                    most = 1e-6 if dtype == torch.float64 else most
                    assert error(getattr(out, field), reference[field]) < most, (dtype, form, field)


@pytest.mark.parametrize("name", ["parseq", "parseq_ltr"])
@torch.inference_mode()
def test_published_sizes_are_teacher_forced_as_the_reference(name):
    reference, model = golden("parseq_training.npz"), filled(name)
    for dtype, most in ((torch.float64, 1e-6), (torch.float32, FLOAT32["parseq"])):
        model = model.to(DEVICE, dtype)
        out = model(
            reference[f"{name}_images"].to(DEVICE, dtype), reference["targets"].to(DEVICE),
            reference["permutations"].to(DEVICE),
        )
        for field in ("logits", "semantic"):
            assert error(getattr(out, field), reference[f"{name}_{field}"]) < most, (dtype, field)


def losses_of(name: str) -> tuple[ModelOutput, ModelOutput, torch.Tensor, torch.Tensor]:
    """Student, teacher, labels and lengths of the reference's losses, on the CPU."""
    reference = golden("losses_parseq.npz" if name == "parseq" else "losses.npz")
    if name == "parseq":
        student, teacher = (
            ModelOutput(reference[f"{who}_logits"], reference[f"{who}_semantic"])
            for who in ("parseq_ltr", "parseq")
        )
        labels = reference["targets"][:, 1:]  # without the start token; 96 is padding
        return student, teacher, labels, (labels != 96).sum(1)
    student, teacher = (
        ModelOutput(
            reference[f"confident-37_{who}_logits"], reference[f"semantic_{who}_512"],
            reference[f"visual_{who}"], reference["attention"],
        )
        for who in ("student", "teacher")
    )
    return student, teacher, reference["labels"], reference["lengths"]


def moved(out: ModelOutput, dtype: torch.dtype) -> ModelOutput:
    """On the GPU."""
    return ModelOutput(**{name: None if value is None else value.to(DEVICE, dtype)
                          for name, value in vars(out).items() if name != "auxiliary"})


@pytest.mark.parametrize("name", ["abinet", "parseq"])
@pytest.mark.parametrize(("dtype", "most"), [(torch.float64, 2e-6), (torch.float32, 2e-4)])
@pytest.mark.parametrize("packed", [None, True])
def test_loss_terms_are_those_of_the_reference(name, dtype, most, packed):
    """The reference gives PARSeq's without a visual and a soft logits term."""
    given = {"visual": 0, "soft_logits": 0} if name == "parseq" else {}
    criterion = DistillationCriterion.for_model(f"{name}_ltr", **given)
    prefix = "sematic_loss.proj."  # under the published names
    named = {prefix + n: value for n, value in criterion.semantic_loss.state_dict().items()}
    criterion.semantic_loss.load_state_dict(
        {n.removeprefix(prefix): value for n, value in fill_state_dict(named).items()})
    criterion.semantic_loss.packed = packed  # None: places are masked on a GPU
    criterion.to(DEVICE, dtype)
    student, teacher, labels, lengths = losses_of(name)
    with torch.no_grad():
        terms = criterion(moved(student, dtype), moved(teacher, dtype),
                          labels.to(DEVICE), lengths.to(DEVICE))  # fmt: skip
    if name == "parseq":
        expected = golden("losses_parseq.npz")["visual_semantic_cross_entropy"][1:]
        found = torch.stack([terms["semantic"], terms["cross_entropy"]])
    else:
        expected = golden("losses.npz")["criterion_total_visual_semantic_ce_kl"]
        found = torch.stack([terms[term] for term in TERMS])
    torch.testing.assert_close(found.double().cpu(), expected.double(), rtol=most, atol=0)


@pytest.mark.parametrize("path_score", PATH_SCORES)
@pytest.mark.parametrize("levels", [0, 4])
def test_the_same_paths_are_found(path_score, levels):
    """Of 0 levels no two are as probable; of 4 many are."""
    generator = torch.Generator().manual_seed(0)
    shape = (64, 12, 37)
    if levels:
        logits = torch.randint(levels, shape, generator=generator).double()
    else:
        logits = 3 * torch.randn(shape, generator=generator, dtype=torch.float64)
    logs = logits.log_softmax(-1)
    here = best_paths(logs, path_score=path_score)
    there = best_paths(logs.to(DEVICE), path_score=path_score)
    for one, other in zip(here, there, strict=True):
        assert one.equal(other.cpu())


def test_packed_and_masked_vectors_give_the_same_loss_and_gradients():
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 2, 6, 9, 32, dtype=torch.float64, device=DEVICE)
    lengths = torch.tensor([9, 1, 4, 2, 7, 3], device=DEVICE)
    projector = SemanticContrastiveLoss(32, 16).to(DEVICE, torch.float64)
    found = []
    for packed in (True, False):
        projector.packed = packed
        given = student.clone().requires_grad_()
        loss = projector(given, teacher, lengths)
        loss.backward()
        found.append((loss, given.grad))
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", TOYS)
def test_a_training_step_has_the_cpus_terms_and_gradients(name):
    """In float64: float32's gradients of some parameters are all rounding."""
    found = []
    for device in (torch.device("cpu"), DEVICE):
        torch.manual_seed(0)
        teacher, student = (create_model(model, **TOYS[name]) for model in pair(name))
        distillation = Distillation(student, DistillationCriterion.for_model(student))
        distillation.to(device, torch.float64).train()
        teacher.to(device, torch.float64).eval()
        images = {model: torch.rand(4, 3, *model.image_size, dtype=torch.float64).to(device)
                  for model in (teacher, student)}  # fmt: skip
        labels, lengths = student.charset.encode(["word", "a", "seven", "of"], student.steps)
        labels, lengths = labels.to(device), lengths.to(device)
        extra = student.prepare(labels, torch.Generator().manual_seed(1))
        with torch.no_grad():
            taught = teacher(images[teacher], **extra)
        terms = distillation(images[student], extra, taught, labels, lengths)
        terms["total"].backward()
        found.append((terms, {n: p.grad for n, p in distillation.named_parameters()
                              if p.grad is not None}))
    (here, mine), (there, theirs) = found
    for term in TERMS:
        assert error(there[term], here[term]) < 1e-6, term
    assert mine.keys() == theirs.keys()
    largest = max(gradient.abs().max() for gradient in mine.values())
    for parameter, gradient in mine.items():
        difference = (theirs[parameter].cpu() - gradient).abs().max()
        assert difference < 1e-6 * largest, parameter
