"""Anyone's recogniser is distilled by the same loop: toys with linear attention, and by CTC."""

import csv
import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open
from torch import nn
from torch.nn import functional as F

from kdltr import ALNUM36, ModelOutput, Recogniser
from kdltr.checkpoint import load_weights, read_state
from kdltr.evaluation.evaluate import UpsampleBicubic
from kdltr.losses import WEIGHTS
from kdltr.models import create_model
from kdltr.train import DistillConfig, ResumeError, distill
from tests.train.conftest import SIZES

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


class CRNN(Recogniser):
    """Convolutions, a bidirectional GRU over the columns, linear attention from 26 positions.

    Nothing of it is in kdltr: not the sequence model, not the attention, not the sizes.
    """

    charset, semantic_width, steps = ALNUM36, 48, 26

    def __init__(self, name, image_size, first_stride, visual=True):
        super().__init__()
        self.name, self.image_size, self.gives_visual = name, image_size, visual
        self.conv = nn.Sequential(
            nn.Conv2d(3, 16, 3, first_stride, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, 2, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 32, 3, 2, padding=1), nn.BatchNorm2d(32),
        )  # fmt: skip
        self.columns = nn.GRU(32, 24, bidirectional=True, batch_first=True)
        self.queries = nn.Parameter(torch.randn(self.steps, 48))
        self.key, self.value = nn.Linear(48, 48), nn.Linear(48, 48)
        self.dropout = nn.Dropout(0.1)  # a resumed run needs the random state
        self.classify = nn.Linear(48, self.charset.size)

    def forward(self, images):
        visual = self.conv(images)  # (N, 32, 4, 16)
        columns, _ = self.columns(visual.relu().mean(2).mT)  # (N, 16, 48)
        scores = (F.elu(self.queries) + 1) @ (F.elu(self.key(columns)) + 1).mT  # (N, T, 16)
        attention = scores / scores.sum(-1, keepdim=True)
        semantic = self.dropout(attention @ self.value(columns))  # (N, T, 48)
        focus = attention[:, :, None].expand(-1, -1, visual.shape[2], -1)  # (N, T, 4, 16)
        if not self.gives_visual:
            return ModelOutput(self.classify(semantic), semantic)
        return ModelOutput(self.classify(semantic), semantic, visual, focus)


class Frames(CRNN):
    """The same convolutions and GRU; a class a column, read by CTC."""

    decoding, frames = "ctc", 16

    def __init__(self, *arguments):
        super().__init__(*arguments)
        del self.queries, self.key, self.value

    def forward(self, images):
        visual = self.conv(images)  # (N, 32, 4, 16)
        semantic = self.dropout(self.columns(visual.relu().mean(2).mT)[0])  # (N, 16, 48)
        return ModelOutput(self.classify(semantic), semantic, visual)


def crnns(kind=CRNN, **options):
    """Teacher and student, of one seed; the student does not start from the teacher."""
    torch.manual_seed(0)
    return (kind("crnn", (32, 128), 2, **options), kind("crnn_ltr", (16, 64), 1, **options))


def config(toy, path, **changes):
    """The toy run's settings; the names of registered models stay at their defaults."""
    named = ("teacher", "teacher_weights", "student", "model")
    rest = {key: value for key, value in toy.settings.items() if key not in named}
    own = {"epochs": 4, "selection": "last", "new_learning_rate": 3e-3}
    return DistillConfig(output_dir=str(path), **{**rest, **own, **changes})


def rows(run):
    with (run / "metrics.csv").open(newline="") as file:
        return [{k: float(v) for k, v in row.items() if k != "pairs_per_second"}
                for row in csv.DictReader(file)]


def same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.fixture(scope="module")
def finished(toy, tmp_path_factory):
    """A run of 4 epochs of 9 steps: its directory, result, teacher and student."""
    run = tmp_path_factory.mktemp("crnn")
    teacher, student = crnns()
    result = distill(config(toy, run), (teacher, student))
    return SimpleNamespace(run=run, result=result, teacher=teacher, student=student)


def test_all_four_terms_teach_a_crnn(finished):
    found = rows(finished.run)
    assert finished.result.steps == 36 and found[-1]["step"] == 36
    assert all(math.isfinite(value) for row in found for value in row.values())
    assert all(row[f"weighted_{term}"] > 0 for row in found for term in WEIGHTS)

    def left(name):  # what the last 6 of 36 steps have of the first 6
        return sum(row[name] for row in found[-3:]) / sum(row[name] for row in found[:3])

    # Measured: total 0.57, visual 0.58, semantic 0.57, soft logits 0.20. Cross-entropy, at the
    # published 0.025 and on images of noise, does not move in so few steps.
    for name in ("total", "visual", "semantic", "soft_logits"):
        assert left(name) < 0.75, name


