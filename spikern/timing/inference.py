"""Time of one inference, and its energy where the machine has counters, on every runtime."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray

from spikern._utils.errors import InputError, SpikernError, UnsupportedError
from spikern._utils.numbers import check_counts
from spikern.data.dataset import Batch, Split
from spikern.events import valid_steps
from spikern.layers.network import Network
from spikern.timing import energy_counters
from spikern.timing.measurement import interleaved, threads
from spikern.timing.runtimes import COMPILED, INT8_GRAPH, RUNTIMES, Call

TOLERANCE = 1e-3
"""Largest difference of float32 logits, relative to the largest, or to 1. Sums in another order and
approximate tanh and sigmoid differ by parts in a million per step, which a trained recurrence can
amplify."""
ALONE = 16
"""Samples, one call each, that a time at batch 1 is taken over, since spikes differ by sample."""


class Contestant(NamedTuple):
    """A trained network, its name, and what is equal to the first, spiking network."""

    name: str
    equal: str
    network: Network


class LogitCheck(NamedTuple):
    """The logits of a runtime against those of the network: largest difference, equal answers."""

    name: str
    equal: str
    runtime: str
    batch: int
    difference: float
    agreement: float


class InferenceTime(TypedDict):
    """One network on one runtime: milliseconds of one inference, the median and all samples.

    ratio    its time over that of the first network; above 1 the first is faster
    joules   energy of one inference without the idle power, or None
    """

    name: str
    equal: str
    runtime: str
    batch: int
    ms: float
    samples: list[float]
    ratio: float
    joules: float | None


class InferenceTimes(NamedTuple):
    """All times and checks.

    missing     what did not run on this machine, and why
    no_joules   why there are no joules, or None
    """

    rows: list[InferenceTime]
    checks: list[LogitCheck]
    missing: dict[str, str]
    no_joules: str | None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return self._asdict() | {"checks": [check._asdict() for check in self.checks]}


Key = tuple[str, str, str]
"""Name of the network, what is equal, runtime."""


def batches(split: Split, size: int) -> list[Batch]:
    """One batch of the first samples; for size 1, sixteen batches of one sample of median length.

    They have one length because a compiled network is compiled for a length.

    >>> from spikern.data import load
    >>> [len(batch) for batch in batches(load("digits").test, 64)]
    [64]
    """
    if not 1 <= size <= len(split):
        raise InputError(f"a batch has 1..{len(split)} samples, got {size}")
    if size > 1:
        return [split.batch(torch.arange(size))]
    median = split.lengths.median()
    alike = torch.nonzero(split.lengths == median).flatten()[:ALONE]
    return [split.batch(alike[k : k + 1]) for k in range(len(alike))]


def measure(
    contestants: Sequence[Contestant],
    split: Split,
    sizes: Sequence[int] = (1, 64),
    repeats: int = 7,
    thread_count: int = 1,
    joule_seconds: float = 5.0,
    root: Path = energy_counters.ROOT,
) -> InferenceTimes:
    """Time all networks on all their runtimes, interleaved, for each batch size.

    The spiking network comes first. The logits of every runtime are checked first; see `check`.

    Raises InputError if the first network is not spiking, UnsupportedError if it does not run,
    SpikernError if logits differ.
    """
    check_counts(repeats=repeats, thread_count=thread_count)
    if not contestants or not contestants[0].network.spiking:
        raise InputError("name the spiking network first: the others are measured against it")
    names = [(one.name, one.equal) for one in contestants]
    if len(set(names)) < len(names):
        raise InputError(f"every network has a name of its own, got {names}")
    counters = energy_counters.find_domains(root)
    rows: list[InferenceTime] = []
    checks: list[LogitCheck] = []
    missing: dict[str, str] = {}
    with threads(thread_count):
        for size in sizes:
            inputs = batches(split, size)
            calls: dict[Key, list[Call]] = {}
            for one in contestants:
                for runtime, make in RUNTIMES[one.network.spiking].items():
                    try:
                        runtime_calls = make(one.network, inputs, thread_count)
                    except UnsupportedError as error:
                        if one is contestants[0]:
                            raise  # there is nothing to measure the others against
                        missing[f"{one.name} on {runtime}"] = str(error)
                        continue
                    checks.append(check(one, runtime, size, runtime_calls, inputs))
                    calls[one.name, one.equal, runtime] = runtime_calls
            inferences = sum(map(len, inputs))
            rounds = {key: partial(_call_all, of_key) for key, of_key in calls.items()}
            times = {
                key: [ms / inferences for ms in samples]
                for key, samples in interleaved(rounds, repeats).items()
            }
            joules = {
                key: energy_counters.measure(counters.domains, call, inferences, joule_seconds)
                for key, call in (rounds if counters.domains else {}).items()
            }
            rows += as_rows(times, size, joules)
    return InferenceTimes(rows, checks, missing, counters.why_not)


def fastest(
    networks: Mapping[str, Network], split: Split, repeats: int = 7
) -> dict[str, tuple[str, float]]:
    """The fastest runtime of every network and its ms, at batch 1 on one thread.

    Only runtimes of float32, whose answers are those of the network; torch.compile, which takes
    minutes to start, and int8 are left to `measure`. Logits are not checked here.
    """
    inputs = batches(split, 1)
    calls: dict[tuple[str, str], list[Call]] = {}
    with threads(1):
        for name, network in networks.items():
            for runtime, make in RUNTIMES[network.spiking].items():
                if runtime not in (COMPILED, INT8_GRAPH):
                    with suppress(UnsupportedError):  # it does not run this network
                        calls[name, runtime] = make(network, inputs, 1)
        rounds = {key: partial(_call_all, of_key) for key, of_key in calls.items()}
        samples = interleaved(rounds, repeats)
    times: dict[str, list[tuple[float, str]]] = {}
    for (name, runtime), ms in samples.items():
        times.setdefault(name, []).append((statistics.median(ms) / len(inputs), runtime))
    return {name: (runtime, ms) for name, found in times.items() for ms, runtime in [min(found)]}


def _call_all(calls: Sequence[Call]) -> None:
    for call in calls:
        call()


def as_rows(
    times: dict[Key, list[float]], batch: int, joules: dict[Key, float]
) -> list[InferenceTime]:
    """Medians, and their ratios to the first.

    >>> rows = as_rows({("ALIF", "", "stream"): [1.0, 2.0, 9.0],
    ...                  ("LSTM", "width", "eager"): [6.0, 5.0, 7.0]},
    ...                 1, {("LSTM", "width", "eager"): 0.5})
    >>> [(row["ms"], row["ratio"], row["joules"]) for row in rows]
    [(2.0, 1.0, None), (6.0, 3.0, 0.5)]
    """
    first = statistics.median(next(iter(times.values())))
    return [
        InferenceTime(
            name=key[0], equal=key[1], runtime=key[2], batch=batch,
            ms=statistics.median(samples), samples=samples,
            ratio=statistics.median(samples) / first, joules=joules.get(key),
        )
        for key, samples in times.items()
    ]  # fmt: skip


def check(
    one: Contestant, runtime: str, size: int, calls: Sequence[Call], inputs: Sequence[Batch]
) -> LogitCheck:
    """Compare the logits of a runtime with those of the network.

    In int8 they differ by design, so there only the share of equal answers is reported.

    Raises SpikernError if float32 logits differ by more than TOLERANCE of the largest.
    """
    gaps, same, answers, largest = [0.0], 0, 0, 1.0
    for call, batch in zip(calls, inputs):
        with torch.no_grad():
            expected = one.network(batch.x, lengths=batch.lengths)[0].numpy()
        # Past the length of a sample there is no answer, and a runtime may write anything there.
        answered = valid(expected, batch)
        logits, expected = call()[answered], expected[answered]
        gaps.append(float(np.abs(logits - expected).max()))
        largest = max(largest, float(np.abs(expected).max()))
        same += int((logits.argmax(-1) == expected.argmax(-1)).sum())
        answers += len(expected)
    difference = float(np.max(gaps))
    if runtime != INT8_GRAPH and not difference <= TOLERANCE * largest:
        raise SpikernError(
            f"{one.name} on {runtime} gives logits {difference:.3g} off those of torch, "
            f"more than {TOLERANCE:g} of the largest, {largest:.3g}; its time means nothing"
        )
    return LogitCheck(one.name, one.equal, runtime, size, difference, same / answers)


def valid(logits: NDArray[Any], batch: Batch) -> NDArray[np.bool_]:
    """Which logits are answers: all of (B, C), or of (T, B, C) those within the lengths."""
    if logits.ndim == 2:
        return np.ones(len(logits), np.bool_)
    return valid_steps(batch.lengths, len(logits)).numpy()
