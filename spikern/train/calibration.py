"""Calibration: one gain per layer, so that it fires at a chosen rate on one batch."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from spikern._utils.errors import InputError
from spikern.events.trains import Input
from spikern.layers.arguments import Lengths, as_lengths
from spikern.layers.rnn import SpikingRNN


def calibrate(
    layers: SpikingRNN, x: Input, lengths: Lengths | None = None, rate: float = 0.05
) -> list[float]:
    """Scale each layer's input weights so that it fires at `rate` on x (T, B, F), in order.

    Returns the rates reached. The gain is found by bisection of its logarithm between 1/64 and
    64 times the present weights; weights that are frozen (`requires_grad` False), computed from
    others (pruned, weight_norm) or without effect (no input) stay as they are. Dropout is off
    meanwhile; learned delays are spread if the layers are in training, as it begins with them. In a
    network with feedback a layer's rate may still change while those above it are calibrated.

    >>> from spikern.layers import SpikingRNN
    >>> _ = torch.manual_seed(0)
    >>> layers = SpikingRNN("LIF", 8, 32)
    >>> 0.03 < calibrate(layers, torch.rand(50, 16, 8))[0] < 0.07
    True
    """
    if not isinstance(layers, SpikingRNN):
        raise InputError(
            f"expected a SpikingRNN, got {type(layers).__name__}; of a Network calibrate its body"
        )
    lengths = None if lengths is None else as_lengths(lengths)
    if not 0.0 < rate < 1.0:
        raise InputError(f"the target rate must lie between 0 and 1, got {rate}")
    dropout, layers.dropout = layers.dropout, 0.0
    try:
        spiking = [n for k, n in enumerate(layers.names) if layers.neuron_of(k).spikes]
        return [_calibrated(layers, n, k, x, lengths, rate) for k, n in enumerate(spiking)]
    finally:
        layers.dropout = dropout


def _calibrated(
    layers: SpikingRNN, name: str, index: int, x: Input, lengths: Tensor | None, rate: float
) -> float:
    """The rate that a population, the index-th that spikes, reaches when its input weights are
    scaled to fire at `rate`."""
    weight = getattr(layers, f"weight_ih_{name}")
    original = weight.detach().clone()
    measured: list[float] = []

    def measure(log_gain: float) -> float:
        with torch.no_grad():
            weight.copy_(original * 2.0**log_gain)
            result = layers.run(x, lengths=lengths)
            measured.append(firing_rates(result.spikes, x, lengths)[index])
            return measured[-1]

    if not (weight.requires_grad and weight.is_leaf):
        return measure(0.0)
    reached = bisect(measure, rate, end=6.0, rounds=10)
    return reached if len(set(measured)) > 1 else measure(0.0)


def bisect(measure: Callable[[float], float], target: float, end: float, rounds: int) -> float:
    """Call `measure`, a rising function, by bisection in -end..end; the last value near the target.

    >>> bisect(lambda x: 2 * x, 3.0, end=4.0, rounds=3)
    2.0
    >>> bisect(lambda x: 2 * x, 3.0, end=4.0, rounds=9)
    2.96875
    """
    low, high = -end, end
    measured = 0.0
    for _ in range(rounds):
        middle = 0.5 * (low + high)
        measured = measure(middle)
        if measured < target:
            low = middle
        else:
            high = middle
    return measured


def firing_rates(spikes: list[Tensor], x: Input, lengths: Tensor | None = None) -> list[float]:
    """Spikes per neuron and step of each layer, from its spikes (H,) on x (T, B, F)."""
    steps = x.shape[0] * x.shape[1] if lengths is None else int(lengths.sum())
    return [float(n.detach().sum()) / (steps * len(n)) for n in spikes]


def warn_of_extreme_rates(rates: list[float]) -> None:
    """A warning for every layer that is silent or fires at more than half of all steps."""
    for index, rate in enumerate(rates):
        if rate == 0.0 or rate > 0.5:
            what = "is silent" if rate == 0.0 else f"fires at {rate:.0%} of its steps"
            warnings.warn(
                f"layer {index} {what} on the first batch; scale the input, pass its power as "
                f"input_power=, or call spikern.calibrate(layers, x)",
                stacklevel=2,
            )
