"""Tensors in memory, splits and labels."""

import numpy as np
import pytest
import torch

from kdltr.charset import ALNUM36, ASCII94
from kdltr.data import lmdb as stores
from kdltr.data import opening
from kdltr.data.images import encode_png, resize
from kdltr.data.loader import load_pairs, load_words, select_labels, split
from kdltr.data.records import DataError, Pair, RecordError


def pairs(count=4, seed=0):
    rng = np.random.default_rng(seed)
    return [Pair(rng.integers(0, 256, (40, 100 + i, 3), dtype=np.uint8),
                 rng.integers(0, 256, (12, 50, 3), dtype=np.uint8), f"w{seed}{i}")
            for i in range(count)]


@pytest.fixture
def damaged(tmp_path):
    records = pairs()
    records[1] = records[1]._replace(lr=encode_png(records[1].lr)[:200])
    stores.write_pairs(tmp_path / "damaged", records)
    return tmp_path / "damaged"


def test_load_resizes_once_with_pillow(tmp_path):
    stores.write_pairs(tmp_path / "a", pairs())
    stores.write_pairs(tmp_path / "b", pairs(2, seed=1))
    loaded = load_pairs([tmp_path / "a", tmp_path / "b"])
    assert loaded.hr.shape == (6, 3, 32, 128) and loaded.lr.shape == (6, 3, 16, 64)
    assert loaded.hr.dtype == loaded.lr.dtype == torch.uint8 and loaded.hr.is_contiguous()
    assert loaded.words == ["w00", "w01", "w02", "w03", "w10", "w11"] and len(loaded) == 6
    expected = resize(pairs()[2].lr, (16, 64))
    np.testing.assert_array_equal(loaded.lr[2].permute(1, 2, 0).numpy(), expected)
    chosen = torch.tensor([5, 2])
    for images, whole in ((loaded.sharp(chosen), loaded.hr), (loaded.blurred(chosen), loaded.lr)):
        assert images.dtype == torch.float32 and images.max() <= 1
        torch.testing.assert_close(images, whole[[5, 2]].float() / 255)
    threaded = load_pairs([tmp_path / "a", tmp_path / "b"], threads=3)
    assert torch.equal(threaded.hr, loaded.hr) and threaded.words == loaded.words


def test_load_folder_and_words(tmp_path):
    stores.write_pairs(tmp_path / "a", pairs())
    opening.lmdb_to_folder(tmp_path / "a", tmp_path / "folder")
    assert torch.equal(load_pairs(tmp_path / "folder").hr, load_pairs(tmp_path / "a").hr)
    stores.write_words(tmp_path / "SVT", [(pair.hr, pair.label) for pair in pairs()])
    words = load_words(tmp_path / "SVT")
    np.testing.assert_array_equal(words.lr[0].permute(1, 2, 0).numpy(),
                                  resize(pairs()[0].hr, (16, 64)))


def test_damaged_record_raises_or_is_counted_and_skipped(damaged, caplog):
    with pytest.raises(RecordError, match=r"record 1, key 'image_lr-000000002'"):
        load_pairs(damaged)
    loaded = load_pairs(damaged, on_error="skip")
    assert loaded.words == ["w00", "w02", "w03"] and loaded.hr.shape[0] == 3
    assert len(loaded.skipped) == 1 and "image_lr-000000002" in loaded.skipped[0]
    assert "left out 1 of 4" in caplog.text
    with pytest.raises(ValueError, match="'raise' or 'skip'"):
        load_pairs(damaged, on_error="ignore")


def test_nothing_left_is_an_error(tmp_path):
    stores.write_pairs(tmp_path / "bad", [(b"no image", b"no image", "a")])
    with pytest.raises(DataError, match="none that can be read of 1"):
        load_pairs(tmp_path / "bad", on_error="skip")


def test_split():
    training, validation = split(100, 0.05, seed=42)
    assert len(validation) == 5 and sorted([*training.tolist(), *validation.tolist()]) == list(
        range(100))
    assert torch.equal(split(100, 0.05, seed=42)[1], validation)
    assert not torch.equal(split(100, 0.05, seed=43)[1], validation)
    assert len(split(10, 0.0, seed=0)[1]) == 0 and len(split(10, 0.01, seed=0)[1]) == 1
    with pytest.raises(DataError, match="more than 1 words"):
        split(1, 0.5, seed=0)
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        split(10, 1.0, seed=0)


WORDS = ["Ab-c", "café", "", "!!", "x" * 26, "ok", "straße"]


def test_labels_filtered(caplog):
    kept, words, report = select_labels(WORDS, ALNUM36, "filtered")
    assert (kept, words) == ([0, 1, 5], ["abc", "cafe", "ok"])
    assert report == {"total": 7, "kept": 3, "outside_charset": 3, "empty": 2, "too_long": 1}
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(said) == 1 and said[0].startswith("left out 1 of 7") and "'straße'" in said[0]
    kept, words, _ = select_labels(WORDS, ASCII94, "filtered")
    assert (kept, words) == ([0, 1, 3, 5], ["Ab-c", "cafe", "!!", "ok"])


def test_labels_published():
    kept, words, report = select_labels(WORDS, ALNUM36, "published")
    assert kept == [*range(7)] and words == WORDS
    assert report == {"total": 7, "kept": 7, "outside_charset": 4, "empty": 1, "too_long": 1}
    ids, lengths = ALNUM36.encode(words, steps=26, unknown="end")
    assert ids[0, :5].tolist() == [1, 2, 0, 3, 0] and lengths.tolist() == [5, 5, 1, 3, 26, 3, 7]
    assert ids[4].tolist() == [24] * 26  # no end token left


def test_no_label_left_is_an_error():
    with pytest.raises(DataError, match=r"1 to 25 characters of charset alnum36, found none"):
        select_labels(["--", ""], ALNUM36, "filtered")
    with pytest.raises(ValueError, match="'published' or 'filtered'"):
        select_labels(["a"], ALNUM36, "raw")


def test_a_word_that_does_not_fit_the_frames_is_too_long():
    words = ["abba", "abcd", "aaa", "abc", "a" * 26]
    kept, cleaned, report = select_labels(words, ASCII94, "filtered", frames=4)
    assert (kept, cleaned) == ([1, 3], ["abcd", "abc"])  # "abba" and "aaa" take 5
    assert report["too_long"] == 3
    assert select_labels(words, ASCII94, "filtered")[2]["too_long"] == 1
