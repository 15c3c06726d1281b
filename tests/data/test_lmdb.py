"""LMDB layouts: round trips, and a clear error for each way a file can be wrong."""

import errno
import multiprocessing
import os
import pickle
import unicodedata
from pathlib import Path

import lmdb
import numpy as np
import pytest
import torch

from kdltr.data import environments, opening
from kdltr.data import lmdb as stores
from kdltr.data.folder import PairFolder, write_folder
from kdltr.data.images import encode_png
from kdltr.data.records import DataError, Pair, RecordError, Word

REAL = Path(__file__).parents[2].parent / "shared" / "real"


def pairs(count=3, seed=0):
    rng = np.random.default_rng(seed)
    images = [rng.integers(0, 256, (8 + i, 20, 3), dtype=np.uint8) for i in range(count)]
    return [Pair(image, image[::2, ::2].copy(), f"wörd-{i}") for i, image in enumerate(images)]


@pytest.fixture
def store(tmp_path):
    stores.write_pairs(tmp_path / "train1", pairs())
    return tmp_path / "train1"


def put(path, **values):
    """Write raw keys, as a damaged or foreign file would have them."""
    environments.close(path)
    with lmdb.open(str(path), lock=False) as handle, handle.begin(write=True) as transaction:
        for key, value in values.items():
            name = key.replace("_000", "-000").replace("num_", "num-").encode()
            if value is None:
                transaction.delete(name)
            else:
                transaction.put(name, value)
    return path


def test_pairs_round_trip(store):
    read = stores.PairedWords(store)
    assert len(read) == 3
    for found, expected in zip(read, pairs(), strict=True):
        np.testing.assert_array_equal(found.hr, expected.hr)
        np.testing.assert_array_equal(found.lr, expected.lr)
        assert found.label == expected.label
    assert read[-1].label == read.label(2) == "wörd-2"
    with pytest.raises(IndexError, match="below 3, found 3"):
        read[3]


def test_keys_are_those_of_textzoom(store):
    with lmdb.open(str(store), readonly=True, lock=False) as handle, handle.begin() as transaction:
        keys = [bytes(key).decode() for key in transaction.cursor().iternext(values=False)]
    assert keys == [f"{kind}-{i:09d}" for kind in ("image_hr", "image_lr", "label")
                    for i in (1, 2, 3)] + ["num-samples"]


def test_words_round_trip_and_empty_label(tmp_path):
    image = pairs()[0].hr
    assert stores.write_words(tmp_path / "SVT", [(image, "a"), (encode_png(image), "")]) == 2
    read = stores.Words(tmp_path / "SVT")
    np.testing.assert_array_equal(read[1].image, image)
    assert [word.label for word in read] == ["a", ""]


def test_writing_again_gives_the_same_bytes_and_is_seen_by_readers(tmp_path, store):
    first = (store / "data.mdb").read_bytes()
    read = stores.PairedWords(store)
    assert read[0].label == "wörd-0"
    stores.write_pairs(store, pairs())
    assert (store / "data.mdb").read_bytes() == first
    stores.write_pairs(store, [pair._replace(label="new") for pair in pairs(2)])
    assert [pair.label for pair in stores.PairedWords(store)] == ["new", "new"]
    assert read[0].label == "new"


def test_map_grows(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "_FIRST_MAP_SIZE", 1 << 16)
    image = np.random.default_rng(0).integers(0, 256, (64, 256, 3), dtype=np.uint8)
    assert stores.write_words(tmp_path / "big", [(image, "a")] * 20) == 20
    assert len(stores.Words(tmp_path / "big")) == 20


def test_failure_while_writing_keeps_the_old_data(store):
    def records():
        yield pairs()[0]
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        stores.write_pairs(store, records())
    assert len(stores.PairedWords(store)) == 3
    assert [path.name for path in store.parent.iterdir()] == ["train1"]


def test_nothing_to_write_is_refused(tmp_path):
    with pytest.raises(DataError, match="at least one record"):
        stores.write_pairs(tmp_path / "train1", [])


def test_missing_path(tmp_path):
    with pytest.raises(DataError, match=r"absent: expected an LMDB, found nothing.*README"):
        stores.PairedWords(tmp_path / "absent")


def test_empty_folder_and_empty_file(tmp_path):
    with pytest.raises(DataError, match=r"without data\.mdb"):
        stores.PairedWords(tmp_path)
    (tmp_path / "data.mdb").touch()
    with pytest.raises(DataError, match="found an empty file"):
        stores.PairedWords(tmp_path)


def test_no_lmdb_and_cut_short(tmp_path, store):
    (tmp_path / "data.mdb").write_bytes(b"x" * 10_000)
    with pytest.raises(DataError, match="expected an LMDB, found something else"):
        len(stores.PairedWords(tmp_path))
    stores.write_pairs(store, pairs(40))
    content = (store / "data.mdb").read_bytes()
    (store / "data.mdb").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="cut short"):
        len(stores.PairedWords(store))


