"""Other distillers and changes of the paper's method, trained by the same loop."""

import json
import math

import pytest
import torch

from kdltr.evaluation.evaluate import UpsampleBicubic, evaluate
from kdltr.losses import WEIGHTS
from kdltr.losses.baselines import BASELINES
from kdltr.models import create_model
from kdltr.models.weights import load_recogniser
from kdltr.train import DistillConfig, ResumeError, distill
from kdltr.train.models import build_models
from tests.train.conftest import ABINET_SIZES
from tests.train.test_own_recogniser import by_ctc, config, crnns, rows, same

FEW = {"epochs": 1, "steps_per_epoch": 4}


@pytest.mark.parametrize("method", BASELINES)
def test_a_method_trains_anyone_s_recogniser(toy, tmp_path, method):
    result = distill(config(toy, tmp_path, method=method, **FEW), crnns())
    last = rows(tmp_path)[-1]
    assert result.steps == 4 and all(math.isfinite(value) for value in last.values())
    for name, weight in BASELINES[method].items():
        assert last[f"weighted_{name}"] == pytest.approx(weight * last[name]) and last[name] > 0
    assert json.loads((tmp_path / "config.json").read_text())["weights"] == BASELINES[method]


def test_a_kept_teacher_says_all_that_a_method_compares(toy, tmp_path):
    def metrics(run, **changes):
        distill(config(toy, tmp_path / run, method="unified", **FEW, **changes), crnns())
        return rows(tmp_path / run)

    asked = metrics("asked", teacher_outputs="recomputed")
    for row, again in zip(metrics("kept"), asked, strict=True):
        assert row == pytest.approx(again, rel=1e-5)


def test_an_interrupted_run_of_a_method_goes_on_bit_for_bit(toy, tmp_path):
    settings = {"method": "dld", "epochs": 2}
    _, whole = models = crnns()
    distill(config(toy, tmp_path / "whole", **settings), models)

    def interrupt(row):
        if row["step"] >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill(config(toy, tmp_path / "stopped", **settings), crnns(), interrupt)
    _, resumed = models = crnns()
    distill(config(toy, tmp_path / "stopped", **settings), models)
    same(whole.state_dict(), resumed.state_dict())
    assert rows(tmp_path / "whole") == rows(tmp_path / "stopped")
    with pytest.raises(ResumeError, match="method was 'dld', is 'dfd'"):
        distill(config(toy, tmp_path / "stopped", method="dfd", epochs=2), crnns())


def test_a_method_for_parseq_or_ctc_must_find_what_it_compares(toy, tmp_path):
    def parseq(method, run=""):
        settings = toy.settings | FEW | {"epochs": 1}
        return distill(DistillConfig(output_dir=str(tmp_path / run), method=method, **settings))

    assert parseq("dld", "dld").steps == 4
    with pytest.raises(ValueError, match="method 'askd': the askd_attention term .* gave none"):
        parseq("askd", "askd")
    result = distill(config(toy, tmp_path / "ctc", method="hinton", **FEW), by_ctc())
    assert rows(result.run_dir)[-1]["hinton_T4"] > 0
    with pytest.raises(ValueError, match="'dld' follows a reading to its end token"):
        distill(config(toy, tmp_path / "none", method="dld", **FEW), by_ctc())
    assert not (tmp_path / "none").exists()


def abinet(path, toy, **changes):
    given = {"teacher": "abinet_nano", "teacher_weights": "random", "student": "abinet_nano_ltr",
             "model": dict(ABINET_SIZES), "selection": "last", **FEW, **changes}
    return DistillConfig(output_dir=str(path), **{**toy.settings, **given})


@pytest.mark.parametrize("changes", [
    {"losses": {"logits_of": "vision"}},
    {"losses": {"visual_mask": "none", "visual_distance": "l1", "semantic_projector": "none"}},
    {"model": ABINET_SIZES | {"visual_stage": 2}},
    {"start": "random"},
    {"student_input": "upsampled"},
])  # fmt: skip
def test_a_change_of_the_paper_s_method_trains(toy, tmp_path, changes):
    published = distill(abinet(tmp_path / "published", toy))
    changed = distill(abinet(tmp_path / "changed", toy, **changes))
    assert changed.steps == published.steps == 4
    one, other = rows(tmp_path / "published"), rows(tmp_path / "changed")
    assert all(math.isfinite(value) for value in other[-1].values())
    assert one[0]["total"] != other[0]["total"]


def test_logits_of_vision_train_its_classifier(toy, tmp_path):
    started = {}
    for run, losses in (("fused", {}), ("vision", {"logits_of": "vision"})):
        settings = abinet(tmp_path / run, toy, losses=losses)
        torch.manual_seed(0)
        _, student = models = build_models(settings)
        started[run] = student.vision.cls.weight.detach().clone()
        distill(settings, models)
        moved = not torch.equal(student.vision.cls.weight, started[run])
        assert moved == (run == "vision")


def test_an_upsampled_student_starts_as_bicubic_and_its_weights_load(toy, tmp_path):
    settings = DistillConfig(output_dir=str(tmp_path), student_input="upsampled",
                             **toy.settings | FEW)
    teacher, student = build_models(settings)
    bicubic = UpsampleBicubic(teacher, student.image_size)
    teacher.eval(), student.eval(), bicubic.eval()
    assert student.image_size == (16, 64) and student.teacher is not teacher
    images = torch.rand(4, 3, 16, 64, generator=torch.Generator().manual_seed(0))
    assert student.read(images) == bicubic.read(images)
    result = distill(settings)
    _, trained = build_models(settings)
    trained.load(result.weights)
    assert trained.read(images) != student.read(images)
    alone = load_recogniser(result.weights)  # it is the teacher's network
    assert alone.name == teacher.name
    assert UpsampleBicubic(alone, student.image_size).read(images) == trained.read(images)
    assert evaluate(trained, str(toy.data)).n == 40


def test_a_student_may_start_at_random(toy):
    settings = DistillConfig(output_dir="x", start="random", **toy.settings)
    teacher, student = build_models(settings)
    assert not torch.equal(teacher.head.weight, student.head.weight)
    torch.manual_seed(0)
    assert torch.equal(create_model("parseq_nano", **toy.settings["model"]).head.weight,
                       teacher.head.weight)


def test_settings_of_losses_and_methods_are_checked_when_given():
    assert DistillConfig(output_dir="x").weights == WEIGHTS
    assert DistillConfig(output_dir="x", method="sp").weights == BASELINES["sp"]
    for given, message in (
        ({"method": "unifid"}, "method: unknown 'unifid'; did you mean 'unified'"),
        ({"weights": {"visuel": 1}}, "unknown loss term 'visuel'; did you mean 'visual'"),
        ({"method": "dfd", "weights": {"visual": 1}}, "unknown loss term 'visual'.*dfd_visual"),
        ({"losses": {"visual_mask": "no"}}, "visual_mask: unknown"),
        ({"losses": {"path_score": "published"}}, "path_score is a setting of its own"),
        ({"method": "dfd", "losses": {"visual_mask": "none"}}, "which method 'dfd' does not have"),
    ):
        with pytest.raises(ValueError, match=message):
            DistillConfig(output_dir="x", **given)
