"""Counting what a network did, and estimating the energy that it would take."""

from spikern.cost.break_even import Statement, statement
from spikern.cost.counting import count
from spikern.cost.counts import Connection, Counts, Layer, Ops, silent, total
from spikern.cost.estimates import Estimate, Surroundings, energy, estimate
from spikern.cost.memory import traffic
from spikern.cost.prices import EnergyTable, read, tables
from spikern.cost.standard import dense_synaptic_ops

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
    "dense_synaptic_ops",
    "energy",
    "estimate",
    "read",
    "silent",
    "statement",
    "tables",
    "total",
    "traffic",
]
