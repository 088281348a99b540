"""Recurrent delays, fixed and while they are learned, beside the same network without, timed.

python experiments/bench/delays.py             # a training step; a run and a step of a stream
python experiments/bench/delays.py --steps 20 --repeats 1   # only whether it runs

The networks are of the shapes of three studies: events into LIF, an ECG into ALIF, pixels into BRF.
All fire at one rate. A delay is drawn for every neuron, from 1 to the longest. Of learned delays
only the training is timed, since a stream rounds them to whole steps, as if they had been drawn.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import tyro
from torch.nn import functional

from spikern import Network, build, calibrate, compile_stream
from spikern._utils.program import errors_in_one_line
from spikern.engines.stream import Stream
from spikern.report import markdown
from spikern.report.numbers import significant
from spikern.timing.measurement import interleaved, threads

CLASSES = 10
RATE = 0.1
"""Spikes per neuron and step."""


@dataclass(frozen=True)
class Shape:
    """A network and the steps of its input."""

    neuron: str
    features: int
    hidden: int
    steps: int
    longest: tuple[int, ...]
    """The longest delays that are timed."""

    def data(self, steps: int, batch: int) -> torch.Tensor:
        """Events at 5 %, or numbers where there is one feature."""
        x = torch.rand(steps, batch, self.features)
        return x if self.features == 1 else (x < 0.05).float()


SHAPES = (
    Shape("LIF", 140, 256, 250, (8, 30)),
    Shape("ALIF", 4, 39, 1301, (30,)),
    Shape("BRF", 1, 135, 784, (250,)),
)


@dataclass(frozen=True)
class Config:
    """What is timed."""

    steps: int = 0
    """Steps of every input; 0 for those of the shape."""
    batch: int = 64
    repeats: int = 11
    threads: int = 1


def networks(shape: Shape, x: torch.Tensor) -> dict[str, Network]:
    """A network without delays and with each of them, calibrated."""
    make = partial(build, shape.neuron, shape.features, shape.hidden, CLASSES, "mean")
    made = {"none": make()}
    for longest in shape.longest:
        made[f"up to {longest}"] = make(recurrent_delay=longest)
        made[f"up to {longest}, learned"] = make(recurrent_delay=longest, learn_delays=True)
    for network in made.values():
        calibrate(network.body, x, rate=RATE)
    return made


def train(network: Network, x: torch.Tensor, y: torch.Tensor) -> None:
    """One training step, without the optimizer."""
    logits, _ = network(x)
    functional.cross_entropy(logits, y).backward()


def advance(stream: Stream, x: torch.Tensor) -> None:
    """One sample, a step after the other."""
    state = stream.zero_state()
    for row in x[:, 0].numpy():
        stream.step(row, state)


def main(cfg: Config) -> None:
    """Time and print one table."""
    lines = []
    with threads(cfg.threads):
        for shape in SHAPES:
            torch.manual_seed(0)
            steps = cfg.steps or shape.steps
            x = shape.data(steps, cfg.batch)
            y = torch.randint(CLASSES, (cfg.batch,))
            one = x[:, :1].contiguous()
            made = networks(shape, x)
            streams = {
                name: compile_stream(each)
                for name, each in made.items()
                if not each.body.learn_delays
            }

            def median(calls: dict[str, Callable[[], object]]) -> dict[str, float]:
                samples = interleaved(calls, cfg.repeats)
                return {name: statistics.median(samples[name]) for name in calls}

            trained = median({name: partial(train, each, x, y) for name, each in made.items()})
            run = median({name: partial(each.run, one.numpy()) for name, each in streams.items()})
            stepped = median({name: partial(advance, each, one) for name, each in streams.items()})
            lines += [
                [
                    f"{shape.hidden} {shape.neuron}, {steps} steps",
                    name,
                    f"{significant(trained[name])} ms",
                    f"{significant(run[name])} ms" if name in run else "",
                    f"{significant(1e3 * stepped[name] / steps)} µs" if name in run else "",
                ]
                for name in made
            ]
    head = ["network", "recurrent delays", "training step", "run", "step"]
    print(markdown.table(head, lines, left=(0, 1)))


if __name__ == "__main__":
    with errors_in_one_line():
        main(tyro.cli(Config))
