"""Peak memory in a process of its own."""

import pytest

from kdltr import bench
from kdltr.bench import peak
from kdltr.bench.measure import ABOVE_START, PEAK
from kdltr.bench.rows import KDLTR, PLAIN, RATIO


def test_a_child_measures_itself(toy):
    found = peak.peak_memory("parseq_nano", toy("parseq_nano"), plain=False)
    assert 5e7 < found["start"] < found["peak"] < 5e9  # bytes: Python and torch, then a toy


def test_what_the_child_said_is_told(toy):
    settings = toy("parseq_nano", sizes={"widht": 3})
    with pytest.raises(RuntimeError, match="(?s)memory of parseq_nano.*did you mean 'width'"):
        peak.peak_memory("parseq_nano", settings, plain=False)


def test_with_and_without_what_python_takes(toy, monkeypatch):
    peaks = {False: {"start": 1e6, "peak": 3e6}, True: {"start": 1e6, "peak": 9e6}}
    monkeypatch.setattr("kdltr.bench.measure.peak_memory", lambda _, __, plain: peaks[plain])
    found = {(row.method, row.metric): row.value
             for row in bench.memory("parseq_nano", toy("parseq_nano"))}
    assert found == {
        (KDLTR, PEAK): 3.0, (KDLTR, ABOVE_START): 2.0, (PLAIN, PEAK): 9.0,
        (PLAIN, ABOVE_START): 8.0, (RATIO, PEAK): 3.0, (RATIO, ABOVE_START): 4.0,
    }  # fmt: skip
