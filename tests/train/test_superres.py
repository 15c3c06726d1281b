"""Training super-resolution networks: runs of seconds, resuming, and what they leave."""

import csv
import json
import math
import random

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from kdltr.charset import DIGITS_FIRST36
from kdltr.checkpoint import CheckpointError, save_weights
from kdltr.data import DataError
from kdltr.data.loader import WordPairs, load_pairs
from kdltr.evaluation.evaluate import evaluate
from kdltr.evaluation.quality import image_quality
from kdltr.models import create_model
from kdltr.superres import TwoStage, create_upscaler, load_upscaler, save_upscaler
from kdltr.superres.c3stisr import FrameSpeller
from kdltr.superres.losses import psnr, ssim
from kdltr.superres.reader import create_reader
from kdltr.superres.two_stage import upscaled
from kdltr.train import NonFiniteLoss, ResumeError
from kdltr.train.superres import UpscaleConfig, spelling, train_upscaler
from kdltr.train.superres.loop import build, glyphs, turns
from kdltr.train.superres.material import gather
from kdltr.train.superres.spelling import corpus_of, damaged_readings, right, teach_spelling
from kdltr.train.superres.terms import Looking
from tests.models.conftest import CRNN, ctc_toy

GENERATOR = {"generator": "crnn", "generator_settings": CRNN}
MORE = {"tsrn_nano": {}, "stt_nano": {"reader": "stt_reader_nano"}, "tatt_nano": GENERATOR,
        "c3stisr_nano": GENERATOR | {"reader": "stt_reader_nano"}}


def config(toy, path, network="tsrn_nano", **changes):
    if network == "c3stisr_nano":
        changes = {"corpus": str(toy.data), "spelling_steps": 2} | changes
    return UpscaleConfig(**{
        "output_dir": str(path), "data": (str(toy.data),), "network": network, "epochs": 2,
        "steps_per_epoch": 2, "batch_size": 4, "validation": 0.1, "validate_every": 3,
        "checkpoint_every": 2, "log_every": 1, "threads": 1, "device": "cpu", **MORE[network],
        **changes,
    })


def rows(run, name="metrics.csv"):
    with (run / name).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("network", MORE)
def test_a_run_killed_and_resumed_gives_the_same_bits(toy, tmp_path, network):
    class Killed(Exception):
        pass

    def kill(row):
        if row["step"] == 3:  # after the checkpoint of step 2
            raise Killed

    judge = tmp_path / "judge.safetensors"
    save_weights(create_model("crnn_nano"), judge, {})
    given = {"judge": "crnn_nano", "judge_weights": str(judge), "validate_every": 1}
    if network != "tsrn_nano":  # which draws no random numbers
        given["settings"] = {"dropout": 0.1}
    stopped = config(toy, tmp_path / "stopped", network, **given)
    with pytest.raises(Killed):
        train_upscaler(stopped, kill)
    result = train_upscaler(stopped)
    whole = train_upscaler(config(toy, tmp_path / "whole", network, **given))
    assert result.steps == whole.steps == 4 and whole.pairs == 16
    one, other = (load_file(run.run_dir / "last.safetensors") for run in (result, whole))
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    found = rows(tmp_path / "whole")
    terms = {name.removeprefix("weighted_") for name in found[0] if name.startswith("weighted_")}
    assert terms == whole.config["weights"].keys()
    for row in found:
        total = sum(float(row[f"weighted_{term}"]) for term in terms)
        assert float(row["total"]) == pytest.approx(total, rel=1e-5)
    upscaler, generator = load_upscaler(whole.weights)
    assert upscaler.name == network and (generator is not None) == upscaler.takes_prior
    pairs = load_pairs(toy.data)
    assert evaluate(TwoStage(upscaler, ctc_toy("crnn"), generator), pairs).n == len(pairs)


def test_it_learns_and_the_best_is_kept(toy, tmp_path):
    result = train_upscaler(config(toy, tmp_path, epochs=4, steps_per_epoch=None))
    judged = [float(row["score"]) for row in rows(tmp_path, "validation.csv")]
    assert max(judged) == pytest.approx(result.best_score) and max(judged) > judged[0]
    upscaler, _ = load_upscaler(result.weights)
    everything = load_pairs(toy.data)
    before = create_upscaler("tsrn_nano").eval()
    qualities = [image_quality(lambda lr, net=net: upscaled(lr, net), everything)
                 for net in (before, upscaler)]
    assert qualities[0].psnr < qualities[1].psnr


