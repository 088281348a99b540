"""Times of interleaved, warmed-up calls; peak memory; the parts of a training step."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, TypeVar

import torch
from torch import nn

from spikern.layers.network import Network
from spikern.layers.streaming import compile_stream
from spikern.timing.workloads import Workload

Key = TypeVar("Key", bound=Hashable)
SAMPLE_SECONDS = 0.005
"""A faster call is repeated until a sample lasts this long."""


@contextmanager
def threads(count: int) -> Iterator[None]:
    """A context in which torch and spikern compute on this many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def interleaved(calls: Mapping[Key, Callable[[], object]], repeats: int) -> dict[Key, list[float]]:
    """Milliseconds of every call, `repeats` samples each.

    Each is called twice to warm up. Then every round takes one sample of every call, so that a
    slow minute of the machine affects all of them.
    """
    inner: dict[Key, int] = {}
    for key, call in calls.items():
        call()
        inner[key] = max(1, math.ceil(SAMPLE_SECONDS / max(_seconds(call, 1), 1e-7)))
    samples: dict[Key, list[float]] = {key: [] for key in calls}
    for _ in range(repeats):
        for key, call in calls.items():
            samples[key].append(1e3 * _seconds(call, inner[key]))
    return samples


def _seconds(call: Callable[[], object], times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - started) / times


def peak_memory(name: str, work: Workload, rate: float, count: int) -> float | None:
    """MiB that one training step adds to a fresh process at its peak; None without /proc."""
    request = json.dumps({"name": name, "work": asdict(work), "rate": rate, "threads": count})
    process = subprocess.run(
        [sys.executable, "-m", "spikern.timing.memory", request],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    mib: float | None = json.loads(process.stdout.splitlines()[-1])
    return mib


def shares(network: Network, work: Workload, repeats: int) -> dict[str, Any]:
    """The parts of a training step of spikern in ms, and rows added per sample and step."""
    x, y = work.data()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.0)
    parts: dict[str, list[float]] = {"forward": [], "backward": [], "optimizer": []}
    for _ in range(repeats + 1):
        marks = [time.perf_counter()]
        loss = nn.functional.cross_entropy(network(x)[0], y)
        marks.append(time.perf_counter())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        marks.append(time.perf_counter())
        optimizer.step()
        marks.append(time.perf_counter())
        for name, start, end in zip(parts, marks, marks[1:]):
            parts[name].append(1e3 * (end - start))
    added = compile_stream(network).run(x.numpy()).additions
    sizes = torch.tensor(work.layers * [work.hidden] + [work.classes])
    rows = torch.from_numpy(added) / (sizes.unsqueeze(1) * work.steps * work.batch)
    return {name: statistics.median(ms[1:]) for name, ms in parts.items()} | {
        "input_rows": rows[:, 0].tolist(),
        "recurrent_rows": rows[:, 1].tolist(),
    }
