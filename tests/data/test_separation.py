"""Training apart from tests: refused sets, left-out words, and what the profiles train on."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from kdltr.data import lmdb as stores
from kdltr.data import separation
from kdltr.data.hashes import data_hash
from kdltr.data.manifest import Entry, read_manifest
from kdltr.data.records import DataError
from kdltr.data.separation import check_split, training_sets, words_of_tests
from kdltr.generator.render_shards import write_shards

ROOT = Path(__file__).parents[2]
TESTS = [entry.path for entry in read_manifest().values() if entry.test]


def write(path, words):
    stores.write_words(path, [(np.full((4, 8, 3), 9 * i, np.uint8), word)
                              for i, word in enumerate(words)])
    return path


@pytest.fixture
def a_known_test(tmp_path, monkeypatch):
    """A set of the manifest's tests is that of the labels "to", "be"."""
    labels = data_hash(write(tmp_path / "known", ["to", "be"]))["labels"]
    entry = Entry("toy/easy", "words", "toy/easy", "https://example.org", samples=2,
                  labels=labels, test=True)
    monkeypatch.setattr(separation, "read_manifest", lambda: {"toy/easy": entry})
    separation.known_tests.cache_clear()
    yield
    separation.known_tests.cache_clear()


def test_a_run_knows_what_its_sets_hold(tmp_path, a_known_test):
    path = write(tmp_path / "mine", ["be", "to"])
    assert training_sets([path]) == {path.as_posix(): data_hash(path)}


def test_a_test_set_is_refused_by_its_labels_its_folder_and_its_making(tmp_path, a_known_test):
    (tmp_path / "renamed").mkdir()
    path = write(tmp_path / "renamed" / "train", ["to", "be"])
    with pytest.raises(DataError, match="the labels of toy/easy, a test set"):
        training_sets([path])
    with pytest.raises(DataError, match="found a test set"):
        training_sets([write(tmp_path / "test" / "mine", ["other"])])
    with pytest.raises(DataError, match="found a test set"):
        training_sets([tmp_path / "test" / "mine" / "data.mdb"])
    shards = write_shards(tmp_path / "shards", 2, seed=1, split="test/easy")
    with pytest.raises(DataError, match="found 'test/easy', a test split"):
        training_sets([shards])
    check_split("train1")


def test_every_test_set_of_the_manifest_is_marked():
    entries = read_manifest()
    assert {name for name, entry in entries.items() if entry.test} == {
        name for name, entry in entries.items()
        if entry.kind != "checkpoint" and not name.split("/")[-1].startswith("train")
        and not name.startswith("train/")}
    labels = [entry.labels for entry in entries.values() if entry.labels]
    assert len(set(labels)) == len(labels)


def test_listed_words_belong_to_known_training_sets():
    entries = read_manifest()
    for labels, indices in separation.listed().items():
        (entry,) = (entry for entry in entries.values() if entry.labels == labels)
        assert not entry.test and max(indices, default=0) < entry.samples
    assert words_of_tests("0" * 64) is None
    assert words_of_tests(entries["train/IC03"].labels) == set()  # compared, and shares none


def trained_on(value, key=""):
    """The sets that parameters of a run name to learn from."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name == "shards" and isinstance(item, dict):  # 01_data renders words to train on
                yield from item
            yield from trained_on(item, name)
    elif key in ("train_sets", "data", "words", "generated", "shards", "split"):
        yield from [value] if isinstance(value, str) else value if isinstance(value, list) else ()


def is_test(name):
    return "test" in Path(name).parts or any(name.endswith(path) for path in TESTS)


@pytest.mark.parametrize("file", sorted(ROOT.glob("params/*/*.yaml")),
                         ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_no_profile_trains_on_a_test_set(file):
    assert not [name for name in trained_on(yaml.safe_load(file.read_text())) if is_test(name)]


def test_a_profile_that_did_would_be_found():
    for planted in ({"train_sets": ["train1", "test/easy"]}, {"shards": {"test/easy": {}}},
                    {"recipe": {"words": ["benchmarks/SVT"]}},
                    {"training": {"shards": "data/x/test/easy"}},
                    {"training": {"words": ["data/textzoom/test/hard"]}}):
        assert any(is_test(name) for name in trained_on(planted))
