"""Processes that compute on one thread and end with the process that started them.

torch is imported late: a worker heeds its parent before it spends seconds on that.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

POLL_SECONDS = 0.1


def cpus() -> int:
    """The processors that this process may use, by its affinity and its share of the machine."""
    import joblib

    return int(joblib.cpu_count())


@contextmanager
def one_thread() -> Iterator[None]:
    """While inside, torch computes on one thread, on which numbers below 1.2e-38 are zero.

    Gradients that vanish over hundreds of steps become such denormal numbers, which slow a
    processor down many times. Flushing them is a mode of one thread: with several threads the
    result would depend on which of them computed what.
    """
    import torch

    threads, flushed = torch.get_num_threads(), not torch.full((), 1e-40) * 1.0
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed)
        torch.set_num_threads(threads)


@contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Processes that start inside do not hear Ctrl-C, which a terminal sends to them too.

    Their parent answers it. Windows has no such mask.
    """
    if sys.platform == "win32":
        yield
        return
    resource_tracker.ensure_running()  # its own start would end the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with(parent: int) -> None:
    """From now on, end this process when its parent has ended, even if that was killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
