"""Carry out the plan of a study: search, train, write results.json, fill in its page and figures.

python experiments/run.py ecg              # experiments/ecg/plan.py
python experiments/run.py ecg --no-train   # only page and figures again, from results.json
python experiments/run.py ecg --smoke      # seconds; shows that it runs, writes in runs/ only
"""

import runpy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from spikern import InputError
from spikern._utils import atomic, json_file
from spikern._utils.choices import check_choice
from spikern._utils.program import errors_in_one_line
from spikern._utils.provenance import provenance
from spikern.plot.study import drawn
from spikern.plot.style import save
from spikern.report import markdown
from spikern.studies.plan import Plan, carried_out
from spikern.studies.protocol import carry_out

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Config:
    """Which study is carried out, and where its trainings run."""

    study: tyro.conf.Positional[str]
    """Name of a folder of experiments/ that has a plan.py."""
    out: Path | None = None
    """Folder of the trainings; by default runs/STUDY."""
    workers: int = 1
    """Processes that train side by side, one thread each."""
    ray: str | None = None
    """Address of a Ray cluster on which to train."""
    device: str = "cpu"
    """What the networks train on, such as cuda; they are tested, counted and timed on the CPU."""
    train: bool = True
    """Train what is not trained yet; without, make page and figures from results.json."""
    smoke: bool = False
    """A run of seconds that shows only that the study runs; it writes in runs/ alone."""


def plans_of(study: str) -> Sequence[Plan]:
    """The plans of a study."""
    studies = sorted(path.parent.name for path in HERE.glob("*/plan.py"))
    check_choice("study", study, studies)
    plans: Sequence[Plan] = runpy.run_path(str(HERE / study / "plan.py"))["PLANS"]
    return plans


def main(config: Config) -> None:
    """Carry out the plans of a study; write its results, figures and page."""
    plans, home = plans_of(config.study), HERE / config.study
    out = config.out or Path("runs") / f"{config.study}{'-smoke' if config.smoke else ''}"
    target = out if config.smoke else home
    if config.smoke:
        plans = [plan.brief() for plan in plans]
    if config.train:
        started = time.perf_counter()
        results: dict[str, Any] = {
            "schema": 1,
            "topic": config.study,
            "parts": [
                carry_out(plan, out, config.workers, config.ray, config.device) for plan in plans
            ],
            "provenance": provenance(time.perf_counter() - started, config.workers),
        }
        json_file.write(target / "results.json", results)
    results = json_file.read(target / "results.json")
    parts = results["parts"]
    if len(parts) != len(plans) or not all(map(carried_out, plans, parts)):
        raise InputError(
            f"{target}/results.json is of other plans; run the study without --no-train"
        )
    for part in parts:
        save(drawn(part), target / f"{part['plan']['dataset']}.svg")
    page = (home / "README.md").read_text()
    atomic.write(target / "README.md", markdown.filled(page, markdown.study(results)))


if __name__ == "__main__":
    with errors_in_one_line():
        main(tyro.cli(Config))
