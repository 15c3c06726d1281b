"""Under which circumstances a number was measured: code, versions, machine."""

from __future__ import annotations

import logging
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import torch

from kdltr.data.hashes import ROOT
from kdltr.machine import cores
from kdltr.models.devices import cpu_model

log = logging.getLogger(__name__)
# Those whose version can change a number; pinned in constraints.txt.
_PACKAGES = ("kdltr", "accelerate", "lmdb", "numpy", "opencv-python-headless", "pandas", "pillow",
             "rapidfuzz", "safetensors", "torch", "wordfreq")


def git_state(root: str | os.PathLike = ROOT) -> tuple[str | None, bool | None]:
    """(commit, whether tracked files differ from it); (None, None) outside git.

    Only a repository whose top is `root` counts: one that happens to lie around an unpacked
    archive says nothing about this code.
    """
    # A git hook sets GIT_DIR and the like for its own repository.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    clean |= {"LC_ALL": "C"}  # its messages are looked at

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=root, env=clean, check=True, timeout=30,
                              capture_output=True, text=True)
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != Path(root).resolve():
            return None, None
        commit = git("rev-parse", "--verify", "HEAD")
        return commit, bool(git("status", "--porcelain", "--untracked-files=no"))
    except subprocess.CalledProcessError as error:
        if "dubious ownership" in error.stderr:
            log.warning("git refuses a checkout of another user: the result has no commit; run: "
                        "git config --global --add safe.directory %s", Path(root).resolve())
        return None, None
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
    return {
        "cpu": cpu_model(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "memory": psutil.virtual_memory().total,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
