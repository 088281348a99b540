"""Groups of neurons that stand still or decay while they sleep; fills in the page.

python experiments/smaller/sleep.py             # search, train, judge; half an hour; resumes
python experiments/smaller/sleep.py --no-train  # only the page again, from sleep.json
python experiments/smaller/sleep.py --smoke     # seconds; shows that it runs, in runs/ only
"""

from collections.abc import Sequence
from dataclasses import replace

import tyro
from common import FIXED, HERE, Config, Row, of
from experts import networks_table, rows_of

from spikern._utils.program import errors_in_one_line
from spikern.report import markdown
from spikern.report.publishing import publish
from spikern.studies.statistics import paired

DECAYING = replace(FIXED, name=f"{FIXED.name}, decaying", sleep="decaying")


def carry_out(config: Config) -> Row:
    """Results: one row for each network and seed."""
    return {"rows": rows_of((FIXED, DECAYING), config)}


def claims_table(rows: Sequence[Row]) -> str:
    """Bits that decay saves, seed by seed."""
    lines = []
    for kind in ("bits", "with pairs"):
        pair = paired(*([row[kind] for row in of(rows, model)] for model in (FIXED, DECAYING)))
        between = f"{pair.low:+.3f} to {pair.high:+.3f}"
        lines.append([DECAYING.name, FIXED.name, kind, f"{pair.difference:+.3f}", between])
    return markdown.table(["network", "against", "of", "bits saved", "interval"], lines, (0, 1, 2))


def places(results: Row) -> dict[str, str]:
    """What is filled in on the page, by place."""
    rows = results["rows"]
    several = len({row["seed"] for row in rows}) > 1
    return {
        "sleep networks": networks_table(rows, (FIXED, DECAYING)),
        "sleep claims": claims_table(rows) if several else "One seed: no claims.",
    }


if __name__ == "__main__":
    with errors_in_one_line():
        publish(tyro.cli(Config), HERE, "sleep", carry_out, places, {})
