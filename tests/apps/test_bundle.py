"""`kdltr bundle`: unpacked where there is nothing else it runs; what it takes along is small."""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from kdltr.apps import bundle
from kdltr.apps.bundle import BundleError, carry_packages, shrunk, write_bundle
from kdltr.apps.command import main
from kdltr.data.hashes import data_hash
from kdltr.data.lmdb import PairedWords, Words, write_pairs, write_words

pytestmark = pytest.mark.timeout(1800)  # some processes start, beside whatever else runs
ROOT = Path(__file__).parents[2]
TOY = ROOT / "params/gpu/timebox/toy.yaml"
LABELS = ["seed", "", "Read!", "a"]
# Refuses what a machine for PyTorch has not, and kdltr from anywhere else.
ALONE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("papermill", "snakemake", "nbformat", "nbclient", "rapidocr"):
            raise ModuleNotFoundError(f"refused: {name}", name=name)
sys.meta_path.insert(0, Refuse())
"""


def noise(height, width, seed=0):
    """A PNG file, which noise makes large."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def root(tmp_path, monkeypatch):
    """The repository, but for data of its own: pairs, words and weights."""
    root = tmp_path / "root"
    for path in (*bundle.SOURCES, "params"):
        if not path.startswith("tests/golden"):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).symlink_to(ROOT / path)
    monkeypatch.setattr(bundle, "SOURCES",
                        [path for path in bundle.SOURCES if path != "tests/golden"])
    write_pairs(root / "data/pairs", [(noise(64, 200, i), noise(20, 60, i), label)
                                      for i, label in enumerate(LABELS)])
    write_words(root / "data/words", [(noise(64, 200, i), label) for i, label in enumerate(LABELS)])
    (root / "data/x.safetensors").write_bytes(b"weights")
    monkeypatch.setenv("KDLTR_ROOT", str(root))
    return root


def plan(folder, carry=None, **settings):
    """The toy plan, with other settings of its student, which reads data/pairs and data/words."""
    found = yaml.safe_load(TOY.read_text()) | {"tests": {}, "bench": {}, "carry": carry or {}}
    found["trainings"]["student"]["distill"] |= settings
    file = folder / "plan.yaml"
    file.write_text(yaml.safe_dump(found, sort_keys=False))
    return file


def unpacked(target, folder):
    with tarfile.open(target) as archive:
        archive.extractall(folder, filter="data")
    return folder


def test_unpacked_in_an_empty_folder_it_runs_there(tmp_path):
    target = tmp_path / "box.tar.gz"
    assert write_bundle(target, plan(tmp_path, {"packages": ["lmdb"]}), ROOT) < bundle.LARGEST
    there = unpacked(target, tmp_path / "there")
    (there / "site/sitecustomize.py").write_text(ALONE)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KDLTR")}
    command = [sys.executable, "-m", "kdltr", "run", "gpu", "--minutes", "60", "--out", "out"]
    done = subprocess.run(command, cwd=there, capture_output=True, text=True, check=False,
                          env=clean | {"PYTHONPATH": f".{os.pathsep}site"})
    log = there / "out/student.log"
    assert done.returncode == 0, done.stderr + (log.read_text() if log.is_file() else "")
    found = json.loads((there / "out/summary.json").read_text())
    assert found["trainings"]["student"]["finished"]
    assert (there / "out/data").resolve() == there / "data"
    code = "import kdltr, lmdb; print(kdltr.__file__, lmdb.__file__)"
    said = subprocess.run([sys.executable, "-c", code], cwd=there, capture_output=True, text=True,
                          env=clean | {"PYTHONPATH": f".{os.pathsep}site"}, check=True).stdout
    assert all(str(there) in path for path in said.split())


