"""Joules of one inference by the energy counters of the processor: RAPL through Linux's powercap.

Every folder `intel-rapl:N` is a domain with a `name`, a counter `energy_uj` in microjoules that
wraps around, and `max_energy_range_uj`, the largest value before it does. Packages are added up,
and the memory beside them; `core` and `uncore` are parts of a package and `psys` contains it, so
they are left out. The files belong to root on most systems.

The energy of one inference is the energy of a run without the idle power, which is measured just
before:

    J = (E_run - P_idle t_run) / n,   P_idle = E_idle / t_idle
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


class Domains(NamedTuple):
    """The domains of a machine that can be read; if there are none, why not."""

    domains: tuple[Domain, ...]
    why_not: str | None


def find_domains(root: Path = ROOT) -> Domains:
    """Find the domains that can be read.

    >>> find_domains(Path("/nowhere")).why_not
    'not measured on this machine: /nowhere has no intel-rapl domain'
    """
    folders = sorted(root.glob("intel-rapl:*"))
    if not folders:
        return Domains((), f"{NOT_MEASURED}: {root} has no intel-rapl domain")
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
            return Domains((), f"{NOT_MEASURED}: {error}")
    if not domains:
        return Domains((), f"{NOT_MEASURED}: {root} has only the domains {', '.join(PARTS)}")
    return Domains(tuple(domains), None)


def read(domains: Sequence[Domain]) -> tuple[int, ...]:
    """Read the counters, in microjoules."""
    return tuple(number(domain.path) for domain in domains)


def number(path: Path) -> int:
    """The integer in a file. Raises DataError if there is none or the file cannot be read."""
    try:
        return int(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}; RAPL needs root on most systems") from error


def joules(domains: Sequence[Domain], before: Sequence[int], after: Sequence[int]) -> float:
    """Joules between two readings; each counter may have wrapped around once.

    A counter wraps around after minutes at full load, so the readings must be closer than that.

    >>> one = Domain("package-0", Path("energy_uj"), 1_000_000)
    >>> joules([one], [900_000], [400_000])
    0.5
    """
    if not len(domains) == len(before) == len(after):
        raise InputError(
            f"{len(domains)} domains need as many readings, got {len(before)} and {len(after)}"
        )
    differences = (
        end - start if end >= start else domain.largest - start + end
        for domain, start, end in zip(domains, before, after)
    )
    return sum(differences) / 1e6


class Window(NamedTuple):
    """Joules and seconds of a stretch of time, and the number of inferences in it."""

    joules: float
    seconds: float
    inferences: int


def net(idle: Window, run: Window) -> float:
    """Joules of one inference without the idle power; negative where noise exceeds the load.

    >>> net(Window(20.0, 2.0, 0), Window(60.0, 4.0, 100))
    0.2
    """
    if idle.seconds <= 0 or run.seconds <= 0 or run.inferences < 1:
        raise InputError(f"windows need a duration and an inference, got {idle} and {run}")
    return (run.joules - idle.joules / idle.seconds * run.seconds) / run.inferences


def window(domains: tuple[Domain, ...], work: Callable[[], int]) -> Window:
    """Read the counters before and after `work`, which returns its number of inferences."""
    before, started = read(domains), time.perf_counter()
    inferences = work()
    seconds, after = time.perf_counter() - started, read(domains)
    return Window(joules(domains, before, after), seconds, inferences)


def measure(
    domains: tuple[Domain, ...], call: Callable[[], object], inferences: int, seconds: float
) -> float:
    """Joules of one inference: idle for this many seconds, then call for as many.

    `inferences` are those of one call.
    """

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
