"""The command of a study: carry out its plans, write results.json, fill in page and figure."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spikern._utils import atomic
from spikern._utils.errors import DataError
from spikern._utils.provenance import provenance
from spikern.plot.study import drawn
from spikern.plot.style import save
from spikern.report import markdown
from spikern.studies.protocol import Plan, carried_out


@dataclass(frozen=True)
class Config:
    """How a study is run; what it trains is frozen in its script."""

    out: Path | None = None
    """Folder of its jobs; runs/<topic> unless given."""
    workers: int = 1
    ray: str | None = None
    """Address of a Ray cluster on which to train."""
    train: bool = True
    """No: only make table and figure again from results.json."""
    smoke: bool = False
    """Seconds, to show only that it runs; writes in runs/ alone."""


def main(home: Path, plans: Sequence[Plan], cfg: Config) -> None:
    """Carry out the plans of the study whose folder is `home`; write results, figure, page."""
    brief = "-smoke" if cfg.smoke else ""
    out = cfg.out or Path("runs") / f"{home.name}{brief}"
    if cfg.smoke:
        plans = [plan.brief() for plan in plans]
    where = out if cfg.smoke else home
    if cfg.train:
        started = time.perf_counter()
        done = [carried_out(plan, out, cfg.workers, cfg.ray) for plan in plans]
        spent = provenance(time.perf_counter() - started, cfg.workers)
        whole = {"schema": 1, "topic": home.name, "parts": done, "provenance": spent}
        atomic.write(where / "results.json", json.dumps(whole, indent=1))
    results = json.loads((where / "results.json").read_text())
    asked = [json.loads(json.dumps(asdict(plan))) for plan in plans]
    if [part["plan"] for part in results["parts"]] != asked:
        raise DataError(f"{where}/results.json is of other plans; run the study to make it anew")
    for part in results["parts"]:
        save(drawn(part), where / f"{part['plan']['dataset']}.svg")
    readme = (home / "README.md").read_text()
    atomic.write(where / "README.md", markdown.filled(readme, made(results)))


def made(results: dict[str, Any]) -> dict[str, str]:
    """What the page has from the results."""
    places = {
        name: text for part in results["parts"] for name, text in markdown.tables(part).items()
    }
    seconds = sum(map(markdown.seconds, results["parts"]))
    return places | {"machine": markdown.machine(results["provenance"], seconds)}
