"""Being told to end: by Ctrl-C, or by SIGTERM, as batch systems and containers send it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

ENDING = (signal.SIGINT, signal.SIGTERM)


class Terminated(KeyboardInterrupt):
    """SIGTERM, which is then handled as Ctrl-C is."""


def interrupt(number: int, _: object = None) -> None:
    """Raise what a signal of `ENDING` is handled as."""
    raise Terminated if number == signal.SIGTERM else KeyboardInterrupt


@contextmanager
def handled(handler: Callable[[int, object], None]) -> Iterator[None]:
    """In this block the signals of `ENDING` go to the handler, but for those that are ignored.

    In threads that cannot handle signals nothing is changed.
    """
    alone = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in ENDING} if alone else {}
    before = {number: was for number, was in before.items() if was is not signal.SIG_IGN}
    try:
        for number in before:
            signal.signal(number, handler)
        yield
    finally:
        for number, was in before.items():
            signal.signal(number, was)


class Stop:
    """Whether a training is to stop, which it asks after every step.

    The first signal is noted, and the step that it comes in is the last; where none has been asked
    after yet, and when one comes again, it interrupts at once.
    """

    def __init__(self) -> None:
        self.asked, self.signal = False, 0

    def __call__(self) -> bool:
        self.asked = True
        return bool(self.signal)

    @contextmanager
    def noting(self) -> Iterator[Self]:
        """The block in which signals are noted."""
        with handled(self._note):
            yield self

    def _note(self, number: int, _: object) -> None:
        if self.signal or not self.asked:
            interrupt(number)
        self.signal = number
        os.write(2, b"stopping after this step, to go on from it; a second time: at once\n")