def test_without_num_samples(store):
    with pytest.raises(DataError, match="expected the key 'num-samples', found none"):
        len(stores.PairedWords(put(store, num_samples=None)))


@pytest.mark.parametrize("value", [b"0", b"many", b"-1"])
def test_wrong_num_samples(store, value):
    with pytest.raises(DataError, match="positive number under 'num-samples'"):
        len(stores.PairedWords(put(store, num_samples=value)))


def test_num_samples_may_end_with_a_line(store):
    assert len(stores.PairedWords(put(store, num_samples=b"3\n"))) == 3


def test_missing_key_names_file_index_and_key(store):
    read = stores.PairedWords(put(store, image_lr_000000002=None))
    with pytest.raises(RecordError, match=r"train1, record 1: .*'image_lr-000000002', found none"):
        read[1]
    assert read[0].label == "wörd-0"


def test_other_layout_is_recognisable_in_the_error(tmp_path):
    stores.write_words(tmp_path / "SVT", [(pairs()[0].hr, "a")])
    with pytest.raises(RecordError, match=r"first key is 'image-000000001'.*PairedWords"):
        stores.PairedWords(tmp_path / "SVT")[0]


def test_truncated_image_names_file_index_and_key(store):
    half = encode_png(pairs()[2].hr)[:100]
    with pytest.raises(RecordError, match=r"train1, record 2, key 'image_hr-000000003'.*cut short"):
        stores.PairedWords(put(store, image_hr_000000003=half))[2]


def test_label_that_is_not_utf8(store):
    with pytest.raises(RecordError, match=r"record 0, key 'label-000000001': expected UTF-8"):
        stores.PairedWords(put(store, label_000000001=b"caf\xe9"))[0]


def test_opened_twice_shares_one_handle(store):
    first, second = stores.PairedWords(store), stores.PairedWords(str(store) + "/.")
    assert first[0].label == second[0].label
    assert environments.environment(store) is environments.environment(f"{store}/.")


def test_opened_by_other_code_is_a_clear_error(store):
    environments.close(store)
    caught = pytest.raises(DataError, match=r"opened by other code; close that lmdb.Environment")
    with lmdb.open(str(store), readonly=True, lock=False), caught:
        len(stores.PairedWords(store))
    assert len(stores.PairedWords(store)) == 3


def _label(dataset, index):
    return dataset[index].label


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_in_a_worker_process(store, method):
    read = stores.PairedWords(store)
    assert read[0].label == "wörd-0"  # the parent's handle is open when the worker starts
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(_label, (read, 1)) == "wörd-1"
    assert read[2].label == "wörd-2"  # and still works afterwards


def test_in_forked_torch_loader_workers(store):
    read = stores.PairedWords(store)
    assert len(read) == 3
    loader = torch.utils.data.DataLoader(
        read, batch_size=None, num_workers=2, multiprocessing_context="fork",
        collate_fn=lambda pair: pair.label)
    assert list(loader) == ["wörd-0", "wörd-1", "wörd-2"]


def test_pickle_holds_the_path_alone(store):
    read = stores.PairedWords(store)
    read[0]
    content = pickle.dumps(read)
    assert len(content) < 200 + len(str(store))
    assert pickle.loads(content)[1].label == "wörd-1"


def test_folder_and_lmdb_convert_both_ways(tmp_path, store):
    assert opening.lmdb_to_folder(store, tmp_path / "folder") == 3
    folder = opening.open_pairs(tmp_path / "folder")
    assert isinstance(folder, PairFolder) and len(folder) == 3
    assert opening.folder_to_lmdb(tmp_path / "folder", tmp_path / "again") == 3
    for found, expected in zip(opening.open_pairs(tmp_path / "again"), pairs(), strict=True):
        np.testing.assert_array_equal(found.hr, expected.hr)
        np.testing.assert_array_equal(found.lr, expected.lr)
        assert found.label == expected.label


def test_words_convert_both_ways(tmp_path):
    stores.write_words(tmp_path / "SVT", [(pair.hr, pair.label) for pair in pairs()])
    opening.lmdb_to_folder(tmp_path / "SVT", tmp_path / "folder")
    assert [word.label for word in opening.open_words(tmp_path / "folder")] == [
        "wörd-0", "wörd-1", "wörd-2"]
    opening.folder_to_lmdb(tmp_path / "folder", tmp_path / "again")
    np.testing.assert_array_equal(stores.Words(tmp_path / "again")[2].image, pairs()[2].hr)


