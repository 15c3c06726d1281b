"""A run's result on disk: JSON for the whole, CSV for the rows and for the predictions.

`results/<profile>/<run>.json` is written last, so that where it is, the others are too. Its
schema is `schema.json` beside this module; it is checked in writing and in reading.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kdltr.data.hashes import ROOT, portable
from kdltr.evaluation.scores import PROTOCOL
from kdltr.extras import optional
from kdltr.files import atomic_path, place, write_text
from kdltr.results import environment
from kdltr.results.rows import Row, read_predictions, to_frame, write_predictions

jsonschema = optional("jsonschema", "notebooks")

SCHEMA = Path(__file__).with_name("schema.json")


class ResultError(ValueError):
    """A result file is missing, damaged, or not of this schema."""


@dataclass(frozen=True)
class Result:
    """What `read_result` found: its path, the rows, and the whole document as JSON values."""

    path: Path
    rows: list[Row]
    document: dict[str, Any]

    def predictions(self) -> pd.DataFrame:
        """The per-image predictions saved with it.

        Raises:
            ResultError: the run saved none, or the file is not the one that was saved.
        """
        file = self.document["files"].get("predictions")
        if file is None:
            raise ResultError(f"{self.path}: this run saved no predictions")
        beside = self.path.with_name(file["name"])
        if not beside.is_file() or _sha256(beside) != file["sha256"]:
            found = "another file" if beside.is_file() else "nothing"
            raise ResultError(f"{beside}: expected the predictions of {self.path.name} (sha256 "
                              f"{file['sha256'][:12]}…), found {found}; run the notebook again")
        return read_predictions(beside)


def write_result(
    path: str | os.PathLike,
    rows: Sequence[Row],
    parameters: Mapping[str, Any] | Any,
    seed: int | None = None,
    data_hashes: Mapping[str, Mapping[str, Any]] | None = None,
    wall_time: float = 0.0,
    predictions: pd.DataFrame | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Path:
    """Save a result as `path` (.json); beside it `<run>.csv` and `<run>.predictions.csv.gz`.

    Args:
        path: `results/<profile>/<run>.json`.
        rows: what was measured.
        parameters: all of them; a mapping or a dataclass. Paths below the repository become
            relative, so that a result does not name the machine.
        seed: of the run.
        data_hashes: from `kdltr.results.data_hashes`.
        wall_time: seconds the run took.
        predictions: from `kdltr.results.collect`.
        extra: whatever else, as JSON values.

    Returns:
        The path of the JSON file.

    Raises:
        ResultError: a value that JSON or the schema has no place for.
        OSError: the disk is full; older files are whole.
    """
    path = place(path)
    if path.suffix != ".json":
        raise ResultError(f"expected a path that ends in .json, found {path}")
    document = {
        "schema_version": 1, "run": path.stem, "profile": path.resolve().parent.name,
        "protocol": PROTOCOL, "rows": [asdict(row) for row in rows], "parameters": parameters,
        "seed": seed, "data": dict(data_hashes or {}), "files": {},
        **dict(zip(("commit", "dirty"), environment.git_state(), strict=True)),
        "date": datetime.now(UTC).isoformat(timespec="seconds"), "wall_time": float(wall_time),
        "versions": environment.versions(), "hardware": environment.hardware(),
        "extra": dict(extra or {}),
    }
    document = _plain(document, path.name)
    _validate(document, path)  # before anything is written
    if predictions is not None:
        file = path.with_suffix(".predictions.csv.gz")
        write_predictions(file, predictions)
        document["files"]["predictions"] = {"name": file.name, "sha256": _sha256(file)}
    table = path.with_suffix(".csv")
    frame = to_frame(rows)
    frame["extra"] = [json.dumps(row["extra"], ensure_ascii=False) for row in document["rows"]]
    with atomic_path(table) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8")
    document["files"]["rows"] = {"name": table.name, "sha256": _sha256(table)}
    write_text(path, _text(document))
    return path


def read_result(path: str | os.PathLike) -> Result:
    """Read what `write_result` wrote.

    Raises:
        ResultError: no such file, no JSON, or not of the schema; the message names the place.
    """
    path = place(path)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultError(f"{path}: expected a result, found: {error.strerror.lower()}; run the "
                          "notebook that makes it, or `make quick`") from error
    except ValueError as error:
        raise ResultError(f"{path}: expected JSON: {error}; run the notebook again") from error
    _validate(document, path)
    return Result(path, [Row(**row) for row in document["rows"]], document)


@cache
def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def _validate(document: Any, path: Path) -> None:
    error = jsonschema.exceptions.best_match(_validator().iter_errors(document))
    if error is not None:
        place = "/".join(map(str, error.absolute_path)) or "the document"
        raise ResultError(f"{path}: {place} is not as kdltr/results/{SCHEMA.name} wants it: "
                          f"{error.message[:300]}; if the file is old, run its notebook again")


def _text(document: Mapping[str, Any]) -> str:
    """As JSON, each row on a line of its own."""
    rows = ",\n    ".join(json.dumps(row, ensure_ascii=False) for row in document["rows"])
    text = json.dumps({**document, "rows": []}, ensure_ascii=False, indent=2)
    return text.replace('"rows": []', f'"rows": [\n    {rows}\n  ]', 1) + "\n"


def _plain(value: Any, where: str) -> Any:
    """JSON values of mappings, sequences, dataclasses, paths and numpy scalars."""
    if is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{where}/{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}/{i}") for i, item in enumerate(value)]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str | os.PathLike):
        below = os.fspath(value).startswith(f"{ROOT}{os.sep}")
        return portable(value) if below else os.fspath(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float) and np.isfinite(value):
        return value
    raise ResultError(f"{where}: expected a JSON value, found {value!r} ({type(value).__name__}); "
                      "leave it out or write it as text")


def _sha256(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
