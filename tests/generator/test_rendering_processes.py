"""Processes that render: they are ended with what they are for."""

import time

import pytest

from kdltr.generator.workers import processes


def test_an_interrupted_block_waits_for_nobody():
    with pytest.raises(KeyboardInterrupt), processes(1) as executor:
        executor.submit(int).result()  # it has started
        waiting = [executor.submit(time.sleep, 60) for _ in range(3)]
        began = time.monotonic()
        raise KeyboardInterrupt
    assert time.monotonic() - began < 30
    assert all(future.cancelled() or future.exception() for future in waiting)
