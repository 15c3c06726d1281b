"""Under which circumstances a number was measured: code, versions, machine, data."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import torch

from kdltr.data.lmdb import open_data
from kdltr.train.state import cpu_model

ROOT = Path(__file__).resolve().parents[2]
# Those whose version can change a number; pinned in constraints.txt.
_PACKAGES = ("kdltr", "accelerate", "lmdb", "numpy", "opencv-python-headless", "pandas", "pillow",
             "rapidfuzz", "safetensors", "scipy", "torch", "wordfreq")


def git_state(root: str | os.PathLike = ROOT) -> tuple[str | None, bool | None]:
    """(commit, whether tracked files differ from it); (None, None) outside git.

    Only a repository whose top is `root` counts: one that happens to lie around an unpacked
    archive says nothing about this code.
    """
    # A git hook sets GIT_DIR and the like for its own repository.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=root, env=clean, check=True, timeout=30,
                              capture_output=True, text=True)
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != Path(root).resolve():
            return None, None
        commit = git("rev-parse", "--verify", "HEAD")
        return commit, bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None


def versions() -> dict[str, str | None]:
    """Python and the packages that can change a number; None where one is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    found["torch"] = str(torch.__version__)  # says which build it is: +cpu, +cu130
    return found


def hardware() -> dict[str, Any]:
    """CPU model, logical cores this process may use, torch's threads, bytes of memory, GPU."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return {
        "cpu": cpu_model(),
        "cores": cores,
        "threads": torch.get_num_threads(),
        "memory": psutil.virtual_memory().total,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def data_hash(path: str | os.PathLike) -> dict[str, Any]:
    """`{"sha256", "samples"}` of a data set: its records in order, images as stored.

    The same for an LMDB, a copy of it with other pages, and a folder of the same files.

    Raises:
        kdltr.data.records.DataError: no data set at `path`, or a record is missing.
    """
    dataset = open_data(path)
    digest = hashlib.sha256()
    for index in range(len(dataset)):
        *images, label = dataset.encoded(index)
        for part in (*images, label.encode("utf-8")):
            digest.update(len(part).to_bytes(8, "little"))  # so that no two lists look alike
            digest.update(part)
    return {"sha256": digest.hexdigest(), "samples": len(dataset)}


def data_hashes(paths: Iterable[str | os.PathLike]) -> dict[str, dict[str, Any]]:
    """`data_hash` of each, by its path as `portable` writes it."""
    return {portable(path): data_hash(path) for path in paths}


def portable(path: str | os.PathLike) -> str:
    """`path` relative to the repository if it lies below it, so that no result names a machine."""
    path = Path(path)
    if path.is_absolute() and path.is_relative_to(ROOT):
        path = path.relative_to(ROOT)
    return path.as_posix()