def test_its_weights_load_into_a_new_one_and_read_the_same(finished):
    _, loaded = crnns()
    images = torch.rand(8, 3, 16, 64, generator=torch.Generator().manual_seed(1))
    assert loaded.read(images) != finished.student.read(images)  # confidences too
    load_weights(loaded, finished.result.weights)
    assert loaded.read(images) == finished.student.read(images)


def test_a_word_must_fit_into_its_steps(toy, tmp_path):
    teacher, student = crnns()
    student.steps = 20  # a word of 25 characters would lose its end
    with pytest.raises(ValueError, match="words of 25 characters .* a longest of at most 19"):
        distill(config(toy, tmp_path), (teacher, student))


def test_one_without_vectors_of_characters_is_enlarged_for_too():
    class Plain(Frames):
        semantic_width = Recogniser.semantic_width

    assert UpsampleBicubic(Plain("plain", (32, 128), 2)).semantic_width is None


def test_the_projector_has_its_width(finished):
    module = read_state(finished.run / "state.pt")["module"]
    assert module["criterion.semantic_loss.rnn.weight_ih_l0"].shape == (4 * 24, 48)


def test_the_run_records_what_was_trained(finished, toy):
    recorded = json.loads((finished.run / "config.json").read_text())
    words = json.loads((finished.run / "data.json").read_text())
    assert recorded | words == json.loads(json.dumps(finished.result.config))
    assert (recorded["teacher"], recorded["student"]) == ("crnn", "crnn_ltr")
    assert recorded["teacher_weights"] is None and recorded["model"] == {}
    with safe_open(finished.result.weights, "pt") as file:
        assert file.metadata() == {"model": "crnn_ltr", "step": "36"}
    teacher, student = crnns()
    student.name = "another"
    with pytest.raises(ResumeError, match="student was 'crnn_ltr', is 'another'"):
        distill(config(toy, finished.run), (teacher, student))


def test_the_teacher_is_frozen_whatever_its_mode_was(finished):
    """Batch norm in training mode would change it, and dropout what it says."""
    before, _ = crnns()
    assert before.training and not finished.teacher.training
    same(before.state_dict(), finished.teacher.state_dict())
    assert not any(p.requires_grad for p in finished.teacher.parameters())


def test_an_interrupted_run_goes_on_with_models_given_anew(finished, toy, tmp_path):
    def interrupt(row):
        if row["step"] >= 14:  # in the second epoch, between two checkpoints
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill(config(toy, tmp_path), crnns(), interrupt)
    teacher, student = crnns()
    nn.init.normal_(student.queries)  # the student's weights come from the state on disk
    seen = []
    assert distill(config(toy, tmp_path), (teacher, student), seen.append).steps == 36
    assert seen[0]["step"] == 14
    same(finished.student.state_dict(), student.state_dict())
    assert rows(tmp_path) == rows(finished.run)


def by_ctc(kind=Frames):
    """Teacher and student that read by CTC; the teacher is as sure as if it were trained."""
    teacher, student = crnns(kind)
    with torch.no_grad():
        teacher.classify.weight *= 30
    return teacher, student


def ctc_config(toy, path, **changes):
    return config(toy, path, **{"weights": {"cross_entropy": 1.0}, **changes})


@pytest.fixture(scope="module")
def by_frames(toy, tmp_path_factory):
    """The run of `finished` with recognisers that read by CTC."""
    run = tmp_path_factory.mktemp("ctc")
    teacher, student = by_ctc()
    result = distill(ctc_config(toy, run), (teacher, student))
    return SimpleNamespace(run=run, result=result, teacher=teacher, student=student)


def test_all_four_terms_teach_a_recogniser_by_ctc(by_frames):
    found = rows(by_frames.run)
    assert all(math.isfinite(value) for row in found for value in row.values())
    for name in ("total", *WEIGHTS):
        first, last = (sum(row[name] for row in part) for part in (found[:3], found[-3:]))
        assert 0 < last < 0.9 * first, name


def test_a_run_by_ctc_goes_on_where_it_was_bit_for_bit(by_frames, toy, tmp_path):
    def interrupt(row):
        if row["step"] >= 14:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill(ctc_config(toy, tmp_path), by_ctc(), interrupt)
    _, student = models = by_ctc()
    distill(ctc_config(toy, tmp_path), models)
    same(by_frames.student.state_dict(), student.state_dict())
    assert rows(tmp_path) == rows(by_frames.run)


