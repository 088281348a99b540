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

from collections import Counter

from spikern.cost.counts import Array, Connection, Counts, Layer
from spikern.cost.memory import memory_pj
from spikern.cost.prices import EnergyTable
from spikern.cost.standard import GATES

WORD_BITS = 32
"""The model moves words of 32 bits, one per access, whatever the width of the access."""


def spiking(theta_in: int, theta_out: int, n_out: int, steps: int) -> Counter[str]:
    """The corrected counts of a fully connected spiking layer.

    Potentials are read and written as often as they are counted.

    >>> spiking(theta_in=10, theta_out=4, n_out=5, steps=8)["accumulates"]
    94
    """
    events, updates = theta_in * n_out, steps * n_out
    return Counter(
        macs=updates, accumulates=events + updates + theta_out, inputs=theta_in, weights=events,
        biases=updates, potentials=events + updates, outputs=theta_out, addressing=events,
    )  # fmt: skip


def standard(n_in: int, n_out: int, steps: int) -> Counter[str]:
    """A fully connected standard layer: weights once per step, no potentials, no addressing.

    >>> standard(4, 3, 2)["weights"], standard(4, 3, 2)["accumulates"]
    (24, 6)
    """
    outputs = steps * n_out
    return matrix(n_in, n_out, steps) + Counter(
        accumulates=outputs, biases=outputs, outputs=outputs
    )


def matrix(n_in: int, n_out: int, steps: int) -> Counter[str]:
    """The products of analog inputs with a full matrix."""
    products = steps * n_in * n_out
    return Counter(macs=products, weights=products, inputs=steps * n_in)


def lemaire(layer: Layer) -> Counter[str]:
    """The model for a counted layer: connections are full matrices, units update at every step.

    The model counts zero weights too. The gates of GRU and LSTM are rows of their matrix; the
    products between gates are not in the model.
    """
    steps, updates = sum(layer.uses), sum(layer.neuron_updates)
    counts = sum(map(connection, layer.connections), Counter())
    if not layer.connections:
        return counts
    if layer.unit not in (*GATES, "linear"):
        return counts + spiking(0, sum(layer.spikes), 1, updates)
    rows = steps * layer.connections[0].targets
    return counts + Counter(accumulates=rows, biases=rows, outputs=steps * layer.storage.outputs)


def connection(c: Connection) -> Counter[str]:
    """The model for one connection, without the updates of its target."""
    arrivals, reached = sum(c.arrivals), sum(c.reached)
    counts = spiking(reached, 0, 1, 0) if c.spiking else matrix(1, 1, reached)
    return Counter({**counts, "inputs": arrivals})


def lemaire_pj(counts: Counts, table: EnergyTable, dram: bool = False) -> dict[str, float] | None:
    """The energy of all counted inferences by kind, in pJ; None if the table lacks a price.

    None too with a memory that is looked up, which the article does not model. Every value is one
    access to the memory of its array. The article fits a straight line through the three published
    sizes, 13.2 pJ for the smallest; here the price is that of the table.
    """
    stores = any(layer.stores for layer in counts.layers)
    if stores or table.sram is None or not {"ac", "mac"} <= set(table.pj):
        return None
    synapses, arrays = 0.0, []
    for layer in counts.layers:
        n = lemaire(layer)
        synapses += n["macs"] * table.pj["mac"]
        synapses += (n["accumulates"] + n["addressing"]) * table.pj["ac"]
        weights = sum(c.weights for c in layer.connections)
        sources = sum(c.sources for c in layer.connections)
        stored = {
            "weights": (weights, n["weights"], 0),
            "biases": (layer.units, n["biases"], 0),
            "states": (layer.units, n["potentials"], n["potentials"]),
            "queue": (sources, n["inputs"], 0),
            "values": (layer.units, 0, n["outputs"]),
        }
        arrays += [
            Array(layer.name, kind, size, WORD_BITS, reads, writes, scattered=True)
            for kind, (size, reads, writes) in stored.items()
        ]
    moved = memory_pj(arrays, table, dram)
    return moved and {"synapses": synapses, **moved}
