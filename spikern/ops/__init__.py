"""Counting what a network did, and estimating the energy that it would take."""

from spikern.ops.count import count
from spikern.ops.counts import Connection, Counts, Layer, Ops, silent, total
from spikern.ops.energy import Estimate, Surroundings, energy, estimate
from spikern.ops.ladder import ladder
from spikern.ops.memory import traffic
from spikern.ops.prices import EnergyTable, read, tables
from spikern.ops.statement import Statement, statement

__all__ = [
    "Connection",
    "Counts",
    "EnergyTable",
    "Estimate",
    "Layer",
    "Ops",
    "Statement",
    "Surroundings",
    "count",
    "energy",
    "estimate",
    "ladder",
    "read",
    "silent",
    "statement",
    "tables",
    "total",
    "traffic",
]
