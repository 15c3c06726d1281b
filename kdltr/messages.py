"""What errors say: the nearest known name, what kind of file was found, what is a message."""

from __future__ import annotations

import difflib
import os
import traceback
from collections.abc import Iterable
from pathlib import Path

_PACKAGE = f"{Path(__file__).resolve().parent}{os.sep}"
# What is found where images or weights should be, by how it starts; blanks before it do not count.
_KINDS = (
    ((b"<!doctype", b"<html", b"<head"), "a web page"),
    ((b"version https://git-lfs",), "a Git LFS pointer, not the file that it stands for"),
    ((b"<?xml", b"<svg"), "an XML or SVG file"),
    ((b"{", b"["), "JSON or other text"),
    ((b"%pdf",), "a PDF file"),
    ((b"pk\x03\x04",), "a zip archive"),
    ((b"\x1f\x8b", b"bzh", b"\xfd7zxz", b"7z\xbc\xaf", b"rar!", b"\x28\xb5\x2f\xfd"),
     "a compressed archive"),
    ((b"\x89hdf",), "an HDF5 file"),
    ((b"\x89png", b"\xff\xd8\xff", b"gif8"), "an image"),
)  # fmt: skip


def nearest(word: object, known: Iterable[str]) -> str:
    """The end of an error message: the closest known name, and all of them."""
    known = list(known)
    close = difflib.get_close_matches(str(word), known, n=1)
    return (f"; did you mean {close[0]!r}?" if close else ";") + f" Known: {', '.join(known)}"


def kind_of(start: bytes) -> str:
    """What a file is that starts so (the first 64 bytes or more), in words for an error message."""
    plain = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start[4:8] == b"ftyp" and start[8:11] in (b"hei", b"hev", b"mif"):
        return "a HEIC photograph, which must be saved as JPEG or PNG"
    for starts, kind in _KINDS:
        if plain.startswith(starts):
            return kind
    if start[257:262] == b"ustar":
        return "a tar archive"
    return f"a file that starts with {start[:8]!r}" if start else "an empty file"


def is_message(error: BaseException) -> bool:
    """Whether an error says what to mend, and is no fault of the program.

    So are errors of kdltr's own classes, of the file system, and bad values that kdltr's own code
    has found: those from deeper down keep their traceback.
    """
    if isinstance(error, OSError) or type(error).__module__.startswith("kdltr."):
        return True
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, ValueError) and bool(frames) and (
        frames[-1].filename.startswith(_PACKAGE))
