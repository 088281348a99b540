"""Measurements as rows of ratios, and the rows as a table.

The whole benchmark: every work, every peer, one process.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple, TypedDict

from spikern._utils.errors import InputError
from spikern._utils.provenance import provenance
from spikern.timing import measurement, peers
from spikern.timing.peers import FUSED, STREAM, spiking
from spikern.timing.workloads import WORKS, Work, chosen

UNITS = {"train": "ms", "infer": "ms", "memory": "MiB", "step": "us"}
SUBJECTS = {"train": FUSED, "infer": STREAM, "memory": FUSED, "step": STREAM}
"""Spikern's engine for each kind of work; its others are peers."""


class Measured(NamedTuple):
    """One number: of whom, doing what at which work; `rate` None where it changes nothing."""

    work: str
    what: str
    name: str
    rate: float | None
    value: float
    least: float


class Row(TypedDict):
    """A peer's value beside spikern's, and their ratio; above 1 spikern takes less."""

    work: str
    what: str
    rate: float
    peer: str
    spikern: float
    peer_value: float
    ratio: float


def rows(measured: Sequence[Measured], fastest: bool = False) -> list[Row]:
    """A row for every work, kind, rate and peer that spikern was measured beside.

    Of medians, or of the `fastest` samples, which a busy machine disturbs less.

    >>> rows([Measured("S", "train", FUSED, 0.05, 2.0, 2.0),
    ...       Measured("S", "train", "nn.RNN", None, 6.0, 5.0)])[0]["ratio"]
    3.0
    """
    found: list[Row] = []
    if fastest:
        measured = [m._replace(value=m.least) for m in measured]
    for own in measured:
        if own.name != SUBJECTS[own.what] or own.rate is None:
            continue
        for other in measured:
            same = (other.work, other.what) == (own.work, own.what)
            if same and other.name != own.name and other.rate in (None, own.rate):
                found.append(
                    Row(
                        work=own.work, what=own.what, rate=own.rate, peer=other.name,
                        spikern=own.value, peer_value=other.value, ratio=other.value / own.value,
                    )
                )  # fmt: skip
    return found


def benchmark_table(rows: Sequence[Row]) -> str:
    """The rows as a table in Markdown, a line for each work, kind and rate."""
    names = list(dict.fromkeys(row["peer"] for row in rows))
    groups: dict[tuple[str, str, float], dict[str, Row]] = {}
    for row in rows:
        groups.setdefault((row["work"], row["what"], row["rate"]), {})[row["peer"]] = row
    lines = [
        f"| work | what | rate | spikern | {' | '.join(names)} |",
        "| --- | --- " + "| ---: " * (len(names) + 2) + "|",
    ]
    for (work, what, rate), by_name in groups.items():
        own = next(iter(by_name.values()))["spikern"]
        cells = [f"{by_name[n]['ratio']:.3g}x" if n in by_name else "-" for n in names]
        value = f"{own:.3g} {UNITS[what]}"
        lines.append(f"| {work} | {what} | {rate:.0%} | {value} | {' | '.join(cells)} |")
    return "\n".join(lines)


def as_dicts(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """The measurements for a file, each with its unit."""
    return [m._asdict() | {"unit": UNITS[m.what]} for m in measured]


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


def run_benchmark(settings: Settings, say: Say = lambda line: None) -> dict[str, Any]:
    """Measure everything; the content of results.json."""
    started = time.perf_counter()
    loads = {}
    missing = peers.not_measured()
    for name, why in missing.items():
        say(f"not measured: {name} ({why})")
    measured: list[Measured] = []
    rates, parts = [], {}
    for work in chosen(settings.works, settings.smoke):
        count = work.threads or settings.threads
        with measurement.threads(count):
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
                parts[work.name] = measurement.shares(network, work, settings.repeats)
        loads[work.name] = os.getloadavg()[0]
        say(benchmark_table(rows([m for m in measured if m.work == work.name])))
    return {
        "schema": 1,
        "settings": asdict(settings),
        "rows": rows(measured),
        "measured": as_dicts(measured),
        "rates": rates,
        "shares": parts,
        "not_measured": missing,
        "provenance": provenance(time.perf_counter() - started, 1)
        | {"threads": settings.threads, "loads": loads}
        | {name: _version(name) for name in ("snntorch", "onnxruntime", "onnx")},
    }


def times(work: Work, what: str, contestants: list[peers.Peer], repeats: int) -> list[Measured]:
    """Medians of all contestants that can do it: ms of a call, or us of a step."""
    able = {(p.name, p.rate): p.calls[what] for p in contestants if what in p.calls}
    unit = 1e3 / work.steps if what == "step" else 1.0
    return [
        Measured(work.name, what, *key, unit * statistics.median(samples), unit * min(samples))
        for key, samples in measurement.interleaved(able, repeats).items()
    ]


def memory(work: Work, settings: Settings, count: int, missing: dict[str, str]) -> list[Measured]:
    """Peak memory of a training step of each, at the first rate: it hardly depends on it."""
    rate = settings.rates[0]
    found = []
    for name in peers.TRAINED:
        if name not in missing:
            mib = measurement.peak_memory(name, work, rate, count)
            if mib is not None:
                asked = None if name in peers.DENSE else rate
                found.append(Measured(work.name, "memory", name, asked, mib, mib))
    return found


def _rates(peer: peers.Peer) -> dict[str, Any]:
    return {"name": peer.name, "asked": peer.rate, "measured": peer.rates}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5)
HIDDEN = (64, 128, 256, 512, 1024, 2048)
SWEPT = (peers.FUSED, peers.STREAM, peers.SNNTORCH, "nn.RNN", "nn.LSTM")
"""Who is swept."""
BASE = Work("sweep", "a shorter work S", 100, 32, 140, 256, whats=("train", "infer"))


def sweep(
    repeats: int, threads: int, say: Callable[[str], None] = print, base: Work = BASE
) -> list[dict[str, Any]]:
    """A record {axis, hidden, rate, measured_rate, what, name, ms} for every point."""
    records = []
    points = [("rate", base.hidden, rate) for rate in RATES]
    points += [("hidden", hidden, 0.05) for hidden in HIDDEN]
    with measurement.threads(threads):
        for axis, hidden, rate in points:
            found = point(replace(base, hidden=hidden), rate, repeats, threads)
            records += [{"axis": axis, "hidden": hidden, "rate": rate, **one} for one in found]
            say(f"  {axis}: H = {hidden}, {rate:.0%}")
    return records


def point(work: Work, rate: float, repeats: int, threads: int) -> list[dict[str, Any]]:
    """All that is drawn, at one size and rate."""
    found = [p for p in peers.contestants(work, (rate,), threads) if p.name in SWEPT]
    records = []
    for what in work.whats:
        times = measurement.interleaved(
            {p.name: p.calls[what] for p in found if what in p.calls}, repeats
        )
        for peer in found:
            if peer.name in times:
                records.append(
                    {
                        "what": what,
                        "name": peer.name,
                        "measured_rate": peer.rates[-1] if peer.rates else None,
                        "ms": statistics.median(times[peer.name]),
                    }
                )
    return records
