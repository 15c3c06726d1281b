"""IAM is read in the layout in which it is handed out."""

import numpy as np
import pytest

from kdltr.charset import IAM79
from kdltr.data.iam import BLANKS, IamLines
from kdltr.data.images import encode_png
from kdltr.data.manifest import ManifestError, read_manifest, verify
from kdltr.data.records import DataError, RecordError

TEXT = """#--- lines.txt ---------------------------------------------------------------#
#
a01-000u-00 ok 154 19 408 746 1661 89 A|MOVE|to|stop
a01-000u-01 err 156 23 430 1290 1883 70 M Ps|tomorrow|.
a01-003-00 ok 176 31 325 896 1807 139 he|said|:|"|#|"
"""


@pytest.fixture
def iam(tmp_path):
    (tmp_path / "lines.txt").write_text(TEXT)
    for i, name in enumerate(("a01-000u-00", "a01-000u-01", "a01-003-00")):
        file = tmp_path / "lines" / "a01" / name[:-3] / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encode_png(np.full((20, 60 + i, 3), 255, np.uint8)))
    (tmp_path / "train.txt").write_text("a01-000u\r\n")
    (tmp_path / "test.txt").write_text("a01-003\n")
    return tmp_path


def test_all_lines_in_the_order_of_the_file(iam):
    lines = IamLines(iam)
    assert len(lines) == 3
    assert lines[2].image.shape == (20, 62, 3) and lines[2].label == 'he|said|:|"|#|"'
    assert lines.encoded(0).image == lines.file(0).read_bytes()
    IAM79.encode([lines.label(i) for i in range(3)])


def test_the_lines_of_a_split(iam):
    train, test = IamLines(iam / "train.txt"), IamLines(iam / "test.txt")
    assert [line.name for line in train.lines] == ["a01-000u-00", "a01-000u-01"]
    assert [test.label(0), len(test)] == ['he|said|:|"|#|"', 1]
    (iam / "test.txt").write_text("a01-003\nz99-000\n")
    with pytest.raises(DataError, match="has lines of, one a line, found 'z99-000'"):
        IamLines(iam / "test.txt")


@pytest.mark.parametrize(
    ("blanks", "label"),
    [("joined", "MPs|tomorrow|."), ("kept", "M Ps|tomorrow|."), ("published", "Ps|tomorrow|.")],
)
def test_a_blank_within_a_label(iam, blanks, label):
    assert IamLines(iam, blanks).label(1) == label


def test_of_several_blanks_the_published_code_keeps_what_follows_the_last():
    assert BLANKS["published"]("A B C|d") == "C|d"


def test_what_cannot_be_read(iam):
    with pytest.raises(DataError, match="blanks must be one of kept, joined, published"):
        IamLines(iam, "lost")
    IamLines(iam).file(0).write_bytes(b"no picture")
    with pytest.raises(RecordError, match="record 0"):
        IamLines(iam)[0]
    IamLines(iam).file(0).unlink()
    with pytest.raises(RecordError, match=r"unpack lines\.tgz"):
        IamLines(iam).encoded(0)
    (iam / "lines.txt").write_text("a01-000u-00 ok 154 19 408 746 1661 89\n")
    with pytest.raises(DataError, match="line 1: expected an id, ok or err, six numbers"):
        IamLines(iam)
    with pytest.raises(DataError, match="expected a file of IAM, found: no such file"):
        IamLines(iam / "elsewhere" / "train.txt")


def test_the_manifest_counts_the_lines_of_a_split(iam, monkeypatch):
    entries = read_manifest()
    assert (entries["iam/train"].samples, entries["iam/test"].samples) == (6482, 2915)
    assert entries["iam/test"].test and not entries["iam/train"].test
    (iam / "iam").mkdir()
    for name in ("lines.txt", "train.txt"):
        (iam / name).rename(iam / "iam" / name)
    with pytest.raises(ManifestError, match="expected 6482 samples .* found 2"):
        verify("iam/train", iam)
