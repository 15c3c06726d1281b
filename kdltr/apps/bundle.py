"""What a time box takes to a machine that has PyTorch alone: `kdltr bundle box.tar.gz`.

kdltr and its tests of a GPU, the data and weights that the plan names, images made smaller, and
those packages that the plan lists, for the Python of that machine.
"""

from __future__ import annotations

import fnmatch
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from PIL import Image

from kdltr.apps.timebox_plan import DEFAULT, Plan, read_plan
from kdltr.apps.training import make_weights, settings
from kdltr.data.images import read_image
from kdltr.data.lmdb import write_pairs, write_words
from kdltr.data.opening import open_data
from kdltr.data.records import ImageError
from kdltr.data.shards import Shards
from kdltr.files import atomic_path, make_folder, repository_root

LARGEST = 60 << 20  # bytes: what a machine that is lent often takes
SOURCES = ("Snakefile", "pyproject.toml", "kdltr", "data/manifest.yaml", "tests/gpu",
           "tests/golden", "tests/models/conftest.py", "tests/train/conftest.py")
PACKAGES = "site"
MADE_THERE = ("shards/", "training/")  # by `kdltr.apps.rendering` and `training`
LINUX = [f"--platform=manylinux{name}_x86_64" for name in ("_2_28", "_2_27", "_2_17", "2014")]


class BundleError(Exception):
    """A bundle cannot be made; the message says what to do."""


def command(options: Namespace) -> int:
    """Write the bundle; its path and size on stdout."""
    root, target = repository_root(), Path(options.target)
    file = Path(options.plan or root / "params/gpu" / DEFAULT)
    size = write_bundle(target, file, root, options.python)
    sys.stdout.write(f"{target}: {size / 2**20:.1f} MiB\n")
    return 0


def write_bundle(target: Path, file: Path, root: Path, python: str | None = None) -> int:
    """Pack all that the plan in ``file`` takes; returns the bytes of ``target``.

    Args:
        root: the repository.
        python: version of the machine's Python, as "3.12"; None: this one's.

    Raises:
        BundleError: data or a package is missing, or the bundle is above `LARGEST`.
        ValueError: a setting of a training that there is not.
    """
    plan = read_plan(file)
    for name in plan.trainings:  # what is wrong is found here, not on the minutes that are lent
        settings(plan, name)
    make_folder(target.parent)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".bundle-") as building:
        folder = Path(building)
        for path in SOURCES:
            _copy(root / path, folder / path)
        _copy(file, folder / "params/gpu" / DEFAULT)
        for path in _named(plan):
            if path not in plan.weights:
                _carry(root / path, folder / path, plan.carry)
        for path in plan.weights:
            if (root / path).is_file():
                _copy(root / path, folder / path)
        make_weights(plan, folder)
        carry_packages(plan.carry.get("packages", ()), folder / PACKAGES, python,
                       plan.carry.get("leave_out", ()))
        return _pack(folder, target)


def _named(plan: Plan) -> list[str]:
    """Every path below data/ in the settings of the trainings.

    Raises:
        BundleError: one leads elsewhere, where nothing is that the time box makes.
    """
    def texts(value: Any) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict | list):
            for one in value.values() if isinstance(value, dict) else value:
                yield from texts(one)

    named = {os.path.normpath(text) for text in texts(plan.trainings) if "/" in text}
    carried = {path for path in named if path.startswith("data/")}
    if strange := sorted(path for path in named - carried if not path.startswith(MADE_THERE)):
        raise BundleError(f"expected paths below data/, which the bundle takes along, or "
                          f"{' and '.join(MADE_THERE)}, which the time box makes, found "
                          f"{strange[0]}; link it below data/")
    return sorted(carried)


def _carry(source: Path, target: Path, how: dict[str, Any]) -> None:
    """Copy weights or shards; of other sets the images are made smaller, in their order."""
    if not source.exists():
        raise BundleError(f"expected {source}, which the plan names, found nothing; data/README.md "
                          "says where data are to be had, or take it out of the plan")
    dataset = None if source.is_file() else open_data(source)
    if dataset is None or isinstance(dataset, Shards):
        _copy(source, target)
        return
    images = how.get("images")
    smaller = [(*(shrunk(file, **images) if images else file for file in files), label)
               for *files, label in map(dataset.encoded, range(len(dataset)))]
    (write_pairs if len(smaller[0]) == 3 else write_words)(target, smaller)


def shrunk(content: bytes, height: int, quality: int) -> bytes:
    """An image file of at most so many pixels in height, as WebP of that quality.

    One that is no higher stays as it is where that is smaller, and so does one that is no image.
    """
    try:
        image = Image.fromarray(read_image(content))
    except ImageError:
        return content
    higher = image.height > height
    if higher:
        size = max(2, round(image.width * height / image.height)), height
        image = image.resize(size, Image.Resampling.BICUBIC)
    encoded = io.BytesIO()
    image.save(encoded, "WEBP", quality=quality)
    return encoded.getvalue() if higher else min(content, encoded.getvalue(), key=len)


def carry_packages(
    names: Iterable[str], site: Path, python: str | None = None, leave_out: Iterable[str] = ()
) -> None:
    """Put packages of this environment in the folder ``site``, for another Python too.

    Those of Python code alone are copied; compiled ones for another Python than this are fetched
    by pip, in this environment's versions.

    Args:
        leave_out: patterns of files that are not needed.

    Raises:
        BundleError: one is not installed here, or there is none for that Python.
    """
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    compiled = []
    for name in names:
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            raise BundleError(f"expected the package {name}, which the plan carries, found none "
                              f"here; pip install {name}") from None
        if python in (None, here) or "Root-Is-Purelib: true" in (found.read_text("WHEEL") or ""):
            for file in found.files or ():
                kept = ".." not in file.parts and "__pycache__" not in file.parts
                if kept and not any(fnmatch.fnmatch(str(file), pattern) for pattern in leave_out):
                    _copy(Path(str(file.locate())), site / file)
        else:
            compiled.append(f"{name}=={found.version}")
    if compiled:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile",
               "--only-binary=:all:", "--upgrade", "--implementation=cp", *LINUX,
               f"--python-version={python}", f"--target={site}", *compiled]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BundleError(f"pip found no {', '.join(compiled)} for Python {python} on Linux: "
                              f"{done.stderr.strip().splitlines()[-1]}")
    record = site / f"kdltr-{metadata.version('kdltr')}.dist-info/METADATA"
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(f"Metadata-Version: 2.1\nName: kdltr\nVersion: {metadata.version('kdltr')}\n")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    else:
        shutil.copyfile(source, target)


def _pack(folder: Path, target: Path) -> int:
    """Write the archive unless it is too large."""
    with atomic_path(target) as temporary:
        with tarfile.open(temporary, "w:gz", compresslevel=6) as archive:
            for path in sorted(folder.iterdir()):
                archive.add(path, path.name)
        size = temporary.stat().st_size
        if size > LARGEST:
            sizes: Counter[str] = Counter()
            for file in folder.rglob("*"):
                if file.is_file():
                    sizes["/".join(file.relative_to(folder).parts[:2])] += file.stat().st_size
            largest = ", ".join(f"{name} {n / 2**20:.1f}" for name, n in sizes.most_common(6))
            raise BundleError(f"expected a bundle of at most {LARGEST >> 20} MiB, found "
                              f"{size / 2**20:.1f}; largest, in MiB before packing: {largest}. "
                              "Take some out of the plan, or lower carry.images")
    return size
