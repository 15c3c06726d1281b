"""Trainings take lines: labels over 25 characters, a student of its own scale, chosen by CER."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from kdltr.checkpoint import read_weights, save_weights
from kdltr.data.folder import write_folder
from kdltr.data.lines import SEPARATOR, placed
from kdltr.data.lmdb import PairedWords
from kdltr.data.records import Word
from kdltr.evaluation.evaluate import images_for, load_for, score
from kdltr.generator.lines import GeneratedLines, write_lines, write_small
from kdltr.models import create_model
from kdltr.train import DistillConfig, PretrainConfig, ResumeError, distill, pretrain
from kdltr.train.feed import Pictures
from kdltr.train.material import gather, stored_words
from kdltr.train.models import build_models
from kdltr.train.selection import chosen_by
from tests.train.test_distill import same, stop_after, weights

TOY = {"widths": (16,) * 5, "blocks": (1,) * 5, "row_width": 16}
COMMON = {"batch_size": 4, "device": "cpu", "threads": 1, "log_every": 1}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder of 12 sharp lines, of as many pairs at a quarter, and of a teacher's weights."""
    folder = tmp_path_factory.mktemp("lines")
    write_lines(folder / "sharp", GeneratedLines("train", 12, 1), (48, 512))
    write_small(folder / "pairs", folder / "sharp", 4, 1.0, seed=1)
    torch.manual_seed(0)
    save_weights(create_model("dan_nano", **TOY), folder / "teacher.safetensors", {})
    return folder


def pretraining(written, run, **changed):
    return PretrainConfig(**{
        **COMMON, "output_dir": str(run), "model": "dan_nano", "settings": TOY, "steps": 4,
        "words": str(written / "sharp"), "words_share": 1.0, "hold_out": "words",
        "validate_every": 2, "checkpoint_every": 2} | changed)  # fmt: skip


def distilling(written, run, **changed):
    return DistillConfig(**{
        **COMMON, "output_dir": str(run), "data": str(written / "pairs"), "teacher": "dan_nano",
        "teacher_weights": str(written / "teacher.safetensors"), "student": "dan_nano_ltr",
        "model": TOY, "student_model": {"scale": 4}, "epochs": 2, "validation": 0.2,
        "validate_every": 2, "checkpoint_every": 2, "path_score": "log_normalised",
        "losses": {"logits_threshold": 0.0}} | changed)  # fmt: skip


def test_a_teacher_learns_stored_lines_alone_and_whole(written, tmp_path):
    config = pretraining(written, tmp_path)
    pictures = Pictures(config, create_model("dan_nano", **TOY))
    labels = [PairedWords(written / "pairs").label(i) for i in range(12)]
    assert max(map(len, labels)) > 26 and len(pictures.held_out()) == 1
    batches = list(pictures.batches(0))
    assert len(batches) == 4 and all(images.shape == (4, 3, 48, 512) for images, _ in batches)
    learned = {word for _, words in batches for word in words}
    assert max(map(len, learned)) > 26 and learned < set(labels)
    assert learned.isdisjoint(pictures.held_out().words)
    assert set(pictures.source) == {"sets"}  # nothing was generated for the run
    with pytest.raises(ValueError, match="validation must be above 0 where all words are stored"):
        pretraining(written, tmp_path, validation=0.0)


def test_a_resumed_teacher_ends_as_an_uninterrupted_one(written, tmp_path):
    pretrain(pretraining(written, tmp_path / "whole"))
    assert not pretrain(pretraining(written, tmp_path / "parts", minutes=1e-6)).finished
    assert pretrain(pretraining(written, tmp_path / "parts", checkpoint_minutes=1e-9)).finished
    one, other = (read_weights(tmp_path / run / "last.safetensors") for run in ("whole", "parts"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_teacher_goes_on_where_its_data_were_moved_to(written, tmp_path):
    pretrain(pretraining(written, tmp_path / "run", minutes=1e-6))
    shutil.copytree(written / "sharp", tmp_path / "moved")
    moved = {"words": str(tmp_path / "moved")}
    assert pretrain(pretraining(written, tmp_path / "run", **moved)).finished
    write_lines(tmp_path / "others", GeneratedLines("train", 12, 2), (48, 512))
    with pytest.raises(ResumeError, match="source was"):
        pretrain(pretraining(written, tmp_path / "run", words=str(tmp_path / "others")))


def test_lines_are_placed_on_their_canvas_and_never_stretched(tmp_path):
    rng = np.random.default_rng(4)
    image = rng.integers(0, 255, (40, 180, 3), dtype=np.uint8)
    write_folder(tmp_path / "mine", [Word(image, "a|line")])
    teacher, student = (create_model(name, **TOY) for name in ("dan_nano", "dan_nano_ltr"))
    for model in (teacher, student):  # as `kdltr read` shows it to either
        pairs = load_for(model, tmp_path / "mine")
        seen = images_for(model, pairs)[0].permute(1, 2, 0).numpy()
        assert np.array_equal(seen, placed(image, model.image_size))
    mine = str(tmp_path / "mine")
    settings = pretraining(tmp_path, tmp_path, words=mine, words_share=0.5, hold_out="words",
                           validation=0.0)
    stored, *_ = stored_words([mine], settings, teacher)
    assert np.array_equal(stored.hr[0].permute(1, 2, 0).numpy(), placed(image, (48, 512)))


def test_a_student_of_its_own_scale_learns_whole_lines(written, tmp_path):
    config = distilling(written, tmp_path)
    teacher, student = build_models(config)
    assert teacher.image_size == (48, 512) and student.image_size == (12, 128)
    material = gather(config, teacher, student)
    assert material.lengths.max() > 27 and material.labels.shape[1] == 40
    decoded = ["".join(student.charset.characters[i - 1] for i in row if i)
               for row in material.labels.tolist()]
    assert decoded == material.pairs.words and any(SEPARATOR in line for line in decoded)


def test_a_resumed_student_ends_as_an_uninterrupted_one(written, tmp_path):
    distill(distilling(written, tmp_path / "whole"))
    stop_after(distilling(written, tmp_path / "parts"), 3)
    assert distill(distilling(written, tmp_path / "parts")).finished
    same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def test_lines_are_chosen_by_their_characters_and_words_by_whole_ones():
    read = score(pd.DataFrame({"index": [0, 1], "label": ["it|is|so", "no"], "confidence": 1.0,
                               "reading": ["it|is|sa", "no"]}))
    assert chosen_by(create_model("dan_nano", **TOY), read) == pytest.approx(1 - 1 / 10)
    assert chosen_by(create_model("dan_scene"), read) == 0.5

