"""Which published data and checkpoints kdltr knows, and whether yours are the right ones.

`data/manifest.yaml` lists them. `verify(name)` compares what lies on this disk with it, as does
`kdltr data verify NAME`; without a name it prints a table of all.
"""

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from kdltr.data.environments import data_file
from kdltr.data.hashes import label_hash
from kdltr.data.iam import IamLines
from kdltr.data.lmdb import PairedWords, Words
from kdltr.data.records import DataError
from kdltr.files import repository_root, shipped, write_json
from kdltr.messages import nearest

log = logging.getLogger(__name__)
VERIFIED = "verified.json"  # git-ignored: sha256 of what this machine has, by name
_LAYOUTS = {"pairs": PairedWords, "words": Words, "iam": IamLines}


def _data() -> Path:
    """`data` of the checkout, or of the working directory where there is none."""
    try:
        return repository_root() / "data"
    except FileNotFoundError:
        return Path("data")


DATA = _data()  # where notebooks and workflow look for it too


class ManifestError(DataError):
    """A data set or checkpoint that is missing or is not the published one."""

    def __init__(self, message: str, state: str):
        super().__init__(message)
        self.state = state  # "missing", "wrong count", "wrong sha256" or "damaged"


@dataclass(frozen=True)
class Entry:
    """One line of the manifest; `path` is relative to the data folder."""

    name: str
    kind: str
    path: str
    source: str
    samples: int | None = None
    sha256: str | None = None
    sha256_prefix: str | None = None
    labels: str | None = None
    test: bool = False
    licence: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class Verified:
    """What `verify` found: the count (None for a checkpoint) and the sha256 of the file."""

    name: str
    path: Path
    samples: int | None
    sha256: str


def read_manifest(file: str | os.PathLike | None = None) -> dict[str, Entry]:
    """The manifest's entries by name.

    Args:
        file: the manifest; the one in `DATA` if None, or the shipped one if there is none.

    Raises:
        DataError: it is no manifest of kdltr, or has an unknown key or kind.
    """
    if file is None:
        own = DATA / "manifest.yaml"
        file = own if own.is_file() else shipped("manifest.yaml")
    known = {field.name for field in fields(Entry)}
    entries, content = {}, yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not isinstance(content.get("entries"), dict):
        raise DataError(f"{file}: expected kdltr's manifest, with entries, found another file of "
                        "that name; work in another folder, or set KDLTR_ROOT to one")
    for name, values in content["entries"].items():
        unknown = set(values) - known
        if unknown or values.get("kind") not in (*_LAYOUTS, "checkpoint"):
            raise DataError(f"{file}, entry {name!r}: expected the keys {sorted(known)} and kind "
                            f"{', '.join(_LAYOUTS)} or checkpoint, found {values}; correct the "
                            "entry")
        entries[name] = Entry(name=name, **values)
    return entries


def members(name: str) -> list[str]:
    """The entries that `name` stands for: itself, or a group ("textzoom" for "textzoom/…").

    Raises:
        KeyError: neither an entry nor a group.
    """
    group = [entry for entry in read_manifest() if entry.startswith(f"{name}/")]
    return group or [_entry(name).name]


def locate(name: str, root: str | os.PathLike = DATA) -> Path:
    """Where the data set or checkpoint `name` belongs; nothing is checked.

    Weights that kdltr ships are where it ships them, unless `root` has them too.

    Raises:
        KeyError: no such name; the message suggests the nearest ones.
    """
    path = _entry(name).path
    place = Path(root) / path
    return shipped(path) if path.startswith("weights/") and not place.exists() else place


