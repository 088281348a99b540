"""Jobs for the tests of studies, at the top of a module so that they can go to other processes."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from spikern._utils import atomic
from spikern.data import load
from spikern.train.training import Training
from spikern.train.trial import fresh_network, train_and_test


@dataclass(frozen=True)
class Job:
    """What a job does beside squaring a number."""

    n: int
    folder: str = ""
    """Where the job notes that it was done, and by whom."""
    does: str = "square"
    seconds: float = 0.0


def square(job, checkpoint):
    if job.folder:
        note = Path(job.folder) / f"{job.n}-{os.getpid()}-{time.monotonic_ns()}"
        atomic.write(note, "done")
    time.sleep(job.seconds)
    if job.does == "fail":
        raise ValueError(f"no square of {job.n}")
    if job.does == "not a number":
        return {"square": float("nan")}
    if job.does == "clash":
        return {"N": 1}
    if job.does == "die" or (job.does == "die once" and not checkpoint.exists()):
        checkpoint.write_text("was here")
        os.kill(os.getpid(), signal.SIGKILL)
    return {"square": job.n**2, "parts": {"half": job.n / 2}, "list": [job.n, job.n]}


@dataclass(frozen=True)
class Fit:
    """A real training, small."""

    model: str
    seed: int
    training: Training = Training(epochs=2)  # noqa: RUF009 (it is frozen)


def digits(job, checkpoint):
    dataset = load("digits")
    network = fresh_network(job.model, 8, dataset, job.seed)
    found = train_and_test(network, dataset, job.training, job.seed, checkpoint)
    for epoch in found["epochs"]:
        del epoch["seconds"]
    del found["seconds"]
    return found
