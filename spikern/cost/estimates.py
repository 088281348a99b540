"""Energy estimates: counts times the prices of a table, operations alone or with memory traffic.

A count that a table has no price for has no estimate: None, never zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from spikern._utils.choices import check_choice, check_type
from spikern._utils.errors import InputError
from spikern.cost.counts import Counts, Ops
from spikern.cost.lemaire import lemaire_pj
from spikern.cost.memory import BOUNDS, memory_pj, traffic
from spikern.cost.prices import EnergyTable

OPERATIONS = "operations"
LEMAIRE = "lemaire 2022"
VIEWS = (OPERATIONS, *BOUNDS, LEMAIRE)
"""What an estimate includes: operations, a bound on memory traffic too, or Lemaire's model."""
PJ = 1e12
"""Picojoules in a joule."""


class Surroundings(NamedTuple):
    """Costs that no table contains and the user may state; None is left out, not counted as zero.

    routing_pj     energy to route one spike to its targets
    static_watts   static power
    seconds        duration of one inference
    dram           whether weights are outside the chip
    """

    routing_pj: float | None = None
    static_watts: float | None = None
    seconds: float | None = None
    dram: bool = False


@dataclass(frozen=True)
class Estimate:
    """The energy of one inference in pJ by kind, under one table and view."""

    table: str
    view: str
    parts: Mapping[str, float]

    @property
    def pj(self) -> float:
        """The sum of the parts."""
        return math.fsum(self.parts.values())


def priced(ops: Ops, table: EnergyTable) -> dict[str, float] | None:
    """Synapses, neuron updates and spikes in pJ; None if the table lacks a price."""
    if LOOKED_UP in ops.units and table.updates != "by operation":
        return None
    synapses = {"ac": ops.ac, "mac": ops.mac}
    spikes: dict[str, int] = {}
    if table.updates == "by operation":
        updates = dict(ops.updates)
    elif table.updates == "by neuron":
        updates = {"update_active": ops.spikes, "update_inactive": ops.neuron_updates - ops.spikes}
        spikes = {"spike": ops.spikes}
    else:
        updates = {"reset": ops.spikes}
        for unit, n in ops.units.items():
            own = f"update_{unit}"
            key = own if own in table.pj or unit in STANDARD else "update_spiking"
            updates[key] = updates.get(key, 0) + n
    kinds = {"synapses": synapses, "neuron updates": updates, "spikes": spikes}
    if any(n and kind not in table.pj for done in kinds.values() for kind, n in done.items()):
        return None
    return {
        name: math.fsum(n * table.pj[kind] for kind, n in done.items() if n)
        for name, done in kinds.items()
    }


LOOKED_UP = "memory"
"""The unit of a memory, whose operations have no price where only neurons do."""
STANDARD = ("RNN", "GRU", "LSTM", "linear")
"""Units that a price of spiking neurons does not apply to."""


def estimate(ops: Ops, table: EnergyTable) -> float | None:
    """The estimated energy of operations in pJ, or None if the table lacks a price.

    >>> from spikern.cost import tables
    >>> estimate(Ops(ac=10, mac=2), tables()["45nm_fp32"])
    18.2
    """
    parts = priced(ops, table)
    return None if parts is None else math.fsum(parts.values())


def energy(
    counts: Counts,
    table: EnergyTable,
    view: str = OPERATIONS,
    surroundings: Surroundings | None = None,
) -> Estimate | None:
    """The mean estimate of one inference over those counted, or None if the table lacks a price.

    `view` is one of VIEWS. Raises InputError on an unknown view or impossible surroundings.
    """
    check_type("counts", counts, Counts)
    check_type("table", table, EnergyTable)
    check_choice("view", view, VIEWS)
    around = surroundings or Surroundings()
    check(around)
    lemaire = view == LEMAIRE
    parts = lemaire_pj(counts, table, around.dram) if lemaire else priced(counts.ops, table)
    if parts is None:
        return None
    if view in BOUNDS:
        if table.weight_bits is None or table.state_bits is None or "add" not in table.pj:
            return None
        moved = traffic(counts, view, table.weight_bits, table.state_bits)
        memory = memory_pj(moved.arrays, table, around.dram)
        if memory is None:
            return None
        parts |= memory | {"addressing": moved.addressing * table.pj["add"]}
    if around.routing_pj is not None:
        parts["routing"] = counts.ops.spikes * around.routing_pj
    each = {kind: pj / counts.inferences for kind, pj in parts.items() if pj}
    if around.static_watts is not None and around.seconds is not None:
        each["static"] = around.static_watts * around.seconds * PJ
    return Estimate(table.name, view, each)


def check(around: Surroundings) -> None:
    """Refuse negative or incomplete surroundings."""
    for name in ("routing_pj", "static_watts", "seconds"):
        value = getattr(around, name)
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise InputError(f"{name} must be a number >= 0, got {value}")
    if (around.static_watts is None) != (around.seconds is None):
        raise InputError("static energy is watts x seconds: give both or neither")