def verify(name: str, root: str | os.PathLike = DATA, rehash: bool = False) -> Verified:
    """Check that `name` is there, complete and the published one.

    A sha256 that the manifest does not know is recorded at first use in `root`/verified.json and
    must stay the same. An unchanged file (size and time) is not hashed again.

    Args:
        name: of the manifest, for example "textzoom/train1" or "parseq".
        root: the data folder.
        rehash: hash the file even if it looks unchanged.

    Raises:
        KeyError: no such name.
        ManifestError: missing, another count, another sha256, or damaged.
    """
    entry, path = _entry(name), locate(name, root)
    if not path.exists():
        raise ManifestError(f"{name}: expected {path}, found nothing there; get it from "
                            f"{entry.source} and put it at {path}", "missing")
    if entry.kind == "checkpoint" and not path.is_file():
        raise ManifestError(f"{name}: expected the file {path}, found a folder; get it from "
                            f"{entry.source}", "damaged")
    samples = None
    if entry.kind != "checkpoint":
        samples = _count(entry, path)
        _compare_labels(entry, path)
    file = path if entry.kind == "checkpoint" else data_file(path)
    digest, recorded = _digest(name, file, Path(root) / VERIFIED, rehash)
    for expected, said_by in ((entry.sha256, "the manifest"), (entry.sha256_prefix, "its name"),
                              (recorded, f"{VERIFIED}, where its first use was recorded")):
        if expected and not digest.startswith(expected):
            raise ManifestError(
                f"{name}: expected sha256 {expected}… of {file} (according to {said_by}), found "
                f"{digest}; get it again from {entry.source}, or, if you replaced it on purpose, "
                f"delete its lines from {Path(root) / VERIFIED}", "wrong sha256")
    if recorded is None and not entry.sha256:
        _record(name, file, digest, Path(root) / VERIFIED)
    return Verified(name, path, samples, digest)


def table(
    root: str | os.PathLike = DATA, names: Sequence[str] | None = None
) -> list[dict[str, str]]:
    """One row for each entry: name, kind, state, expected count, path, source, licence.

    Args:
        root: the data folder.
        names: of the entries wanted, in this order; all of them if None.

    Raises:
        KeyError: no such name.
    """
    entries = read_manifest().values() if names is None else [_entry(name) for name in names]
    rows = []
    for entry in entries:
        try:
            verify(entry.name, root)
            state = "present"
        except ManifestError as error:
            state = error.state
        rows.append({"name": entry.name, "kind": entry.kind, "state": state,
                     "samples": str(entry.samples or ""), "path": entry.path,
                     "source": entry.source, "licence": entry.licence or "not stated"})
    return rows


def _entry(name: str) -> Entry:
    entries = read_manifest()
    if name not in entries:
        raise KeyError(f"expected a name of data/manifest.yaml, found {name!r}"
                       f"{nearest(name, entries)}")
    return entries[name]


def _count(entry: Entry, path: Path) -> int:
    try:
        samples = len(_LAYOUTS[entry.kind](path))
    except DataError as error:
        raise ManifestError(f"{entry.name}: {error} (source: {entry.source})", "damaged") from error
    if samples != entry.samples:
        raise ManifestError(
            f"{entry.name}: expected {entry.samples} samples in {path}, found {samples}; this is "
            f"another variant or an incomplete copy: get it from {entry.source}", "wrong count")
    return samples


def _compare_labels(entry: Entry, path: Path) -> None:
    """Warn if the labels are not those that the manifest knows: another order, or mended ones."""
    dataset = _LAYOUTS[entry.kind](path)
    try:
        found = label_hash(dataset.label(index) for index in range(len(dataset)))
    except DataError as error:
        raise ManifestError(f"{entry.name}: {error} (source: {entry.source})", "damaged") from error
    if entry.labels and found != entry.labels:
        log.warning("%s: expected labels with sha256 %s, found %s: as many, but others or in "
                    "another order; accuracies may not be comparable", entry.name, entry.labels,
                    found)


def _digest(name: str, file: Path, record: Path, rehash: bool) -> tuple[str, str | None]:
    """The file's sha256, and the one recorded at its first use (None if this is it)."""
    known = _recorded(record).get(name, {})
    status = file.stat()
    same = (known.get("size"), known.get("mtime_ns")) == (status.st_size, status.st_mtime_ns)
    if same and not rehash:
        return known["sha256"], known["sha256"]
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest(), known.get("sha256")


def _recorded(record: Path) -> dict[str, dict]:
    try:
        return json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    except ValueError as error:
        raise ManifestError(f"{record}: expected JSON as kdltr wrote it, found other text "
                            f"({error}); mend it, or delete it to record all files anew",
                            "damaged") from None


def _record(name: str, file: Path, digest: str, record: Path) -> None:
    status = file.stat()
    entry = {"sha256": digest, "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    try:
        write_json(record, {**_recorded(record), name: entry})
    except OSError as error:
        log.warning("%s: sha256 %s could not be recorded in %s: %s", name, digest, record, error)
