"""What all tests of the command have."""

import signal

import pytest


@pytest.fixture(autouse=True)
def ctrl_c_is_heard():
    """Shells let what they start in the background ignore it, and so does kdltr then."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
