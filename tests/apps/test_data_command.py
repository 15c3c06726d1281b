"""`kdltr data`: verify, convert, generate, shards."""

import numpy as np
import pytest

from kdltr.apps.command import main
from kdltr.data.images import encode_png
from kdltr.data.lmdb import write_pairs, write_words
from kdltr.data.opening import open_data
from kdltr.generator.synthetic import generate

IMAGE = np.zeros((4, 8, 3), np.uint8)


def test_verify_prints_all_and_fails_for_one_that_is_named_and_not_there(tmp_path, capsys):
    root = ["--root", str(tmp_path)]
    assert main(["data", "verify", *root]) == 0
    out, err = capsys.readouterr()
    assert "textzoom/train1" in out and "missing" in out and not err
    assert main(["data", "verify", "textzoom", *root]) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 6 and len(err.splitlines()) == 5
    assert all(line.startswith("kdltr data verify: textzoom/") and "put it at" in line
               for line in err.splitlines())
    assert main(["data", "verify", "weights", *root]) == 0  # shipped
    assert main(["data", "verify", "textzom", *root]) == 2
    assert "did you mean 'textzoom" in capsys.readouterr().err


@pytest.mark.parametrize("paired", [True, False])
def test_convert_goes_both_ways_and_replaces_nothing(paired, tmp_path, capsys):
    lmdb, folder, back = (str(tmp_path / name) for name in ("lmdb", "folder", "back"))
    if paired:
        write_pairs(lmdb, [(IMAGE, IMAGE + 1, "a"), (IMAGE, IMAGE, "b")])
    else:
        write_words(lmdb, [(IMAGE, "a"), (IMAGE + 1, "b")])
    assert main(["data", "convert", lmdb, folder]) == 0
    assert main(["data", "convert", folder, back]) == 0
    assert capsys.readouterr().out.splitlines()[1] == f"{back}: 2 records"
    for first, second in zip(open_data(lmdb), open_data(back), strict=True):
        assert len(first) == 2 + paired and first[-1] == second[-1]
        np.testing.assert_array_equal(first[0], second[0])
    assert main(["data", "convert", lmdb, folder]) == 2
    assert "remove it or name another" in capsys.readouterr().err


class Label(bytes):
    """A label that is stored as it stands."""

    def encode(self, _):
        return self


@pytest.mark.parametrize(("size", "label"), [(30, b"b"), (None, b"caf\xe9")])
def test_convert_leaves_damaged_records_out_where_it_is_told(
    size, label, tmp_path, capsys, caplog
):
    lmdb, folder, back = (str(tmp_path / name) for name in ("lmdb", "folder", "back"))
    write_words(lmdb, [(IMAGE, "a"), (encode_png(IMAGE)[:size], Label(label)), (IMAGE + 1, "c")])
    assert main(["data", "convert", lmdb, folder]) == 2
    assert "out: kdltr data convert SOURCE TARGET --skip" in capsys.readouterr().err
    assert main(["data", "convert", lmdb, folder, "--skip"]) == 0
    (tmp_path / "folder" / "000000001.png").write_bytes(b"")
    assert main(["data", "convert", folder, back, "--skip"]) == 0
    assert [text.split(":")[0] for text in caplog.messages] == ["left out"] * 2
    assert [record.label for record in open_data(back)] == ["c"]


def test_generate_writes_the_pairs_of_seed_and_effects(tmp_path, capsys):
    arguments = ["--seed", "3", "--workers", "1", "--effects", "ink"]
    assert main(["data", "generate", str(tmp_path), "train1=2", "test/easy=1", *arguments]) == 0
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / name)
                                                    for name in ("train1", "test/easy")]
    expected = [word for _, _, word in generate("train1", 2, 3, effects=["ink"])]
    found = open_data(tmp_path / "train1")
    assert [found.label(i) for i in range(2)] == expected


@pytest.mark.parametrize(("sizes", "said"), [
    ("train1=2 train1=3", "expected each split once, found train1 twice"),
    ("train1", "expected SPLIT=PAIRS, as train1=2000, found 'train1'"),
    ("train1=many", "found 'train1=many'"),
    ("train3=5", "did you mean 'train"),
])
def test_sizes_that_are_wrong_are_said(sizes, said, tmp_path, capsys):
    assert main(["data", "generate", str(tmp_path / "x"), *sizes.split()]) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.splitlines()) == 1
    assert not (tmp_path / "x").exists()


def test_the_home_folder_is_meant_where_no_shell_expands_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "words").mkdir()
    assert main(["data", "convert", str(tmp_path), "~/words"]) == 2
    assert f"expected no {tmp_path / 'words'}, found one" in capsys.readouterr().err


def test_shards_are_written(tmp_path, capsys):
    arguments = ["--pairs", "3", "--size", "2", "--split", "test/hard", "--workers", "1"]
    assert main(["data", "shards", str(tmp_path / "s"), *arguments]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 's'}\n"
    found = open_data(tmp_path / "s")
    assert len(found) == 3 and found.settings["split"] == "test/hard"
