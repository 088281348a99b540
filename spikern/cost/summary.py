"""Counts, estimates and comparisons of several networks as plain data for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from spikern.cost.break_even import compare_energy, spikes_per_synapse
from spikern.cost.counts import Connection, Counts, Layer
from spikern.cost.estimates import OPERATIONS, VIEWS, energy
from spikern.cost.memory import BOUNDS, traffic
from spikern.cost.prices import EnergyTable

AS_TRAINED = "45nm_fp32"
"""The table in the precision of training and testing; it is the one shown where only one is."""


def table_texts(
    tables: Mapping[str, EnergyTable],
    keys: Sequence[str] = ("title", "node", "precision", "source", "not_modelled"),
) -> dict[str, dict[str, str]]:
    """What every table says of itself."""
    return {t.name: {key: getattr(t, key) for key in keys} for t in tables.values()}


def count_summary(counts: Counts) -> dict[str, Any]:
    """Exact integers over all inferences: by layer and connection, and their sum."""
    return {
        "inferences": counts.inferences,
        "steps": max(sum(layer.uses) for layer in counts.layers),
        "rate": counts.rate,
        "spikes_per_synapse": spikes_per_synapse(counts),
        "synaptic_events": counts.synaptic_events(),
        "multiply_accumulates": counts.multiply_accumulates(),
        "total": asdict(counts.ops),
        "layers": [_layer_summary(layer) for layer in counts.layers],
    }


def _layer_summary(layer: Layer) -> dict[str, Any]:
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
        "connections": [_connection_summary(c) for c in layer.connections],
    }


def _connection_summary(c: Connection) -> dict[str, Any]:
    """One connection, summed over its steps."""
    kept = ("source", "target", "kind", "spiking", "weights", "synapses")
    return {key: getattr(c, key) for key in kept} | {
        "arrivals": sum(c.arrivals),
        "ac": sum(c.ops) if c.spiking else 0,
        "mac": 0 if c.spiking else sum(c.ops),
    }


def memory_summary(counts: Counts, tables: Mapping[str, EnergyTable]) -> list[dict[str, Any]]:
    """Memory traffic of one inference in bytes by kind, per bound and pair of widths in the tables.

    `addressing` is a number of additions, not bytes.
    """
    widths = {
        (t.weight_bits, t.state_bits)
        for t in tables.values()
        if t.weight_bits is not None and t.state_bits is not None
    }
    rows = []
    for weight_bits, state_bits in sorted(widths, reverse=True):
        for bound in BOUNDS:
            moved = traffic(counts, bound, weight_bits, state_bits)
            by_kind: dict[str, float] = {}
            for a in moved.arrays:
                size = (a.reads + a.writes) * a.bits / 8 / counts.inferences
                by_kind[a.kind] = by_kind.get(a.kind, 0.0) + size
            row = {"bound": bound, "weight_bits": weight_bits, "state_bits": state_bits}
            addressing = moved.addressing / counts.inferences
            rows.append(row | {"bytes": by_kind, "addressing": addressing})
    return rows


def estimates(
    counts: Mapping[str, Counts], tables: Mapping[str, EnergyTable], views: Sequence[str] = VIEWS
) -> list[dict[str, Any]]:
    """One inference of every network under every table and view; pj is None without an estimate."""
    rows: list[dict[str, Any]] = []
    for name, own in counts.items():
        for table in tables.values():
            for view in views:
                estimate = energy(own, table, view)
                pj = None if estimate is None else estimate.pj
                parts = {} if estimate is None else dict(estimate.parts)
                row = {"model": name, "table": table.name, "view": view}
                rows.append(row | {"pj": pj, "parts": parts})
    return rows


def comparisons(
    counts: Mapping[str, Counts],
    tables: Mapping[str, EnergyTable],
    against: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Every network that can fire against every one that cannot, or against those named."""
    others = [n for n, c in counts.items() if c.rate is None] if against is None else against
    return [
        compare_energy(own, counts[other], tables, names=(name, other)).as_dict()
        for name, own in counts.items()
        if own.rate is not None
        for other in others
    ]


def widest_table(rows: Sequence[Mapping[str, Any]], view: str = OPERATIONS) -> str | None:
    """The table that prices the most networks under a view; on a tie AS_TRAINED, else the first.

    `rows` are those of `estimates`. None if no table prices any.

    >>> rows = [{"table": t, "view": OPERATIONS, "pj": pj} for t, pj in (("a", None), ("b", 1.0))]
    >>> widest_table(rows)
    'b'
    """
    priced: dict[str, int] = {}
    for row in rows:
        if row["view"] == view and row["pj"] is not None:
            priced[row["table"]] = priced.get(row["table"], 0) + 1
    return max(priced, key=lambda t: (priced[t], t == AS_TRAINED), default=None)
