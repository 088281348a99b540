"""Studies: many trainings that survive what happens to them, and what is concluded from them."""

from spikern.study.jobs import grid, key, results
from spikern.study.run import Job, Outcome, run
from spikern.study.table import gathered, rows

__all__ = ["Job", "Outcome", "gathered", "grid", "key", "results", "rows", "run"]
