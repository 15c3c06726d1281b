"""Rows of one stage beside two."""

import pytest

from kdltr import bench
from kdltr.bench.clock import TOTAL
from kdltr.bench.rows import KDLTR, ONE, READING, STAGES, STEP, ratio
from kdltr.results.tables import upscaler_name
from kdltr.superres import list_upscalers

NETWORKS = [name for name in list_upscalers() if name.endswith("_nano")]


@pytest.mark.parametrize("name", ["parseq_nano", "abinet_nano"])
def test_the_student_beside_every_network(name, toy):
    networks = NETWORKS if name == "parseq_nano" else NETWORKS[:1]
    rows = bench.two_stages(name, networks, toy(name))
    found = {(row.subset, row.method, row.metric): row for row in rows}
    assert {row.table for row in rows} == {STAGES} and {row.recogniser for row in rows} == {name}
    for subset, n in ((READING, 2), (ONE, 1), (STEP, 0)):
        for network in map(upscaler_name, networks):
            times = [found[subset, method, TOTAL].value for method in (network, KDLTR)]
            assert min(times) > 0 and found[subset, ratio(network), TOTAL].value > 0
            if n:
                rate = found[subset, network, "images a second"].value
                assert rate == pytest.approx(1e3 * n / times[0])
