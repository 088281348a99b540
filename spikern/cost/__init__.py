"""Counts of the operations of a network, and estimates of the energy that they take."""

from spikern.cost.break_even import BreakEven, EnergyComparison, EnergyRatio, compare_energy
from spikern.cost.counting import count
from spikern.cost.counts import Array, Connection, Counts, Layer, Ops, silent, total
from spikern.cost.estimates import Estimate, Surroundings, energy, estimate
from spikern.cost.memory import Traffic, traffic
from spikern.cost.prices import EnergyTable, conventions, read, tables
from spikern.engines.codegen.operations import update_ops

__all__ = [
    "Array",
    "BreakEven",
    "Connection",
    "Counts",
    "EnergyComparison",
    "EnergyRatio",
    "EnergyTable",
    "Estimate",
    "Layer",
    "Ops",
    "Surroundings",
    "Traffic",
    "compare_energy",
    "conventions",
    "count",
    "energy",
    "estimate",
    "read",
    "silent",
    "tables",
    "total",
    "traffic",
    "update_ops",
]