def test_sets_keep_their_records_and_order_and_their_images_are_smaller(root, tmp_path):
    images = {"images": {"height": 32, "quality": 90}}
    file = plan(tmp_path, images, data=["data/pairs"], words=["data/words"], generated=[],
                student_weights="data/x.safetensors")
    there = unpacked(_written(file, root, tmp_path), tmp_path / "there")
    for name, layout in (("pairs", PairedWords), ("words", Words)):
        found = layout(there / "data" / name)
        assert data_hash(found.path)["labels"] == data_hash(root / "data" / name)["labels"]
        assert found[0][0].shape == (32, 100, 3)
    assert PairedWords(there / "data/pairs")[0].lr.shape == (20, 60, 3)  # is not made larger
    assert (there / "data/x.safetensors").read_bytes() == b"weights"
    plain = unpacked(_written(plan(tmp_path, data=["data/pairs"], words=[]), root, tmp_path),
                     tmp_path / "plain")
    assert data_hash(plain / "data/pairs") == data_hash(root / "data/pairs")


def _written(file, root, folder):
    target = folder / "box.tar.gz"
    write_bundle(target, file, root)
    return target


def test_weights_that_are_made_are_in_it(root, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(bundle, "make_weights", lambda plan, folder: made.append(plan.weights))
    found = yaml.safe_load(plan(tmp_path, teacher_weights="data/made.safetensors").read_text())
    found |= {"weights": {"data/made.safetensors": {"model": "ppocr", "checkpoint": "rapidocr"}}}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(found, sort_keys=False))
    target = _written(tmp_path / "plan.yaml", root, tmp_path)
    assert made == [found["weights"]]
    (root / "data/made.safetensors").write_bytes(b"there already")
    there = unpacked(_written(tmp_path / "plan.yaml", root, tmp_path), tmp_path / "there")
    assert (there / "data/made.safetensors").read_bytes() == b"there already" and target


@pytest.mark.parametrize(("settings", "said"), [
    ({"data": ["data/none"]}, "data/none, which the plan names, found nothing"),
    ({"epoch": 3}, "unknown setting 'epoch'"),
    ({"words": ["data/words", "../words"]}, "found ../words; link it below data/"),
    ({"carry": {"packages": ["no-such-package"]}}, "pip install no-such-package"),
])
def test_what_lacks_is_one_line_and_nothing_is_left(settings, said, root, tmp_path, capsys):
    target = tmp_path / "bundles/box.tar.gz"
    assert main(["bundle", str(target), "--plan", str(plan(tmp_path, **settings))]) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.splitlines()) == 1
    assert not [*target.parent.iterdir()] if target.parent.exists() else True


def test_one_that_is_too_large_names_what_is_largest(root, tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "LARGEST", 100_000)
    target = tmp_path / "box.tar.gz"
    with pytest.raises(BundleError, match=r"at most 0 MiB, found .*largest, in MiB .*data/pairs"):
        write_bundle(target, plan(tmp_path, data=["data/pairs"]), root)
    assert not target.exists()


def test_images_are_shrunk_only_where_that_is_smaller():
    large, small = noise(96, 300), noise(8, 8)
    found = Image.open(io.BytesIO(shrunk(large, 48, 90)))
    assert (found.size, found.format) == ((150, 48), "WEBP")
    grey = io.BytesIO()
    Image.new("L", (30, 20), 128).save(grey, "PNG", optimize=True)
    assert len(shrunk(grey.getvalue(), 48, 100)) <= len(grey.getvalue())
    assert len(shrunk(small, 48, 100)) <= len(small)
    assert shrunk(b"no image", 48, 90) == b"no image"


def test_compiled_packages_for_another_python_are_asked_of_pip(tmp_path, monkeypatch):
    asked = []

    def pip(command, **_):
        asked.append(command)
        return subprocess.CompletedProcess(command, len(asked) - 1, "", "ERROR: none\n")

    monkeypatch.setattr(bundle.subprocess, "run", pip)
    carry_packages(["lmdb", "better-profanity"], tmp_path, "3.9", ["*wordlist*"])
    assert next(part for part in asked[0] if "==" in part).startswith("lmdb==")
    assert "--python-version=3.9" in asked[0] and f"--target={tmp_path}" in asked[0]
    assert (tmp_path / "better_profanity/__init__.py").is_file()
    assert not [*tmp_path.rglob("*wordlist*")]
    with pytest.raises(BundleError, match=r"pip found no lmdb==.* for Python 3\.9 on Linux.*none"):
        carry_packages(["lmdb"], tmp_path, "3.9")
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    carry_packages(["lmdb"], tmp_path, here)
    assert (tmp_path / "lmdb/__init__.py").is_file() and len(asked) == 2
