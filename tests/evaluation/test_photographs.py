"""Photographs at hand: what is loaded, and what becomes of the pictures."""

import json
import os
from pathlib import Path

import nbformat
import numpy as np
import pytest

from kdltr.data.folder import write_folder
from kdltr.data.images import resize
from kdltr.data.records import DataError, Pair, Word
from kdltr.evaluation.photographs import load_photographs
from kdltr.generator.synthetic import generate
from kdltr.results import read_result
from kdltr.results.report.page import figures
from kdltr.workflow.notebook import run_notebook

ROOT = Path(__file__).parents[2]
FAKE = """
from types import SimpleNamespace as made
class RapidOCR:
    cfg = made(Rec=made(ocr_version=made(value="toy"), model_type=made(value="reader")))
    def __init__(self, params): pass
    def __call__(self, image): return made(txts=("Own!",), scores=(0.5,))
"""


def pixels(*shape):
    return np.random.default_rng(shape).integers(0, 256, (*shape, 3), dtype=np.uint8)


def test_what_is_there_is_loaded_and_what_is_not_has_a_reason(tmp_path):
    write_folder(tmp_path / "pairs", [Pair(pixels(32, 128), pixels(14, 60), "own")])
    write_folder(tmp_path / "words", [Word(pixels(40, 90), "a"), Word(pixels(30, 99), "b")])
    folders = {"gone": tmp_path / "gone", "p": tmp_path / "pairs", "w": tmp_path / "words"}
    data, missing = load_photographs(folders)
    assert list(missing) == ["gone"] and str(tmp_path / "gone") in missing["gone"]
    assert {name: words.words for name, words in data.items()} == {"p": ["own"], "w": ["a", "b"]}
    taken = {"p": pixels(14, 60), "w": pixels(40, 90)}  # the LR picture; the crop itself, shrunk
    for name, image in taken.items():
        expected = resize(image, (16, 64))
        np.testing.assert_array_equal(data[name].lr[0].permute(1, 2, 0).numpy(), expected)


def test_a_folder_of_another_layout_is_an_error(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(DataError):
        load_photographs({"x": tmp_path})


def test_the_pictures_stay_in_a_folder_that_is_neither_published_nor_reported(
    tmp_path, monkeypatch
):
    package = tmp_path / "site"
    (package / "rapidocr-9.9.dist-info").mkdir(parents=True)
    (package / "rapidocr.py").write_text(FAKE)
    (package / "rapidocr-9.9.dist-info/METADATA").write_text("Name: rapidocr\nVersion: 9.9\n")
    paths = (str(package), str(ROOT), os.environ.get("PYTHONPATH"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    crops = [Word(hr, label) for hr, _, label in generate("test/easy", 2, 3)]
    write_folder(tmp_path / "crops", [*crops, Word(crops[0].image, "own")])
    results = tmp_path / "results"
    given = {"photographs": {"crops": str(tmp_path / "crops"), "gone": str(tmp_path / "gone")},
             "output_dir": str(results), "repeats": 1}
    executed = results / "notebooks/10_photographs.ipynb"
    run_notebook(ROOT / "notebooks/10_photographs.ipynb", executed, given)

    result = read_result(results / "10_photographs.json")
    peer = [row for row in result.rows if row.recogniser == "rapidocr 9.9"]
    assert {(row.table, row.method) for row in peer} == {
        ("photographs at 16 × 64", "toy reader"), ("time", "toy reader")}
    right = {row.method: row.extra["correct"] for row in result.rows
             if row.subset == "crops" and row.metric == "accuracy"}
    assert right["toy reader"] == 1 and {"bicubic", "distilled"} < {*right}
    read = result.document["extra"]["readings"]
    assert [word["label"] for word in read] == [*(crop.label for crop in crops), "own"]
    assert [word["rapidocr 9.9, toy reader"] for word in read] == ["Own! ✗", "Own! ✗", "Own!"]
    assert "gone: skipped, no folder" in executed.read_text()

    pictures = [path for path in results.rglob("*.png")]
    assert pictures == [results / "10_photographs/words.png"]
    assert not figures(results, "10_photographs")
    outputs = [o for cell in nbformat.read(executed, 4).cells for o in cell.get("outputs", ())]
    assert "image/png" not in json.dumps(outputs)
