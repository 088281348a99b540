"""Time, and where it can be had energy, of one inference: every network on every runtime."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray

from spikern._utils.errors import InputError, SpikernError, UnsupportedError
from spikern.data.dataset import Batch, Split
from spikern.events import valid_steps
from spikern.layers.network import Network
from spikern.timing import energy_counters
from spikern.timing.measurement import interleaved, threads
from spikern.timing.runtimes import INT8_GRAPH, RUNTIMES, Call

TOLERANCE = 1e-3
"""Of float32 logits, times the largest: sums in another order and approximate tanh and sigmoid
leave parts in a million a step, and a trained recurrence can carry them on and enlarge them."""
ALONE = 16
"""Samples, one call each, behind one number at batch 1, since spikes differ between samples."""


class Contestant(NamedTuple):
    """A trained network, what it is called, and in what it equals the spiking one."""

    name: str
    equal: str
    network: Network


class Checked(NamedTuple):
    """A runtime's logits beside the network's own: largest difference, share of equal answers."""

    name: str
    equal: str
    runtime: str
    batch: int
    difference: float
    agreement: float


class Row(TypedDict):
    """One contestant on one runtime: milliseconds of one inference, the median and all samples.

    `ratio` is its time over that of the first contestant; above 1 the first is cheaper.
    `joules` is one inference's with idle power subtracted, or None.
    """

    name: str
    equal: str
    runtime: str
    batch: int
    ms: float
    samples: list[float]
    ratio: float
    joules: float | None


class Measured(NamedTuple):
    """All rows and checks; what did not run on this machine and why; why no joules, if so."""

    rows: list[Row]
    checks: list[Checked]
    missing: dict[str, str]
    no_joules: str | None


Key = tuple[str, str, str]
"""Name, what is equal, runtime."""


def batches(split: Split, size: int) -> list[Batch]:
    """One batch of the first samples; for size 1, sixteen samples of the median length alone.

    All of one length, since a compiled network is compiled for it.

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
) -> Measured:
    """Time all contestants, the spiking one first, interleaved; each batch size on its own.

    Every runtime is first held to the network's own logits; see `check`.
    """
    if not contestants or not contestants[0].network.spiking:
        raise InputError("name the spiking network first: the others are measured against it")
    found = energy_counters.find(root)
    rows: list[Row] = []
    checks: list[Checked] = []
    missing: dict[str, str] = {}
    with threads(thread_count):
        for size in sizes:
            inputs = batches(split, size)
            calls: dict[Key, list[Call]] = {}
            for one in contestants:
                for runtime, make in RUNTIMES[one.network.spiking].items():
                    try:
                        made = make(one.network, inputs, thread_count)
                    except UnsupportedError as error:
                        missing[f"{one.name} on {runtime}"] = str(error)
                        continue
                    checks.append(check(one, runtime, size, made, inputs))
                    calls[one.name, one.equal, runtime] = made
            inferences = sum(map(len, inputs))
            whole = {key: partial(one_after_another, made) for key, made in calls.items()}
            times = {
                key: [ms / inferences for ms in samples]
                for key, samples in interleaved(whole, repeats).items()
            }
            joules = {
                key: energy_counters.measure(
                    found.domains, call, inferences, joule_seconds
                ).joules_per_inference
                for key, call in whole.items()
                if found.domains
            }
            rows += as_rows(times, size, joules)
    return Measured(rows, checks, missing, found.why_not)


def one_after_another(calls: Sequence[Call]) -> None:
    """Every call once."""
    for call in calls:
        call()


def as_rows(times: dict[Key, list[float]], batch: int, joules: dict[Key, float]) -> list[Row]:
    """Medians, and their ratios to the first.

    >>> found = as_rows({("ALIF", "", "stream"): [1.0, 2.0, 9.0],
    ...                  ("LSTM", "width", "eager"): [6.0, 5.0, 7.0]}, 1, {})
    >>> [row["ratio"] for row in found]
    [1.0, 3.0]
    """
    first = statistics.median(next(iter(times.values())))
    return [
        Row(
            name=key[0], equal=key[1], runtime=key[2], batch=batch,
            ms=statistics.median(samples), samples=samples,
            ratio=statistics.median(samples) / first, joules=joules.get(key),
        )
        for key, samples in times.items()
    ]  # fmt: skip


def check(
    one: Contestant, runtime: str, size: int, calls: Sequence[Call], inputs: Sequence[Batch]
) -> Checked:
    """Hold a runtime to the network's own logits; raises SpikernError if float32 ones differ.

    In int8 they must differ, so there only the share of equal answers is reported.
    """
    gaps, same, answers, largest = [0.0], 0, 0, 1.0
    for call, batch in zip(calls, inputs):
        with torch.no_grad():
            wanted = one.network(batch.x, lengths=batch.lengths)[0].numpy()
        # Past a sample's length there is no answer; what a runtime writes there is its own.
        counted = valid(wanted, batch)
        got, wanted = call()[counted], wanted[counted]
        gaps.append(float(np.abs(got - wanted).max()))
        largest = max(largest, float(np.abs(wanted).max()))
        same += int((got.argmax(-1) == wanted.argmax(-1)).sum())
        answers += len(wanted)
    difference = float(np.max(gaps))
    if runtime != INT8_GRAPH and not difference <= TOLERANCE * largest:
        raise SpikernError(
            f"{one.name} on {runtime} gives logits {difference:.3g} off those of torch, "
            f"more than {TOLERANCE:g} of the largest, {largest:.3g}; its time means nothing"
        )
    return Checked(one.name, one.equal, runtime, size, difference, same / answers)


def valid(logits: NDArray[Any], batch: Batch) -> NDArray[np.bool_]:
    """Which answers count: all (B,), or of (T, B) those within the lengths."""
    if logits.ndim == 2:
        return np.ones(len(logits), np.bool_)
    return valid_steps(batch.lengths, len(logits)).numpy()
