"""The benchmark: every workload, every peer, one process; and the sweep over rate and size."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple, TypedDict

from spikern._utils.errors import InputError
from spikern._utils.numbers import check_counts
from spikern._utils.provenance import provenance
from spikern.engines import population
from spikern.timing import measurement, peers
from spikern.timing.peers import FUSED, STREAM, Peer, spiking_network
from spikern.timing.workloads import WORKLOADS, Workload, chosen

UNITS = {"train": "ms", "infer": "ms", "memory": "MiB", "step": "us"}
"""The kinds of measurement, each with its unit."""
SUBJECTS = {"train": FUSED, "infer": STREAM, "memory": FUSED, "step": STREAM}
"""The engine of spikern for each kind of measurement; its other engines are peers."""


@dataclass(frozen=True)
class Settings:
    """What is measured, and how often; `workloads` are names of WORKLOADS."""

    workloads: tuple[str, ...] = tuple(WORKLOADS)
    rates: tuple[float, ...] = (0.05, 0.10)
    repeats: int = 7
    threads: int = 2
    smoke: bool = False

    def __post_init__(self) -> None:
        chosen(self.workloads)
        if not self.rates or not all(0 < rate < 1 for rate in self.rates):
            raise InputError(f"rates lie between 0 and 1, got {self.rates}")
        check_counts(repeats=self.repeats, threads=self.threads)


class Measurement(NamedTuple):
    """The median and the least value of one network: kind `what` of workload `work`.

    `rate` is None where the firing rate changes nothing.
    """

    work: str
    what: str
    name: str
    rate: float | None
    value: float
    least: float


class Row(TypedDict):
    """The value of a peer beside that of spikern, and their ratio; above 1 spikern needs less."""

    work: str
    what: str
    rate: float
    peer: str
    spikern: float
    peer_value: float
    ratio: float


def run_benchmark(
    settings: Settings,
    progress: Callable[[str], None] = lambda line: None,
    report: Callable[[list[Row]], None] = lambda rows: None,
) -> dict[str, Any]:
    """Measure all workloads of the settings; the content of results.json.

    `progress` gets lines of text while it runs, `report` the rows of every finished workload.
    """
    started = time.perf_counter()
    missing = peers.not_measured()
    for name, why in missing.items():
        progress(f"not measured: {name} ({why})")
    measurements: list[Measurement] = []
    rates: list[dict[str, Any]] = []
    loads, parts = {}, {}
    for work in chosen(settings.workloads, settings.smoke):
        threads = work.threads or settings.threads
        with measurement.threads(threads):
            progress(f"{work.name}: {work.title}, {threads} threads")
            contestants = list(peers.contestants(work, settings.rates, threads))
            for peer in contestants:
                if peer.name in (peers.FUSED, peers.SNNTORCH):
                    record = {"work": work.name, "name": peer.name}
                    rates.append(record | {"asked": peer.rate, "measured": peer.rates})
                    measured = ", ".join(f"{rate:.2%}" for rate in peer.rates)
                    progress(f"  {peer.name.split()[0]} fires at {measured}")
            for what in work.kinds:
                measurements += (
                    memory(work, settings, threads, missing)
                    if what == "memory"
                    else times(work, what, contestants, settings.repeats)
                )
            if "train" in work.kinds:
                network = spiking_network(work, work.data()[0], settings.rates[0])
                parts[work.name] = measurement.shares(network, work, settings.repeats)
        loads[work.name] = os.getloadavg()[0]
        report(rows([m for m in measurements if m.work == work.name]))
    return {
        "schema": 1,
        "settings": asdict(settings),
        "rows": rows(measurements),
        "measured": [m._asdict() | {"unit": UNITS[m.what]} for m in measurements],
        "rates": rates,
        "shares": parts,
        "not_measured": missing,
        "provenance": provenance(time.perf_counter() - started, 1)
        | {"threads": settings.threads, "loads": loads}
        | {name: _version(name) for name in ("snntorch", "onnxruntime", "onnx")},
    }


def times(work: Workload, what: str, contestants: list[Peer], repeats: int) -> list[Measurement]:
    """Medians of all peers that can do it: ms of a call, or us of a step."""
    calls = {(p.name, p.rate): p.calls[what] for p in contestants if what in p.calls}
    unit = 1e3 / work.steps if what == "step" else 1.0
    return [
        Measurement(work.name, what, *key, unit * statistics.median(samples), unit * min(samples))
        for key, samples in measurement.interleaved(calls, repeats).items()
    ]


def memory(
    work: Workload, settings: Settings, threads: int, missing: dict[str, str]
) -> list[Measurement]:
    """Peak memory of a training step of each, at the first rate: it hardly depends on the rate."""
    rate = settings.rates[0]
    measurements = []
    for name in peers.TRAINED:
        mib = None if name in missing else measurement.peak_memory(name, work, rate, threads)
        if mib is not None:
            own_rate = None if name in peers.DENSE else rate
            measurements.append(Measurement(work.name, "memory", name, own_rate, mib, mib))
    return measurements


def by_least(measurements: Sequence[Measurement]) -> list[Measurement]:
    """The measurements by their fastest samples, which a busy machine disturbs less."""
    return [m._replace(value=m.least) for m in measurements]


def rows(measurements: Sequence[Measurement]) -> list[Row]:
    """A row for every workload, kind, rate and peer that was measured beside spikern.

    >>> rows([Measurement("S", "train", FUSED, 0.05, 2.0, 2.0),
    ...       Measurement("S", "train", "nn.RNN", None, 6.0, 5.0)])[0]["ratio"]
    3.0
    """
    pairs: list[Row] = []
    for own in measurements:
        if own.name != SUBJECTS[own.what] or own.rate is None:
            continue
        for other in measurements:
            same = (other.work, other.what) == (own.work, own.what)
            if same and other.name != own.name and other.rate in (None, own.rate):
                pairs.append(
                    Row(
                        work=own.work, what=own.what, rate=own.rate, peer=other.name,
                        spikern=own.value, peer_value=other.value, ratio=other.value / own.value,
                    )
                )  # fmt: skip
    return pairs


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5)
HIDDEN = (64, 128, 256, 512, 1024, 2048)
SWEPT = (peers.FUSED, peers.STREAM, peers.SNNTORCH, "nn.RNN", "nn.LSTM")
"""The peers of the sweep."""
BASE = Workload("sweep", "a shorter workload S", 100, 32, 140, 256, kinds=("train", "infer"))


def sweep(
    repeats: int, threads: int, progress: Callable[[str], None], base: Workload = BASE
) -> list[dict[str, Any]]:
    """A record {axis, hidden, rate, measured_rate, what, name, ms} for every point."""
    points = [("rate", base.hidden, rate) for rate in RATES]
    points += [("hidden", hidden, 0.05) for hidden in HIDDEN]
    records = []
    with measurement.threads(threads):
        for axis, hidden, rate in points:
            records += [
                {"axis": axis, "hidden": hidden, "rate": rate, **record}
                for record in _point(replace(base, hidden=hidden), rate, repeats, threads)
            ]
            progress(f"  {axis}: H = {hidden}, {rate:.0%}")
    return records


DENSITIES = (0.01, 0.02, 0.05, 0.1, 0.2)
WIDTHS = (256, 1024, 4096)
FORMS = {"rows": 0.0, "lists": 1.0}
"""Forms of recurrent weights, and below which density each is chosen for the measurement."""
BRIEF = Workload("densities", "a short one", 25, 32, 140, 256, kinds=("train",))


def densities(
    repeats: int, threads: int, progress: Callable[[str], None], base: Workload = BRIEF
) -> list[dict[str, Any]]:
    """A record {hidden, density, form, ms, least} of a training step with sparse recurrence.

    Both forms are timed at every density, whichever the engine would choose: whole rows, the
    weights that do not exist being zero, and lists of synapses.
    """
    records, chosen_below = [], population.SPARSE

    def of_form(step: Callable[[], object], below: float) -> Callable[[], object]:
        def call() -> None:
            population.SPARSE = below
            step()

        return call

    try:
        with measurement.threads(threads):
            for hidden in WIDTHS if base is BRIEF else (base.hidden,):
                for density in DENSITIES:
                    work = replace(base, hidden=hidden, connectivity=density)
                    x, y = work.data()
                    step = peers.train_step(spiking_network(work, x, 0.05), x, y)
                    calls = {form: of_form(step, below) for form, below in FORMS.items()}
                    for form, samples in measurement.interleaved(calls, repeats).items():
                        ms = {"ms": statistics.median(samples), "least": min(samples)}
                        records.append({"hidden": hidden, "density": density, "form": form} | ms)
                    progress(f"  H = {hidden}, {density:.0%} of the synapses")
    finally:
        population.SPARSE = chosen_below
    return records


def _point(work: Workload, rate: float, repeats: int, threads: int) -> list[dict[str, Any]]:
    """The records of all peers of the sweep at one size and rate."""
    swept = [p for p in peers.contestants(work, (rate,), threads) if p.name in SWEPT]
    records = []
    for what in work.kinds:
        timed = [p for p in swept if what in p.calls]
        samples = measurement.interleaved({p.name: p.calls[what] for p in timed}, repeats)
        for peer in timed:
            rate_now = peer.rates[-1] if peer.rates else None
            record = {"what": what, "name": peer.name, "measured_rate": rate_now}
            records.append(record | {"ms": statistics.median(samples[peer.name])})
    return records
