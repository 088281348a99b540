"""Joules of one inference: what the machine took while it ran, less what it takes idle.

J = (E_run - P_idle t_run) / n,   P_idle = E_idle / t_idle,  measured just before
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from spikern.measured.rapl import Domain, joules, read
from spikern.types import InputError


class Window(NamedTuple):
    """Joules and seconds of a stretch of time, and the inferences done in it."""

    joules: float
    seconds: float
    inferences: int


class Energy(NamedTuple):
    """One inference: joules with idle power subtracted; and the idle watts that were."""

    joules_per_inference: float
    idle_watts: float
    idle_seconds: float
    run_seconds: float


def net(idle: Window, run: Window) -> Energy:
    """Idle power subtracted; negative where the load drowned in the idle power's noise.

    >>> net(Window(20.0, 2.0, 0), Window(60.0, 4.0, 100)).joules_per_inference
    0.2
    """
    if idle.seconds <= 0 or run.seconds <= 0 or run.inferences < 1:
        raise InputError(f"windows need time and an inference, got {idle} and {run}")
    watts = idle.joules / idle.seconds
    each = (run.joules - watts * run.seconds) / run.inferences
    return Energy(each, watts, idle.seconds, run.seconds)


def window(domains: tuple[Domain, ...], work: Callable[[], int]) -> Window:
    """Read, do the work, read again; the work says how many inferences it did."""
    before, started = read(domains), time.perf_counter()
    inferences = work()
    seconds, after = time.perf_counter() - started, read(domains)
    return Window(joules(domains, before, after), seconds, inferences)


def measure(
    domains: tuple[Domain, ...], call: Callable[[], object], inferences: int, seconds: float
) -> Energy:
    """Idle for so many seconds, then call for as many; `inferences` are those of one call."""

    def rest() -> int:
        time.sleep(seconds)
        return 0

    def run() -> int:
        done, until = 0, time.perf_counter() + seconds
        while time.perf_counter() < until:
            call()
            done += inferences
        return done

    return net(window(domains, rest), window(domains, run))
