"""The benchmark: spikern beside its peers, in one process, as ratios."""

from spikern.bench.rows import table
from spikern.bench.run import Settings, run

__all__ = ["Settings", "run", "table"]
