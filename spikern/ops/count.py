"""Exact counts of the operations of a forward pass, from what happened in it.

    ac               accumulates: spikes (or input events) that arrived x their nonzero synapses
    mac              multiply-accumulates: analog values x their nonzero synapses
    updates          the rest of each step by kind (mul, add, compare, exp, tanh, sigmoid, ...),
                     for a spiking neuron read off the graph of its own step function
    neuron_updates   neurons x steps;  spikes: how many of these fired
    dense            synapses x steps, what a dense simulation would do

All integers, summed over the samples given, over the steps that exist. Whether a value is a
spike is declared by the layer or data set that made it, never guessed from the value. A spike of
a sample's last step has no step to arrive at and causes no recurrent operation. Accumulators
start from the bias, which is therefore free, for all models alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from spikern.baselines import Baseline
from spikern.engines.derive import update_ops
from spikern.layers import Readout, SpikingRNN
from spikern.network import Answer, Network
from spikern.types import UnsupportedError

GATES: dict[str, dict[str, int]] = {
    "RNN": {"tanh": 1},
    "GRU": {"add": 3, "mul": 3, "sigmoid": 2, "tanh": 1},
    "LSTM": {"add": 1, "mul": 3, "sigmoid": 3, "tanh": 2},
}
"""Arithmetic of one unit in one step beside its synapses.

RNN   tanh(s)
LSTM  c' = f*c + i*g (2 mul, 1 add); h' = o*tanh(c') (1 mul)
GRU   n = tanh(s_x + r*s_h) (1 mul, 1 add); h' = (1-z)*n + z*h (2 mul, 2 add)
"""
GATE_COUNT = {"RNN": 1, "GRU": 3, "LSTM": 4}


@dataclass(frozen=True)
class Ops:
    """What one layer did; add two of them with +."""

    ac: int = 0
    mac: int = 0
    updates: Mapping[str, int] = field(default_factory=dict)
    neuron_updates: int = 0
    spikes: int = 0
    dense: int = 0

    def __add__(self, other: Ops) -> Ops:
        return Ops(
            self.ac + other.ac,
            self.mac + other.mac,
            dict(Counter(self.updates) + Counter(other.updates)),
            self.neuron_updates + other.neuron_updates,
            self.spikes + other.spikes,
            self.dense + other.dense,
        )


def total(layers: Mapping[str, Ops]) -> Ops:
    """The sum over all layers."""
    return sum(layers.values(), Ops())


@torch.no_grad()
def count(
    network: Network, x: Tensor, lengths: Tensor | None = None, events: bool = False
) -> dict[str, Ops]:
    """Run a network on x (T, B, F) and count, by layer: hidden 0, hidden 1, ..., readout.

    `events` declares that x holds events in {-1, 0, 1}, so that a spiking layer accumulates
    where it would otherwise multiply. Standard models always multiply.
    """
    steps, batch, _ = x.shape
    if lengths is None:
        lengths = torch.full((batch,), steps)
    hidden = network.run(x, lengths=lengths)[0].hidden
    body = network.body
    counted = {}
    if isinstance(body, SpikingRNN):
        for k, z in enumerate(hidden):
            arriving, are_events = (x, events) if k == 0 else (hidden[k - 1], True)
            counted[f"hidden {k}"] = population(body, k, arriving, are_events, z, lengths)
    else:
        for k in range(body.num_layers):
            counted[f"hidden {k}"] = standard_layer(body, k, int(lengths.sum()))
    if isinstance(network.readout, Readout):
        read = population(network.readout, 0, hidden[-1], True, None, lengths)
    else:
        read = linear_readout(network.readout, network.answer, lengths)
    counted["readout"] = read + averaging(network, lengths)
    return counted


def population(
    layers: SpikingRNN, k: int, x: Tensor, events: bool, z: Tensor | None, lengths: Tensor
) -> Ops:
    """One spiking layer or readout that received x and fired z (None: it never fires)."""
    w_in = getattr(layers, f"weight_ih_l{k}")
    steps = int(lengths.sum())
    neuron_updates = layers.hidden_size * steps
    ac, mac = 0, 0
    if events:
        ac += arrivals(x, w_in, lengths)
    else:
        mac += steps * int(torch.count_nonzero(w_in))
    synapses = w_in.numel()
    spikes = 0
    if z is not None:
        spikes = int(torch.count_nonzero(z))
        if layers.recurrent:
            w_rec = getattr(layers, f"weight_hh_l{k}")
            ac += arrivals(z, w_rec, lengths - 1)
            synapses += w_rec.numel()
    return Ops(
        ac,
        mac,
        {kind: n * neuron_updates for kind, n in update_ops(layers.neuron).items()},
        neuron_updates,
        spikes,
        synapses * steps,
    )


def arrivals(events: Tensor, weight: Tensor, lengths: Tensor) -> int:
    """Events (T, B, F) within the first `lengths` steps x nonzero weights (H, F) that they meet.

    >>> z = torch.tensor([[[1.0, 0.0]], [[1.0, 1.0]]])
    >>> arrivals(z, torch.tensor([[0.5, 0.0], [0.5, 0.5]]), torch.tensor([2]))
    5
    """
    within = (torch.arange(events.shape[0])[:, None] < lengths).unsqueeze(2)
    per_source = ((events != 0) & within).sum((0, 1))
    return int((per_source * torch.count_nonzero(weight, dim=0)).sum())


def standard_layer(body: Baseline, k: int, steps: int) -> Ops:
    """One layer of torch.nn.RNN, GRU or LSTM over `steps` steps in all."""
    if body.kind not in GATES:
        raise UnsupportedError(f"no count is known for {body.kind}; known: {', '.join(GATES)}")
    weights = [getattr(body.rnn, f"weight_{which}_l{k}") for which in ("ih", "hh")]
    units = body.hidden_size * steps
    return Ops(
        mac=steps * sum(int(torch.count_nonzero(w)) for w in weights),
        updates={kind: n * units for kind, n in GATES[body.kind].items()},
        neuron_updates=units,
        dense=steps * sum(w.numel() for w in weights),
    )


def linear_readout(readout: nn.Linear, answer: Answer, lengths: Tensor) -> Ops:
    """A linear map, applied once a step or once a sequence."""
    times = int(lengths.sum()) if answer == "every_step" else len(lengths)
    return Ops(
        mac=times * int(torch.count_nonzero(readout.weight)),
        neuron_updates=times * readout.out_features,
        dense=times * readout.weight.numel(),
    )


def averaging(network: Network, lengths: Tensor) -> Ops:
    """The mean over steps, of the readout's values or, before a linear map, of the hidden ones."""
    if network.answer != "mean":
        return Ops()
    readout = network.readout
    width = readout.hidden_size if isinstance(readout, Readout) else readout.in_features
    return Ops(updates={"add": width * int((lengths - 1).sum()), "mul": width * len(lengths)})


def dense_synaptic_ops(kind: str, inputs: int, units: int) -> int:
    """Multiply-accumulates of one dense step of a layer, products of gates included.

    spiking   units * inputs            recurrent spiking layers: twice with inputs = units
    RNN       units * (inputs + units)
    GRU       3 units * (inputs + units) + 3 units
    LSTM      4 units * (inputs + units) + 3 units

    >>> [dense_synaptic_ops(k, 25, 5) for k in ("LSTM", "GRU", "RNN")]
    [615, 465, 150]
    """
    if kind == "spiking":
        return units * inputs
    return GATE_COUNT[kind] * units * (inputs + units) + GATES[kind].get("mul", 0) * units
