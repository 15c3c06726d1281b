"""Sizes asked for are the sizes measured, and powers are fitted to them."""

import pytest

from kdltr import bench
from kdltr.bench.growth import TABLE, curves
from kdltr.bench.rows import KDLTR, PLAIN
from kdltr.results import Row


def test_every_size_of_every_axis_is_there(toy):
    rows = bench.scaling("parseq_nano", toy("parseq_nano"), (4, 8), (1, 2), (1, 3, 25))
    found = curves(rows).groupby(["axis", "metric", "method"])["size"].apply(list).to_dict()
    assert found == {
        ("pairs", "asking the teacher once", KDLTR): [4, 8],
        ("pairs", "training step", KDLTR): [4, 8],
        ("batch size", "training step", KDLTR): [1, 2],
        ("word length", "reading", KDLTR): [1, 3, 25],
        ("word length", "reading", PLAIN): [1, 3, 25],
    }
    assert all(row.value > 0 and row.n == 2 for row in rows)  # repeats
    assert len({(row.method, row.subset, row.metric) for row in rows}) == len(rows)


def test_only_parseq_takes_longer_for_a_longer_word(toy):
    assert bench.scaling("abinet_nano", toy("abinet_nano"), lengths=(1, 2)) == []


def test_powers_of_curves_with_two_sizes():
    rows = [Row(TABLE, "parseq", KDLTR, f"pairs: {n}", "training step", 3.0 * n**1.5, "ms",
                extra={"axis": "pairs", "size": n}) for n in (2, 4, 8)]
    rows.append(Row(TABLE, "parseq", KDLTR, "batch size: 2", "training step", 1.0, "ms",
                    extra={"axis": "batch size", "size": 2}))
    (found,) = bench.exponents(rows)
    assert found.value == pytest.approx(1.5)
    assert (found.subset, found.metric) == ("pairs", "training step")
