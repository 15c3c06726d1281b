"""Processes that render words side by side."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager


@contextmanager
def processes(workers: int) -> Iterator[ProcessPoolExecutor]:
    """So many processes, each started with its first task.

    Where the block fails or is interrupted they are ended in the middle of what they do: what they
    write must be files that are written whole or not at all.
    """
    # Spawned, not forked: the parent may hold threads (PyTorch) and open LMDBs.
    # An executor, not a Pool: a worker that dies is an error there, not a wait without end.
    executor = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"),
        signal.signal, (signal.SIGINT, signal.SIG_IGN),  # Ctrl-C reaches them too
    )
    try:
        yield executor
    except BaseException:
        for process in [*executor._processes.values()]:
            process.terminate()
        executor.shutdown(cancel_futures=True)
        raise
    executor.shutdown()
