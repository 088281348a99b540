"""What the parts of the study share: the text, the networks, how they are trained and judged.

What is kept for the next job of a process is here, since jobs reach other processes by the names of
modules that can be imported.
"""

import functools
import runpy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spikern.cost import Counts, energy, tables
from spikern.data import Dataset, Split, load
from spikern.report import markdown
from spikern.report.numbers import mean_interval
from spikern.report.publishing import Script
from spikern.retrieval import bits
from spikern.retrieval.ngrams import counted, probabilities, text_of
from spikern.studies import Architecture, TrainingJob, interval, mean
from spikern.studies.runner import run_all
from spikern.studies.search import best_that_learns, or_diverged, ranked
from spikern.studies.trainings import prepare
from spikern.train import Training, fit

HERE = Path(__file__).parent
Floats = NDArray[np.float64]
Row = dict[str, Any]
(CHARACTERS,) = runpy.run_path(str(HERE.parent / "characters" / "plan.py"))["PLANS"]
SPIKING = CHARACTERS.architecture
"""The structure of the spiking networks of the characters study."""
TRIAL_SEED = 1000
TABLES, VIEWS = ("45nm_fp32", "45nm_int8"), ("operations", "registers", "read-modify-write")
COSTS = {
    "accumulations and products": "operations",
    "updates of neurons": "updates",
    "45nm_int8, registers, pJ": "45nm_int8, registers",
    "45nm_int8, read-modify-write, pJ": "45nm_int8, read-modify-write",
}
"""What is compared at equal bits, and its name in a row."""
MIXES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
READ = 4
"""Pieces of 16 streams of the test text on which operations are counted."""
SHORT = 160
"""Sequences of every split that a smoke run reads."""


@dataclass(frozen=True)
class Config(Script):
    """Where the trainings are, which all parts share, and how much is done."""

    out: Path = Path("runs/smaller")


@dataclass(frozen=True)
class Model:
    """A network, and the learning rates that it is tried with."""

    name: str
    model: str
    rates: tuple[float, ...]
    budget: int | None = 50_000
    hidden: int | None = None
    experts: int = 1
    """Groups of neurons, or banks of recurrent weights, of which two are awake."""
    routing: str = "fixed"
    sleep: str = "frozen"

    @property
    def gated(self) -> bool:
        """Whether it is a standard network."""
        return self.model in ("GRU", "LSTM")

    def job(self, rate: float, seed: int, epochs: int) -> TrainingJob:
        """Its training."""
        training = Training(
            epochs=epochs, batch_size=16, learning_rate=rate, carry_state=True, patience=3
        )
        structure = Architecture()
        if not self.gated:
            training = replace(training, batch_size=8, rate_limit=0.01, rate_penalty=10.0)
            structure = SPIKING
        if self.experts > 1:
            groups = {"experts": self.experts, "routing": self.routing, "sleep": self.sleep}
            structure = replace(structure, awake=2, **groups)
        return TrainingJob(
            "tinyshakespeare", self.model, seed, training, self.budget, self.hidden, "every_step",
            structure,
        )  # fmt: skip


RATES = (1e-2, 2e-2, 4e-2, 8e-2)
"""The learning rates that networks of spiking neurons are tried with."""
FIXED = Model("8 groups of 32, by the character", "ALIF", RATES, None, 256, 8)
"""What is both: groups of neurons, and, with a memory, one that looks things up."""


@dataclass(frozen=True)
class Learning:
    """A network that is trained on the first sequences of every split; None: all."""

    training: TrainingJob
    first: int | None = None


@dataclass(frozen=True)
class Extent:
    """How much is done."""

    first: int | None
    """Sequences of every split; None: all."""
    epochs: int
    trial_epochs: int
    seeds: int
    rates: int | None
    """Learning rates that are tried; None: all."""


def extent(seeds: int, smoke: bool) -> Extent:
    """All, or a run that shows only that the study runs."""
    return Extent(SHORT, 1, 1, 1, 1) if smoke else Extent(None, 12, 3, seeds, None)


@functools.lru_cache(maxsize=1)
def text(first: int | None) -> Dataset:
    """The data, or the first sequences of every split, which are consecutive."""
    data = load("tinyshakespeare")
    if first is None:
        return data
    return data.with_splits(lambda part: part.select(range(min(first, len(part)))))


def two_symbols(split: Split) -> Split:
    """The characters, each with a symbol drawn by chance behind them."""
    x = split.x
    size, number = x.features, len(x.indices)
    drawn = torch.randint(size, (number,), generator=torch.Generator().manual_seed(number))
    both = torch.stack([x.indices, (size + drawn).int()], 1).flatten()
    doubled = replace(
        x, features=2 * size, offsets=2 * x.offsets, indices=both, values=torch.ones(2 * number)
    )
    return replace(split, x=doubled)


@functools.lru_cache(maxsize=1)
def noisy_text(first: int | None) -> Dataset:
    """The text with symbols drawn by chance."""
    return text(first).with_splits(two_symbols)


