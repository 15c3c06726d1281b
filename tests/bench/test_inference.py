"""Rows of reading, and of the exported student (the export itself is tests/models/test_onnx.py)."""

import pytest
import torch

from kdltr import bench
from kdltr.bench import inference, measure, plain
from kdltr.bench.clock import TOTAL, Timing
from kdltr.bench.rows import KDLTR, ONE, PLAIN, RATIO, READING
from kdltr.charset import Reading
from kdltr.models.base import Recogniser
from tests.bench.conftest import NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_recogniser_beside_its_plain_path_and_with_the_teacher(name, toy, monkeypatch):
    monkeypatch.setattr(measure, "matmul_throughput", lambda *_: 1e9)
    asked, read = [], plain.read
    monkeypatch.setattr(plain, "read", lambda model, images: asked.append(len(images))
                        or read(model, images))
    rows = bench.reading(name, toy(name))
    assert asked == [2] * 3 + [1] * 3  # one warm-up and two rounds of each
    found = {(row.method, row.subset, row.metric): row for row in rows}
    for subset, n in ((READING, 2), (ONE, 1)):
        for way in (KDLTR, PLAIN, inference.IN_LOOP):
            milliseconds = found[way, subset, TOTAL].value
            assert found[way, subset, "images a second"].value == pytest.approx(
                1e3 * n / milliseconds)
        assert found[RATIO, subset, TOTAL].value > 0
        share = found[KDLTR, subset, "reading of the floor"]
        assert share.value > 0 and share.extra["batch_size"] == n


def test_the_exported_student_reads_what_the_other_reads(toy, monkeypatch):
    fed = []
    monkeypatch.setattr(inference, "_exported", lambda student, path: fed.append)
    rows = bench.deployed("parseq_nano", toy("parseq_nano", precision="bf16"))
    assert len(fed) == 3 and fed[0].shape == (1, 3, 16, 64)
    assert {row.method for row in rows} == {KDLTR, inference.ONNX, "ONNX Runtime ÷ kdltr"}
    assert {row.extra["precision"] for row in rows} == {"no"}  # as the file is


class Counter(Recogniser):
    name, image_size = "counter", (16, 64)

    def __init__(self):
        super().__init__()
        self.batches = []

    def read(self, images):
        self.batches.append((len(images), float(images.max())))
        return [Reading("", 0.0)] * len(images)


def test_words_are_timed_one_by_one_and_divided_among_them(monkeypatch):
    readers = {"a": Counter(), "b": Counter()}
    images = torch.full((4, 3, 16, 64), 255, dtype=torch.uint8)
    found = inference.milliseconds(readers, images, repeats=2)
    assert all(len(timing.seconds) == 2 and min(timing.seconds) > 0 for timing in found.values())
    assert all(reader.batches == [(1, 1.0)] * 4 * 3 for reader in readers.values())
    fixed = {name: {TOTAL: Timing((0.2, 0.4))} for name in readers}
    monkeypatch.setattr(inference, "interleave", lambda *_, **__: fixed)
    assert inference.milliseconds(readers, images)["a"].seconds == pytest.approx((50, 100))
