"""The manifest agrees with the published facts, and notices data that is not the right one."""

import csv
import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from kdltr.data import lmdb as stores
from kdltr.data import manifest
from kdltr.data.hashes import label_hash
from kdltr.data.manifest import DATA, Entry, ManifestError, locate, read_manifest, verify
from kdltr.data.records import DataError
from kdltr.models import rapidocr


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A manifest of a two-word data set and a checkpoint whose name states its hash."""
    image = np.zeros((4, 8, 3), np.uint8)
    stores.write_pairs(tmp_path / "train1", [(image, image, "a"), (image, image, "b")])
    (tmp_path / "model.pt").write_bytes(b"weights")
    prefix = hashlib.sha256(b"weights").hexdigest()[:8]
    entries = {
        "toy/train1": Entry("toy/train1", "pairs", "train1", "https://example.org", samples=2),
        "model": Entry("model", "checkpoint", "model.pt", "https://example.org",
                       sha256_prefix=prefix),
    }
    monkeypatch.setattr(manifest, "read_manifest", lambda: entries)
    return tmp_path


def test_counts_equal_the_published_ones():
    entries = read_manifest()
    with (DATA / "paper" / "datasets.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            name = f"textzoom/{row['split']}" if row["dataset"] == "TextZoom" else row["dataset"]
            name = {"IC13": "IC13_857", "IC15": "IC15_1811"}.get(name, name)
            assert entries[name].samples == int(row["samples"])
    assert (entries["IC13_1015"].samples, entries["IC15_2077"].samples) == (1015, 2077)


def test_no_invented_hash_and_every_source_is_given():
    entries = read_manifest()
    shipped = {name for name in entries if name.startswith("weights/")}
    in_a_wheel = {"ppocr"}  # whose releases do not change
    assert {name for name, entry in entries.items() if entry.sha256} == shipped | in_a_wheel
    assert entries["ppocr"].sha256 == rapidocr.SHA256[rapidocr.RECOGNISER]
    assert entries["ppocr"].path.endswith(rapidocr.RECOGNISER.rpartition("/")[2])
    assert entries["parseq"].sha256_prefix == "bb5792a6"
    assert entries["parseq"].sha256_prefix in entries["parseq"].path
    assert all(entry.source.startswith("https://") for name, entry in entries.items()
               if name not in shipped)


def test_the_shipped_weights_are_those_of_the_manifest(tmp_path):
    files = {f"weights/{path.stem}" for path in (manifest.DATA / "weights").glob("*.safetensors")}
    assert files == {name for name in read_manifest() if name.startswith("weights/")}
    (tmp_path / "weights").symlink_to(manifest.DATA / "weights")  # verified.json goes elsewhere
    for name in files:
        assert verify(name, tmp_path).path.with_suffix(".card.json").is_file()


def test_readme_names_every_entry():
    text = (DATA / "README.md").read_text(encoding="utf-8")
    missing = [entry.path for entry in read_manifest().values() if entry.path not in text]
    assert missing == []


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(KeyError, match=r"found 'textzoom/train_1'; did you mean 'textzoom/train1'"):
        locate("textzoom/train_1")


def test_the_table_is_of_the_names_wanted_in_their_order(toy):
    found = [(row["name"], row["state"]) for row in manifest.table(toy, ["model", "toy/train1"])]
    assert found == [("model", "present"), ("toy/train1", "present")]
    (toy / "model.pt").unlink()
    assert [row["state"] for row in manifest.table(toy, ["model"])] == ["missing"]
    with pytest.raises(KeyError, match="found 'SVT'"):
        manifest.table(toy, ["SVT"])


def test_other_labels_than_the_published_are_said(toy, monkeypatch, caplog):
    known = replace(manifest.read_manifest()["toy/train1"], labels=label_hash(["a", "b"]))
    entries = {"toy/train1": known}
    monkeypatch.setattr(manifest, "read_manifest", lambda: entries)
    verify("toy/train1", toy)
    assert not caplog.text
    entries["toy/train1"] = replace(known, labels=label_hash(["b", "a"]))
    assert verify("toy/train1", toy).samples == 2
    assert "toy/train1: expected labels with sha256" in caplog.text


def test_group_stands_for_its_members():
    assert len(manifest.members("textzoom")) == 5 and manifest.members("SVT") == ["SVT"]
    with pytest.raises(KeyError, match="did you mean"):
        manifest.members("textzom")


def test_verify_counts_hashes_and_records(toy):
    found = verify("toy/train1", toy)
    content = (toy / "train1" / "data.mdb").read_bytes()
    assert found.samples == 2 and found.sha256 == hashlib.sha256(content).hexdigest()
    assert verify("model", toy).samples is None
    recorded = json.loads((toy / "verified.json").read_text())
    assert recorded["toy/train1"]["sha256"] == found.sha256 and set(recorded) == {
        "toy/train1", "model"}
    assert verify("toy/train1", toy, rehash=True) == found


def test_missing_says_where_from_and_where_to(toy):
    (toy / "model.pt").unlink()
    with pytest.raises(ManifestError, match=r"model\.pt.*from https://example.org and put it at"):
        verify("model", toy)


def test_wrong_count(toy):
    image = np.zeros((4, 8, 3), np.uint8)
    stores.write_pairs(toy / "train1", [(image, image, "a")])
    with pytest.raises(ManifestError, match=r"expected 2 samples in .*train1, found 1"):
        verify("toy/train1", toy)


def test_damaged_data(toy):
    (toy / "train1" / "data.mdb").write_bytes(b"x" * 9000)
    with pytest.raises(ManifestError, match=r"toy/train1: .*data\.mdb") as caught:
        verify("toy/train1", toy)
    assert caught.value.state == "damaged"


def test_a_damaged_label_is_a_row_of_the_table(toy):
    with stores.lmdb.open(str(toy / "train1")) as environment, environment.begin(write=True) as one:
        one.put(b"label-000000002", b"\xff\xfe")
    assert [row["state"] for row in manifest.table(toy, ["toy/train1"])] == ["damaged"]


@pytest.mark.parametrize("text", ["name: other\n", "- one\n", "", "entries: [a]\n"])
def test_another_manifest_is_none_of_kdltr(text, tmp_path):
    (tmp_path / "manifest.yaml").write_text(text)
    with pytest.raises(DataError, match="expected kdltr's manifest, with entries"):
        read_manifest(tmp_path / "manifest.yaml")


def test_other_file_than_its_name_says(toy):
    (toy / "model.pt").write_bytes(b"other")
    with pytest.raises(ManifestError, match=r"expected sha256 .* \(according to its name\)"):
        verify("model", toy)


def test_a_damaged_record_is_said(toy):
    (toy / "verified.json").write_text('{"a": {},}')
    with pytest.raises(ManifestError, match=r"verified\.json: expected JSON as kdltr wrote it"):
        verify("toy/train1", toy)


def test_change_after_first_use(toy):
    verify("toy/train1", toy)
    image = np.ones((4, 8, 3), np.uint8)
    stores.write_pairs(toy / "train1", [(image, image, "a"), (image, image, "b")])
    with pytest.raises(ManifestError, match=r"first use was recorded.*verified\.json"):
        verify("toy/train1", toy)


def test_what_kdltr_ships_is_found_where_it_ships_it(tmp_path):
    assert verify("weights/parseq_nano", tmp_path).path == manifest.shipped(
        "weights/parseq_nano.safetensors")
    assert not list(tmp_path.iterdir())  # its sha256 is known: there is nothing to record
