"""Processes that compute on one thread and end with the process that started them."""

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
    """While inside, torch computes on one thread, on which numbers below 1.2e-38 are zero.

    Gradients that vanish over hundreds of steps become such denormal numbers, which slow a
    processor down many times. Flushing them is a mode of one thread: with several threads the
    result would depend on which of them computed what.
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
