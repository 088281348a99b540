from .html import write_html
from .layers import Summary, summary
from .markdown import filled
from .terminal import (
    benchmark_table,
    count_report,
    count_summary,
    energy_comparison,
    table,
    table_list,
)

__all__ = [
    "Summary",
    "benchmark_table",
    "count_report",
    "count_summary",
    "energy_comparison",
    "filled",
    "summary",
    "table",
    "table_list",
    "write_html",
]
