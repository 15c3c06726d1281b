"""Stopwatch, taking turns, and fitted powers, on a clock that the tests turn."""

import pytest
import torch

from kdltr.bench import clock
from kdltr.bench.clock import TOTAL, Laps, Timing, exponent, interleave


@pytest.fixture
def tick(monkeypatch):
    """`tick(seconds)` moves the clock; nothing else does."""
    now = [0.0]
    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])

    def move(seconds):
        now[0] += seconds

    return move


def test_parts_add_up_and_come_again(tick):
    laps = Laps()
    for part, seconds in (("data", 1.0), ("student", 2.0), ("data", 4.0)):
        tick(seconds)
        laps(part)
    tick(8.0)  # of no part
    assert laps.finish() == {"data": 5.0, "student": 2.0, TOTAL: 15.0}


def test_a_time_is_shared_by_equal_things():
    assert Timing((3.0, 6.0)).each_of(3).seconds == (1.0, 2.0)


def test_without_parts_there_is_the_total_alone(tick):
    laps = Laps(parts=False)
    tick(1.0)
    laps("data")
    assert laps.finish() == {TOTAL: 1.0}


def test_actions_take_turns_in_both_directions_and_the_warm_up_does_not_count(tick):
    order = []

    def action(name, seconds):
        def act(laps):
            order.append(name)
            tick(seconds * len(order))
            laps("work")

        return act

    found = interleave({"a": action("a", 1.0), "b": action("b", 10.0)}, repeats=2, warmup=1)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert found["a"]["work"].seconds == found["a"][TOTAL].seconds == (4.0, 5.0)
    assert found["b"][TOTAL].seconds == (30.0, 60.0)


def test_ratios_are_of_the_same_round():
    mine, theirs = Timing((1.0, 2.0, 4.0)), Timing((2.0, 2.0, 16.0))
    longer = theirs.times(mine)
    assert longer.seconds == (2.0, 1.0, 4.0) and longer.median == 2.0
    assert longer.spread == {"fastest": 1.0, "slowest": 4.0}


def test_the_power_is_found_and_needs_two_sizes():
    assert exponent([1, 2, 4, 8], [3.0, 12.0, 48.0, 192.0]) == pytest.approx(2)
    assert exponent([1, 10], [5.0, 5.0]) == pytest.approx(0)
    with pytest.raises(ValueError, match="at least two different sizes"):
        exponent([4, 4], [1.0, 2.0])


def test_matrix_throughput_is_work_over_the_shortest_time(tick, monkeypatch):
    seconds = iter([9.0, 9.0, 4.0, 2.0, 8.0])  # two to warm up
    monkeypatch.setattr(torch, "matmul", lambda *_, out: tick(next(seconds)))
    assert clock.matmul_throughput(size=10, repeats=3) == 10**3 / 2.0
