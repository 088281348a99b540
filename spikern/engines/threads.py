"""Blocks of work on torch's own threads, if the process has torch.

After an operation torch's threads wait for the next one by spinning, which takes the cores from
all other threads: beside them a training step took a third longer, and an inference twice as long.
So where torch's OpenMP runtime can be called, its threads run our blocks too; elsewhere threads of
our own do, and so they do in a process that was forked off after spikern was imported, where the
runtime waits for ever for threads that fork did not copy. Without torch there are as many as
NUMBA_NUM_THREADS says, by default the cores that the process may use. The result does not depend on
which thread runs a block.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikern._utils.origin import PROCESS

RUNTIMES = ("libgomp*.so*", "libiomp5*.so*", "libomp*.so*")
"""Names of the OpenMP runtime in torch's packages; all have GOMP_parallel."""
THREAD_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def equal_parts(count: int, parts: int) -> NDArray[np.int64]:
    """Where each of this many equal parts begins, and where the last one ends.

    >>> equal_parts(5, 2).tolist()
    [0, 2, 5]
    """
    return np.array([count * k // parts for k in range(parts + 1)])


def in_threads(work: Callable[[int], None], blocks: int) -> None:
    """Do the work of every block on as many threads as there are; each takes the next block.

    >>> done = []
    >>> in_threads(done.append, 5)
    >>> sorted(done)
    [0, 1, 2, 3, 4]
    """
    threads = min(available(), blocks)
    if threads <= 1:
        for block in range(blocks):
            work(block)
        return
    remaining = iter(range(blocks))
    errors: list[BaseException] = []

    def take_blocks() -> None:
        try:
            for block in remaining:
                work(block)
        except BaseException as error:
            errors.append(error)

    ours = os.getpid() == PROCESS and sys.modules.get("torch")
    parallel = openmp() if ours else None
    if parallel is None:
        on_own_threads(take_blocks, threads)
    else:
        parallel(THREAD_FUNCTION(lambda _: take_blocks()), None, threads, 0)
    if errors:
        raise errors[0]


def available() -> int:
    """The number of threads."""
    if torch := sys.modules.get("torch"):
        return int(torch.get_num_threads())
    from numba import config

    return int(config.NUMBA_NUM_THREADS)


@functools.cache
def openmp() -> Any:
    """`GOMP_parallel(function, data, threads, flags)` of torch's runtime; None if it has none."""
    folder = Path(str(sys.modules["torch"].__file__)).parent / "lib"
    for path in (path for name in RUNTIMES for path in sorted(folder.glob(name))):
        try:
            parallel = ctypes.CDLL(str(path)).GOMP_parallel
        except (OSError, AttributeError):
            continue
        parallel.argtypes = (THREAD_FUNCTION, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
        parallel.restype = None
        return parallel
    return None


def on_own_threads(work: Callable[[], None], threads: int) -> None:
    """Call `work` on this thread and on others beside it, until all have returned."""
    others = [threading.Thread(target=work) for _ in range(threads - 1)]
    for other in others:
        other.start()
    work()
    for other in others:
        other.join()
