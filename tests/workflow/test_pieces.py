"""Files in pieces: whole whatever happens, small, and nothing else than what was put in."""

import json
import os

import pytest

from kdltr.workflow import pieces
from kdltr.workflow.pieces import LIST, PiecesError, join, split


@pytest.fixture
def files(tmp_path):
    """Files of 25, 10 and no bytes."""
    (tmp_path / "in").mkdir()
    contents = {"a/state.pt": bytes(range(25)), "a/best": bytes(range(50, 60)), "b/none": b""}
    found = {name: tmp_path / "in" / name.replace("/", "-") for name in contents}
    for name, file in found.items():
        file.write_bytes(contents[name])
    return found


def together(folder, target):
    join(folder, target)
    return {str(file.relative_to(target)): file.read_bytes()
            for file in target.rglob("*") if file.is_file()}


def contents(files):
    return {name: file.read_bytes() for name, file in files.items()}


def test_they_make_the_files_again_and_none_is_above_the_limit(files, tmp_path):
    folder = tmp_path / "pieces"
    split(files, folder, size=10)
    sizes = [file.stat().st_size for file in folder.glob("*.piece")]
    assert sorted(sizes) == [5, 10, 10, 10]
    assert together(folder, tmp_path / "out") == contents(files)


def test_what_is_old_goes_and_what_stays_is_not_written_again(files, tmp_path):
    folder = tmp_path / "pieces"
    split(files, folder, size=10)
    before = {file.name: file.stat().st_mtime_ns for file in folder.glob("*.piece")}
    files["a/state.pt"].write_bytes(bytes(range(20)) + b"other")
    split(files, folder, size=10)
    after = {file.name: file.stat().st_mtime_ns for file in folder.glob("*.piece")}
    assert len(after) == 4 and len(before.items() & after.items()) == 3
    assert together(folder, tmp_path / "out") == contents(files)


@pytest.mark.parametrize("written", range(6))
def test_killed_at_any_write_what_was_there_is_whole(files, tmp_path, monkeypatch, written):
    """The second set takes four writes, of which the list is the last."""
    folder, left = tmp_path / "pieces", [written]
    split(files, folder, size=10)
    first = contents(files)
    files["a/state.pt"].write_bytes(bytes(range(100, 118)))

    class Killed(Exception):
        pass

    replace = os.replace

    def replacing(*names):
        if not left[0]:
            raise Killed
        left[0] -= 1
        replace(*names)

    monkeypatch.setattr(os, "replace", replacing)
    try:
        split(files, folder, size=10)
    except Killed:
        assert written < 4
        monkeypatch.undo()
        assert together(folder, tmp_path / "out") == first
        split(files, folder, size=10)
    monkeypatch.undo()
    assert together(folder, tmp_path / "later") == contents(files)
    assert len([*folder.glob("*.piece")]) == 3


def test_a_damaged_or_missing_piece_is_named_and_nothing_is_made(files, tmp_path):
    folder = tmp_path / "pieces"
    split(files, folder, size=10)
    piece = sorted(folder.glob("*.piece"))[0]
    piece.write_bytes(b"x" + piece.read_bytes()[1:])
    with pytest.raises(PiecesError, match=f"{piece.name}: expected a piece, found a damaged"):
        join(folder, tmp_path / "out")
    split(files, folder, size=10)  # mended, where the files still are
    assert together(folder, tmp_path / "mended") == contents(files)
    piece.unlink()
    with pytest.raises(PiecesError, match="found none; copy"):
        join(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


OUTSIDE = json.dumps({"files": {"../x": 1}, "pieces": []})


@pytest.mark.parametrize("text", [None, "{", "[]", OUTSIDE])
def test_a_list_that_is_none_is_said(text, tmp_path):
    if text is not None:
        (tmp_path / LIST).write_text(text)
    with pytest.raises(PiecesError, match=r"pieces\.json: expected"):
        join(tmp_path, tmp_path / "out")


def test_the_usual_size_is_below_16_mib():
    assert pieces.SIZE < 16 << 20
