"""Processes of one thread each, which end with the process that started them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

POLL_SECONDS = 0.5


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside, torch computes on one thread, and numbers below 1.2e-38 are zero on it.

    A gradient that vanishes over hundreds of steps becomes such a number, for which a float32 lacks
    digits, and a processor takes many times as long over it. To flush them is a mode of a thread:
    where several share the work, and began before, the result would depend on who did what.
    """
    threads, flushed = torch.get_num_threads(), not torch.full((), 1e-40) * 1.0
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed)
        torch.set_num_threads(threads)


def end_with(parent: int) -> None:
    """From now on, end this process when its parent has ended, even if that was killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
