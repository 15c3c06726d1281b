"""Files in pieces of a limited size, with a list of them: for machines that give back no large one.

A piece is named by the hash of its content, and the list is written last: whatever moment the
writer is killed at, the list that is there names pieces that are there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from kdltr.files import atomic_path, write_bytes, write_json

SIZE = 15 << 20  # bytes
LIST = "pieces.json"
_SUFFIX = ".piece"


class PiecesError(RuntimeError):
    """Pieces that do not make the files they are listed for."""


def split(files: Mapping[str, Path], folder: Path, size: int = SIZE) -> None:
    """Write ``files`` to ``folder`` in pieces; what is there already stays, what is old goes.

    Args:
        files: by the names, relative and with ``/``, that `join` gives them.
        size: bytes of a piece at most.
    """
    listed = {}
    for name, file in files.items():
        listed[name] = []
        with file.open("rb") as content:  # renamed over while it is read, it is read all the same
            while piece := content.read(size):
                listed[name].append(_digest(piece))
                target = folder / f"{listed[name][-1]}{_SUFFIX}"
                if not (target.is_file() and _digest(target.read_bytes()) == target.stem):
                    write_bytes(target, piece)
    write_json(folder / LIST, {"files": listed})
    used = {piece for pieces in listed.values() for piece in pieces}
    for file in folder.glob(f"*{_SUFFIX}"):
        if file.stem not in used:
            file.unlink()


def join(folder: Path, target: Path) -> None:
    """Make the folder ``target`` of the files that ``folder`` has in pieces, wholly or not at all.

    Raises:
        PiecesError: no list, or a piece is missing or damaged.
    """
    listed = _listed(folder)
    with atomic_path(target) as temporary:
        temporary.mkdir()
        for name, pieces in listed.items():
            file = temporary / name
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("wb") as content:
                for piece in pieces:
                    content.write(_read(folder, piece, name))


def _listed(folder: Path) -> dict[str, list[str]]:
    try:
        found: Any = json.loads((folder / LIST).read_text(encoding="utf-8"))["files"]
        names = [PurePosixPath(name) for name in found]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PiecesError(f"{folder / LIST}: expected a list of pieces, found none that can be "
                          f"read ({error}); copy the whole folder again") from error
    if outside := [str(name) for name in names if name.is_absolute() or ".." in name.parts]:
        raise PiecesError(f"{folder / LIST}: expected names within a folder, found {outside[0]}")
    return found


def _read(folder: Path, piece: str, name: str) -> bytes:
    file = folder / f"{piece}{_SUFFIX}"
    content = file.read_bytes() if file.is_file() else b""
    if _digest(content) != piece:
        found = "a damaged one" if content else "nothing"
        raise PiecesError(f"{file}: expected a piece of {name}, found {found}; copy {folder} "
                          "again, or remove it to start over")
    return content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
