"""Memory traffic of what was counted, between two bounds, and what it costs by size of the array.

Both bounds, in every step of a sample:
    weights     an event reads its row, an analog input the whole matrix
    indices     a connection stored without its zeros reads an index a weight, and where rows begin
    queue       a spike is written once and read by every connection that it crosses
    values      analog inputs are read by every connection, analog outputs written once
    states, constants, biases     once each; states are written back; so is the last spike, a bit
    addressing  one addition an event, where its row starts

"registers"           sums are accumulated next to the arithmetic: no more than that
"read-modify-write"   every synaptic event reads and writes the state of its target, and adds once
                      for its address; what multiplies gathers its sums in registers here too

A connection is stored without its zeros if that takes fewer bits. Consecutive values share an
access of `access_bits`; targets of a connection without zeros lie scattered, one access each.
Every array has a memory of its own, so the price is that of its own size.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from spikern._utils.choices import check_choice
from spikern.cost.counts import Connection, Counts, Layer
from spikern.cost.prices import EnergyTable

BOUNDS = ("registers", "read-modify-write")
ON_CHIP_OR_NOT = ("weights", "indices")
"""The kinds that `dram` moves off the chip."""


class Array(NamedTuple):
    """One array in memory: `stored` values of `bits`, and how often they are read and written."""

    layer: str
    kind: str
    stored: int
    bits: int
    reads: int
    writes: int = 0
    scattered: bool = False

    @property
    def bytes(self) -> float:
        """What it takes in memory."""
        return self.stored * self.bits / 8

    def accesses(self, access_bits: int) -> float:
        """Reads and writes in accesses of so many bits."""
        moved = self.reads + self.writes
        wide = -(-self.bits // access_bits)
        return moved * wide if self.scattered else moved * self.bits / access_bits


class Traffic(NamedTuple):
    """All arrays of a network with their reads and writes, and the additions for addresses."""

    arrays: tuple[Array, ...]
    addressing: int

    def moved(self, *kinds: str) -> int:
        """Values read and written, of some kinds or of all."""
        return sum(a.reads + a.writes for a in self.arrays if not kinds or a.kind in kinds)


def index_bits(count: int) -> int:
    """Bits that tell `count` things apart.

    >>> index_bits(1), index_bits(36), index_bits(64), index_bits(65)
    (1, 6, 6, 7)
    """
    return max(1, (count - 1).bit_length())


def traffic(counts: Counts, bound: str, weight_bits: int, state_bits: int) -> Traffic:
    """Every read and write of all inferences counted, under a bound.

    Weights and analog values have `weight_bits`, states, biases and constants `state_bits`.
    """
    check_choice("bound", bound, BOUNDS)
    modify = bound == "read-modify-write"
    arrays: list[Array] = []
    for layer in counts.layers:
        arrays += own(layer, weight_bits, state_bits)
        for c in layer.connections:
            arrays += crossed(c, weight_bits)
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


def own(layer: Layer, weight_bits: int, state_bits: int) -> list[Array]:
    """What a layer's own units read and write."""
    uses, kept = sum(layer.uses), layer.storage
    fired, updates = sum(layer.spikes), sum(layer.neuron_updates)
    last = updates if layer.spiking else 0
    states, outputs = kept.states * uses, kept.outputs * uses
    constants, biases = kept.constants * uses, kept.biases * uses
    return [
        Array(layer.name, "states", kept.states, state_bits, states, states),
        Array(layer.name, "states", layer.units, 1, last, last),
        Array(layer.name, "constants", kept.constants, state_bits, constants),
        Array(layer.name, "biases", kept.biases, state_bits, biases),
        Array(layer.name, "values", kept.outputs, weight_bits, 0, outputs),
        Array(layer.name, "queue", layer.units, index_bits(layer.units), 0, fired),
    ]


def crossed(c: Connection, weight_bits: int) -> list[Array]:
    """What a connection reads: weights, their indices, and what arrives."""
    reads, arrived = row_reads(c, weight_bits), sum(c.arrivals)
    sparse = without_zeros(c, weight_bits)
    arrays = [
        Array(c.target, "weights", c.synapses if sparse else c.weights, weight_bits, reads),
        Array(c.target, "queue", c.sources, index_bits(c.sources), arrived)
        if c.spiking
        else Array(c.target, "values", c.sources, weight_bits, arrived),
    ]
    if sparse:
        rows, others = (c.sources, c.targets) if c.spiking else (c.targets, c.sources)
        begins = 2 * arrived if c.spiking else (rows + 1) * sum(c.uses)
        arrays += [
            Array(c.target, "indices", c.synapses, index_bits(others), reads),
            Array(c.target, "indices", rows + 1, index_bits(c.synapses + 1), begins),
        ]
    return arrays


def without_zeros(c: Connection, weight_bits: int) -> bool:
    """Whether storing the nonzero weights with their indices takes fewer bits than all weights."""
    rows, others = (c.sources, c.targets) if c.spiking else (c.targets, c.sources)
    listed = c.synapses * (weight_bits + index_bits(others))
    return listed + (rows + 1) * index_bits(c.synapses + 1) < c.weights * weight_bits


def row_reads(c: Connection, weight_bits: int) -> int:
    """Weights read: the nonzero ones if the zeros are not stored, else whole rows."""
    if without_zeros(c, weight_bits):
        return sum(c.ops)
    return sum(c.arrivals) * c.targets if c.spiking else sum(c.uses) * c.weights


def memory_pj(
    arrays: Iterable[Array], table: EnergyTable, dram: bool = False
) -> dict[str, float] | None:
    """The price of all reads and writes by kind; None if the table cannot price them.

    `dram` keeps weights and their indices outside the chip.
    """
    parts: dict[str, float] = {}
    for array in arrays:
        if dram and array.kind in ON_CHIP_OR_NOT:
            if table.dram is None:
                return None
            each, wide = table.dram.pj, table.dram.access_bits
        else:
            price = table.sram and table.sram.price(array.bytes)
            if table.sram is None or price is None:
                return None
            each, wide = price, table.sram.access_bits
        parts[array.kind] = parts.get(array.kind, 0.0) + each * array.accesses(wide)
    return parts
