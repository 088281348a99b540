"""Groups of neurons beside dense layers of equal operations and of equal parameters, timed.

python experiments/bench/experts.py             # a training step, and a step of a stream
python experiments/bench/experts.py --steps 20 --repeats 1 --groups 8   # only whether it runs

Of every number of groups two are awake. The dense layer of equal operations has as many neurons as
are awake, that of equal parameters as many as there are; both fire as often per neuron awake. The
input is one event in 65 features, as a character is.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from functools import partial

import torch
import tyro
from torch.nn import functional

from spikern import Network, build, calibrate, compile_stream
from spikern._utils.program import errors_in_one_line
from spikern.cost import count
from spikern.report import markdown
from spikern.report.numbers import significant
from spikern.timing.measurement import interleaved, threads

FEATURES = 65
AWAKE = 2
RATE = 0.05
"""Spikes per neuron awake and step."""


@dataclass(frozen=True)
class Config:
    """What is timed."""

    groups: tuple[int, ...] = (8, 16, 64)
    members: int = 32
    """Neurons of a group."""
    neuron: str = "ALIF"
    steps: int = 128
    batch: int = 16
    repeats: int = 11
    threads: int = 1


def networks(cfg: Config, groups: int, x: torch.Tensor) -> dict[str, Network]:
    """The three networks of a number of groups, calibrated."""
    hidden = groups * cfg.members
    make = partial(build, cfg.neuron, FEATURES, classes=FEATURES, answer="every_step")
    made = {
        "fixed": make(hidden, experts=groups, awake=AWAKE),
        "learned": make(hidden, experts=groups, awake=AWAKE, routing="learned"),
        "dense, equal operations": make(AWAKE * cfg.members),
        "dense, equal parameters": make(hidden),
    }
    for network in made.values():
        share = AWAKE / groups if network.body.experts > 1 else 1.0
        calibrate(network.body, x, rate=RATE * share)
    return made


def train(network: Network, x: torch.Tensor, y: torch.Tensor) -> None:
    """One training step, without the optimizer."""
    logits, _ = network(x)
    functional.cross_entropy(logits.flatten(0, 1), y.flatten()).backward()


def main(cfg: Config) -> None:
    """Time and print one table."""
    torch.manual_seed(0)
    y = torch.randint(FEATURES, (cfg.steps, cfg.batch))
    x = functional.one_hot(y, FEATURES).float()
    lines = []
    with threads(cfg.threads):
        for groups in cfg.groups:
            made = networks(cfg, groups, x)
            trained = {name: partial(train, each, x, y) for name, each in made.items()}
            streams = {name: compile_stream(each) for name, each in made.items()}
            one = x[:, 0].numpy()

            def advance(name: str) -> None:
                stream = streams[name]  # noqa: B023
                state = stream.zero_state()
                for row in one:  # noqa: B023
                    stream.step(row, state)

            stepped = {name: partial(advance, name) for name in made}
            training = interleaved(trained, cfg.repeats)
            stream_ms = interleaved(stepped, cfg.repeats)
            for name, network in made.items():
                ops = count(network, x, events=True).ops
                samples = cfg.steps * cfg.batch
                step_us = 1e3 * statistics.median(stream_ms[name]) / cfg.steps
                lines.append(
                    [
                        str(groups),
                        name,
                        f"{network.parameter_count:,}",
                        f"{(ops.ac + ops.mac) / samples:,.0f}",
                        f"{ops.neuron_updates / samples:,.0f}",
                        f"{significant(statistics.median(training[name]))} ms",
                        f"{significant(step_us)} µs",
                    ]
                )
    head = [
        "groups",
        "network",
        "parameters",
        "AC and MAC",
        "updates",
        "training step",
        "stream step",
    ]
    print(markdown.table(head, lines, left=(0, 1)))


if __name__ == "__main__":
    with errors_in_one_line():
        main(tyro.cli(Config))
