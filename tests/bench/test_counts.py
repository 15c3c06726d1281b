"""Counts beside the paper's (the counting itself is tests/evaluation/test_efficiency.py)."""

import pytest

from kdltr import bench
from kdltr.bench.counts import AS_PUBLISHED, IN_FULL
from tests.bench.conftest import SIZES


def test_teacher_and_student_by_count_without_the_paper_s_for_other_sizes():
    rows = bench.costs("parseq_nano", **SIZES["parseq_nano"])
    assert rows == bench.costs("parseq_nano", **SIZES["parseq_nano"])  # whatever the weights
    assert {(row.method, row.metric) for row in rows} == {
        (who, what) for who in ("teacher", "student")
        for what in ("parameters", IN_FULL, AS_PUBLISHED)}
    table = bench.costs_beside_published(rows)
    assert table.loc[("parseq_nano", "student"), "paper's, G"] != 2.93
    assert table.filter(like="paper's, ").isna().all(axis=None)


def test_the_published_student_agrees_with_the_paper():
    table = bench.costs_beside_published(bench.costs("parseq")).loc["parseq"]
    student = table.loc["student"]
    assert round(student["the paper's way, G"], 2) == student["paper's, G"] == 2.93
    assert round(student["parameters, M"], 2) == student["paper's, M"] == 23.81
    assert student["in full, G"] == pytest.approx(2.965, abs=5e-4)
    assert table.loc["teacher"].filter(like="paper's, ").isna().all()
