"""Training steps in parts, of every neuron, and of standard cells beside torch's own.

python experiments/bench/steps.py    # prints three tables; ms, medians

Run in two checkouts in turn it compares their kernels.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from functools import partial

import torch
import tyro
from torch import Tensor, nn

from spikern import build, calibrate
from spikern._utils.program import errors_in_one_line
from spikern.layers.baseline import BASELINES, Baseline
from spikern.neurons import NEURONS
from spikern.report import markdown
from spikern.report.numbers import significant
from spikern.timing.measurement import interleaved, shares, threads
from spikern.timing.peers import spiking_network, train_step
from spikern.timing.workloads import Workload, chosen

RATE = 0.05
SHORT = Workload("neurons", "work S, shorter", 100, 32, 140, 256)
SHAPES = {
    "ECG": (1300, 16, 4, 36),
    "sequential MNIST": (784, 256, 1, 128),
    "characters": (100, 64, 65, 128),
}
"""Steps, batch, features and units of trainings of the standard networks."""


@dataclass(frozen=True)
class Config:
    """What is timed."""

    workloads: tuple[str, ...] = ("S", "H", "M", "L")
    repeats: int = 7
    threads: int = 2


def parts(cfg: Config) -> str:
    """Forward, backward and optimizer of the workloads of the benchmark."""
    lines = []
    for work in chosen(cfg.workloads):
        found = shares(spiking_network(work, work.data()[0], RATE), work, cfg.repeats)
        kinds = ("forward", "backward", "optimizer")
        lines.append([work.name, *(significant(found[kind]) for kind in kinds)])
    return markdown.table(["work", "forward", "backward", "optimizer"], lines)


def neurons(cfg: Config) -> str:
    """A training step of a network of every neuron."""
    x, y = SHORT.data()
    calls = {}
    for name in (name for name, model in NEURONS.items() if model.spikes):
        network = build(name, SHORT.features, SHORT.hidden, SHORT.classes, answer="mean")
        calibrate(network.body, x, rate=RATE)
        calls[name] = train_step(network, x, y)
    times = interleaved(calls, cfg.repeats)
    lines = [[name, significant(statistics.median(ms))] for name, ms in times.items()]
    return markdown.table(["neuron", "training step"], lines)


def cells(cfg: Config) -> str:
    """A training step of each standard cell by its kernels, and by torch."""
    lines = []
    for shape, (steps, batch, features, units) in SHAPES.items():
        x = torch.randn(steps, batch, features)
        for kind in BASELINES:
            layer = Baseline(kind, features, units)
            calls = {"kernels": partial(train, layer, x), "torch": partial(train, layer.rnn, x)}
            ours, torchs = map(statistics.median, interleaved(calls, cfg.repeats).values())
            times = significant(ours), significant(torchs), f"{torchs / ours:.2f}"
            lines.append([shape, kind, *times])
    return markdown.table(["shape", "cell", "kernels", "torch", "ratio"], lines, left=(0, 1))


def train(layer: nn.Module, x: Tensor) -> None:
    """Forward and backward through a layer."""
    layer.zero_grad()
    layer(x)[0].square().sum().backward()


def main(cfg: Config) -> None:
    """Time and print the tables."""
    torch.manual_seed(0)
    with threads(cfg.threads):
        for table in (parts, neurons, cells):
            print(table(cfg), end="\n\n", flush=True)


if __name__ == "__main__":
    with errors_in_one_line():
        main(tyro.cli(Config))