def test_a_judge_chooses_by_reading(toy, tmp_path):
    save_weights(create_model("crnn_nano"), tmp_path / "judge.safetensors", {})
    result = train_upscaler(config(toy, tmp_path / "run", epochs=1, judge="crnn_nano",
                                   judge_weights=str(tmp_path / "judge.safetensors")))
    assert 0 <= result.best_score <= 1
    assert rows(tmp_path / "run", "validation.csv")[-1].keys() >= {"psnr", "ssim", "score"}


def test_a_second_run_starts_from_the_first(toy, tmp_path):
    first = train_upscaler(config(toy, tmp_path / "one", epochs=1))
    then = config(toy, tmp_path / "two", epochs=1, start_from=str(first.weights),
                  learning_rate=1e-12, selection="last")
    second = train_upscaler(then)
    one, two = load_file(first.weights), load_file(second.weights)
    name = "upscaler.block8.1.weight"
    assert torch.allclose(one[name], two[name], atol=1e-6)
    with pytest.raises(CheckpointError, match="does not say which upscaler it is of"):
        load_upscaler(toy.folder / "teacher.safetensors")
    with pytest.raises(CheckpointError, match="no upscaler at"):
        load_upscaler(tmp_path / "none.safetensors")


def test_scenes_are_held_out_and_missing_sets_and_words_of_tests_left_out(
    toy, tmp_path, monkeypatch, caplog
):
    scene = torch.arange(40) // 4
    monkeypatch.setattr("kdltr.data.scenes.scenes", lambda pairs: scene[: len(pairs)])
    monkeypatch.setattr("kdltr.train.material.words_of_tests", lambda labels: {0, 1, 2, 3})
    asked = {"data": (str(toy.data), str(tmp_path / "nothing")), "validation": 0.25}
    with pytest.raises(DataError, match="nothing"):
        gather(config(toy, tmp_path, **asked))
    material = gather(config(toy, tmp_path, **asked, missing="left_out", hold_out="scenes",
                             words_of_tests="left_out"))
    assert len(material.pairs) + len(material.held_out) == 36 and "nothing" in caplog.text
    hr, held_out = load_pairs(toy.data).hr, material.held_out.hr
    places = [next(k for k in range(40) if torch.equal(image, hr[k])) for image in held_out]
    assert len(places) == 12 and min(places) >= 4  # three scenes, of what tests do not hold
    assert places == [4 * (k // 4) + i for k in places[::4] for i in range(4)]
    everything = gather(config(toy, tmp_path, validation=0.25))
    assert len(everything.pairs) + len(everything.held_out) == 40


def test_an_abinet_can_take_the_reader_s_place(toy, tmp_path):
    save_weights(create_model("abinet_nano"), tmp_path / "abinet.safetensors", {})
    reader = {"reader": "abinet_nano", "reader_weights": str(tmp_path / "abinet.safetensors")}
    result = train_upscaler(config(toy, tmp_path / "run", "stt_nano", epochs=1, **reader))
    assert float(rows(tmp_path / "run")[-1]["weighted_attention"]) > 0 and result.steps == 2


def test_what_a_file_says_is_enough(tmp_path):
    options = {"mask": False, "recurrence": "batch", "align": False}
    upscaler, generator = create_upscaler("tatt_nano", **options), create_model("crnn", **CRNN)
    save_upscaler(tmp_path / "net.safetensors", upscaler, generator,
                  {"settings": json.dumps(options), "generator_settings": json.dumps(CRNN)})
    found, reader = load_upscaler(tmp_path / "net.safetensors")
    assert found.config == upscaler.config and not found.training
    for one, two in ((found, upscaler), (reader, generator)):
        assert all(torch.equal(value, two.state_dict()[name])
                   for name, value in one.state_dict().items())


def test_where_the_reader_looked_is_kept_within_the_budget(toy):
    torch.manual_seed(0)
    reader = create_reader("stt_reader_nano").eval()
    pairs = load_pairs(toy.data).subset(range(5))
    labels, _ = reader.charset.encode([reader.charset.filter(word) for word in pairs.words], 26)
    kept = Looking(reader, pairs, labels, 1.0, torch.no_grad(), rank=1, world=2)
    chosen = torch.tensor([3, 1])
    with torch.no_grad():
        expected = reader(pairs.sharp(chosen), labels[chosen, :5])[1]
    assert torch.allclose(kept(chosen, 5), expected, atol=1e-6)
    nothing = Looking(reader, pairs, labels, 1e-9, torch.no_grad())
    assert nothing(chosen, 5) is None


def test_a_loss_that_is_not_finite_stops_the_run(toy, tmp_path):
    with pytest.raises(NonFiniteLoss, match=r"step \d+: .*image.* not finite, on the words"):
        train_upscaler(config(toy, tmp_path, learning_rate=1e30, epochs=4))


def test_a_language_model_learns_to_spell_from_the_labels_alone(toy, monkeypatch):
    corpus = corpus_of(["Read!", "zoo", "", "kiwi", "Zoo", "x" * 30, *load_pairs(toy.data).words])
    assert corpus == ["42", "a", "hornbill", "kiwi", "on", "read", "seed", "ten", "yellow", "zoo"]
    given = damaged_readings(corpus * 20, random.Random(1))
    assert given.shape == (200, 26, 37) and torch.allclose(given.sum(-1), torch.ones(200, 26))
    assert 60 < right(given.log(), corpus * 20) < 140  # of 200
    torch.manual_seed(0)
    speller = FrameSpeller(37, 26, 32, 4, 64, 1, 0.0)
    assert teach_spelling(speller, ["kiwi", "read", "zoo"], 600, 3e-3, seed=1) > 0.9
    assert all(parameter.grad is None for parameter in speller.parameters())
    monkeypatch.setattr(spelling, "DAMAGED", 1e-9)
    doubled = ["committee", "bookkeeper", "zoo"] * 20
    monkeypatch.setattr(spelling, "SURE", (40, 50))
    assert right(damaged_readings(doubled, random.Random(2)).log(), doubled) == 60


def test_no_word_that_chooses_the_weights_or_that_tests_hold_is_spelt(toy, tmp_path, monkeypatch):
    given = config(toy, tmp_path, "c3stisr_nano", validation=0.2, words_of_tests="left_out")
    found = gather(given)
    judged = {word.lower().rstrip("!") for word in found.held_out.words}
    assert judged and not judged & {*found.corpus} and len(judged | {*found.corpus}) == 10
    monkeypatch.setattr("kdltr.train.material.words_of_tests", lambda labels: {9, 19, 29, 39})
    assert "zoo" not in gather(given).corpus


def batch_of(toy):
    """LR and HR images of eight words, and what else some terms need."""
    pairs = load_pairs(toy.data).subset(range(8))
    labels, lengths = DIGITS_FIRST36.encode([DIGITS_FIRST36.filter(w) for w in pairs.words], 26)
    given = {"labels": labels, "lengths": lengths, "turn": turns(8, 1, torch.device("cpu"))}
    return (pairs.blurred(torch.arange(8)), pairs.sharp(torch.arange(8))), given


@pytest.mark.parametrize(("network", "changes"), [
    *((network, {}) for network in MORE),
    ("tatt_nano", {"weights": {"image": 1.0}}),
    ("c3stisr_nano", {"settings": {"clue": "recognition"}}),
    ("c3stisr_nano", {"settings": {"clue": "recognition"}, "weights": {"mse": 1.0}}),
    ("c3stisr_nano", {"weights": {"mse": 1.0}}),
])
def test_what_learns_gets_a_gradient_as_several_processes_need_it(toy, network, changes):
    training = build(config(toy, "x", network, corpus=(), **changes)).train()
    images, given = batch_of(toy)
    training(*images, **given)["total"].backward()
    assert {p.grad is not None for p in training.parameters() if p.requires_grad} == {True}


@pytest.mark.parametrize("network", MORE)
def test_in_bf16_the_networks_alone_are(toy, network):
    torch.manual_seed(0)
    training = build(config(toy, "x", network, corpus=())).eval()
    images, given = batch_of(toy)
    plain = training(*images, **given)
    with torch.autocast("cpu", torch.bfloat16):
        found = training(*images, **given)
        seen = training.upscaler.align(images[0].new_zeros(2, training.upscaler.channels, 16, 64))
    assert seen.dtype == torch.float32
    for term, value in found.items():
        assert value.dtype == torch.float32
        assert torch.isclose(value, plain[term], rtol=0.05, atol=1e-4), term


@pytest.mark.parametrize(("changes", "said"), [
    ({"corpus": "data/train/IC13"}, "found network tsrn, which has none"),
    ({"weights": {"prior": 1.0}}, "tsrn has no term 'prior'"),
    ({"network": "tatt", "weights": {"ctc": 1.0}}, "tatt has no term 'ctc'"),
    ({"weights": {"image": 0.0}}, "weights must have a term above 0"),
    ({"weights": {"image": -1.0}}, "weight of image must be finite and >= 0, found -1.0"),
    ({"network": "tsnr"}, "did you mean 'tsrn'"),
    ({"weights": {"images": 1.0}}, "unknown term 'images'; did you mean 'image'"),
    ({"selection": "published"}, "selection: unknown 'published'"),
    ({"validation": 0.0}, "needs validation > 0"),
    ({"network": "stt", "weights": {"mse": 1.0, "attention": 1.0, "consistency": 1.0}},
     "consistency turns the images"),
    ({"judge": "crnm"}, "did you mean 'crnn'"),
    ({"judge": "crnn"}, "give judge_weights"),
    ({"batch_size": 0}, "batch_size must be at least 1"),
    ({"batch_size": 1}, "at least 2 for the statistics of the alignment"),
    ({"clip": 0.0}, "clip must be above 0"),
    ({"settings": {"mask": "no"}}, "mask must be true or false, found 'no'"),
    ({"settings": {"masc": False}}, "tsrn has no setting 'masc'; did you mean 'mask'"),
    ({"network": "tatt", "settings": {"recurrence": "rows"}}, "recurrence must be one of"),
])
def test_settings_that_cannot_be(changes, said):
    with pytest.raises(ValueError, match=said):
        UpscaleConfig(**{"output_dir": "x", **changes})


def test_a_table_of_glyphs_is_of_numbers_above_0_for_every_pair(tmp_path):
    def saved(table):
        np.save(tmp_path / "table.npy", table)
        return str(tmp_path / "table.npy")

    assert glyphs(saved(np.ones((37, 37)))).shape == (37, 37)
    with pytest.raises(ValueError, match=r"37 × 37 numbers above 0 .*, found 62 × 62, the least 1"):
        glyphs(saved(np.ones((62, 62))))
    with pytest.raises(ValueError, match="the least 0"):
        glyphs(saved(np.zeros((37, 37))))
    with pytest.raises(ValueError, match=r"expected a \.npy file of numbers"):
        glyphs(str(tmp_path / "nothing.npy"))


def test_a_test_set_and_other_settings_are_refused(toy, tmp_path):
    with pytest.raises(ValueError, match="unknown setting 'epoch'"):
        UpscaleConfig.from_dict({"output_dir": "x", "epoch": 1})
    train_upscaler(config(toy, tmp_path, epochs=1))
    with pytest.raises(ResumeError, match=r"clip was 0.25, is 1.0"):
        train_upscaler(config(toy, tmp_path, epochs=1, clip=1.0))
    tests = tmp_path / "test" / "easy"
    tests.parent.mkdir()
    tests.symlink_to(toy.data)
    with pytest.raises(DataError, match="a test set"):
        train_upscaler(config(toy, tmp_path / "other", data=(str(tests),)))
    with pytest.raises(DataError, match="a test set"):
        train_upscaler(config(toy, tmp_path / "spelt", "c3stisr_nano", corpus=str(tests)))


@pytest.mark.parametrize("at_once", [2, 64])
def test_quality_is_of_all_images_together(at_once):
    noise = torch.Generator().manual_seed(0)
    hr = torch.randint(0, 256, (5, 3, 32, 128), dtype=torch.uint8, generator=noise)
    pairs = WordPairs(hr, F.avg_pool2d(hr.float(), 2).byte(), [""] * 5)
    whole = F.interpolate(pairs.blurred(torch.arange(5)), (32, 128)), pairs.sharp(torch.arange(5))
    found = image_quality(lambda lr: F.interpolate(lr, (32, 128)), pairs, at_once)
    assert found.psnr == pytest.approx(psnr(*whole).item(), abs=1e-4)
    assert found.ssim == pytest.approx(ssim(*whole).item(), abs=1e-5)


def test_turns_are_within_five_degrees_and_offsets_within_one():
    angles, offsets = turns(4000, 1, torch.device("cpu"))
    five = math.radians(5)
    assert -five <= angles.min() < -0.98 * five and 0.98 * five < angles.max() <= five
    assert 0 <= offsets.min() < 0.01 and 0.99 < offsets.max() < 1


def test_the_rate_falls_after_the_epochs_said(toy, tmp_path):
    train_upscaler(config(toy, tmp_path, epochs=3, steps_per_epoch=1, decay_at=(1, 2)))
    rates = [float(row["learning_rate"]) for row in rows(tmp_path)]
    assert rates == pytest.approx([1e-3, 1e-4, 1e-5])


def test_the_network_is_clipped_and_its_generator_is_not(toy, tmp_path, clipped):
    train_upscaler(config(toy, tmp_path, "tatt_nano", epochs=1, steps_per_epoch=1))
    parameters, most = clipped[0]
    network = create_upscaler("tatt_nano").parameters()
    assert [p.shape for p in parameters] == [p.shape for p in network] and most == 0.25
