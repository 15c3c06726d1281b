"""DAN agrees with the published implementation, and its students have the same maps."""

import copy
import json

import pytest
import torch
from torch.nn import functional as F

from kdltr.charset import ALNUM36_OTHER, END, IAM79
from kdltr.checkpoint import CheckpointError
from kdltr.losses import DistillationCriterion
from kdltr.losses.cross_entropy import cross_entropy_loss
from kdltr.models import create_model
from kdltr.models.dan_decoder import RecurrentDecoder
from kdltr.train.models import Distillation
from tests.models.conftest import GOLDEN, agrees_with_keys, close, filled, golden

TRAINING = json.loads((GOLDEN / "dan_training.json").read_text())
PUBLISHED = {"dan": "hw", "dan_ltr": "hw", "dan_scene": "scene"}
TOY = {"widths": (16,) * 5, "blocks": (1,) * 5, "dropout": 0.0, "context_dropout": 0.0}
LINES = {**TOY, "row_width": 16, "image_size": (48, 128), "max_steps": 12}


def toy(name, **config):
    torch.manual_seed(0)
    return create_model(name, **{**(TOY if "scene" in name else LINES), **config})


def coloured(images):
    """Grey uint8 (N, 1, H, W) → RGB in [0, 1]."""
    return (images.double() / 255).expand(-1, 3, -1, -1)


