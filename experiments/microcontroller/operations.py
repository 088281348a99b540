"""What one operation costs in instructions: untrained networks of several sizes, driven on purpose.

The instructions of a step are a polynomial of the hidden size: each neuron is updated, and each
that fires adds its row of weights. Its coefficients follow from as many sizes as it has, since
counts have no noise.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import board
import numpy as np
import torch

from spikern import Network, build
from spikern.layers.network import BASELINES

STEPS, CLASSES = 64, 10
SIZES = (64, 96, 128)
LEVEL = ("-O2",)
"""At -O3 the compiler unrolls loops by their lengths, and counts are no polynomials of them."""
NEURONS = ("LIF", "ALIF", "AdLIF", "BRF")
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
QUIET, LOUD = -5.0, 50.0
"""Biases of neurons that never fire, and of neurons that fire at every step."""


@dataclass(frozen=True)
class Priced:
    """The target and the numbers in which operations are priced."""

    target: str
    numbers: str


def price(config: Priced, checkpoint: Path) -> dict[str, float]:
    """The instructions of each operation."""
    folder = checkpoint.parents[1] / "exported" / checkpoint.stem

    def count(network: Network, *x_t: float) -> float:
        x = np.tile(np.float32(x_t), (STEPS, 1))
        given = [board.Given(x, np.zeros(1, np.int64))]
        board.exported(network, given, False, config.numbers, folder)
        run = board.emulated(folder, board.TARGETS[config.target], LEVEL)
        return sum(run.instructions) / STEPS

    prices = spiking(count)
    return prices if config.numbers == "fixed" else prices | gated(count)


Counter = Callable[..., float]
"""(network, the inputs of every step) -> instructions per step."""


def spiking(count: Counter) -> dict[str, float]:
    """Of an update of each neuron, and of what one arrival adds to one neuron."""

    def slope(neuron: str, fired: int, *x_t: float) -> float:
        """Instructions per neuron."""
        counts = [count(_driven(neuron, n, fired, inputs=len(x_t)), *x_t) for n in SIZES[:2]]
        return (counts[1] - counts[0]) / (SIZES[1] - SIZES[0])

    one = slope("LIF", 0, 1.0, 0.0)
    event = slope("LIF", 0, 1.0, 1.0) - one
    four, five, eight = (slope("LIF", fired, 1.0, 0.0) for fired in (4, 5, 8))
    in_fours = (eight - four) / 4
    more, fewer = (count(_driven("LIF", SIZES[0], 4, n), 1.0, 0.0) for n in (2 * CLASSES, CLASSES))
    return {
        **{f"update of {n}": slope(n, 0, 1.0, 0.0) - event for n in NEURONS},
        "update of LI": (more - fewer) / CLASSES - 4 * in_fours,
        "accumulate, rows in fours": in_fours,
        "accumulate, a row alone": five - four,
        "accumulate of an event": event,
        "multiply-accumulate of an input": slope("LIF", 0, 0.3, 0.3) - slope("LIF", 0, 0.3, 0.0),
        "multiply-accumulate of inputs, rows in fours": (
            slope("LIF", 0, *[0.3] * 8) - slope("LIF", 0, *[0.3] * 4, *[0.0] * 4)
        )
        / 4,
    }


def gated(count: Counter) -> dict[str, float]:
    """Of a multiply-accumulate, and of all else that a unit costs."""
    result = {}
    for kind in BASELINES:
        nets = []
        for n in SIZES:
            torch.manual_seed(0)
            nets.append(build(kind, 2, n, CLASSES).eval())
        square, linear, _ = np.polyfit(SIZES, [count(net, 0.0, 0.0) for net in nets], 2)
        result[f"multiply-accumulate of {kind}"] = square / GATES[kind]
        result[f"unit of {kind}"] = linear
    return result


def _driven(neuron: str, n: int, fired: int, classes: int = CLASSES, inputs: int = 2) -> Network:
    """An untrained network of which so many neurons fire at every step, and the others never."""
    torch.manual_seed(0)
    network = build(neuron, inputs, n, classes).eval()
    with torch.no_grad():
        network.body.weight_ih_l0 *= 0.1
        network.body.weight_hh_l0 *= 0.1
        network.body.bias_l0.fill_(QUIET)
        network.body.bias_l0[:fired] = LOUD
    return network
