"""Training a teacher: every part is supervised, it resumes, and it may start from a relative."""

import csv
import importlib
import logging
from types import SimpleNamespace

import pytest
import torch

from kdltr.checkpoint import CheckpointError, read_weights, save_weights
from kdltr.data import DataError
from kdltr.evaluation.evaluate import evaluate
from kdltr.generator.render_shards import write_shards
from kdltr.losses import ctc_loss
from kdltr.models import create_model
from kdltr.train import NonFiniteLoss, PretrainConfig, ResumeError, pretrain
from kdltr.train.feed import Pictures
from tests.models.conftest import CRNN
from tests.train.conftest import ABINET_SIZES as SIZES

pretraining = importlib.import_module("kdltr.train.pretrain")  # the name is the function's too


def config(folder, **changed):
    return PretrainConfig(**{
        "output_dir": str(folder), "model": "abinet_nano", "settings": SIZES, "steps": 4,
        "batch_size": 4, "workers": 0, "validate_every": 2, "validation_words": 4,
        "checkpoint_every": 2, "log_every": 1, "device": "cpu", "threads": 1,
    } | changed)  # fmt: skip


def test_every_part_of_abinet_is_trained(tmp_path):
    torch.manual_seed(42)  # the run's seed: the same start
    start = create_model("abinet_nano", **SIZES).state_dict()
    pretrain(config(tmp_path))
    trained = read_weights(tmp_path / "last.safetensors")
    for part in ("vision.cls", "language.cls", "alignment.cls", "vision.backbone.resnet.conv1"):
        assert not torch.equal(trained[f"{part}.weight"], start[f"{part}.weight"]), part


def test_a_recogniser_by_ctc_is_trained_by_its_own_loss(tmp_path):
    result = pretrain(config(tmp_path, model="crnn_nano", settings=CRNN))
    with (tmp_path / "metrics.csv").open(newline="") as file:
        first = next(csv.DictReader(file))
    torch.manual_seed(42)
    model = create_model("crnn_nano", **CRNN)
    images, drawn = next(Pictures(config(tmp_path), model).batches(0))
    labels, lengths = model.charset.encode([model.charset.filter(word) for word in drawn], 26)
    expected = ctc_loss(model(images.float() / 255).logits, labels, lengths)
    assert float(first["cross_entropy"]) == pytest.approx(expected.item(), rel=1e-5)
    assert result.steps == 4


