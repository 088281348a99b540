"""Counting what a network did, and estimating the energy that it would take."""

from spikern.ops.count import Ops, count
from spikern.ops.energy import EnergyTable, estimate, tables

__all__ = ["EnergyTable", "Ops", "count", "estimate", "tables"]
