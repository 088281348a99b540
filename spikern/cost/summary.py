"""Counts, estimates and statements of several networks as plain data, which JSON can hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from spikern.cost.break_even import spikes_per_synapse, statement
from spikern.cost.counts import Counts, Layer
from spikern.cost.estimates import OPERATIONS, VIEWS, energy
from spikern.cost.memory import BOUNDS, traffic
from spikern.cost.prices import EnergyTable

AS_TRAINED = "45nm_fp32"
"""The table in the precision that networks are trained and tested in; shown where one is."""


def counted(counts: Counts) -> dict[str, Any]:
    """Exact integers over all inferences, by layer and connection, and in all."""
    ops = asdict(counts.ops)
    return {
        "inferences": counts.inferences,
        "steps": max(sum(layer.uses) for layer in counts.layers),
        "rate": counts.rate,
        "spikes_per_synapse": spikes_per_synapse(counts),
        "synaptic_events": counts.synaptic_events(),
        "multiply_accumulates": counts.multiply_accumulates(),
        "total": ops,
        "layers": [layer_counts(layer) for layer in counts.layers],
    }


def layer_counts(layer: Layer) -> dict[str, Any]:
    """One layer, summed over its steps."""
    ops = layer.ops
    return {
        "layer": layer.name,
        "unit": layer.unit,
        "units": layer.units,
        "spiking": layer.spiking,
        "steps": sum(layer.uses),
        "spikes": ops.spikes,
        "neuron_updates": ops.neuron_updates,
        "updates": dict(ops.updates),
        "dense": ops.dense,
        "connections": [
            {
                "source": c.source,
                "target": c.target,
                "kind": c.kind,
                "spiking": c.spiking,
                "weights": c.weights,
                "synapses": c.synapses,
                "arrivals": sum(c.arrivals),
                "ac": sum(c.ops) if c.spiking else 0,
                "mac": 0 if c.spiking else sum(c.ops),
            }
            for c in layer.connections
        ],
    }


def moved(counts: Counts, tables: Mapping[str, EnergyTable]) -> list[dict[str, Any]]:
    """Memory traffic of one inference in bytes by kind, under both bounds, at every table's widths.

    `addressing` is additions and not bytes.
    """
    widths = {
        (t.weight_bits, t.state_bits)
        for t in tables.values()
        if t.weight_bits is not None and t.state_bits is not None
    }
    rows = []
    for weight_bits, state_bits in sorted(widths, reverse=True):
        for bound in BOUNDS:
            found = traffic(counts, bound, weight_bits, state_bits)
            each: dict[str, float] = {}
            for a in found.arrays:
                size = (a.reads + a.writes) * a.bits / 8 / counts.inferences
                each[a.kind] = each.get(a.kind, 0.0) + size
            rows.append(
                {
                    "bound": bound,
                    "weight_bits": weight_bits,
                    "state_bits": state_bits,
                    "bytes": each,
                    "addressing": found.addressing / counts.inferences,
                }
            )
    return rows


def estimates(
    counts: Mapping[str, Counts], tables: Mapping[str, EnergyTable], views: Sequence[str] = VIEWS
) -> list[dict[str, Any]]:
    """One inference of every network under every table and view; pj is None without an estimate."""
    rows: list[dict[str, Any]] = []
    for name, own in counts.items():
        for table in tables.values():
            for view in views:
                found = energy(own, table, view)
                pj, parts = (None, {}) if found is None else (found.pj, dict(found.parts))
                rows.append(
                    {"model": name, "table": table.name, "view": view, "pj": pj, "parts": parts}
                )
    return rows


def statements(
    counts: Mapping[str, Counts],
    tables: Mapping[str, EnergyTable],
    against: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Every network that can fire against every one that cannot, or against those named."""
    others = [n for n, c in counts.items() if c.rate is None] if against is None else against
    return [
        statement(own, counts[other], tables, names=(name, other)).as_dict()
        for name, own in counts.items()
        if own.rate is not None
        for other in others
    ]


def one_table(rows: Sequence[Mapping[str, Any]], view: str = OPERATIONS) -> str | None:
    """The table that prices the most networks under a view; of equals AS_TRAINED, else the first.

    >>> rows = [{"table": t, "view": OPERATIONS, "pj": pj} for t, pj in (("a", None), ("b", 1.0))]
    >>> one_table(rows)
    'b'
    """
    priced: dict[str, int] = {}
    for row in rows:
        if row["view"] == view and row["pj"] is not None:
            priced[row["table"]] = priced.get(row["table"], 0) + 1
    return max(priced, key=lambda t: (priced[t], t == AS_TRAINED), default=None)
