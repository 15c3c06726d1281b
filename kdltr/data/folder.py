"""Word images in a folder with a labels.tsv, for looking at and for small collections.

`labels.tsv` is UTF-8, tab-separated, without quoting, with a header that names at least the
columns `name` and `label`; a column `subset` is kept. In a folder of pairs, `name` stands for
`name.hr.png` and `name.lr.png`; in a folder of words it is the file's name.
"""

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from kdltr.data.images import encode_png, read_image
from kdltr.data.records import (
    DataError,
    EncodedPair,
    EncodedWord,
    ImageError,
    Pair,
    RecordError,
    Word,
)
from kdltr.files import atomic_path, place

LABELS = "labels.tsv"


def is_folder(path: str | os.PathLike) -> bool:
    """Whether `path` is a folder of images with labels (else it is taken for an LMDB)."""
    return (place(path) / LABELS).is_file()


class _Folder:
    suffixes: tuple[str, ...]

    def __init__(self, path: str | os.PathLike):
        self.path = place(path)
        rows = _read_labels(self.path / LABELS)
        self.names = [row["name"] for row in rows]
        self.labels = [row["label"] for row in rows]
        self.subsets = [row.get("subset", "") for row in rows]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def __len__(self) -> int:
        return len(self.names)

    def label(self, index: int) -> str:
        """The label of record `index`."""
        return self.labels[index]

    def files(self, index: int) -> list[Path]:
        """The image files of record `index`."""
        return [_spelt(self.path / f"{self.names[index]}{suffix}") for suffix in self.suffixes]

    def _bytes(self, index: int) -> list[bytes]:
        try:
            return [file.read_bytes() for file in self.files(index)]
        except OSError as error:
            raise RecordError(f"{self.path / LABELS}, record {index}: expected the image "
                              f"{error.filename}, found: {error.strerror.lower()}; add the file "
                              "or remove the line") from error

    def _decoded(self, index: int) -> tuple:
        try:
            return (*map(read_image, self.files(index)), self.labels[index])
        except ImageError as error:
            raise RecordError(f"{self.path / LABELS}, record {index}: {error}") from error


class PairFolder(_Folder):
    """Pairs `name.hr.png`, `name.lr.png`: `len(self)`, `self[i]` is a `Pair`, `self.subsets[i]`.

    Raises:
        DataError: no labels.tsv, a missing column, no rows.
        RecordError: (from `self[i]`) an image is missing or damaged.
    """

    suffixes = (".hr.png", ".lr.png")

    @staticmethod
    def holds(path: str | os.PathLike) -> bool:
        """Whether the folder at `path` holds pairs rather than single words."""
        return any(place(path).glob("*.hr.png"))

    def __getitem__(self, index: int) -> Pair:
        return Pair(*self._decoded(index))

    def encoded(self, index: int) -> EncodedPair:
        """Record `index` as stored: two image files as bytes, and the label."""
        return EncodedPair(*self._bytes(index), self.labels[index])


class WordFolder(_Folder):
    """Single word images: `len(self)`, `self[i]` is a `Word`; otherwise as `PairFolder`."""

    suffixes = ("",)

    def __getitem__(self, index: int) -> Word:
        return Word(*self._decoded(index))

    def encoded(self, index: int) -> EncodedWord:
        """Record `index` as stored: the image file as bytes, and the label."""
        return EncodedWord(*self._bytes(index), self.labels[index])


def write_folder(path: str | os.PathLike, records: Iterable[Pair | Word]) -> int:
    """Write pairs or words as PNG files with a labels.tsv; the count is returned.

    Raises:
        RecordError: a label holds a tab or a line break, which labels.tsv cannot.
    """
    lines = ["name\tlabel"]
    with atomic_path(path) as temporary:
        temporary.mkdir()
        for index, (*images, label) in enumerate(records):
            if label.splitlines() not in ([label], []) or "\t" in label:
                raise RecordError(f"{path}, record {index}: expected a label of one line without "
                                  f"tabs, found {label!r}; keep this data set as an LMDB")
            stem = f"{index + 1:09d}"
            names = [f"{stem}.hr.png", f"{stem}.lr.png"] if len(images) == 2 else [f"{stem}.png"]
            for name, image in zip(names, images, strict=True):
                (temporary / name).write_bytes(encode_png(image))
            lines.append(f"{stem if len(images) == 2 else names[0]}\t{label}")
        (temporary / LABELS).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return len(lines) - 1


def _spelt(file: Path) -> Path:
    """The file, or one whose name looks the same: "é" is one character, or two (macOS)."""
    if file.name.isascii() or file.exists():
        return file
    wanted = unicodedata.normalize("NFC", file.name)
    return next((other for other in file.parent.glob("*")
                 if unicodedata.normalize("NFC", other.name) == wanted), file)


def _read_labels(file: Path) -> list[dict[str, str]]:
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{file}: expected a file of labels, found: {error.strerror.lower()}; see "
                        "data/README.md for the layout") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: expected UTF-8, found {error.object[error.start:][:20]!r} at "
                        f"byte {error.start}; save the file as UTF-8") from error
    lines = text.split("\n")
    header = lines[0].rstrip("\r").split("\t")
    missing = {"name", "label"} - set(header)
    if missing:
        raise DataError(f"{file}: expected a header with the tab-separated columns name and label "
                        f"(and possibly subset), found {lines[0][:80]!r}; add the header")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        cells = line.rstrip("\r").split("\t")
        if cells == [""]:
            continue
        if len(cells) != len(header):
            raise DataError(f"{file}, line {number}: expected {len(header)} tab-separated cells, "
                            f"found {len(cells)}: {line[:80]!r}; mend the line")
        rows.append(dict(zip(header, cells, strict=True)))
    if not rows:
        raise DataError(f"{file}: expected at least one label below the header, found none")
    return rows
