"""Groups of neurons that a router wakes by what it hears, beside dense ones; fills in the page.

python experiments/smaller/sounds.py             # search, train, judge; half an hour; resumes
python experiments/smaller/sounds.py --no-train  # only the page again, from sounds.json
python experiments/smaller/sounds.py --smoke     # seconds; shows that it runs, in runs/ only
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from pathlib import Path

import torch
import tyro
from common import (
    COSTS,
    HERE,
    TRIAL_SEED,
    Config,
    Model,
    Row,
    averages,
    gains_table,
    of,
    priced,
    spread,
)

from spikern._utils.program import errors_in_one_line
from spikern.report import markdown
from spikern.report.numbers import significant
from spikern.report.publishing import publish
from spikern.studies import Architecture, TrainingJob
from spikern.studies.runner import run_all
from spikern.studies.search import best_that_learns, or_diverged, ranked
from spikern.studies.statistics import paired
from spikern.studies.trainings import prepare
from spikern.train import Training, evaluate, fit
from spikern.train.trial import count_split

RATES = (1e-2, 3e-2, 1e-1)
DENSE = tuple(Model(f"dense, {n}", "ALIF", RATES, None, n) for n in (8, 16, 32, 64, 128))
LEARNED = Model("8 groups of 16, learned", "ALIF", RATES, None, 128, 8, "learned")
DRAWN = Model("8 groups of 16, router not trained", "ALIF", RATES, None, 128, 8, "learned")
LARGE = Model("8 groups of 32, learned", "ALIF", RATES, None, 256, 8, "learned")
GROUPS = (LEARNED, DRAWN, LARGE)
CLAIMS = (
    (LEARNED, DENSE[2], "as many neurons awake"),
    (LEARNED, DENSE[4], "as many neurons"),
    (LEARNED, DRAWN, "router trained"),
    (LARGE, DENSE[3], "as many neurons awake"),
)
"""Pairs that are compared, and what each asks."""


@dataclass(frozen=True)
class Hearing:
    """A training, whose router stays as it was drawn or not."""

    training: TrainingJob
    drawn: bool


def job(model: Model, rate: float, seed: int, epochs: int, sequences: int | None) -> Hearing:
    """The training of a network."""
    structure = Architecture()
    if model.experts > 1:
        structure = Architecture(experts=model.experts, awake=2, routing=model.routing)
    training = Training(epochs=epochs, batch_size=32, learning_rate=rate)
    return Hearing(
        TrainingJob(
            "fsdd", model.model, seed, training, None, model.hidden, "mean", structure,
            sequences=sequences,
        ),
        model is DRAWN,
    )  # fmt: skip


def heard(config: Hearing, checkpoint: Path) -> Row:
    """Train and test; accuracy on validation, errors on the test, costs of a recording."""
    own = config.training
    network, data = prepare(own)
    if config.drawn:
        network.body.weight_rt_l0.register_hook(torch.zeros_like)
    history = fit(network, data, own.training, own.seed, checkpoint, bar=False)
    return {
        "validation": history.kept.validation_accuracy,
        "parameters": network.parameter_count,
        "errors": 100 * (1 - evaluate(network, data.test).accuracy),
    } | priced(count_split(network, data), len(data.test))


def learned(model: Model, seeds: int, config: Config) -> tuple[float, list[Row]]:
    """The best learning rate at which no training of any seed diverges, and their results."""
    epochs, sequences = (1, 16) if config.smoke else (40, None)
    rates = model.rates[:1] if config.smoke else model.rates[::-1]
    out = config.folder / "sounds"

    def trained(rate: float, seeds: Iterable[int]) -> list[Row]:
        jobs = [job(model, rate, seed, epochs, sequences) for seed in seeds]
        return run_all(partial(or_diverged, heard), jobs, out, config.workers)

    trials = [trial for rate in rates for trial in trained(rate, [TRIAL_SEED])]
    by_accuracy = ranked(rates, trials, itemgetter("validation"))
    return best_that_learns(by_accuracy, lambda rate: trained(rate, range(seeds)))


def carry_out(config: Config) -> Row:
    """Results: one row for each network and seed."""
    rows = []
    for model in (*DENSE, *GROUPS):
        rate, results = learned(model, 1 if config.smoke else config.seeds, config)
        rows += [
            {"model": model.name, "seed": seed, "rate": rate} | row
            for seed, row in enumerate(results)
        ]
    return {"rows": rows}


def networks_table(rows: Sequence[Row]) -> str:
    """Errors and costs of every network."""
    lines = [
        [
            model.name,
            f"{of(rows, model)[0]['parameters']:,}",
            spread([row["errors"] for row in of(rows, model)], 2),
            *(significant(averages(rows, [model], name)[0]) for name in COSTS.values()),
        ]
        for model in (*DENSE, *GROUPS)
    ]
    return markdown.table(["network", "parameters", "errors, %", *COSTS], lines)


def claims_table(rows: Sequence[Row]) -> str:
    """Points of accuracy by which one network is ahead of another, seed by seed."""
    lines = []
    for one, other, why in CLAIMS:
        pair = paired(*([row["errors"] for row in of(rows, model)] for model in (other, one)))
        between = f"{pair.low:+.2f} to {pair.high:+.2f}"
        lines.append([one.name, other.name, why, f"{pair.difference:+.2f}", between])
    head = ["network", "against", "what it asks", "fewer errors, points", "interval"]
    return markdown.table(head, lines, (0, 1, 2))


def places(results: Row) -> dict[str, str]:
    """What is filled in on the page, by place."""
    rows = results["rows"]
    several = len({row["seed"] for row in rows}) > 1
    return {
        "sounds networks": networks_table(rows),
        "sounds at equal errors": gains_table(rows, DENSE, GROUPS, "errors"),
        "sounds claims": claims_table(rows) if several else "One seed: no claims.",
    }


if __name__ == "__main__":
    with errors_in_one_line():
        publish(tyro.cli(Config), HERE, "sounds", carry_out, places, {})
