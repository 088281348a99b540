"""Counts of connections, layers and a whole network: exact integers at every step.

A connection is a bundle of synapses between two layers; a delayed, masked or feedback connection is
one of its own. The counts of a layer are those of its connections and of its own arithmetic. Sums
over steps are `Ops`, which energy tables price.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any, NamedTuple

from spikern._utils.display import Facts, shown_by
from spikern._utils.errors import InputError

Steps = tuple[int, ...]
"""One exact count per step, summed over the samples that have this step."""
KINDS = ("input", "skip", "recurrent", "feedback", "projection", "router", "readout")
"""The kinds of connections. The projection of an LSTM and a router are inside their layer."""


@dataclass(frozen=True)
class Ops:
    """Operations summed over steps and samples; + adds two of them.

    ac               accumulates: spikes or events x the nonzero weights that they met
    mac              multiply-accumulates: analog values x the nonzero weights that they met
    updates          the other arithmetic by kind: mul, add, compare, tanh, ...
    neuron_updates   units x steps
    spikes           neuron updates in which the neuron fired
    dense            all weights x steps: a simulation without any sparsity
    units            the neuron updates by the model of the unit
    """

    ac: int = 0
    mac: int = 0
    updates: Mapping[str, int] = field(default_factory=dict)
    neuron_updates: int = 0
    spikes: int = 0
    dense: int = 0
    units: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Ops) -> Ops:
        return Ops(
            self.ac + other.ac,
            self.mac + other.mac,
            dict(Counter(self.updates) + Counter(other.updates)),
            self.neuron_updates + other.neuron_updates,
            self.spikes + other.spikes,
            self.dense + other.dense,
            dict(Counter(self.units) + Counter(other.units)),
        )


def total(layers: Mapping[str, Ops]) -> Ops:
    """The sum over all layers."""
    return sum(layers.values(), Ops())


@dataclass(frozen=True)
class Connection:
    """One bundle of synapses, and its operations at every step.

    source, target   names of layers; "input" is the input of the network
    kind             one of KINDS
    spiking          the source sends spikes or events
    sources, targets weights are (targets, sources)
    synapses         weights that are not zero
    arrivals         events or analog values that arrived
    ops              arrivals x the nonzero weights that each met
    uses             samples that had this step
    reached          arrivals x all weights that each met, zero ones too
    kept             the last steps whose values are kept until they have arrived; delays: several
    """

    source: str
    target: str
    kind: str
    spiking: bool
    sources: int
    targets: int
    synapses: int
    arrivals: Steps
    ops: Steps
    uses: Steps
    reached: Steps
    kept: int = 1

    @property
    def weights(self) -> int:
        """All weights, zero ones too."""
        return self.sources * self.targets


class Storage(NamedTuple):
    """Numbers that a layer keeps, each read or written once per step.

    states      carried to the next step beside spikes and outputs: read and written
    constants   of the units' equations, computed once: read
    biases      one per accumulator: read
    outputs     analog values for other layers: written
    """

    states: int = 0
    constants: int = 0
    biases: int = 0
    outputs: int = 0


class Array(NamedTuple):
    """An array in memory: the number and bits of its values, and how many are read and written."""

    layer: str
    kind: str
    stored: int
    bits: int
    reads: int
    writes: int = 0
    scattered: bool = False

    @property
    def bytes(self) -> float:
        """Its size in memory."""
        return self.stored * self.bits / 8

    def accesses(self, access_bits: int) -> float:
        """The accesses of this many bits that its reads and writes take."""
        moved = self.reads + self.writes
        wide = -(-self.bits // access_bits)
        return moved * wide if self.scattered else moved * self.bits / access_bits


@dataclass(frozen=True)
class Layer:
    """The operations of one layer at every step.

    unit         the model of its units: LIF, LSTM, linear, ...
    spiking      whether its units can fire
    arithmetic   operations of the units by kind, beside the synapses
    caused       the part of the arithmetic that spikes of this network caused
    uses         samples that had this step
    spikes       units that fired
    storage      numbers that the layer keeps
    stores       arrays of which it reads single values, as those of a memory that is looked up
    awake        units that were updated; None: all
    woken_by     the layer or input whose events alone wake its units; None if they do not sleep, or
                 a learned router chooses who does
    """

    name: str
    unit: str
    units: int
    spiking: bool
    connections: tuple[Connection, ...]
    arithmetic: Mapping[str, Steps]
    uses: Steps
    spikes: Steps
    storage: Storage
    stores: tuple[Array, ...] = ()
    awake: Steps | None = None
    woken_by: str | None = None
    caused: Mapping[str, Steps] = field(default_factory=dict)

    @property
    def neuron_updates(self) -> Steps:
        """Units x samples at every step, but for units that sleep."""
        return tuple(self.units * n for n in self.uses) if self.awake is None else self.awake

    @property
    def rate(self) -> float | None:
        """Spikes per unit and step; None if no unit can fire."""
        return sum(self.spikes) / (self.units * sum(self.uses)) if self.spiking else None

    def synaptic(self, spiking: bool, *kinds: str) -> Steps:
        """Accumulates (spiking) or multiply-accumulates per step, of some kinds or all."""
        included = kinds or KINDS
        chosen = [c.ops for c in self.connections if c.spiking == spiking and c.kind in included]
        return tuple(sum(at) for at in zip(*chosen)) if chosen else (0,) * len(self.uses)

    @property
    def dense(self) -> Steps:
        """All weights x samples at every step."""
        each = [tuple(c.weights * n for n in c.uses) for c in self.connections]
        return tuple(sum(at) for at in zip(*each)) if each else (0,) * len(self.uses)

    @property
    def ops(self) -> Ops:
        """The sums over all steps."""
        updates = sum(self.neuron_updates)
        return Ops(
            sum(self.synaptic(True)),
            sum(self.synaptic(False)),
            {kind: sum(steps) for kind, steps in self.arithmetic.items() if sum(steps)},
            updates,
            sum(self.spikes),
            sum(self.dense),
            {self.unit: updates} if updates else {},
        )


def analog_layer(
    name: str, unit: str, units: int, connections: tuple[Connection, ...],
    arithmetic: Mapping[str, Steps], uses: Steps, storage: Storage,
) -> Layer:  # fmt: skip
    """A layer whose units never fire."""
    return Layer(name, unit, units, False, connections, arithmetic, uses, (0,) * len(uses), storage)


def _of_counts(counts: Counts) -> Facts:
    ops = counts.ops
    firing = {} if counts.rate is None else {"rate": f"{counts.rate:.2%}"}
    return {
        "inferences": f"{counts.inferences:,}",
        "layers": ", ".join(layer.name for layer in counts.layers),
        "AC": f"{ops.ac:,}",
        "MAC": f"{ops.mac:,}",
        "neuron updates": f"{ops.neuron_updates:,}",
        **firing,
    }


@shown_by(_of_counts)
@dataclass(frozen=True)
class Counts:
    """The counts of a network over `inferences` samples; + adds those of other samples.

    `count` and `count_recalling` make them from a run on data; without a run a model has none.
    """

    inferences: int
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if self.inferences < 1 or not self.layers:
            raise InputError("nothing was run, so there are no counts; use count(model, x)")

    def __getitem__(self, name: str) -> Layer:
        for layer in self.layers:
            if layer.name == name:
                return layer
        known = ", ".join(layer.name for layer in self.layers)
        raise InputError(f"no layer '{name}' was counted; there are {known}")

    @property
    def by_layer(self) -> dict[str, Ops]:
        """The sums of every layer."""
        return {layer.name: layer.ops for layer in self.layers}

    @property
    def ops(self) -> Ops:
        """The sum over all layers and steps."""
        return total(self.by_layer)

    @property
    def connections(self) -> tuple[Connection, ...]:
        """The connections of all layers."""
        return tuple(c for layer in self.layers for c in layer.connections)

    def synaptic_events(self) -> dict[str, int]:
        """Accumulates by the kind of connection, over all layers."""
        return {k: sum(sum(layer.synaptic(True, k)) for layer in self.layers) for k in KINDS}

    def multiply_accumulates(self) -> dict[str, int]:
        """Multiply-accumulates by the kind of connection, over all layers."""
        return {k: sum(sum(layer.synaptic(False, k)) for layer in self.layers) for k in KINDS}

    @property
    def rate(self) -> float | None:
        """Spikes per spiking neuron and step; None if nothing in the network can fire."""
        able = sum(layer.units * sum(layer.uses) for layer in self.layers if layer.spiking)
        return self.ops.spikes / able if able else None

    @property
    def highest_rate(self) -> float:
        """The rate at which all spiking neurons that are awake fire; 1 if none sleeps.

        Raises InputError where nothing can fire.
        """
        firing = [layer for layer in self.layers if layer.spiking]
        if not firing:
            raise InputError("nothing in this network can fire, so it has no highest rate")
        awake = sum(sum(layer.neuron_updates) for layer in firing)
        return awake / sum(layer.units * sum(layer.uses) for layer in firing)

    def __add__(self, other: Counts) -> Counts:
        if list(map(_identity, self.layers)) != list(map(_identity, other.layers)):
            raise InputError("only counts of the same network can be added")
        return Counts(
            self.inferences + other.inferences,
            tuple(_add_layers(a, b) for a, b in zip(self.layers, other.layers)),
        )


def silent(counts: Counts) -> Counts:
    """The same network and input without any spike: what the input and the updates cost."""
    firing = {layer.name for layer in counts.layers if layer.spiking}

    def without_spikes(c: Connection) -> Connection:
        zeros = (0,) * len(c.uses)
        return (
            replace(c, arrivals=zeros, ops=zeros, reached=zeros)
            if c.spiking and c.source in firing
            else c
        )

    def still(layer: Layer) -> dict[str, Any]:
        if layer.woken_by in firing:
            return {"awake": (0,) * len(layer.uses), "arithmetic": {}, "caused": {}}
        left = {
            kind: tuple(total - part for total, part in zip(layer.arithmetic[kind], steps))
            for kind, steps in layer.caused.items()
        }
        return {"arithmetic": {**layer.arithmetic, **left}, "caused": {}}

    return replace(
        counts,
        layers=tuple(
            replace(
                layer,
                spikes=(0,) * len(layer.uses),
                connections=tuple(without_spikes(c) for c in layer.connections),
                **still(layer),
            )
            for layer in counts.layers
        ),
    )


def _identity(layer: Layer) -> tuple[Any, ...]:
    """What two counts of one network share."""
    connections = [(c.source, c.kind, c.sources, c.targets) for c in layer.connections]
    stores = [store._replace(reads=0, writes=0) for store in layer.stores]
    return layer.name, layer.unit, layer.units, layer.storage, connections, stores


def _plus(a: Iterable[int], b: Iterable[int]) -> Steps:
    return tuple(x + y for x, y in zip_longest(a, b, fillvalue=0))


def by_kind(a: Mapping[str, Steps], b: Mapping[str, Steps]) -> dict[str, Steps]:
    """The sum of two counts of operations, step by step."""
    return {kind: _plus(a.get(kind, ()), b.get(kind, ())) for kind in {**a, **b}}


def _add_layers(a: Layer, b: Layer) -> Layer:
    return replace(
        a,
        connections=tuple(_add_connections(c, d) for c, d in zip(a.connections, b.connections)),
        arithmetic=by_kind(a.arithmetic, b.arithmetic),
        caused=by_kind(a.caused, b.caused),
        uses=_plus(a.uses, b.uses),
        spikes=_plus(a.spikes, b.spikes),
        stores=tuple(
            x._replace(reads=x.reads + y.reads, writes=x.writes + y.writes)
            for x, y in zip(a.stores, b.stores)
        ),
        awake=None if a.awake is None or b.awake is None else _plus(a.awake, b.awake),
    )


def _add_connections(a: Connection, b: Connection) -> Connection:
    if (a.weights, a.synapses, a.spiking) != (b.weights, b.synapses, b.spiking):
        raise InputError(f"{a.source} to {a.target}: the network changed between two counts")
    return replace(
        a,
        arrivals=_plus(a.arrivals, b.arrivals),
        ops=_plus(a.ops, b.ops),
        uses=_plus(a.uses, b.uses),
        reached=_plus(a.reached, b.reached),
    )
