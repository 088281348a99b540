"""Blocks of work on torch's own team of threads.

After an operation torch's threads wait for the next one by spinning, which takes the cores from
any thread that is not theirs: beside them a training step took a third longer, and an inference
twice as long. So where torch's OpenMP runtime can be called, its team does our blocks too;
elsewhere, threads of our own do. The result does not depend on who does a block.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

RUNTIMES = ("libgomp*.so*", "libiomp5*.so*", "libomp*.so*")
"""How torch's packages name the OpenMP runtime that they bring; all have GOMP_parallel."""
MEMBER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def in_threads(work: Callable[[int], None], blocks: int) -> None:
    """Do every block's work, on as many threads as torch has; each takes the next block.

    >>> done = []
    >>> in_threads(done.append, 5)
    >>> sorted(done)
    [0, 1, 2, 3, 4]
    """
    threads = min(torch.get_num_threads(), blocks)
    if threads <= 1:
        for block in range(blocks):
            work(block)
        return
    remaining = iter(range(blocks))
    failed: list[BaseException] = []

    def some() -> None:
        try:
            for block in remaining:
                work(block)
        except BaseException as error:
            failed.append(error)

    parallel = openmp()
    if parallel is None:
        on_own_threads(some, threads)
    else:
        parallel(MEMBER(lambda _: some()), None, threads, 0)
    if failed:
        raise failed[0]


@functools.cache
def openmp() -> Any:
    """`GOMP_parallel(function, data, threads, flags)` of torch's runtime; None if it has none."""
    folder = Path(torch.__file__).parent / "lib"
    for path in (path for name in RUNTIMES for path in sorted(folder.glob(name))):
        try:
            parallel = ctypes.CDLL(str(path)).GOMP_parallel
        except (OSError, AttributeError):
            continue
        parallel.argtypes = (MEMBER, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
        parallel.restype = None
        return parallel
    return None


def on_own_threads(some: Callable[[], None], threads: int) -> None:
    """Call `some` on this thread and on others beside it, until all are done."""
    others = [threading.Thread(target=some) for _ in range(threads - 1)]
    for other in others:
        other.start()
    some()
    for other in others:
        other.join()
