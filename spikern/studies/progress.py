"""The progress of trainings in other processes, read from their checkpoints."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spikern._utils import phases
from spikern._utils.errors import DataError
from spikern.studies.jobs import Name, files
from spikern.studies.trainings import TrainingJob
from spikern.train.checkpoint import read_header
from spikern.train.progress import Epoch, advance

DELAY = 1.0
"""Seconds before a progress bar shows: an error in the request is reported by then."""
POLL_SECONDS = 0.3


@contextmanager
def epochs(jobs: Sequence[TrainingJob], out: Path, name: Name, visible: bool) -> Iterator[None]:
    """While inside, show on stderr how many epochs of all jobs are done, and the latest of them."""
    if not visible:
        yield
        return
    ended = threading.Event()
    total = sum(job.training.epochs for job in jobs)
    with phases.bar(total, "epoch", delay=DELAY) as bar:

        def watch() -> None:
            while not ended.wait(POLL_SECONDS):
                show(bar, jobs, out, name)

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            show(bar, jobs, out, name)


def show(bar: Any, jobs: Sequence[TrainingJob], out: Path, name: Name) -> None:
    """Bring the bar to the epochs that all checkpoints together have."""
    by_job = {job: epochs_of(files(out, name(job)).checkpoint) for job in jobs}
    started = [job for job, done in by_job.items() if done]
    if started:
        latest = max(started, key=lambda job: files(out, name(job)).checkpoint.stat().st_mtime_ns)
        bar.set_description(f"{latest.model} seed {latest.seed}", refresh=False)
        advance(bar, sum(map(len, by_job.values())), by_job[latest][-1])
    elif bar.desc or time.time() < bar.start_t + DELAY:
        return
    else:
        bar.set_description("Starting processes, compiling kernels", refresh=False)
        bar.refresh(nolock=True)
    bar.delay = 0  # what has been shown ends with its line


def epochs_of(checkpoint: Path) -> list[Epoch]:
    """The epochs that a checkpoint has behind it; none if there is no file that can be read."""
    try:
        return [Epoch(*epoch) for epoch in read_header(checkpoint)["epochs"]]
    except DataError:
        return []
