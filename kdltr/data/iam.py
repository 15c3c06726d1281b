"""Lines of the IAM Handwriting Database in the layout in which they are handed out.

A folder holds `lines.txt` and the images, `lines/a01/a01-000u/a01-000u-00.png`. Which forms are for
training and which for testing (the writer-independent "Aachen" split) are lists beside it, one form
a line: `train.txt`, `test.txt`.
"""

import os
from pathlib import Path
from typing import NamedTuple

from kdltr.data.images import read_image
from kdltr.data.records import DataError, EncodedWord, ImageError, RecordError, Word
from kdltr.files import place

LINES = "lines.txt"
# id, whether its words were found (ok) or not (err), grey level, parts, x, y, width, height; text
FIELDS = 9
# What becomes of a blank within a label ("M Ps|said" is written MPs).
BLANKS = {
    "kept": lambda text: text,
    "joined": lambda text: text.replace(" ", ""),
    "published": lambda text: text.rpartition(" ")[2],  # DAN's authors lose what is before it
}


class Line(NamedTuple):
    """What `lines.txt` says of an image: its id, and the text."""

    name: str
    text: str


class IamLines:
    """Handwritten lines: `len(self)`, `self[i]` is a `Word` whose label has | between words.

    Args:
        path: the folder, for all lines; or a list of forms in it, for the lines of those, in the
            order of `lines.txt`. Lines whose words were not found are kept, as published.
        blanks: of `BLANKS`, what becomes of a blank within a label. DAN's charset has none.

    Raises:
        DataError: no lines.txt or list, a line of another form, a form that has no lines, or
            another ``blanks``.
        RecordError: (from `self[i]`) the image is missing or damaged.
    """

    def __init__(self, path: str | os.PathLike, blanks: str = "joined"):
        if blanks not in BLANKS:
            raise DataError(f"blanks must be one of {', '.join(BLANKS)}; found {blanks!r}")
        self.path = place(path)
        self.folder = self.path if self.path.is_dir() else self.path.parent
        self.blanks = blanks
        self.lines = _read_lines(self.folder / LINES)
        if self.path != self.folder:
            self.lines = _of_forms(self.lines, self.path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def __len__(self) -> int:
        return len(self.lines)

    def label(self, index: int) -> str:
        """The label of record `index`."""
        return BLANKS[self.blanks](self.lines[index].text)

    def file(self, index: int) -> Path:
        """The image file of record `index`."""
        name = self.lines[index].name
        return self.folder / "lines" / name.partition("-")[0] / form_of(name) / f"{name}.png"

    def __getitem__(self, index: int) -> Word:
        try:
            return Word(read_image(self.file(index)), self.label(index))
        except ImageError as error:
            raise RecordError(f"{self.path}, record {index}: {error}") from error

    def encoded(self, index: int) -> EncodedWord:
        """Record `index` as stored: the image file as bytes, and the label."""
        try:
            return EncodedWord(self.file(index).read_bytes(), self.label(index))
        except OSError as error:
            raise RecordError(f"{self.path}, record {index}: expected the image {error.filename}, "
                              f"found: {error.strerror.lower()}; unpack lines.tgz into "
                              f"{self.folder / 'lines'}") from error


def form_of(name: str) -> str:
    """The form that a line is on: "a01-000u" of "a01-000u-00"."""
    return name.rpartition("-")[0]


def _text(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise DataError(f"{file}: expected a file of IAM, found: {error.strerror.lower()}; see "
                        "data/README.md for where to get it and the layout") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: expected text, found other bytes at {error.start}; get the file "
                        "again") from error
    return [line.rstrip("\r") for line in lines]


def _read_lines(file: Path) -> list[Line]:
    found = []
    for number, line in enumerate(_text(file), start=1):
        if not line or line.startswith("#"):
            continue
        cells = line.split(" ", FIELDS - 1)
        if len(cells) != FIELDS or cells[1] not in ("ok", "err") or cells[0].count("-") != 2:
            raise DataError(f"{file}, line {number}: expected an id, ok or err, six numbers and "
                            f"the text, found {line[:80]!r}; get the file again")
        found.append(Line(cells[0], cells[-1]))
    if not found:
        raise DataError(f"{file}: expected lines, found none; get the file again")
    return found


def _of_forms(lines: list[Line], file: Path) -> list[Line]:
    wanted = {form.strip() for form in _text(file)} - {""}
    chosen = [line for line in lines if form_of(line.name) in wanted]
    lacking = sorted(wanted - {form_of(line.name) for line in chosen})
    if lacking or not wanted:
        raise DataError(f"{file}: expected ids of forms that {LINES} has lines of, one a line, "
                        f"found {lacking[0] if lacking else 'none'!r}; mend the list")
    return chosen
