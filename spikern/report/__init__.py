"""What a comparison found, for a person: the HTML page and the table for a terminal."""

from spikern.report.page import write
from spikern.report.sample import Sample

__all__ = ["Sample", "write"]
