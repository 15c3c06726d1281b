"""What a run does by the clock: it saves its state every so often, and stops after so long."""

from __future__ import annotations

import time
from collections.abc import Callable

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from kdltr.train.config import DistillConfig, PretrainConfig


class Clock:
    """Asked once after every step, by every process of a run: what is due.

    Args:
        config: ``minutes`` and ``checkpoint_minutes``.
        accelerator: of the run; the main process's clock counts for all.
        started: when the run began, of `time.monotonic`.
        stop_now: whether to stop, whatever the time.
    """

    def __init__(
        self, config: DistillConfig | PretrainConfig, accelerator: Accelerator, started: float,
        stop_now: Callable[[], bool] | None = None,
    ) -> None:
        self.config, self.accelerator, self.started = config, accelerator, started
        self.stop_now, self.saved = stop_now, time.monotonic()

    def __call__(self) -> tuple[bool, bool]:
        """Whether to save the state, and whether to stop."""
        now = time.monotonic()
        every, most = self.config.checkpoint_minutes, self.config.minutes
        due = [every is not None and now - self.saved > 60 * every,
               (most is not None and now - self.started > 60 * most)
               or bool(self.stop_now and self.stop_now())]
        if self.accelerator.num_processes > 1 and (every or most or self.stop_now):
            broadcast_object_list(due)
        if due[0]:
            self.saved = now
        return due[0], due[1]
