"""Many trainings that survive what happens to them, and what is concluded from them."""

from spikern.studies.comparison import Comparison, Sample, compare
from spikern.studies.finished import count_run, open_run
from spikern.studies.jobs import grid, key, read_results
from spikern.studies.protocol import Plan
from spikern.studies.runner import Job, Outcome
from spikern.studies.statistics import claims, interval
from spikern.studies.table import gathered, rows

__all__ = [
    "Comparison",
    "Job",
    "Outcome",
    "Plan",
    "Sample",
    "claims",
    "compare",
    "count_run",
    "gathered",
    "grid",
    "interval",
    "key",
    "open_run",
    "read_results",
    "rows",
]