def test_words_that_do_not_fit_its_frames_are_reported_and_left_out(toy, tmp_path):
    class Few(Frames):
        frames = 6

        def forward(self, images):
            out = super().forward(images)
            return ModelOutput(out.logits[:, :6], out.semantic[:, :6], out.visual)

    short = {"epochs": 1, "steps_per_epoch": 2}
    result = distill(ctc_config(toy, tmp_path, **short), by_ctc(Few))
    assert result.labels["too_long"] == 8  # "hornbill" and "yellow", each 4 times
    assert result.labels["kept"] == 32


def test_recognisers_that_do_not_read_alike_are_refused(toy, tmp_path):
    (teacher, _), (_, student) = crnns(), by_ctc()
    with pytest.raises(ValueError, match="must read alike, found decoding 'attention' of None"):
        distill(config(toy, tmp_path), (teacher, student))
    teacher, student = by_ctc()
    with pytest.raises(ValueError, match="end tokens inside words, which CTC does not know"):
        distill(config(toy, tmp_path, labels="published"), (teacher, student))
    teacher.frames = student.frames = None
    with pytest.raises(ValueError, match="crnn_ltr reads by CTC: give it an attribute frames"):
        distill(config(toy, tmp_path), (teacher, student))
    assert not list(tmp_path.iterdir())


def test_without_a_feature_map_the_visual_term_must_be_off(toy, tmp_path):
    short = {"epochs": 1, "steps_per_epoch": 2}
    result = distill(config(toy, tmp_path / "off", weights={"visual": 0.0}, **short),
                     crnns(visual=False))
    assert result.steps == 2 and rows(result.run_dir)[-1]["semantic"] > 0
    with pytest.raises(ValueError, match=r"visual term.*gave none; return it in ModelOutput, or"):
        distill(config(toy, tmp_path / "on", **short), crnns(visual=False))


def test_models_that_cannot_be_distilled_are_refused(toy, tmp_path):
    settings = config(toy, tmp_path)
    teacher, student = crnns()
    with pytest.raises(TypeError, match=r"teacher must be derived from kdltr.Recogniser.*Linear"):
        distill(settings, (nn.Linear(2, 2), student))
    del student.image_size
    with pytest.raises(TypeError, match=r"the student must .*; found CRNN, which lacks image_size"):
        distill(settings, (teacher, student))
    with pytest.raises(ValueError, match="the teacher reads alnum36, the student ascii94"):
        distill(settings, (teacher, create_model("parseq_nano_ltr", **SIZES)))
    with pytest.raises(ValueError, match="crnn_ltr has no fit_start"):
        distill(config(toy, tmp_path, start="fitted"), crnns())
    for given in ({"student_weights": "w.safetensors"}, {"student_input": "upsampled"},
                  {"start": "random"}):
        with pytest.raises(ValueError, match="says how a student is made, found models of your ow"):
            distill(config(toy, tmp_path, **given), crnns())
    teacher, student = crnns()
    with pytest.raises(ValueError, match="a student that can learn, found all parameters of crnn_"):
        distill(settings, (teacher, student.requires_grad_(False)))
    assert not list(tmp_path.iterdir())


def test_the_example_in_the_readme_runs(toy, tmp_path, monkeypatch):
    section = README.read_text(encoding="utf-8").split("\n## A recogniser of your own\n")[1]
    code = section.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    (tmp_path / "my").mkdir()
    (tmp_path / "my" / "lmdb").symlink_to(toy.data)
    definition = {"__name__": "readme"}
    exec(code[: code.index("\nload_weights(")], definition)
    torch.save(definition["teacher"].state_dict(), "my/teacher.pt")
    exec(code, {"__name__": "readme"})  # as it stands
    last = tmp_path / "runs" / "mine" / "last.safetensors"
    with safe_open(last, "pt") as file:
        assert file.metadata()["model"] == "mine"
    assert json.loads((last.parent / "config.json").read_text())["student"] == "mine"
    assert rows(last.parent)[-1]["total"] < rows(last.parent)[0]["total"]


def test_the_student_is_clipped_and_the_projector_is_not(toy, tmp_path, clipped):
    models = crnns()
    distill(config(toy, tmp_path, epochs=1, steps_per_epoch=1), models)
    parameters, most = clipped[0]
    assert {*map(id, parameters)} == {*map(id, models[1].parameters())} and most == 0.25
