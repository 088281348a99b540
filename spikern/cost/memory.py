"""Memory traffic of counted operations under two bounds, and its price by the size of the arrays.

Both bounds, in every step of a sample:
    weights      an event reads its row, an analog input the whole matrix
    indices      a connection stored without zeros reads one index per weight, and the row starts
    queue        a spike is written once and read by every connection that it crosses; with delays
                 the queue has room for all steps until the longest has passed
    values       analog inputs are read by every connection, analog outputs are written once
    states       read and written once; so is the last spike, one bit per neuron
    constants    read once; so are biases; nothing of units that sleep
    addressing   one addition per event for the start of its row

"registers"           nothing else: sums are accumulated next to the arithmetic
"read-modify-write"   every synaptic event also reads and writes the state of its target and takes
                      one addition for the address; multiply-accumulates still use registers

A connection is stored without zeros if that takes fewer bits. Consecutive values share an access of
`access_bits`; the targets of a connection without zeros are scattered and take one access each.
Every array has a memory of its own, whose price follows from its size.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from spikern._utils.choices import check_choice
from spikern.cost.counts import Array, Connection, Counts, Layer
from spikern.cost.prices import EnergyTable

BOUNDS = ("registers", "read-modify-write")
STORES = ("keys", "buckets", "places", "symbols")
"""The kinds of a memory that is looked up; one that no memory on the chip holds is outside."""
OFF_CHIP = ("weights", "indices", *STORES)
"""The kinds that are outside the chip with `dram`."""


class Traffic(NamedTuple):
    """The arrays of a network with their reads and writes, and the additions for addresses."""

    arrays: tuple[Array, ...]
    addressing: int


def index_bits(count: int) -> int:
    """Bits of an index over `count` values.

    >>> index_bits(1), index_bits(36), index_bits(64), index_bits(65)
    (1, 6, 6, 7)
    """
    return max(1, (count - 1).bit_length())


def traffic(counts: Counts, bound: str, weight_bits: int, state_bits: int) -> Traffic:
    """All reads and writes of the counted inferences under a bound.

    Weights and analog values have `weight_bits`, states, biases and constants `state_bits`.
    """
    check_choice("bound", bound, BOUNDS)
    modify = bound == "read-modify-write"
    arrays: list[Array] = []
    for layer in counts.layers:
        kept = max((c.kept for c in counts.connections if c.source == layer.name), default=1)
        arrays += layer_arrays(layer, weight_bits, state_bits, kept)
        for c in layer.connections:
            arrays += connection_arrays(c, weight_bits)
            if modify and c.spiking:
                times = row_reads(c, weight_bits)
                sparse = without_zeros(c, weight_bits)
                arrays.append(
                    Array(c.target, "states", c.targets, state_bits, times, times, sparse)
                )
    events = [c for c in counts.connections if c.spiking]
    addressing = sum(sum(c.arrivals) for c in events)
    if modify:
        addressing += sum(row_reads(c, weight_bits) for c in events)
    return Traffic(tuple(a for a in arrays if a.reads or a.writes), addressing)


def layer_arrays(layer: Layer, weight_bits: int, state_bits: int, kept: int) -> list[Array]:
    """The arrays that the units of a layer read and write, with the outputs of `kept` steps."""
    uses, stored = sum(layer.uses), layer.storage
    fired, updates = sum(layer.spikes), sum(layer.neuron_updates)
    last = updates if layer.spiking else 0
    outputs = stored.outputs * uses
    states, constants, biases = (
        each * uses if layer.awake is None else each // layer.units * updates
        for each in (stored.states, stored.constants, stored.biases)
    )
    return [
        Array(layer.name, "states", stored.states, state_bits, states, states),
        Array(layer.name, "states", layer.units, 1, last, last),
        Array(layer.name, "constants", stored.constants, state_bits, constants),
        Array(layer.name, "biases", stored.biases, state_bits, biases),
        Array(layer.name, "values", stored.outputs * kept, weight_bits, 0, outputs),
        Array(layer.name, "queue", layer.units * kept, index_bits(layer.units), 0, fired),
        *layer.stores,
    ]


def connection_arrays(c: Connection, weight_bits: int) -> list[Array]:
    """The arrays that a connection reads: weights, indices, and arriving spikes or values."""
    reads, arrived = row_reads(c, weight_bits), sum(c.arrivals)
    sparse = without_zeros(c, weight_bits)
    arrays = [
        Array(c.target, "weights", c.synapses if sparse else c.weights, weight_bits, reads),
        Array(c.target, "queue", c.sources * c.kept, index_bits(c.sources), arrived)
        if c.spiking
        else Array(c.target, "values", c.sources * c.kept, weight_bits, arrived),
    ]
    if sparse:
        rows, others = (c.sources, c.targets) if c.spiking else (c.targets, c.sources)
        row_bounds = 2 * arrived if c.spiking else (rows + 1) * sum(c.uses)
        arrays += [
            Array(c.target, "indices", c.synapses, index_bits(others), reads),
            Array(c.target, "indices", rows + 1, index_bits(c.synapses + 1), row_bounds),
        ]
    return arrays


def without_zeros(c: Connection, weight_bits: int) -> bool:
    """Whether the nonzero weights with their indices take fewer bits than all weights."""
    rows, others = (c.sources, c.targets) if c.spiking else (c.targets, c.sources)
    sparse_bits = c.synapses * (weight_bits + index_bits(others))
    return sparse_bits + (rows + 1) * index_bits(c.synapses + 1) < c.weights * weight_bits


def row_reads(c: Connection, weight_bits: int) -> int:
    """The weights read: nonzero ones if zeros are not stored, else whole rows."""
    return sum(c.ops if without_zeros(c, weight_bits) else c.reached)


def memory_pj(
    arrays: Iterable[Array], table: EnergyTable, dram: bool = False
) -> dict[str, float] | None:
    """The price in pJ of all reads and writes by kind; None if the table lacks a price.

    With `dram`, weights and their indices are outside the chip; a store also without it, where the
    table has no price for an array of its size.
    """
    parts: dict[str, float] = {}
    for array in arrays:
        price = None if table.sram is None else table.sram.price(array.bytes)
        outside = array.kind in OFF_CHIP if dram else array.kind in STORES and price is None
        if outside:
            if table.dram is None:
                return None
            each, wide = table.dram.pj, table.dram.access_bits
        elif table.sram is None or price is None:
            return None
        else:
            each, wide = price, table.sram.access_bits
        parts[array.kind] = parts.get(array.kind, 0.0) + each * array.accesses(wide)
    return parts
