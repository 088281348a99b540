"""Measured time, memory and joules of spikern, its twins and its peers."""

from spikern.timing.benchmark import (
    Measurement,
    Row,
    Settings,
    by_least,
    densities,
    rows,
    run_benchmark,
    sweep,
)
from spikern.timing.inference import Contestant, InferenceTimes, measure

__all__ = [
    "Contestant",
    "InferenceTimes",
    "Measurement",
    "Row",
    "Settings",
    "by_least",
    "densities",
    "measure",
    "rows",
    "run_benchmark",
    "sweep",
]
