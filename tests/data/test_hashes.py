"""Hashes of data sets: of what they hold, wherever and however it is stored."""

import numpy as np
import pytest

from kdltr.data import lmdb as stores
from kdltr.data import opening
from kdltr.data.hashes import ROOT, data_hash, data_hashes, portable
from kdltr.data.records import DataError


def test_a_hash_is_of_the_records_in_order(tmp_path):
    rng = np.random.default_rng(0)
    records = [(rng.integers(0, 256, (8, 12, 3), dtype=np.uint8),
                rng.integers(0, 256, (4, 6, 3), dtype=np.uint8), word) for word in ("a", "bc")]
    stores.write_pairs(tmp_path / "a", records)
    found = data_hash(tmp_path / "a")
    assert found["samples"] == 2 and len(found["sha256"]) == 64
    opening.lmdb_to_folder(tmp_path / "a", tmp_path / "folder")
    assert data_hash(tmp_path / "folder") == found  # same records, other storage
    stores.write_pairs(tmp_path / "b", records[::-1])
    other = [(*records[0][:2], "A"), records[1]]
    stores.write_pairs(tmp_path / "c", other)
    hashes = data_hashes([tmp_path / name for name in "abc"])
    assert len({entry["sha256"] for entry in hashes.values()}) == 3
    stores.write_words(tmp_path / "words", [(image, word) for image, _, word in records])
    assert data_hash(tmp_path / "words")["samples"] == 2
    with pytest.raises(DataError):
        data_hash(tmp_path / "none")


def test_labels_have_a_hash_that_no_encoding_changes(tmp_path):
    dark, light = np.zeros((8, 12, 3), np.uint8), np.full((8, 12, 3), 255, np.uint8)
    for name, image, words in (("a", dark, ("ab", "c")), ("b", light, ("ab", "c")),
                               ("c", dark, ("a", "bc"))):
        stores.write_words(tmp_path / name, [(image, word) for word in words])
    a, b, c = (data_hash(tmp_path / name) for name in "abc")
    assert a["labels"] == b["labels"] and a["sha256"] != b["sha256"]
    assert a["labels"] != c["labels"]  # no two lists of words run into one


def test_paths_below_the_repository_name_no_machine():
    assert portable(ROOT / "data" / "x") == "data/x" and portable("/else/where") == "/else/where"
