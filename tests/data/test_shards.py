"""Shards: the pairs of the generator, written once, resumable, read where they lie."""

import logging
import pickle

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from kdltr.data import DataError
from kdltr.data.loader import load_pairs
from kdltr.data.shards import Shards, write_shard
from kdltr.generator import source
from kdltr.generator.render_shards import write_shards
from kdltr.generator.synthetic import arrays
from kdltr.results import data_hashes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten pairs in shards of four, four and two."""
    return write_shards(tmp_path_factory.mktemp("shards") / "s", 10, seed=5, size=4)


def names(folder):
    return [file.name for file in sorted(folder.iterdir())]


def test_the_pairs_are_those_of_the_generator_in_any_order(folder):
    hr, lr, words = arrays("train1", 10, 5)
    found = Shards(folder)
    assert len(found) == 10 and found.words == words
    assert found.settings == source("train1", 5)
    chosen = torch.tensor([9, 0, 4, 3, 3])
    for image, whole in (("hr", hr), ("lr", lr)):
        pictures, labels = found.batch(chosen, image)
        assert pictures.dtype == torch.uint8 and labels == [words[i] for i in chosen]
        np.testing.assert_array_equal(pictures.permute(0, 2, 3, 1).numpy(), whole[chosen])
    np.testing.assert_array_equal(found[-1].hr, hr[9])
    with pytest.raises(IndexError):
        found.batch([10])
    again = pickle.loads(pickle.dumps(found))
    assert torch.equal(again.batch([7])[0], found.batch([7])[0])


def test_opening_reads_no_pixels(folder):
    rows = Shards(folder)._shards[0].hr
    while rows.base is not None and not isinstance(rows, np.memmap):
        rows = rows.base
    assert isinstance(rows, np.memmap) and rows.mode == "r"


def test_load_pairs_takes_shards_of_the_stored_sizes_alone(folder):
    loaded, (hr, lr, words) = load_pairs([folder]), arrays("train1", 10, 5)
    assert loaded.words == words
    np.testing.assert_array_equal(loaded.hr.permute(0, 2, 3, 1).numpy(), hr)
    np.testing.assert_array_equal(loaded.lr.permute(0, 2, 3, 1).numpy(), lr)
    with pytest.raises(DataError, match=r"expected lr pictures of \(8, 32\), found \(16, 64\)"):
        load_pairs(folder, lr_size=(8, 32))


def test_a_hash_tells_shards_apart(folder, tmp_path):
    other = write_shards(tmp_path / "other", 10, seed=6, size=10)
    same = write_shards(tmp_path / "same", 10, seed=5, size=10)
    digests = [entry["sha256"] for entry in data_hashes([folder, other, same]).values()]
    assert digests[0] == digests[2] != digests[1]


def test_complete_shards_are_left_alone_and_more_are_added(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    folder = write_shards(tmp_path, 6, seed=5, size=4)
    files = sorted(folder.iterdir())
    before = [file.stat().st_ino for file in files]
    write_shards(tmp_path, 6, seed=5, size=4)
    assert "2 of 2 shards are there already" in caplog.text
    assert [file.stat().st_ino for file in files] == before
    files[0].write_bytes(files[0].read_bytes()[:-1])  # cut short
    write_shards(tmp_path, 11, seed=5, size=4)
    assert "0 of 3 shards are there already" in caplog.text  # one cut, one too short, one missing
    assert Shards(folder).words == arrays("train1", 11, 5)[2]
    inode = files[0].stat().st_ino
    write_shards(tmp_path, 4, seed=5, size=4)
    assert names(folder) == ["00000.safetensors"] and files[0].stat().st_ino == inode


def test_workers_change_nothing(folder, tmp_path):
    again = write_shards(tmp_path, 10, seed=5, size=4, workers=2)
    for name in names(folder):
        assert (again / name).read_bytes() == (folder / name).read_bytes()


def test_effects_reach_the_generator_and_the_record(tmp_path):
    write_shards(tmp_path, 3, seed=5, effects=("lens", "ink"))
    found = Shards(tmp_path)
    assert found.settings["effects"] == ["ink", "lens"]
    hr, lr, words = arrays("train1", 3, 5, effects=("ink", "lens"))
    assert found.words == words
    np.testing.assert_array_equal(found[2].hr, hr[2])
    np.testing.assert_array_equal(found[2].lr, lr[2])


def pictures(n):
    return np.zeros((n, 32, 128, 3), np.uint8), np.zeros((n, 16, 64, 3), np.uint8)


def test_hr_pictures_of_another_size_for_another_teacher(tmp_path):
    folder = write_shards(tmp_path / "s", 3, seed=5, hr_size=(48, 192))
    hr, lr, _ = arrays("train1", 3, 5, hr_size=(48, 192))
    loaded = load_pairs(folder, hr_size=(48, 192))
    np.testing.assert_array_equal(loaded.hr.permute(0, 2, 3, 1).numpy(), hr)
    np.testing.assert_array_equal(loaded.lr.permute(0, 2, 3, 1).numpy(), lr)
    assert Shards(folder).settings == source("train1", 5) | {"hr_size": [48, 192]}
    with pytest.raises(DataError, match=r"expected hr pictures of \(32, 128\), found \(48, 192\)"):
        load_pairs(folder)


def test_a_gap_a_stranger_and_a_damaged_file_are_named(folder, tmp_path):
    with pytest.raises(DataError, match="expected shards .* found none; render them"):
        Shards(tmp_path / "absent")
    copy = write_shards(tmp_path / "copy", 10, seed=5, size=4)
    (copy / "00001.safetensors").unlink()
    with pytest.raises(DataError, match=r"00002.*'start': 4.*'start': 8.*a shard is missing"):
        Shards(copy)
    write_shards(copy, 10, seed=5, size=4)
    made = Shards(copy).settings | {"start": 4, "pairs": 4, "seed": 6}
    write_shard(copy / "00001.safetensors", *pictures(4), ["a"] * 4, made)
    with pytest.raises(DataError, match=r"'seed': 5.*found.*'seed': 6"):
        Shards(copy)
    for content in (b"", b"no shard at all", (folder / "00001.safetensors").read_bytes()[:-40]):
        (copy / "00001.safetensors").write_bytes(content)
        with pytest.raises(DataError, match=r"00001.*damaged file"):
            Shards(copy)


def test_files_of_others_are_neither_overwritten_nor_removed(tmp_path):
    save_file({"weight": np.zeros(3)}, tmp_path / "00007.safetensors")
    with pytest.raises(DataError, match=r"no files but shards, found 00007\.safetensors"):
        write_shards(tmp_path, 2, seed=5)
    assert names(tmp_path) == ["00007.safetensors"]


def test_as_many_labels_as_pictures_or_none_is_written(tmp_path):
    with pytest.raises(DataError, match="'HR': 2, 'LR': 2, 'labels': 1, 'pairs': 2"):
        write_shard(tmp_path / "0.safetensors", *pictures(2), ["a"], {"start": 0, "pairs": 2})
    assert not list(tmp_path.iterdir())


def test_a_label_with_a_line_break_is_refused(tmp_path):
    with pytest.raises(DataError, match="labels of one line"):
        write_shard(tmp_path / "0.safetensors", *pictures(1), ["a\nb"], {"start": 0, "pairs": 1})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [
    {"split": "train3"}, {"n": 0}, {"seed": -1}, {"workers": 0}, {"effects": ["glow"]},
    {"hr_size": (0, 8)},
])
def test_bad_settings_write_nothing(tmp_path, wrong):
    with pytest.raises(ValueError, match="expected"):
        write_shards(**{"path": tmp_path / "x", "n": 1, "seed": 1} | wrong)
    assert not (tmp_path / "x").exists()
