"""Sweeps over degradations: what each reader sees, and rows that follow from the predictions."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from kdltr.data.corruptions import KINDS, corruption, degrade
from kdltr.data.loader import WordPairs
from kdltr.evaluation.evaluate import UpsampleBicubic
from kdltr.evaluation.readers import load_readers
from kdltr.evaluation.robustness import degraded, levels_of, read_tables, sweep
from kdltr.models import create_model
from kdltr.results import accuracies, collect_tables, recompute
from kdltr.results.rows import read_predictions, write_predictions
from kdltr.settings import SettingError

BLUR, NOISE, JPEG, RESOLUTION = (
    KINDS[kind].title for kind in ("gaussian_blur", "gaussian_noise", "jpeg", "resolution"))
TINY = {"width": 10, "depth": 1, "orders": 2}


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    hr, lr = (torch.from_numpy(rng.integers(0, 256, (3, 3, h, 4 * h), dtype=np.uint8))
              for h in (32, 16))  # fmt: skip
    return WordPairs(hr, lr, ["one", "two", "3"])


@pytest.fixture
def readers(tmp_path):
    torch.manual_seed(0)
    torch.save(create_model("parseq_nano", **TINY).state_dict(), tmp_path / "teacher.pt")
    return load_readers({"parseq_nano": {
        "weights": tmp_path / "teacher.pt", "student": "parseq_nano_ltr", "sizes": TINY,
        "students": {"not trained": ""},
    }})  # fmt: skip


def test_readers_come_in_order_and_share_the_teacher(readers):
    methods = readers["parseq_nano"]
    assert list(methods) == ["teacher on HR", "bicubic", "not trained"]
    assert isinstance(methods["bicubic"], UpsampleBicubic)
    assert methods["bicubic"].teacher is methods["teacher on HR"]
    assert methods["not trained"].image_size == (16, 64)


def test_degraded_words_keep_their_hr_images_and_labels(pairs):
    seen = degraded(pairs, "gaussian_noise", 10, seed=4)
    assert seen.hr is pairs.hr and seen.words == pairs.words
    assert torch.equal(seen.lr, degrade(pairs.lr, corruption("gaussian_noise", 10), 4))


def test_a_small_word_is_brought_to_the_size_of_each_reader(pairs):
    seen = degraded(pairs, "resolution", 8, seed=0)
    word = Image.fromarray(pairs.hr[1].permute(1, 2, 0).numpy())
    small = word.resize((32, 8), Image.Resampling.BICUBIC)
    for images, size in ((seen.hr, (128, 32)), (seen.lr, (64, 16))):
        expected = np.asarray(small.resize(size, Image.Resampling.BICUBIC))
        assert np.array_equal(images[1].permute(1, 2, 0).numpy(), expected)
    assert torch.equal(degraded(pairs, "resolution", 32, 0).hr, pairs.hr)


def test_a_sweep_has_every_level_of_every_kind_in_order(pairs):
    steps = sweep(pairs, {"jpeg": [90, 5], "gaussian_blur": [0.5]}, seed=0)
    assert [(kind, level) for kind, level, _ in steps] == [
        (JPEG, "90"), (JPEG, "5"), (BLUR, "0.5")]  # fmt: skip


def test_tables_follow_from_the_saved_predictions(pairs, readers, tmp_path):
    levels = {"gaussian_blur": [0, 2], "resolution": [32, 8]}
    scores = read_tables(readers, sweep(pairs, levels, 0), lr_alone=[BLUR])
    assert list(scores["parseq_nano"][BLUR]) == ["bicubic", "not trained"]
    assert list(scores["parseq_nano"][RESOLUTION]) == ["teacher on HR", "bicubic", "not trained"]
    predictions = collect_tables(scores)
    assert len(predictions) == 3 * 2 * (2 + 3)
    rows = recompute(predictions, averaged=())
    write_predictions(tmp_path / "p.csv.gz", predictions)
    assert recompute(read_predictions(tmp_path / "p.csv.gz"), averaged=()) == rows
    found = {(row.table, row.method, row.subset) for row in rows}
    assert (BLUR, "bicubic", "2") in found and len(found) == 2 * (2 + 3)
    assert all(row.n == 3 for row in rows)  # levels have no average …
    averaged = recompute(predictions, averaged=[RESOLUTION])  # … unless it is asked for
    more = [(row.table, row.n) for row in averaged if row.subset == "average"]
    assert set(more) == {(RESOLUTION, 6)}


def test_bicubic_and_student_see_the_same_degraded_images(pairs, readers):
    words = sweep(pairs, {"gaussian_noise": [20]}, 0)
    scores = read_tables(readers, words, lr_alone=[NOISE])["parseq_nano"]
    seen = [found["20"].predictions["image"] for found in scores[NOISE].values()]
    pd.testing.assert_series_equal(*seen)


def test_figures_are_drawn_from_fractions(pairs, readers):
    scores = read_tables(readers, [("t", "s", pairs)], lr_alone=[])
    frame = accuracies(recompute(collect_tables(scores), averaged=()))
    assert frame.columns.tolist()[-3:] == ["accuracy", "low", "high"] and len(frame) == 3
    assert frame[["accuracy", "low", "high"]].to_numpy().max() <= 1


def test_levels_of_several_parameters_are_put_together():
    blur, jpeg = {"gaussian_blur": [0, 1]}, {"jpeg": [50]}
    assert levels_of(curves=blur, one_by_one=jpeg) == blur | jpeg
    assert levels_of(curves=blur, one_by_one={}) == blur


@pytest.mark.parametrize(("curves", "one_by_one", "said"), [
    ({"gausian_blur": [1]}, {}, "^curves: unknown degradation 'gausian_blur'; did you mean 'gauss"),
    ({"jpeg": [50]}, {"jpeg": [10]}, "^curves and one_by_one: .* found jpeg twice; leave one out"),
    ({}, {}, "^curves and one_by_one: expected a degradation in one of them, found none"),
    ({}, {"jpeg": []}, r"^one_by_one.jpeg: expected levels, each once, found \[\]"),
    ({"jpeg": [10, 10.0]}, {}, r"^curves.jpeg: expected levels, each once, found \[10, 10.0\]"),
    ({"jpeg": [0]}, {}, r"^curves: jpeg: expected a level \(quality\) from 1 to 100, found 0"),
])
def test_levels_that_would_spoil_a_run_are_refused_before_it(curves, one_by_one, said):
    with pytest.raises(SettingError, match=said):
        levels_of(curves=curves, one_by_one=one_by_one)
