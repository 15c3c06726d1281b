"""Pictures of one word in two places are found, and listed without pictures."""

import csv

import numpy as np
import torch

from kdltr.data import lmdb as stores
from kdltr.data.duplicates import duplicates, write_table
from kdltr.data.hashes import data_hash
from tests.data.pictures import lettering


def test_one_word_seen_twice_is_found_whatever_its_light():
    a, b, c = (lettering(seed) for seed in range(3))
    ours = torch.stack([a, b, c])
    other_light = (0.5 * a.float() + 60).to(torch.uint8)
    theirs = torch.stack([c, other_light])
    found = duplicates(ours, ["Ale", "beer", "cup"], theirs, ["mug", "ALE"])
    assert [(i, j) for i, j, _ in found] == [(0, 1)] and found[0][2] > 0.99
    # A look-alike of another label is another word, and so is another look of the same.
    assert not duplicates(ours, ["x", "y", "z"], theirs, ["x", "y"])


def test_the_table_names_sets_by_their_labels(tmp_path):
    def images(seeds):
        return [lettering(seed).permute(1, 2, 0).numpy() for seed in seeds]

    stores.write_words(tmp_path / "train", list(zip(images([1, 2, 3]), "abc", strict=True)))
    hr = images([3, 9, 2])
    stores.write_pairs(tmp_path / "easy", [(x, x, label) for x, label in
                                           zip(hr, "cab", strict=True)])
    count = write_table(tmp_path / "table.csv", {"mine": tmp_path / "train"},
                        {"textzoom/test/easy": tmp_path / "easy"})
    stores.write_words(tmp_path / "other", [(images([7])[0], "z")])
    assert write_table(tmp_path / "none.csv", {"other": tmp_path / "other"},
                       {"textzoom/test/easy": tmp_path / "easy"}) == 0
    with (tmp_path / "none.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["set"] == "other" and not row["index"]  # it was compared
    with (tmp_path / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert count == 2
    assert [(row["index"], row["label"], row["test_index"]) for row in rows] == [
        ("1", "b", "2"), ("2", "c", "0")]
    assert {row["labels"] for row in rows} == {data_hash(tmp_path / "train")["labels"]}
    assert np.allclose([float(row["correlation"]) for row in rows], 1.0)
