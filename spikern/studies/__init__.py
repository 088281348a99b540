"""Many trainings that survive what happens to them, and what is concluded from them."""

from spikern.studies.comparison import Compared, Comparison, compare
from spikern.studies.finished import FinishedRun, count_run, open_run
from spikern.studies.jobs import grid, key, read_results
from spikern.studies.plan import Axis, Plan, Search
from spikern.studies.protocol import carry_out
from spikern.studies.runner import Outcome, run
from spikern.studies.samples import Sample
from spikern.studies.statistics import claims, interval, mean
from spikern.studies.table import gathered, rows
from spikern.studies.trainings import Architecture, ConstantDraw, TrainingJob

__all__ = [
    "Architecture",
    "Axis",
    "Compared",
    "Comparison",
    "ConstantDraw",
    "FinishedRun",
    "Outcome",
    "Plan",
    "Sample",
    "Search",
    "TrainingJob",
    "carry_out",
    "claims",
    "compare",
    "count_run",
    "gathered",
    "grid",
    "interval",
    "key",
    "mean",
    "open_run",
    "read_results",
    "rows",
    "run",
]
