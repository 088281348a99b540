"""Measured, not estimated: time, memory and joules of spikern, its twins and its peers."""

from spikern.timing.benchmark import Measured, Settings, benchmark_table, run_benchmark
from spikern.timing.inference import Contestant, measure

__all__ = [
    "Contestant",
    "Measured",
    "Settings",
    "benchmark_table",
    "measure",
    "run_benchmark",
]
