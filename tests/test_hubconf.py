"""`torch.hub`: every shipped recogniser is an entry point."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kdltr.models.weights import list_weights, load_recogniser

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", list_weights())
def test_it_gives_the_shipped_recogniser(name):
    model = torch.hub.load(str(ROOT), name, source="local")
    mine = load_recogniser(name)
    images = torch.rand(2, 3, *mine.image_size, generator=torch.Generator().manual_seed(0))
    assert model.name == mine.name and model.read(images) == mine.read(images)


def test_from_a_clone_without_installing(tmp_path):
    """kdltr is imported from the repository that is named."""
    code = f"""
import sys, torch
sys.path = [path for path in sys.path if path not in ("", {str(ROOT)!r})]
model = torch.hub.load({str(ROOT)!r}, "parseq_nano_ltr_photo", source="local")
print(model.name, sys.modules["kdltr"].__file__)"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True,
                          capture_output=True, text=True)
    assert done.stdout.split() == ["parseq_nano_ltr", str(ROOT / "kdltr/__init__.py")]


def test_nothing_else_is_an_entry_point():
    names: dict = {}
    exec((ROOT / "hubconf.py").read_text(encoding="utf-8"), names)
    public = {name for name, value in names.items() if callable(value) and name[0] != "_"}
    assert public == set(list_weights())
