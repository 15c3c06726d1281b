"""PARSeq agrees with the published implementation, and its parts do what they say."""

import numpy as np
import pytest
import torch

from kdltr.bench import plain
from kdltr.bench.lengths import words_of_length
from kdltr.charset import ASCII94, END
from kdltr.evaluation.evaluate import UpsampleBicubic
from kdltr.models import create_model
from kdltr.models.permutations import reading_orders, visible_tokens
from tests.models.conftest import GOLDEN, agrees_with_keys, close, filled, golden

NAMES = ["parseq", "parseq_ltr"]
TOY = {"width": 16, "depth": 1, "heads": 2, "decoder_heads": 2, "dropout": 0.0}


@pytest.mark.parity
@pytest.mark.parametrize("name", NAMES)
class TestPublished:
    def test_names_shapes_and_count(self, name):
        agrees_with_keys(name)

    @torch.inference_mode()
    def test_reading(self, name):
        reference, model = golden(f"{name}.npz"), filled(name)
        out = model(reference["images"].double())
        close(out.logits, reference["logits"])
        close(out.visual, reference["encoder"])
        assert out.attention is None
        if name == "parseq":
            baseline = UpsampleBicubic(model)
            close(baseline(reference["images_lr"].double()).logits, reference["logits_from_lr"])

    @torch.inference_mode()
    def test_teacher_forced(self, name):
        reference = golden("parseq_training.npz")
        out = filled(name)(
            reference[f"{name}_images"].double(), reference["targets"], reference["permutations"]
        )
        close(out.logits, reference[f"{name}_logits"])
        close(out.semantic, reference[f"{name}_semantic"])

    @torch.inference_mode()
    def test_words_that_end_at_different_steps(self, name):
        reference, model = golden("lengths_parseq.npz"), filled(name)
        model.head.bias[0] += reference[f"{name}_end_bias"]
        images = reference[f"images_{model.image_size[0]}"].double()
        image = model.layer.cross_attn.key_value(model.encoder(2 * images - 1))
        ids = model.read_autoregressively(image)
        expected = reference[f"{name}_autoregressive_logits"].argmax(-1)
        assert until_end(ids).equal(until_end(expected[:, : ids.shape[1]]))
        close(model(images).logits, reference[f"{name}_refined_logits"])


def until_end(ids):
    """Ids (N, S), end tokens after the first."""
    return ids.masked_fill((ids == END).cumsum(-1) > 0, END)


READ_LENGTHS = [[3], [0], [30], [2, 2, 2], [0, 9, 1, 30, 4, 25], [30, 30], [5, *range(12)]]


@pytest.mark.parametrize("lengths", READ_LENGTHS)
def test_reading_is_the_plain_one_whatever_the_lengths(lengths):
    """30: a word that never ends."""
    torch.manual_seed(0)
    model = create_model("parseq_nano_ltr", **TOY).double().eval()
    images = torch.rand(len(lengths), 3, 16, 64, dtype=torch.float64)
    batches = []
    model.decoder.norm.register_forward_hook(lambda _, __, out: batches.append(len(out)))
    with torch.inference_mode(), words_of_length(model, lengths):
        plain_out = plain.read(model, images)
        batches.clear()
        out = model(images)
    torch.testing.assert_close(out.logits, plain_out.logits, rtol=1e-12, atol=1e-12)
    assert model.charset.decode(out.logits) == model.charset.decode(plain_out.logits)
    steps = min(max(lengths), 25) + 1
    assert len(batches) == steps + 1 and batches[-1] == len(lengths)
    for step, found in enumerate(batches[:-1]):
        left = sum(length >= step for length in lengths)
        assert left <= found and (left == found or left > 0.75 * found)


def test_every_step_is_taken_where_the_work_must_not_depend_on_the_words():
    torch.manual_seed(0)
    model = create_model("parseq_nano_ltr", **TOY).double().eval()
    images = torch.rand(4, 3, 16, 64, dtype=torch.float64)
    batches = []
    model.decoder.norm.register_forward_hook(lambda _, __, out: batches.append(len(out)))
    with torch.inference_mode(), words_of_length(model, [1, 0, 4, 2]):
        logits = model.traceable_logits(images)
        assert batches == [4] * 27
        torch.testing.assert_close(logits, model(images).logits, rtol=1e-12, atol=1e-12)


def test_targets_from_labels_are_the_published_ones():
    reference = golden("parseq_training.npz")
    with np.load(GOLDEN / "parseq_training.npz") as file:
        words = file["words"].tolist()
    labels, _ = ASCII94.encode(words)
    extra = create_model("parseq_nano").prepare(labels, torch.Generator())
    assert extra["targets"].equal(reference["targets"])


