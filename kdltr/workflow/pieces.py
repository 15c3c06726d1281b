"""Files in pieces of a limited size, with a list of them: for machines that give back no large one.

A piece is named by the hash of its content, and the list is written last: whatever moment the
writer is killed at, the list that is there names pieces that are there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from kdltr.files import atomic_path, write_bytes, write_json

SIZE = 15 << 20  # bytes
LIST = "pieces.json"
_SUFFIX = ".piece"


class PiecesError(RuntimeError):
    """Pieces that do not make the files they are listed for."""


def split(files: Mapping[str, Path], folder: Path, size: int = SIZE) -> None:
    """Write ``files``, one after another, to ``folder`` in pieces; older pieces go.

    Args:
        files: by the names, relative and with ``/``, that `join` gives them.
        size: bytes of a piece; the last may have fewer.
    """
    sizes, pieces, waiting = dict.fromkeys(files, 0), [], b""
    for name, file in files.items():
        with file.open("rb") as content:  # renamed over while it is read, it is read all the same
            while part := content.read(size - len(waiting)):
                sizes[name] += len(part)
                waiting += part
                if len(waiting) == size:
                    pieces.append(_written(folder, waiting))
                    waiting = b""
    if waiting:
        pieces.append(_written(folder, waiting))
    write_json(folder / LIST, {"files": sizes, "pieces": pieces})
    for file in folder.glob(f"*{_SUFFIX}"):
        if file.stem not in pieces:
            file.unlink()


def join(folder: Path, target: Path) -> None:
    """Make the folder ``target`` of the files that ``folder`` has in pieces, wholly or not at all.

    Raises:
        PiecesError: no list, or a piece is missing or damaged.
    """
    sizes, pieces = _listed(folder)
    waiting = b""
    with atomic_path(target) as temporary:
        temporary.mkdir()
        for name, left in sizes.items():
            file = temporary / name
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("wb") as content:
                while left:
                    if not waiting and not pieces:
                        raise PiecesError(f"{folder / LIST}: expected pieces for all its files, "
                                          f"found too few for {name}; copy the whole folder again")
                    waiting = waiting or _read(folder, pieces.pop(0))
                    written = content.write(waiting[:left])
                    left, waiting = left - written, waiting[written:]


def _listed(folder: Path) -> tuple[dict[str, int], list[str]]:
    """Sizes by name, and the pieces."""
    try:
        found = json.loads((folder / LIST).read_text(encoding="utf-8"))
        names = [PurePosixPath(name) for name in found["files"]]
        sizes, pieces = dict(found["files"]), list(found["pieces"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PiecesError(f"{folder / LIST}: expected a list of pieces, found none that can be "
                          f"read ({error}); copy the whole folder again") from error
    if outside := [str(name) for name in names if name.is_absolute() or ".." in name.parts]:
        raise PiecesError(f"{folder / LIST}: expected names within a folder, found {outside[0]}")
    return sizes, pieces


def _written(folder: Path, content: bytes) -> str:
    """Keep a piece; its name."""
    name = _digest(content)
    file = folder / f"{name}{_SUFFIX}"
    if not (file.is_file() and _digest(file.read_bytes()) == name):
        write_bytes(file, content)
    return name


def _read(folder: Path, name: str) -> bytes:
    file = folder / f"{name}{_SUFFIX}"
    content = file.read_bytes() if file.is_file() else b""
    if _digest(content) != name:
        found = "a damaged one" if content else "none"
        raise PiecesError(f"{file}: expected a piece, found {found}; copy {folder} again, or "
                          "remove it to start over")
    return content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
