"""How a loss falls with parameters and data, spiking and gated; fills in a part of the page.

python experiments/growth/run.py fsdd             # search, train, fit; hours; resumes
python experiments/growth/run.py tinyshakespeare  # the characters; many hours
python experiments/growth/run.py fsdd --no-train  # only the page again, from fsdd.json
python experiments/growth/run.py fsdd --smoke     # seconds; shows that it runs, in runs/ only
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import tyro
from cells import cells, figure, places
from growing import TASKS, Growing, Row, Task, Way, grown, job

from spikern._utils.choices import check_choice
from spikern._utils.errors import DivergedError
from spikern._utils.program import errors_in_one_line
from spikern.report.publishing import Script, publish
from spikern.studies import growth, mean
from spikern.studies.growth import Cell
from spikern.studies.runner import run_all
from spikern.studies.search import or_diverged, ranked
from spikern.studies.trainings import hours_of

HERE = Path(__file__).parent
SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
TRIAL_SHARE, TRIAL_SEED = 1 / 4, 1000
FINALISTS = 2
"""Learning rates of each size, the best of the search, with which all is trained."""
REFITS = 200


class Kind(NamedTuple):
    """What the trainings of a size differ in."""

    share: float
    rate: float
    seed: int


@dataclass(frozen=True)
class Config(Script):
    """Which task is learned, and how much is done."""

    task: tyro.conf.Positional[str] = "fsdd"
    """fsdd or tinyshakespeare."""
    out: Path = Path("runs/growth")
    seeds: int = 3


def carry_out(config: Config) -> Row:
    """Results: a row for each model, size, share of the data and seed."""
    task, shares, seeds = TASKS[config.task], SHARES, config.seeds
    if config.smoke:
        task = brief(task)
        shares, seeds = (1 / 64, 1 / 32, 1 / 16), 1
    trained: dict[Growing, None] = {}

    def train(jobs: Sequence[Growing]) -> list[Row]:
        trained.update(dict.fromkeys(jobs))
        return run_all(partial(or_diverged, grown), jobs, config.folder, config.workers)

    def trained_rows(model: str, budget: int, kinds: Sequence[Kind]) -> list[Row]:
        results = train([job(task, model, budget, *kind) for kind in kinds])
        return [
            {"model": model, "budget": budget} | kind._asdict() | row
            for kind, row in zip(kinds, results)
        ]

    trials, rows = [], []
    for (model, way), budget in itertools.product(task.ways.items(), task.budgets):
        share = min(TRIAL_SHARE, shares[-1])
        tried = trained_rows(model, budget, [Kind(share, r, TRIAL_SEED) for r in way.rates])
        best = ranked(way.rates, tried, lambda row: -row["validation"])[:FINALISTS]
        kinds = itertools.starmap(Kind, itertools.product(shares, best, range(seeds)))
        trials += tried
        rows += decided(trained_rows(model, budget, list(kinds)))
    laws = {model: law_of(cells(rows, model)) for model in task.ways}
    hours = sum(hours_of(one, config.folder) for one in trained)
    found = {"trials": trials, "rows": rows, "laws": laws, "hours": hours}
    return {"task": task.dataset} | found


def decided(rows: Sequence[Row]) -> list[Row]:
    """The runs of a size; "counts" says whether theirs is the rate of their amount of data.

    That is the rate with the fewest bits on validation in the mean over seeds, of those at which no
    seed diverges. Raises DivergedError where all do.
    """
    by_share: dict[float, dict[float, list[Row]]] = {}
    for row in rows:
        by_share.setdefault(row["share"], {}).setdefault(row["rate"], []).append(row)
    found = []
    for share, by_rate in by_share.items():
        learned = {
            rate: own for rate, own in by_rate.items() if not any("diverged" in row for row in own)
        }
        if not learned:
            raise DivergedError(f"trainings on {share:g} of the data diverge at {list(by_rate)}")
        best = min(learned, key=lambda rate: mean([row["validation"] for row in learned[rate]]))
        found += [row | {"counts": rate == best} for rate, own in learned.items() for row in own]
    return found


def brief(task: Task) -> Task:
    """A task of seconds, of three sizes."""
    return replace(
        task,
        budgets=task.budgets[:3],
        ways={
            model: Way(replace(way.training, epochs=1), way.structure, way.rates[:1])
            for model, way in task.ways.items()
        },
        most=2,
    )


def law_of(own: Sequence[Cell]) -> Row:
    """The law of a model, and how far a fit without the largest cell misses it."""
    law = growth.fit(own, REFITS)
    largest = max(own, key=lambda cell: (cell.parameters, cell.samples))
    others = growth.fit([cell for cell in own if cell is not largest], refits=0)
    there = growth.predict(others, largest.parameters, largest.samples, mean(largest.epochs))
    return {
        "parameters": law.parameters,
        "error": law.error,
        "resampled": law.resampled.tolist(),
        "missed": there.value / mean(largest.losses) - 1,
    }


def main(config: Config) -> None:
    """Carry out the study of a task."""
    check_choice("task", config.task, TASKS)
    publish(config, HERE, config.task, carry_out, places, {config.task: figure})


if __name__ == "__main__":
    with errors_in_one_line():
        main(tyro.cli(Config))
