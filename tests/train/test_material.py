"""What a distillation learns from: parts, their shares, and LR images made at every step."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from kdltr.data import DataError
from kdltr.data.lmdb import write_pairs, write_words
from kdltr.data.loader import load_pairs
from kdltr.generator.render_shards import write_shards
from kdltr.train import DistillConfig, distill
from kdltr.train.config import PretrainConfig
from kdltr.train.material import LRImages, gather, mixture, stored_words
from kdltr.train.models import build_models
from tests.train.test_distill import rows, same, stop_after, weights


@pytest.fixture(scope="session")
def parts(toy):
    """Settings of a run over the toy pairs, 6 words without an LR image and 5 generated pairs."""
    rng = np.random.default_rng(1)
    write_words(toy.folder / "words", [(rng.integers(0, 256, (32, 128, 3), dtype=np.uint8), word)
                                       for word in ("six", "ales", "of", "", "an", "inn")])
    write_shards(toy.folder / "shards", 5, seed=1)
    return toy.settings | {"words": str(toy.folder / "words"),
                           "generated": str(toy.folder / "shards"), "epochs": 2}


def config(parts, path, **changes):
    return DistillConfig(output_dir=str(path), **{**parts, **changes})


def material_of(settings):
    return gather(settings, *build_models(settings))


def test_parts_follow_one_another_and_data_alone_is_held_out(parts, tmp_path):
    material = material_of(config(parts, tmp_path))
    assert material.sizes == {"data": 36, "words": 5, "generated": 5}  # one word is empty
    assert material.pairs.words[36:41] == ["six", "ales", "of", "an", "inn"]
    assert len(material.held_out) == 4 and len(material.pairs) == len(material.labels) == 46
    assert [entry["samples"] for entry in material.sets.values()] == [40, 6, 5]


def test_shares_of_an_epoch(parts, tmp_path):
    mix = {"data": 0.25, "words": 0.5, "generated": 0.25}
    settings = config(parts, tmp_path, mix=mix, steps_per_epoch=12)
    assert mixture(settings, {"data": 36, "words": 5, "generated": 5}) == [
        (36, 0.25), (5, 0.5), (5, 0.25)]
    assert mixture(config(parts, tmp_path), {"data": 1}) == ()
    result = distill(settings)
    assert result.steps == 24  # more than the 11 batches that all words once are
    for wrong in ({"data": 1.0}, {"data": 0.5, "words": 0.5, "generated": 0.5},
                  {"data": 0.5, "words": 0.5, "generated": 0.0}):
        with pytest.raises(ValueError, match="mix must be a share above 0 for each of data, words"):
            config(parts, tmp_path, mix=wrong)
    with pytest.raises(ValueError, match="camera must be shares in"):
        config(parts, tmp_path, camera={"word": 0.5})


def test_sets_that_are_missing_are_an_error_or_named_and_left_out(parts, tmp_path, caplog):
    asked = parts | {"words": [str(tmp_path / "no-words")],
                     "data": [*parts["data"], str(tmp_path / "no-pairs")]}
    with pytest.raises(DataError, match="no-pairs"):
        material_of(config(asked, tmp_path))
    mix = {"data": 0.3, "words": 0.5, "generated": 0.2}
    settings = config(asked, tmp_path, missing="left_out", mix=mix, steps_per_epoch=2)
    material = material_of(settings)
    assert material.sizes == {"data": 36, "words": 0, "generated": 5}
    assert "no-words" in caplog.text and "no-pairs" in caplog.text
    assert mixture(settings, material.sizes) == [(36, 0.6), (0, 0.0), (5, 0.4)]
    assert distill(settings).steps == 4


def test_a_set_at_home_is_there(parts, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(Path(parts["words"]).parent))
    asked = parts | {"words": "~/words"}
    assert material_of(config(asked, tmp_path, missing="left_out")).sizes["words"] == 5


def test_a_share_of_each_part_is_taken_anew(parts, tmp_path):
    material = material_of(config(parts, tmp_path))
    pairs, sizes = material.pairs, material.sizes
    chosen = torch.arange(len(pairs))

    def new(shares, seed=3):
        images = LRImages(pairs, sizes, shares)
        return (images(chosen, seed) != pairs.blurred(chosen)).flatten(1).any(1)

    assert not new({}).any()
    assert new({"words": 1.0}).tolist() == [False] * 36 + [True] * 5 + [False] * 5
    half = new({"data": 0.5})
    assert 8 <= half[:36].sum() <= 28 and not half[36:].any()
    images = LRImages(pairs, sizes, {"words": 0.5})
    assert torch.equal(images(chosen, 1), images(chosen, 1))
    assert not torch.equal(images(chosen, 1), images(chosen, 2))


def test_a_run_of_all_parts_resumes_bit_for_bit(parts, tmp_path):
    common = {"mix": {"data": 0.4, "words": 0.4, "generated": 0.2}, "steps_per_epoch": 9,
              "camera": {"data": 0.3, "words": 0.7}}
    distill(config(parts, tmp_path / "whole", **common))
    stopped = config(parts, tmp_path / "stopped", **common)
    stop_after(stopped, 10)
    assert distill(stopped).steps == 18
    same(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))


def test_whole_scenes_are_held_out(parts, toy, tmp_path, monkeypatch):
    scene, toy_hr = torch.arange(40) // 4, load_pairs(toy.data).hr
    monkeypatch.setattr("kdltr.data.scenes.scenes", lambda pairs: scene[: len(pairs)])
    held_out = material_of(config(parts, tmp_path, hold_out="scenes", validation=0.2)).held_out
    whole = [{k for k in range(0, 40, 4) if torch.equal(held_out.hr[i : i + 4], toy_hr[k : k + 4])}
             for i in range(0, 8, 4)]
    assert len(held_out) == 8 and all(len(places) == 1 for places in whole)
    distill(config(parts, tmp_path, hold_out="scenes", validation=0.2, epochs=1))
    assert {row["n"] for row in rows(tmp_path, "validation.csv")} == {"8"}


def test_teacher_and_student_hold_the_same_scenes_out(tmp_path):
    """Whatever is done to labels: a scene is known by those stored, and by all of them."""
    colours = np.random.default_rng(5).integers(0, 255, (60, 3), dtype=np.uint8)
    labels = [f"word{i}" for i in range(60)]
    for i in range(0, 60, 6):
        labels[i : i + 5 : 2] = f"sale{i}", f"sale{i}!", "※※※"  # tied if "!" were dropped; no word
    folder = tmp_path / "train2"
    write_pairs(folder, [(np.broadcast_to(colour, (32, 128, 3)),
                          np.broadcast_to(colour, (16, 64, 3)), label)
                         for colour, label in zip(colours, labels, strict=True)])
    settings = DistillConfig(output_dir=str(tmp_path), data=str(folder), hold_out="scenes",
                             validation=0.2, teacher="abinet_nano", student="abinet_nano_ltr",
                             teacher_weights="data/weights/abinet_nano.safetensors")
    teacher, student = build_models(settings)
    mine = gather(settings, teacher, student)
    trained, held_out, _ = stored_words(
        [str(folder)], PretrainConfig(model="abinet_nano", output_dir=str(tmp_path),
                                      words=[str(folder)], validation=0.2), teacher)
    assert torch.equal(mine.held_out.hr, held_out.hr) and torch.equal(mine.pairs.hr, trained.hr)
    assert held_out.words and len(trained) + len(held_out) == 50
    for image in ("hr", "lr"):  # of another size, and by another seed
        small = PretrainConfig(model="abinet_nano_ltr", output_dir=str(tmp_path), seed=7,
                               words=[str(folder)], validation=0.2, image=image)
        assert stored_words([str(folder)], small, student)[1].words == held_out.words


def test_a_set_that_was_never_compared_with_the_tests_is_named(parts, tmp_path, caplog):
    material_of(config(parts, tmp_path, words_of_tests="left_out"))
    assert [record.args[0].rpartition("/")[2] for record in caplog.records
            if "never compared with the test sets" in record.msg] == ["train", "words"]


@pytest.mark.parametrize("part", ["words", "generated"])
def test_one_part_is_enough(parts, tmp_path, part):
    alone = parts | {name: [] for name in ("data", "words", "generated") if name != part}
    material = material_of(config(alone, tmp_path, validation=0.0, selection="last"))
    assert material.sizes[part] == 5 and not len(material.held_out)
    with pytest.raises(DataError, match=r"hold 1 of them out, found 0; .* a share of 0 \(validat"):
        material_of(config(alone, tmp_path))
    material_of(config(alone, tmp_path, hold_out="scenes", validation=0.0, selection="last"))


def test_what_is_held_out_for_nothing_is_said(parts, tmp_path, caplog):
    caplog.set_level("INFO", "kdltr")
    material_of(config(parts, tmp_path, selection="last"))
    assert "4 words are held out, by which selection='last' chooses nothing" in caplog.text


def test_words_of_tests_are_left_out_if_asked_for(parts, tmp_path, monkeypatch):
    monkeypatch.setattr("kdltr.train.material.words_of_tests", lambda labels: {1, 3})
    kept = material_of(config(parts, tmp_path))
    left = material_of(config(parts, tmp_path, words_of_tests="left_out"))
    assert len(kept.pairs) == 46 and left.sizes == {"data": 34, "words": 4, "generated": 3}
    assert left.pairs.words[34:38] == ["six", "of", "an", "inn"]  # "ales" and an empty one went


def test_a_run_refuses_a_test_set(parts, tmp_path):
    image = np.zeros((8, 16, 3), np.uint8)
    write_pairs(tmp_path / "test" / "easy", [(image, image, "word")] * 9)
    with pytest.raises(DataError, match="found a test set, for it lies in a folder test"):
        distill(config(parts, tmp_path / "run", data=str(tmp_path / "test" / "easy")))
    assert not Path(tmp_path / "run" / "config.json").exists()


def test_the_run_records_what_it_learnt_from(parts, tmp_path):
    result = distill(config(parts, tmp_path, epochs=1))
    assert [*result.config["sets"]] == [parts["data"][0], parts["words"], parts["generated"]]
    with (tmp_path / "metrics.csv").open(newline="") as file:
        assert int(list(csv.DictReader(file))[-1]["step"]) == result.steps == 11
