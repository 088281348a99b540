"""Where the jobs of a study run: processes of this machine, or a Ray cluster.

A backend is a function (work, configs) -> iterator of the values of `work(config)`, in the order in
which they end. Where a process dies, it yields `Lost` if it knows the job, else it raises `Died`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, NamedTuple

import joblib

from spikern._utils.errors import InputError, SpikernError
from spikern._utils.numbers import check_counts
from spikern._utils.phases import say_warning
from spikern._utils.processes import deaf_to_interrupts, end_with

Work = Callable[[Any], Any]
Backend = Callable[[Work, Sequence[Any]], Iterator[Any]]
RETRIES = 3
"""Times that Ray repeats a job whose process or machine died."""


class Died(SpikernError):
    """A process of the pool died and the pool with it; the job is not known."""


class Lost(NamedTuple):
    """A job that was given up, and the reason."""

    config: Any
    reason: str


def local(workers: int) -> Backend:
    """Processes of this machine, one thread each; with one worker, this process."""
    check_counts(workers=workers)
    return partial(_local, workers)


def _local(workers: int, work: Work, configs: Sequence[Any]) -> Iterator[Any]:
    with joblib.parallel_config(
        "loky", inner_max_num_threads=1, initializer=begin, initargs=(os.getpid(),)
    ):
        parallel = joblib.Parallel(workers, return_as="generator_unordered", batch_size=1)
        try:
            with parallel as pool:
                with deaf_to_interrupts():
                    ended = pool(joblib.delayed(work)(config) for config in configs)
                yield from ended
        except BrokenProcessPool as error:
            raise Died(
                "a process was killed, perhaps for lack of memory; start again or --resume"
            ) from error


def begin(parent: int) -> None:
    """Make a process a worker: it ends with its parent, and a warning is a line."""
    warnings.showwarning = say_warning
    end_with(parent)


def cluster(address: str) -> Backend:
    """A Ray cluster by its address, or "auto" for one that this machine belongs to.

    Every machine of it needs spikern, and the study's folder at the same path.
    """
    try:
        import ray  # noqa: F401
    except ImportError:
        raise InputError("a study on a cluster needs Ray: pip install 'spikern[ray]'") from None
    return partial(_cluster, address)


def _cluster(address: str, work: Work, configs: Sequence[Any]) -> Iterator[Any]:
    import ray

    ray.init(address, log_to_driver=False)
    try:
        remote = ray.remote(num_cpus=1, max_retries=RETRIES)(work_of).remote
        pending = {remote(work, config): config for config in configs}
        while pending:
            (done, *_), _ = ray.wait(list(pending), num_returns=1)
            config = pending.pop(done)
            try:
                yield ray.get(done)
            except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError) as error:
                yield Lost(config, str(error))
    finally:
        ray.shutdown()


def work_of(work: Work, config: Any) -> Any:
    """Call work(config); Ray takes plain functions only."""
    return work(config)