def test_a_resumed_run_ends_as_an_uninterrupted_one(tmp_path):
    pretrain(config(tmp_path / "whole"))
    assert not pretrain(config(tmp_path / "parts", minutes=1e-6)).finished  # after one step
    assert pretrain(config(tmp_path / "parts", checkpoint_minutes=1e-9)).finished
    whole, parts = (read_weights(tmp_path / run / "last.safetensors") for run in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    judged = [(tmp_path / run / "validation.csv").read_text() for run in ("whole", "parts")]
    assert judged[0] == judged[1]  # a stop is no occasion to choose


def test_a_run_stopped_before_its_first_validation_has_weights_and_goes_on_with_other_threads(
    tmp_path
):
    stopped = pretrain(config(tmp_path, minutes=1e-6))
    assert stopped.weights.name == "last.safetensors" and stopped.weights.is_file()
    with pytest.raises(RuntimeError, match="stopped at step 1, since its minutes were over"):
        stopped.whole()
    with pytest.raises(ResumeError, match="allow_other_threads=True"):
        pretrain(config(tmp_path, threads=2))
    result = pretrain(config(tmp_path, threads=2, allow_other_threads=True))
    assert result.whole() is result and result.weights.name == "best.safetensors"


def test_a_state_is_saved_only_of_a_finite_loss(tmp_path, monkeypatch):
    settings = {"checkpoint_every": 3, "log_every": 8, "validate_every": 8, "steps": 8}
    pretrain(config(tmp_path, minutes=1e-6, **settings))
    good = (tmp_path / "state.pt").read_bytes()
    monkeypatch.setattr(pretraining, "cross_entropy_loss",
                        lambda logits, *rest: logits.sum() * float("nan"))
    with pytest.raises(NonFiniteLoss, match="step 2"):
        pretrain(config(tmp_path, **settings))
    assert (tmp_path / "state.pt").read_bytes() == good


def test_starting_over_is_for_good(tmp_path):
    pretrain(config(tmp_path, steps=2))
    with pytest.raises(KeyboardInterrupt):
        pretrain(config(tmp_path, resume=False), on_log=interrupt)
    assert pretrain(config(tmp_path)).steps == 4  # all of them


def interrupt(row):
    raise KeyboardInterrupt


@pytest.mark.parametrize("warmup", [0.0, 0.2, 0.3, 1.0])
def test_any_share_of_the_steps_may_warm_up(tmp_path, warmup):
    assert pretrain(config(tmp_path, warmup=warmup)).finished
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rates = [float(row["learning_rate"]) for row in csv.DictReader(file)]
    assert len(rates) == 4 and max(rates) <= 1e-3 * (1 + 1e-9)
    assert rates[0] == pytest.approx(9.045e-4 if 5 * warmup <= 1 else 4e-5, rel=1e-3)


def test_teachers_are_chosen_as_they_are_read(tmp_path, monkeypatch):
    seen = []

    def read(model, pairs):
        with torch.no_grad():
            seen.append(model(pairs.hr[:1].float() / 255).logits.dtype)
        return evaluate(model, pairs)

    monkeypatch.setattr(pretraining, "evaluate", read)
    pretrain(config(tmp_path, steps=1, precision="bf16"))
    assert seen == [torch.float32]


def test_decay_is_of_matrices_alone():
    for name, tables in (("crnn_nano", set()), ("dan_nano", {"dtd.char_embeddings"}), (
        "parseq_nano", {"pos_queries", "encoder.pos_embed", "text_embed.embedding.weight"})):
        model = create_model(name)
        decayed, others = pretraining._decayed(model, 0.1)
        named = {id(value): name for name, value in model.named_parameters()}
        assert {named[id(v)] for v in others["params"] if v.ndim > 1} == tables
        assert all(v.ndim > 1 for v in decayed["params"])


def test_matrn_starts_from_the_vision_and_language_of_an_abinet(tmp_path, caplog):
    abinet = create_model("abinet_nano", **SIZES)
    save_weights(abinet, tmp_path / "abinet.safetensors", {})
    caplog.set_level(logging.INFO)
    pretrain(config(tmp_path / "run", model="matrn_nano", learning_rate=1e-12,
                    start_from=str(tmp_path / "abinet.safetensors")))  # fmt: skip
    trained = read_weights(tmp_path / "run/last.safetensors")
    for name, value in abinet.named_parameters():
        if name.startswith(("vision.", "language.")):
            assert torch.allclose(trained[name], value, atol=1e-6), name
    own = sum(name.startswith("semantic_visual") for name in trained)
    assert f"own start for {own} tensors" in caplog.text


def test_a_stranger_is_no_start(tmp_path):
    save_weights(torch.nn.Linear(2, 2), tmp_path / "stranger.safetensors", {})
    with pytest.raises(CheckpointError, match="shares no entry with abinet_nano"):
        pretrain(config(tmp_path / "run", start_from=str(tmp_path / "stranger.safetensors")))


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Ten pairs."""
    return str(write_shards(tmp_path_factory.mktemp("shards"), 10, seed=8, size=4))


@pytest.mark.parametrize("given", [{}, {"shards": True, "augment": 1.0}])
def test_a_run_that_draws_at_random_resumes_exactly(tmp_path, shards, given):
    """MATRN hides places at random; with shards the second step is of the second epoch too."""
    given = given | {"shards": shards} if "shards" in given else given
    settings = {"model": "matrn_nano", "steps": 3, "batch_size": 8} | given
    pretrain(config(tmp_path / "whole", **settings))
    pretrain(config(tmp_path / "parts", minutes=1e-6, **settings))
    pretrain(config(tmp_path / "parts", **settings))
    whole, parts = (read_weights(tmp_path / run / "last.safetensors") for run in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_augmentation_changes_what_is_learned_and_not_what_is_validated(
    tmp_path, shards, monkeypatch
):
    seen = []

    def validate(model, pairs):
        seen.append(pairs.hr)
        return evaluate(model, pairs)

    monkeypatch.setattr(pretraining, "evaluate", validate)
    for strength in (0.0, 1.0):
        pretrain(config(tmp_path / str(strength), shards=shards, augment=strength, steps=1))
    plain, changed = (read_weights(tmp_path / f"{s}/last.safetensors") for s in (0.0, 1.0))
    assert not torch.equal(plain["vision.cls.weight"], changed["vision.cls.weight"])
    assert torch.equal(*seen)


@pytest.mark.parametrize("given", [{}, {"shards": True}])
def test_a_student_learns_from_lr_pictures_and_may_start_from_weights(tmp_path, shards, given):
    given = given | {"shards": shards} if "shards" in given else given
    student = create_model("abinet_nano_ltr", **SIZES)
    save_weights(student, tmp_path / "start.safetensors", {})
    result = pretrain(config(tmp_path / "run", model="abinet_nano_ltr", image="lr",
                             start_from=str(tmp_path / "start.safetensors"), **given))  # fmt: skip
    assert (result.steps, result.best_score is not None) == (4, True)
    create_model("abinet_nano_ltr", result.weights, **SIZES)


def test_shards_of_a_size_the_model_does_not_read_stop_the_run(tmp_path, shards):
    with pytest.raises(DataError, match="expected hr pictures"):
        pretrain(config(tmp_path, model="abinet_nano_ltr", shards=shards))


def test_a_test_split_is_refused(tmp_path):
    with pytest.raises(DataError, match="found 'test/hard', a test split; train on train1"):
        pretrain(config(tmp_path, split="test/hard"))


def test_the_training_pass_alone_is_compiled(tmp_path, monkeypatch):
    calls = []

    def compile(forward, mode):
        def compiled(*images, **extra):
            calls.append(mode)
            return forward(*images, **extra)
        return compiled

    monkeypatch.setattr(torch, "compile", compile)
    pretrain(config(tmp_path / "compiled", compile="reduce-overhead"))
    assert calls == ["reduce-overhead"] * 4  # steps, and no validation
    pretrain(config(tmp_path / "plain"))
    one, other = (read_weights(tmp_path / f"{run}/last.safetensors") for run in
                  ("compiled", "plain"))  # fmt: skip
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("wrong", [{"image": "sr"}, {"compile": "fast"}, {"augment": -1.0}])
def test_wrong_settings_are_named(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        config("x", **wrong)


def test_shards_have_a_seed_and_effects_of_their_own_which_are_recorded(tmp_path):
    for wrong in ({"effects": ["ink"]}, {"data_seed": 2}):
        with pytest.raises(ValueError, match="shards have a split, seed and effects of their own"):
            PretrainConfig(output_dir="x", shards="y", **wrong)
    path = write_shards(tmp_path / "shards", 8, seed=3, effects=["lens"])
    result = pretrain(config(tmp_path / "run", shards=str(path), steps=1))
    assert result.config["source"]["seed"] == 3 and result.config["source"]["effects"] == ["lens"]
    write_shards(path, 8, seed=3, effects=["ink"])  # the same folder, other pictures
    with pytest.raises(ResumeError, match="source"):
        pretrain(config(tmp_path / "run", shards=str(path), steps=1))


@pytest.mark.parametrize("wrong", [{"minutes": 0}, {"workers": -1}, {"validation_words": 0}])
def test_settings_out_of_range_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PretrainConfig(output_dir="x", **wrong)


def test_several_processes_and_a_batch_too_small_for_both_kinds_of_words_are_refused(
    tmp_path, monkeypatch
):
    with pytest.raises(ValueError, match="batch_size must be at least 2"):
        config(tmp_path, words="x", batch_size=1)
    assert config(tmp_path, words="x", batch_size=1, words_share=1.0).batch_size == 1
    monkeypatch.setattr(pretraining, "start_engine",
                        lambda config: SimpleNamespace(num_processes=2, device="cpu"))
    with pytest.raises(ValueError, match="expected one process, found 2; start it without"):
        pretrain(config(tmp_path))
