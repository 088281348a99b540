"""Tasks side by side in processes of one thread each, with their progress told to the parent."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import connection
from multiprocessing.managers import SyncManager
from queue import Empty, Queue
from typing import Any

import torch

Announce = Callable[..., None]
Task = Callable[[Announce], None]


def run_all(tasks: Sequence[Task], announce: Announce, workers: int) -> None:
    """Run every task; the first error stops the rest and is raised.

    A task is called with a function that hands its arguments to `announce` in this process.
    With one worker the tasks run here, one after another.
    """
    if workers == 1 or len(tasks) <= 1:
        with one_thread():
            for task in tasks:
                task(announce)
        return
    context = multiprocessing.get_context("spawn")
    manager = SyncManager(ctx=context)
    manager.start(end_with_parent)
    with manager:
        told: Queue[tuple[Any, ...]] = manager.Queue()
        pool = ProcessPoolExecutor(min(workers, len(tasks)), context, end_with_parent)
        try:
            pending: set[Future[None]] = {pool.submit(call, task, told) for task in tasks}
            while pending:
                done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
                drain(told, announce)
                for future in done:
                    future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        drain(told, announce)


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


def end_with_parent() -> None:
    """From now on, end this process when its parent has ended, even if that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=end_with, args=(parent.sentinel,), daemon=True).start()


def end_with(sentinel: int) -> None:
    """End this process once the sentinel of another says that it has ended."""
    connection.wait([sentinel])
    os._exit(1)


def call(task: Task, told: Queue[tuple[Any, ...]]) -> None:
    """Run a task in a worker; what it announces goes into the queue."""
    with one_thread():
        task(lambda *what: told.put(what))


def drain(told: Queue[tuple[Any, ...]], announce: Announce) -> None:
    """Announce all that has been told so far."""
    while True:
        try:
            announce(*told.get_nowait())
        except Empty:
            return