@functools.cache
def table_of_counts(
    first: int | None, share: float, order: int, priors: tuple[float, ...]
) -> tuple[Floats, ...]:
    """The probabilities of the characters of validation and test, with the best prior."""
    data = text(first)
    stored = text_of(data.train)
    stored = stored[: round(share * len(stored))]
    validation, test = (
        counted(stored, text_of(part), order, data.classes) for part in (data.validation, data.test)
    )
    prior = min(priors, key=lambda p: bits(probabilities(validation, p, data.classes)))
    return tuple(probabilities(counts, prior, data.classes) for counts in (validation, test))


def learn(config: Learning, checkpoint: Path) -> Row:
    """Train; the checkpoint has the network of the epoch that is best on validation."""
    network, _ = prepare(config.training)
    return trained(network, text(config.first), config, checkpoint)


def trained(network: Any, data: Dataset, config: Learning, checkpoint: Path) -> Row:
    """Train a network; its best accuracy on validation and its size."""
    training, seed = config.training.training, config.training.seed
    history = fit(network, data, training, seed, checkpoint, bar=False)
    best = history.kept
    return {"validation": best.validation_accuracy, "parameters": network.parameter_count}


def learned(
    model: Model,
    whole: Extent,
    out: Path,
    workers: int,
    job: Callable[[Learning, Path], Row] = learn,
    begin: int = 0,
) -> tuple[float, list[Learning], list[Row]]:
    """Search a model's learning rate, then train it with the seeds from `begin` on.

    Rate, jobs and results, at the best rate at which none diverges. A single rate is taken as it
    is.
    """

    def networks_at(rate: float) -> list[Learning]:
        seeds = range(begin, whole.seeds)
        return [Learning(model.job(rate, seed, whole.epochs), whole.first) for seed in seeds]

    def trained_at(rate: float) -> list[Row]:
        return run_all(partial(or_diverged, job), networks_at(rate), out, workers)

    rates: Sequence[float] = model.rates
    if len(rates) > 1:
        rates = rates[: whole.rates][::-1]  # of equals the greatest
        trials = [
            Learning(model.job(rate, TRIAL_SEED, whole.trial_epochs), whole.first) for rate in rates
        ]
        reached = run_all(partial(or_diverged, job), trials, out / "trials", workers)
        rates = ranked(rates, reached, itemgetter("validation"))
    rate, results = best_that_learns(rates, trained_at)
    return rate, networks_at(rate), results


def joined(one: Sequence[Floats], other: Sequence[Floats]) -> Floats:
    """The mixture of two predictors of the test, with the share that is best on validation."""
    mixtures = [[(1 - mix) * a + mix * b for a, b in zip(one, other)] for mix in MIXES]
    return min(mixtures, key=lambda both: bits(both[0]))[1]


def energies(counts: Counts, parts: int) -> Row:
    """Estimates in pJ of one of the parts that were counted, by table and view.

    An energy is None where a table cannot price what was done.
    """
    found = {}
    for name in TABLES:
        for view in VIEWS:
            estimate = energy(counts, tables()[name], view)
            found[f"{name}, {view}"] = estimate and estimate.pj * counts.inferences / parts
    return found


def priced(counts: Counts, parts: int) -> Row:
    """Operations, updates of neurons and energies of one of the parts that were counted."""
    ops = counts.ops
    own = {"operations": (ops.ac + ops.mac) / parts, "updates": ops.neuron_updates / parts}
    return own | energies(counts, parts)


def of(rows: Sequence[Row], model: Model) -> list[Row]:
    """The rows of a model, by seed."""
    return [row for row in rows if row["model"] == model.name]


def averages(rows: Sequence[Row], models: Sequence[Model], name: str) -> Floats:
    """The mean over seeds of a number, by model; NaN where there is none."""
    values = [[row[name] for row in of(rows, model)] for model in models]
    return np.array([np.nan if None in found else mean(found) for found in values])


def frontier(
    rows: Sequence[Row], dense: Sequence[Model], measure: str, name: str
) -> Callable[[float], float]:
    """What a dense network that is so good costs, between those trained; NaN beyond them.

    Dense networks that a cheaper one equals do not count.
    """
    reached, costs = averages(rows, dense, measure), averages(rows, dense, name)
    by_cost = np.argsort(costs)
    best_before = np.concatenate([[np.inf], np.minimum.accumulate(reached[by_cost])[:-1]])
    kept = by_cost[reached[by_cost] < best_before][::-1]

    def at(wanted: float) -> float:
        logs = np.interp(wanted, reached[kept], np.log(costs[kept]), left=np.nan, right=np.nan)
        return float(np.exp(logs))

    return at


def gains_table(
    rows: Sequence[Row], dense: Sequence[Model], groups: Sequence[Model], measure: str
) -> str:
    """How many times less than a dense network that is as good each network with groups costs."""
    lines = []
    for model in groups:
        wanted = averages(rows, [model], measure)[0]
        cells = []
        for name in (*COSTS.values(), "parameters"):
            ratio = frontier(rows, dense, measure, name)(wanted) / averages(rows, [model], name)[0]
            cells.append("beyond the dense ones" if np.isnan(ratio) else f"{ratio:.2f}")
        lines.append([model.name, f"{wanted:.3f}", *cells])
    return markdown.table(["network", measure, *COSTS, "parameters"], lines)


def spread(values: Sequence[float], decimals: int = 3) -> str:
    """A mean, with half its interval where there are several."""
    return mean_interval(mean(values), interval(values), decimals)