def agree(found, expected):
    """The reference has some of the words, and every so manieth of the vectors."""
    found = found[: len(expected)]
    close(found[:, :: -(-found.shape[1] // expected.shape[1])], expected)


@pytest.fixture(scope="module", params=PUBLISHED)
def published(request):
    """A name, its reference, and the model with its maps of the reference's images."""
    reference, model = golden(f"{request.param}.npz"), filled(request.param)
    with torch.inference_mode():
        return request.param, reference, model, model.maps(coloured(reference["images"]))


@pytest.mark.parity
class TestPublished:
    def test_names_and_shapes(self, published):
        name, *_ = published
        of = "dan_scene" if name == "dan_scene" else "dan"
        assert agrees_with_keys(of, name) == {"dan": 18425543, "dan_scene": 18210975}[of]

    def test_classes(self, published):
        name, reference, model, _ = published
        ids, lengths = model.charset.encode(TRAINING[PUBLISHED[name]]["words"])
        assert ids.equal(reference["targets"]) and lengths.equal(reference["lengths"].long())

    @torch.inference_mode()
    def test_teacher_forced(self, published):
        _, reference, model, maps = published
        for i, at in enumerate(model.taken):
            close(maps[at].mean((2, 3)), reference[f"scale{i}_mean"])
            close(maps[at].std((2, 3)), reference[f"scale{i}_std"])
        agree(maps[-1], reference["features"])
        visual, attention, context = model.look_at(maps)
        agree(attention, reference["attention"])
        agree(model.dtd.glimpses(maps[-1], attention)[:, :40], reference["glimpse"])
        agree(context[:, :40], reference["context"])
        out = model.decode(visual, attention, context, reference["targets"])
        agree(out.semantic, reference["hidden"])
        close(out.logits, reference["logits"])
        loss = cross_entropy_loss(out.logits, reference["targets"], reference["lengths"])
        assert loss.item() == pytest.approx(reference["loss"].item(), rel=1e-6)

    @torch.inference_mode()
    def test_greedy_reading(self, published):
        """Of all together and of one alone."""
        _, reference, model, maps = published
        context = model.look_at(maps)[2]
        decoder, expected = copy.deepcopy(model.dtd), reference["greedy_ids"]
        decoder.generator[1].weight[END] *= reference["end_scale"]
        decoder.generator[1].bias[END] += reference["end_bias"]
        logits = decoder.read(context)[1]
        assert logits.shape[1] == expected.shape[1]
        rows = []
        for i, ids in enumerate(expected):
            ids = ids[ids >= 0]
            assert logits[i].argmax(-1)[: len(ids)].equal(ids)
            rows.append(logits[i, : len(ids)])
            close(decoder.read(context[i : i + 1])[1][0], rows[-1])
        close(torch.cat(rows), reference["greedy_logits"])


@pytest.mark.parametrize(
    ("teacher", "student", "scale"),
    [("dan", "dan_ltr", 2), ("dan", "dan_ltr", 4), ("dan_nano", "dan_nano_ltr", 2),
     ("dan_scene", "dan_scene_ltr", 2)],
)  # fmt: skip
def test_student_and_teacher_give_the_same_shapes(teacher, student, scale):
    with torch.device("meta"):  # nothing is computed
        models = create_model(teacher), create_model(student, scale=scale)
        targets = torch.zeros(2, 9, dtype=torch.int64)
        one, other = (model(torch.rand(2, 3, *model.image_size), targets) for model in models)
        maps = [[tuple(each.shape) for each in model.maps(torch.rand(2, 3, *model.image_size))]
                for model in models]
    assert maps[0] == maps[1]
    height, width = models[0].image_size
    assert models[1].image_size == (height // scale, width // scale)
    for field in ("logits", "semantic", "visual", "attention"):
        assert getattr(one, field).shape == getattr(other, field).shape
    assert one.attention.shape[2:] == one.visual.shape[2:]
    assert one.semantic.shape == (2, 9, models[1].semantic_width)


def test_a_student_at_an_eighth_shares_the_later_maps():
    with torch.device("meta"):
        teacher, student = create_model("dan"), create_model("dan_ltr", scale=8)
        ours, theirs = ([tuple(each.shape[1:]) for each in model.maps(
            torch.rand(1, 3, *model.image_size))] for model in (student, teacher))
    assert student.image_size == (24, 256) and ours[2:] == theirs[2:]
    assert [ours[0], ours[1]] == [(32, 24, 256), (64, 24, 256)]
    assert {n: v.shape for n, v in student.state_dict().items()} == {
        n: v.shape for n, v in teacher.state_dict().items()}
    with pytest.raises(ValueError, match="expected a scale .* found 3"):
        create_model("dan_nano_ltr", scale=3)


@pytest.mark.parametrize("name", ["dan_nano", "dan_scene"])
def test_a_student_starts_from_all_of_its_teacher(name):
    teacher, student = toy(name), toy(f"{name}_ltr").init_from_teacher(toy(name))
    assert all(value.equal(teacher.state_dict()[n]) for n, value in student.state_dict().items())
    with pytest.raises(ValueError, match="cannot start from dan_"):
        student.init_from_teacher(toy("dan_scene" if name == "dan_nano" else "dan_nano"))


@torch.inference_mode()
def test_words_that_end_at_different_steps_read_as_each_alone():
    torch.manual_seed(0)
    decoder = RecurrentDecoder(16, 6, 0.0, 0.0).double()
    context = 3 * torch.randn(9, 12, 16, dtype=torch.float64)
    states, logits = decoder.read(context)
    whole = decoder.read(context, every_step=True)[1]
    assert states.shape[:2] == logits.shape[:2] and whole.shape == (9, 12, 6)
    torch.testing.assert_close(whole[:, : logits.shape[1]], logits)
    ends = []
    for each, read in zip(context, logits, strict=True):
        (alone,) = decoder.read(each[None])[1]
        ended = alone.argmax(-1) == END
        assert ended[-1] or len(alone) == 12
        assert not ended[:-1].any()
        torch.testing.assert_close(alone, read[: len(alone)])
        ends.append(len(alone))
    assert len(set(ends)) > 3 and logits.shape[1] == max(ends)


@pytest.mark.parametrize("name", ["dan_nano_ltr", "dan_scene_ltr"])
@torch.inference_mode()
def test_reads_the_same_folded_and_with_every_step_taken(name):
    model = toy(name, max_steps=12).double().eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.running_mean, module.bias):
                torch.nn.init.normal_(tensor, std=0.1)
    images = torch.rand(3, 3, *model.image_size, dtype=torch.float64)
    first = model(images).logits[:, 0]
    model.dtd.generator[1].bias[END] += (first.amax(-1) - first[:, END]).mean() - 0.02
    logits = model(images).logits
    torch.testing.assert_close(model.traceable_logits(images)[:, : logits.shape[1]], logits)
    reader = model.for_reading()
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in reader.modules())
    torch.testing.assert_close(reader(images).logits, logits)
    assert [r.text for r in reader.read(images)] == [r.text for r in model.read(images)]
    assert model.read(images[:1])[0].text == model.read(images)[0].text


def test_what_a_teacher_remembers_gives_its_output():
    model = toy("dan_nano").eval()
    labels, _ = model.charset.encode(["It|is", "."])
    images, extra = torch.rand(2, 3, *model.image_size), model.prepare(labels, torch.Generator())
    with torch.no_grad():
        out, recalled = model(images, **extra), model.recall(model.remember(images), **extra)
    for field in ("logits", "semantic", "visual", "attention"):
        assert getattr(out, field).equal(getattr(recalled, field))


@pytest.mark.parametrize("stage", [3, 6])
def test_every_part_learns_from_the_criterion(stage):
    """Its maps go in as they are: stage 3's with the mask of one row repeated over its rows."""
    teacher = toy("dan_nano", visual_stage=stage).eval()
    student = toy("dan_nano_ltr", visual_stage=stage)
    distillation = Distillation(student, DistillationCriterion.for_model(student)).train()
    labels, lengths = student.charset.encode(["It|is", "no|,"])
    extra = student.prepare(labels, torch.Generator())
    with torch.no_grad():
        taught = teacher(torch.rand(2, 3, *teacher.image_size), **extra)
    terms = distillation(torch.rand(2, 3, *student.image_size), extra, taught, labels, lengths)
    assert all(term.isfinite() and term > 0 for term in terms.values())
    terms["total"].backward()
    for name, parameter in distillation.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("name", ["dan_nano_ltr", "dan_scene_ltr"])
def test_trains_and_reads_in_bfloat16(name):
    model = toy(name)
    targets = torch.tensor([[3, 4, 0]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(torch.rand(1, 3, *model.image_size), targets)
        F.cross_entropy(out.logits[0].float(), targets[0]).backward()
        model.read(torch.rand(2, 3, *model.image_size))
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients and all(gradient.isfinite().all() for gradient in gradients)


def test_the_three_published_files_load_as_one(tmp_path):
    source = toy("dan_nano").state_dict()
    for i, part in enumerate(("fe", "cam", "dtd")):
        state = {name.removeprefix(f"{part}."): value for name, value in source.items()
                 if name.startswith(f"{part}.")}
        torch.save(state, tmp_path / f"weights_M{i}.pth")
    model = create_model("dan_nano", tmp_path, **LINES)
    assert all(value.equal(source[name]) for name, value in model.state_dict().items())
    with pytest.raises(CheckpointError, match="does not fit dan_scene"):
        create_model("dan_scene", tmp_path, **TOY)
    (tmp_path / "weights_M1.pth").unlink()
    with pytest.raises(CheckpointError, match="three files .* found weights_M0.pth, weights_M2"):
        create_model("dan_nano", tmp_path, **LINES)


def test_targets_that_are_too_long_are_refused():
    model = toy("dan_nano_ltr")
    with pytest.raises(ValueError, match="takes 12 steps, .* found targets of 13"):
        model(torch.rand(1, 3, *model.image_size), torch.zeros(1, 13, dtype=torch.int64))


@pytest.mark.parametrize(
    ("name", "sizes", "message"),
    [("dan_nano", {"image_size": (64, 512)}, "three rows, found 4"),
     ("dan_nano", {"image_size": (48, 192)}, "one row of 2, 4, 8, … places, found a map of 1×24"),
     ("dan_scene", {"image_size": (32, 96)}, "words are read from a map"),
     ("dan_scene", {"visual_stage": 6}, "visual_stage must be 1 to 5"),
     ("dan_nano", {"scale": 0}, "expected a scale .* found 0"),
     ("dan_nano", {"scale": 64}, "expected a scale .* found 64"),
     ("dan_nano", {"strides": ((2, 2),)}, "found 1 strides, 5 widths and 5 blocks")],
)  # fmt: skip
def test_sizes_that_do_not_fit(name, sizes, message):
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        create_model(name, **sizes)


def test_a_character_that_scene_text_lacks_has_a_class_and_is_not_read():
    ids, _ = ALNUM36_OTHER.encode(["x-Ray"])
    assert ids.tolist() == [[24, 37, 18, 1, 25, 0]] and ALNUM36_OTHER.size == 38
    (reading,) = ALNUM36_OTHER.decode(9.0 * F.one_hot(ids, 38).float())
    assert reading.text == "xray"
    assert IAM79.size == 80


def test_context_and_classifier_drop_out_and_what_is_fed_back_does_not():
    torch.manual_seed(0)
    decoder = RecurrentDecoder(8, 5, dropout=0.5, context_dropout=0.5).train()
    glimpses, targets = torch.randn(2, 6, 8), torch.tensor([[1, 2, 0], [3, 4, 1]])
    one, two = decoder.context(glimpses), decoder.context(glimpses)
    assert (one == 0).any() and not torch.equal(one, two)
    states = decoder.forced(one, targets)
    assert torch.equal(states, decoder.forced(one, targets))
    assert not torch.equal(decoder.generator(states), decoder.generator(states))
