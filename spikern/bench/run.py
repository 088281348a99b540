"""The whole benchmark: every work, every peer, one process."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from spikern.bench import measure, peers, rows
from spikern.bench.networks import spiking
from spikern.bench.works import WORKS, Work, chosen
from spikern.provenance import provenance
from spikern.types import InputError

Say = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """What is measured, and how often."""

    works: tuple[str, ...] = tuple(WORKS)
    rates: tuple[float, ...] = (0.05, 0.10)
    repeats: int = 7
    threads: int = 2
    smoke: bool = False

    def __post_init__(self) -> None:
        chosen(self.works)
        if not self.rates or not all(0 < rate < 1 for rate in self.rates):
            raise InputError(f"rates lie between 0 and 1, got {self.rates}")
        for name in ("repeats", "threads"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")


def run(settings: Settings, say: Say = lambda line: None) -> dict[str, Any]:
    """Measure everything; the content of results.json."""
    started = time.perf_counter()
    loads = {}
    missing = peers.not_measured()
    for name, why in missing.items():
        say(f"not measured: {name} ({why})")
    measured: list[rows.Measured] = []
    rates, parts = [], {}
    for work in chosen(settings.works, settings.smoke):
        count = work.threads or settings.threads
        with measure.threads(count):
            say(f"{work.name}: {work.title}, {count} threads")
            contestants = list(peers.contestants(work, settings.rates, count))
            for peer in contestants:
                if peer.name in (peers.FUSED, peers.SNNTORCH):
                    rates.append({"work": work.name, **_rates(peer)})
                    found = ", ".join(f"{rate:.2%}" for rate in peer.rates)
                    say(f"  {peer.name.split()[0]} fires at {found}")
            for what in work.whats:
                measured += (
                    memory(work, settings, count, missing)
                    if what == "memory"
                    else times(work, what, contestants, settings.repeats)
                )
            if "train" in work.whats:
                network = spiking(work, work.batch_of()[0], settings.rates[0])
                parts[work.name] = measure.shares(network, work, settings.repeats)
        loads[work.name] = os.getloadavg()[0]
        say(rows.table(rows.rows([m for m in measured if m.work == work.name])))
    return {
        "schema": 1,
        "settings": asdict(settings),
        "rows": rows.rows(measured),
        "measured": rows.as_dicts(measured),
        "rates": rates,
        "shares": parts,
        "not_measured": missing,
        "provenance": provenance(time.perf_counter() - started, 1)
        | {"threads": settings.threads, "loads": loads}
        | {name: _version(name) for name in ("snntorch", "onnxruntime", "onnx")},
    }


def times(
    work: Work, what: str, contestants: list[peers.Peer], repeats: int
) -> list[rows.Measured]:
    """Medians of all contestants that can do it: ms of a call, or us of a step."""
    able = {(p.name, p.rate): p.calls[what] for p in contestants if what in p.calls}
    unit = 1e3 / work.steps if what == "step" else 1.0
    return [
        rows.Measured(work.name, what, *key, unit * statistics.median(samples), unit * min(samples))
        for key, samples in measure.interleaved(able, repeats).items()
    ]


def memory(
    work: Work, settings: Settings, count: int, missing: dict[str, str]
) -> list[rows.Measured]:
    """Peak memory of a training step of each, at the first rate: it hardly depends on it."""
    rate = settings.rates[0]
    found = []
    for name in peers.TRAINED:
        if name not in missing:
            mib = measure.peak_memory(name, work, rate, count)
            if mib is not None:
                asked = None if name in peers.DENSE else rate
                found.append(rows.Measured(work.name, "memory", name, asked, mib, mib))
    return found


def _rates(peer: peers.Peer) -> dict[str, Any]:
    return {"name": peer.name, "asked": peer.rate, "measured": peer.rates}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
