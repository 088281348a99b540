"""Joules of the processor, as its own counters give them: RAPL through Linux's powercap.

Every folder `intel-rapl:N` is a domain with a `name`, a counter `energy_uj` in microjoules that
wraps around, and `max_energy_range_uj`, the largest value before it does. Packages are added up,
and the memory beside them; `core` and `uncore` are parts of a package and `psys` contains it, so
they are left out. The files belong to root on most systems.

Joules of one inference: what the machine took while it ran, less what it takes idle.

J = (E_run - P_idle t_run) / n,   P_idle = E_idle / t_idle,  measured just before
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from spikern._utils.errors import DataError, InputError

ROOT = Path("/sys/class/powercap")
PARTS = ("core", "uncore", "psys")
"""Domains that would be counted twice."""
NOT_MEASURED = "not measured on this machine"


class Domain(NamedTuple):
    """One counter: its name, its file, and the value after which it starts again at 0, in uJ."""

    name: str
    path: Path
    largest: int


class Found(NamedTuple):
    """The domains of a machine; without any, why not."""

    domains: tuple[Domain, ...]
    why_not: str | None


def find(root: Path = ROOT) -> Found:
    """The domains that can be read.

    >>> find(Path("/nowhere")).why_not
    'not measured on this machine: /nowhere has no intel-rapl domain'
    """
    folders = sorted(root.glob("intel-rapl:*"))
    if not folders:
        return Found((), f"{NOT_MEASURED}: {root} has no intel-rapl domain")
    domains = []
    for folder in folders:
        try:
            name = (folder / "name").read_text().strip()
            if name in PARTS:
                continue
            largest = number(folder / "max_energy_range_uj")
            domains.append(Domain(name, folder / "energy_uj", largest))
            number(folder / "energy_uj")
        except OSError as error:
            return Found((), f"{NOT_MEASURED}: {error}")
    if not domains:
        return Found((), f"{NOT_MEASURED}: {root} has only the domains {', '.join(PARTS)}")
    return Found(tuple(domains), None)


def read(domains: Sequence[Domain]) -> tuple[int, ...]:
    """The counters now, in microjoules."""
    return tuple(number(domain.path) for domain in domains)


def number(path: Path) -> int:
    """The whole number in a file; raises DataError if it cannot be read or holds none."""
    try:
        return int(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}; RAPL needs root on most systems") from error


def joules(domains: Sequence[Domain], before: Sequence[int], after: Sequence[int]) -> float:
    """Joules between two readings, each counter having wrapped around once at most.

    A window must be shorter than one turn, which takes minutes at full load.

    >>> one = Domain("package-0", Path("energy_uj"), 1_000_000)
    >>> joules([one], [900_000], [400_000])
    0.5
    """
    if not len(domains) == len(before) == len(after):
        raise InputError(
            f"{len(domains)} domains need as many readings, got {len(before)} and {len(after)}"
        )
    turned = (
        end - start if end >= start else domain.largest - start + end
        for domain, start, end in zip(domains, before, after)
    )
    return sum(turned) / 1e6


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
