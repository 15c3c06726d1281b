"""Where the time of a step goes."""

import pytest

from kdltr import bench
from kdltr.bench.profiling import OTHERS, TOP


def test_shares_add_up_and_the_largest_come_first(toy):
    rows = bench.operations("parseq_nano", toy("parseq_nano"), steps=1)
    assert sum(row.value for row in rows) == pytest.approx(100)
    *largest, others = rows
    assert others.metric == OTHERS and len(largest) == TOP
    assert largest == sorted(largest, key=lambda row: -row.value)
    assert any(row.metric.startswith("aten::") for row in largest)
