"""The energy model of Lemaire et al. 2022 for fully connected layers, with its errors corrected.

Source: E. Lemaire et al., An analytical estimation of spiking neural networks energy efficiency,
ICONIP 2022, arXiv 2210.13107; taken from the authors' own code, LEAT-EDGE/qualia-plugin-snn,
EnergyEstimationMetric.py, which quotes the equations and names errors of the article.

theta_in and theta_out are the spikes of the source and target populations per inference of T steps.

    multiply-accumulates   T n_out                                             (the leak)
    accumulates            theta_in n_out + T n_out + theta_out                (bias and reset)
    reads and writes       theta_in inputs, theta_in n_out weights, T n_out biases, theta_out spikes
    potentials             theta_in n_out + T n_out, read and written
    addressing             theta_in n_out additions

Corrected here:
    Eq. 2.4 prints theta_in n_in n_out accumulates, n_in times too many, and no reset (theta_out).
    Eqs. 6.2, 10 and 15 print n_out biases and potentials, as if there were one step and not T.
    The code's addressing takes spikes per input where Eq. 17.2 has spikes, n_in times too few.
"""

from __future__ import annotations

from typing import NamedTuple

from spikern.cost.counts import Connection, Counts, Layer
from spikern.cost.memory import Array, memory_pj
from spikern.cost.prices import EnergyTable
from spikern.cost.standard import GATES

WORD_BITS = 32
"""The model moves words of 32 bits, one per access, whatever the width of the access."""


class Lemaire(NamedTuple):
    """The counts of the model for one layer; potentials are read and written this often each."""

    macs: float
    accumulates: float
    inputs: float
    weights: float
    biases: float
    potentials: float
    outputs: float
    addressing: float


NOTHING = Lemaire(*(0.0,) * len(Lemaire._fields))


def spiking(theta_in: float, theta_out: float, n_in: int, n_out: int, steps: float) -> Lemaire:
    """The corrected counts of a fully connected spiking layer.

    >>> spiking(theta_in=10, theta_out=4, n_in=20, n_out=5, steps=8).accumulates
    94
    """
    events, updates = theta_in * n_out, steps * n_out
    return Lemaire(
        macs=updates, accumulates=events + updates + theta_out, inputs=theta_in, weights=events,
        biases=updates, potentials=events + updates, outputs=theta_out, addressing=events,
    )  # fmt: skip


def standard(n_in: int, n_out: int, steps: float) -> Lemaire:
    """A fully connected standard layer: weights once per step, no potentials, no addressing.

    >>> standard(4, 3, 2).weights, standard(4, 3, 2).accumulates
    (24, 6)
    """
    per_step = Lemaire(n_in * n_out, n_out, n_in, n_in * n_out, n_out, 0, n_out, 0)
    return Lemaire(*(steps * n for n in per_step))


def lemaire(layer: Layer) -> Lemaire:
    """The model for a counted layer: connections are full matrices, units update at every step.

    The model counts zero weights too. The gates of GRU and LSTM are rows of their matrix; the
    products between gates are not in the model.
    """
    steps, fired = sum(layer.uses), sum(layer.spikes)
    counts = NOTHING
    for c in layer.connections:
        counts = plus(counts, connection(c))
    if not layer.connections:
        return counts
    if layer.unit not in (*GATES, "linear"):
        return plus(counts, spiking(0, fired, 0, layer.units, steps))
    rows = float(steps * layer.connections[0].targets)
    outputs = float(steps * layer.storage.outputs)
    return plus(counts, NOTHING._replace(accumulates=rows, biases=rows, outputs=outputs))


def connection(c: Connection) -> Lemaire:
    """The model for one connection, without the updates of its target."""
    if c.spiking:
        return spiking(sum(c.arrivals), 0, c.sources, c.targets, 0)
    return standard(c.sources, c.targets, sum(c.uses))._replace(accumulates=0, biases=0, outputs=0)


def plus(a: Lemaire, b: Lemaire) -> Lemaire:
    """The sum, field by field."""
    return Lemaire(*(x + y for x, y in zip(a, b)))


def lemaire_pj(counts: Counts, table: EnergyTable, dram: bool = False) -> dict[str, float] | None:
    """The energy of all counted inferences by kind, in pJ; None if the table lacks a price.

    Every value is one access to the memory of its array. The article fits a straight line through
    the three published sizes, 13.2 pJ for the smallest; here the price is that of the table.
    """
    if table.sram is None or not {"ac", "mac"} <= set(table.pj):
        return None
    synapses, arrays = 0.0, []
    for layer in counts.layers:
        model = lemaire(layer)
        synapses += model.macs * table.pj["mac"]
        synapses += (model.accumulates + model.addressing) * table.pj["ac"]
        weights = sum(c.weights for c in layer.connections)
        sources = sum(c.sources for c in layer.connections)
        stored = {
            "weights": (weights, model.weights, 0),
            "biases": (layer.units, model.biases, 0),
            "states": (layer.units, model.potentials, model.potentials),
            "queue": (sources, model.inputs, 0),
            "values": (layer.units, 0, model.outputs),
        }
        arrays += [
            Array(layer.name, kind, size, WORD_BITS, int(reads), int(writes), scattered=True)
            for kind, (size, reads, writes) in stored.items()
        ]
    moved = memory_pj(arrays, table, dram)
    return moved and {"synapses": synapses, **moved}