def test_student_and_teacher_give_the_same_shapes():
    labels, _ = ASCII94.encode(["word", "a"])
    for name in ("parseq", "parseq_nano"):
        teacher, student = create_model(name, **TOY), create_model(f"{name}_ltr", **TOY)
        extra = teacher.prepare(labels, torch.Generator().manual_seed(0))
        one = teacher(torch.rand(2, 3, *teacher.image_size), **extra)
        other = student(torch.rand(2, 3, *student.image_size), **extra)
        assert one.logits.shape == other.logits.shape == (len(extra["permutations"]), 2, 5, 95)
        assert one.semantic.shape == other.semantic.shape
        assert one.visual.shape == other.visual.shape


def test_student_takes_all_but_the_patch_kernel():
    teacher = create_model("parseq_nano", **TOY)
    student = create_model("parseq_nano_ltr", **TOY)
    kernel = student.encoder.patch_embed.proj.weight.detach().clone()
    student.init_from_teacher(teacher)
    source = teacher.state_dict()
    for name, value in student.state_dict().items():
        if name == "encoder.patch_embed.proj.weight":
            assert value.equal(kernel)
        else:
            assert value.equal(source[name]), name


def test_fitted_patches_come_near_the_teacher_on_upsampled_images():
    """Exact where the teacher's patch depends on nothing outside the student's."""
    torch.manual_seed(0)
    teacher = create_model("parseq_nano", **TOY)
    student = create_model("parseq_nano_ltr", **TOY).init_from_teacher(teacher)
    images = torch.rand(64, 3, 16, 64)
    large = torch.nn.functional.interpolate(
        images, (32, 128), mode="bicubic", align_corners=True)
    wanted = teacher.encoder.patch_embed(2 * large - 1)

    def error():
        found = student.encoder.patch_embed(2 * images - 1)
        return ((found - wanted) ** 2).mean() / wanted.var()

    before = error()
    student.fit_start(teacher, images)
    assert error() < 0.2 < 0.5 < before


def test_another_family_is_refused():
    with pytest.raises(ValueError, match="parseq_nano_ltr cannot start from parseq_nano"):
        create_model("parseq_nano_ltr", **TOY).init_from_teacher(
            create_model("parseq_nano", **{**TOY, "width": 32})
        )


@pytest.mark.parametrize(("n", "expected"), [(0, 1), (1, 1), (2, 2), (3, 6), (4, 6), (9, 6)])
def test_reading_orders(n, expected):
    orders = reading_orders(n, torch.Generator().manual_seed(0))
    assert orders.shape == (expected, n + 2)
    assert orders.sort(-1).values.equal(torch.arange(n + 2).expand(expected, -1))
    assert orders[0].equal(torch.arange(n + 2))
    assert (orders[:, 0] == 0).all()
    if expected > 1:
        assert orders[1].tolist() == [0, *range(n + 1, 0, -1)]
        assert (orders[2:, -1] == n + 1).all()
        for one, mirrored in zip(orders[2::2], orders[3::2], strict=True):
            assert one[1:-1].flip(0).equal(mirrored[1:-1])
    if n in (3, 4):  # small pools are drawn without repetition
        assert len({tuple(order) for order in orders.tolist()}) == expected
    assert orders.equal(reading_orders(n, torch.Generator().manual_seed(0)))


def test_visible_tokens_by_definition():
    orders = reading_orders(5, torch.Generator().manual_seed(1))
    visible = visible_tokens(orders)
    for order, matrix in zip(orders.tolist(), visible, strict=True):
        for query in range(1, len(order)):
            seen = set(order[: order.index(query)])
            expected = [token in seen for token in range(len(order) - 1)]
            assert matrix[query - 1].tolist() == expected


@pytest.mark.parametrize("words", [["", ""], ["a", ""], ["a", "b"]])
def test_very_short_words_train(words):
    """The published code fails on a batch whose longest word has 0 or 1 characters."""
    model = create_model("parseq_nano", **TOY)
    labels, _ = ASCII94.encode(words)
    out = model(torch.rand(2, 3, 32, 128), **model.prepare(labels, torch.Generator()))
    out.logits.sum().backward()
    assert out.logits.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_dropout_differs_between_orders():
    model = create_model("parseq_nano", **{**TOY, "dropout": 0.5}).train()
    labels, _ = ASCII94.encode(["word"])
    extra = model.prepare(labels, torch.Generator())
    extra["permutations"] = extra["permutations"][:1].expand(2, -1)
    logits = model(torch.rand(1, 3, 32, 128), **extra).logits
    assert not torch.allclose(logits[0], logits[1])
    model.eval()
    logits = model(torch.rand(1, 3, 32, 128), **extra).logits
    assert torch.allclose(logits[0], logits[1])


def test_images_of_another_size_or_type_are_refused():
    model = create_model("parseq_nano_ltr", **TOY)
    for images in (torch.rand(1, 3, 32, 128), torch.zeros(1, 3, 16, 64, dtype=torch.uint8)):
        with pytest.raises(ValueError, match=r"reads images \(N, 3, 16, 64\)"):
            model.read(images)
    model.train()
    assert len(model.read(torch.rand(2, 3, 16, 64))) == 2
    assert model.training
