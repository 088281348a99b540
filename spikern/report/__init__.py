"""All text: numbers, tables for the terminal, the HTML report, Markdown, sentences."""

from spikern.report.html import write_html
from spikern.report.markdown import filled
from spikern.report.terminal import (
    benchmark_table,
    count_report,
    count_summary,
    energy_comparison,
    table,
    table_list,
)

__all__ = [
    "benchmark_table",
    "count_report",
    "count_summary",
    "energy_comparison",
    "filled",
    "table",
    "table_list",
    "write_html",
]