@pytest.mark.parametrize("content, message", [
    (b"name\tword\na\tb\n", "header with the tab-separated columns name and label"),
    (b"name\tlabel\na\n", "line 2: expected 2 tab-separated cells, found 1"),
    (b"name\tlabel\n", "at least one label"),
    (b"name\tlabel\na\tcaf\xe9\n", "expected UTF-8"),
])
def test_wrong_labels_file(tmp_path, content, message):
    (tmp_path / "labels.tsv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        opening.open_pairs(tmp_path)


def test_folder_names_a_missing_image_and_keeps_quotes_and_subsets(tmp_path):
    (tmp_path / "labels.tsv").write_text('name\tsubset\tlabel\na\teasy\t"x"\n\nb\thard\t\n')
    folder = opening.open_pairs(tmp_path)
    assert folder.labels == ['"x"', ""] and folder.subsets == ["easy", "hard"]
    with pytest.raises(RecordError, match=r"record 0: .*a\.hr\.png"):
        folder[0]
    with pytest.raises(RecordError, match=r"record 1: expected the image .*b\.hr\.png"):
        folder.encoded(1)


@pytest.mark.skipif(not REAL.is_dir(), reason="no ../shared/real beside the repository")
def test_real_photographs():
    folder = opening.open_pairs(REAL / "textzoom-figures")
    assert len(folder) == 16 and set(folder.subsets) >= {"easy", "medium", "hard"}
    assert {(pair.hr.shape, pair.lr.shape) for pair in folder} == {((32, 128, 3), (16, 64, 3))}
    words = opening.open_words(REAL / "words")
    assert len(words) == 20 and all(word.image.ndim == 3 for word in words)


def test_one_file_by_several_paths_is_opened_once(tmp_path):
    image = np.zeros((8, 20, 3), np.uint8)
    stores.write_words(tmp_path / "a", [(image, "first")])
    (tmp_path / "link").symlink_to(tmp_path / "a")
    os.link(tmp_path / "a" / "data.mdb", tmp_path / "hard.mdb")
    paths = [tmp_path / "a", tmp_path / "a" / "data.mdb", tmp_path / "link", tmp_path / "hard.mdb"]
    opened = [stores.Words(path) for path in paths]
    assert [words[0].label for words in opened + opened[::-1]] == ["first"] * 8


def test_a_data_set_renamed_or_replaced_while_it_is_open_is_read_anew(tmp_path):
    image = np.zeros((8, 20, 3), np.uint8)
    stores.write_words(tmp_path / "a", [(image, "first")])
    before = stores.Words(tmp_path / "a")
    assert before[0].label == "first"
    (tmp_path / "a").rename(tmp_path / "b")
    assert stores.Words(tmp_path / "b")[0].label == "first"
    stores.write_words(tmp_path / "a", [(image, "second")])
    found = [stores.Words(tmp_path / name)[0].label for name in ("a", "b", "a")]
    assert found == ["second", "first", "second"]


def test_home_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    stores.write_words("~/made/words", [(np.zeros((8, 20, 3), np.uint8), "one")])
    assert (tmp_path / "made/words/data.mdb").is_file()
    assert stores.Words.holds("~/made/words")
    assert opening.open_words("~/made/words")[0].label == "one"


def test_names_that_look_the_same_are_the_same(tmp_path):
    name = "caf\u00e9-\ud55c.png"
    (tmp_path / unicodedata.normalize("NFD", name)).write_bytes(
        encode_png(np.zeros((8, 20, 3), np.uint8)))
    (tmp_path / "labels.tsv").write_text(f"name\tlabel\n{name}\tcafe\nmiss\u00e9.png\tx\n",
                                         encoding="utf-8")
    assert opening.open_words(tmp_path)[0].label == "cafe"
    with pytest.raises(RecordError, match="miss\u00e9.png"):
        opening.open_words(tmp_path)[1]


@pytest.mark.parametrize("number", [b"1000000000", b"9" * 30])
def test_more_records_than_there_is_room_for_are_not_counted(store, number):
    put(store, num_samples=number)
    with pytest.raises(DataError, match=r"at most 10 under 'num-samples'.*found [19]"):
        len(stores.PairedWords(store))


def test_damaged_parts_within_are_said(store):
    environments.close(store)
    file = store / "data.mdb"
    content = file.read_bytes()
    file.write_bytes(content[:8192] + bytes(len(content) - 8192))  # all but the two first pages
    with pytest.raises(DataError, match="expected an intact LMDB.*get the file again"):
        len(stores.PairedWords(store))
    with pytest.raises(DataError, match="expected an intact LMDB"):
        opening.open_data(store)


def test_single_words_are_no_pairs_and_the_message_says_so(tmp_path):
    write_folder(tmp_path, [Word(np.zeros((8, 9, 3), np.uint8), "a")])
    with pytest.raises(DataError, match=r"expected pairs.*found single words; give these where"):
        opening.open_pairs(tmp_path)
