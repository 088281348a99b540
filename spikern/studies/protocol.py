"""The trainings of the protocol as jobs.

The protocol of a study of one data set, the same for every model, spiking or standard.

1. Search: the same learning rates are tried with every model, judged on validation, with a seed
   that no reported training has. A rate at which a reported training diverges gives way to the
   next best.
2. Train: every model with every seed at one number of parameters; the epoch is chosen on
   validation, the test split is looked at once.
3. Choose, on validation, the best spiking and the best standard model; claims are about these.
4. Ablate the best spiking model: without recurrence, with fixed constants, other surrogates.
5. Frontier: the best spiking model again under growing penalties on its firing rate.
6. Growth: the best of both kinds at several sizes, if the plan names any.
7. Time the best of both kinds at batch 1.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from spikern import data
from spikern._utils.errors import DataError, DivergedError
from spikern._utils.processes import one_thread
from spikern.data.dataset import Dataset
from spikern.layers.baseline import BASELINES
from spikern.layers.network import Answer, Network, hidden_for_budget
from spikern.studies import runner, table
from spikern.studies.jobs import files, grid, key, read_results
from spikern.studies.results import describe, laws
from spikern.studies.robustness import robustness
from spikern.studies.statistics import claims, mean
from spikern.timing.inference import Contestant, measure
from spikern.train.loop import Training, fit
from spikern.train.trial import fresh_network, train_and_test

LEVELS: dict[str, tuple[float, ...]] = {
    "input noise": (0.0, 0.2, 0.5, 1.0),
    "dropped events": (0.0, 0.1, 0.3, 0.5),
    "weights": (0.0, 0.1, 0.2, 0.4),
}
"""Of every disturbance; noise is in deviations of the train input."""
DISTURBED = 2_000
"""Test sequences that are disturbed, evenly spread, if there are more."""


@dataclass(frozen=True)
class Run:
    """One training."""

    dataset: str
    model: str
    seed: int
    budget: int
    """Of parameters."""
    training: Training
    answer: Answer
    layers: int
    sequences: int | None
    recurrent: bool = True
    trained_constants: bool = True
    surrogate: str = "triangular"


@functools.lru_cache(maxsize=2)
def loaded(name: str, sequences: int | None) -> Dataset:
    """A data set, kept for the next job of this process."""
    whole = data.load(name)
    return whole if sequences is None else whole.thinned(sequences)


def prepared(run: Run) -> tuple[Network, Dataset]:
    """The fresh network of a run, and its data."""
    dataset = loaded(run.dataset, run.sequences)
    hidden = hidden_for_budget(
        run.model, dataset.input_size, dataset.classes, run.budget, run.layers
    )
    settings: dict[str, Any] = {}
    if run.model not in BASELINES:
        settings = {"recurrent": run.recurrent, "surrogate": run.surrogate}
    network = fresh_network(
        run.model, hidden, dataset, run.seed, run.answer, run.layers, **settings
    )
    if not run.trained_constants:
        for name, parameter in network.body.named_parameters():
            parameter.requires_grad_(not name.startswith("raw_"))
    return network, dataset


def train(run: Run, checkpoint: Path) -> dict[str, Any]:
    """A run as a job: what `train_and_test` returns but its epochs, and its robustness.

    Of a training that diverges {"diverged": what was said of it}.
    """
    network, dataset = prepared(run)
    try:
        result = train_and_test(network, dataset, run.training, run.seed, checkpoint)
    except DivergedError as error:
        return {"diverged": str(error)}
    del result["epochs"]  # they are in the checkpoint
    return result | {
        "hidden": network.body.hidden_size,
        "bits": result["test_loss"] / math.log(2),
        "robustness": disturbances(network, dataset),
    }


def disturbances(network: Network, dataset: Dataset) -> dict[str, list[list[float]]]:
    """[level, test accuracy] at LEVELS of everything that can disturb these data or weights."""
    name = "dropped events" if dataset.events else "input noise"
    unit = 1.0
    if not dataset.events:
        unit = float(dataset.train.x.std())  # type: ignore[union-attr]  # analog, so a tensor
    fewer = dataset.thinned(DISTURBED)
    found = {}
    for disturbance, scale in ((name, unit), ("weights", 1.0)):
        levels = LEVELS[disturbance]
        reached = robustness(network, fewer, disturbance, [scale * one for one in levels])
        found[disturbance] = [list(pair) for pair in zip(levels, reached.values())]
    return found


def validate(run: Run, checkpoint: Path) -> dict[str, Any]:
    """A trial of a search as a job: the best accuracy on validation; the test split is unseen.

    A training that diverges is a trial of accuracy 0.
    """
    network, dataset = prepared(run)
    try:
        history = fit(network, dataset, run.training, run.seed, checkpoint)
    except DivergedError:
        return {"validation_accuracy": 0.0}
    best = history.epochs[history.best_epoch - 1]
    return {"validation_accuracy": best.validation_accuracy}


TUNING_SEED = 1000
"""Of all searches; no training that is reported has it."""
ABLATIONS: dict[str, dict[str, Any]] = {
    "no recurrence": {"recurrent": False},
    "constants not trained": {"trained_constants": False},
    "surrogate: fast sigmoid": {"surrogate": "fast_sigmoid"},
    "surrogate: multi-Gaussian": {"surrogate": "multi_gaussian"},
}
"""What is changed of a run; its width stays."""
RATE_LIMIT = 0.01
"""Of the frontier: rates above it are penalised."""
Measure = Literal["accuracy", "bits"]


@dataclass(frozen=True)
class Plan:
    """What a study of one data set trains."""

    dataset: str
    parameters: int
    """Of every model, within 5 %."""
    training: Training
    """Of every model, but for the learning rate."""
    spiking: tuple[str, ...] = ("LIF", "ALIF", "SEAdLIF", "BRF")
    standard: tuple[str, ...] = ("RNN", "GRU", "LSTM")
    learning_rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2)
    """That are tried."""
    trial_epochs: int | None = None
    """Of a trial; None: as many as a training."""
    seeds: int = 5
    variant_seeds: int = 3
    """Of ablations, frontier and growth."""
    ablations: tuple[str, ...] = tuple(ABLATIONS)
    """Of those in ABLATIONS."""
    penalties: tuple[float, ...] = (1.0, 10.0, 100.0)
    budgets: tuple[int, ...] = ()
    """Parameters at which growth is measured; a fit with a break needs seven."""
    measure: Measure = "accuracy"
    """What is reported: test accuracy, or bits an answer (test loss / ln 2), lower being better."""
    answer: Answer = "last"
    layers: int = 1
    sequences: int | None = None
    """Of every split, evenly spread; None: all."""

    @property
    def models(self) -> tuple[str, ...]:
        """All of them."""
        return self.spiking + self.standard

    def brief(self) -> Plan:
        """The same in seconds, which shows only that it runs."""
        return replace(
            self,
            training=replace(self.training, epochs=1, batch_size=8),
            spiking=self.spiking[:1],
            standard=self.standard[-1:],
            learning_rates=self.learning_rates[:1],
            trial_epochs=None,
            seeds=2,
            variant_seeds=1,
            ablations=self.ablations[:1],
            penalties=self.penalties[:1],
            budgets=(),
            sequences=16,
        )


def carried_out(plan: Plan, out: Path, workers: int, ray: str | None = None) -> dict[str, Any]:
    """Do what is left of a plan; its part of results.json."""
    first = Run(
        plan.dataset, "", TUNING_SEED, plan.parameters, plan.training, plan.answer, plan.layers,
        plan.sequences,
    )  # fmt: skip

    def jobs(job: runner.Job, configs: Sequence[Any]) -> list[dict[str, Any]]:
        failed = runner.run(job, configs, out, workers, ray).failed
        if failed:
            raise DataError(f"{len(failed)} jobs failed, see {out}/jobs/*.error: {failed}")
        return read_results(configs, out)

    def trained(configs: Sequence[Run]) -> list[dict[str, Any]]:
        named = ("model", "seed", "budget", "recurrent", "trained_constants", "surrogate")
        of_training = ("learning_rate", "rate_penalty")
        return [
            {name: getattr(config, name) for name in named}
            | {name: getattr(config.training, name) for name in of_training}
            | found
            for config, found in zip(configs, jobs(train, configs))
        ]

    def held(configs: Sequence[Run]) -> list[dict[str, Any]]:
        made = trained(configs)
        if lost := [run for run in made if "diverged" in run]:
            raise DataError(f"of the variants {len(lost)} diverged, state lower rates: {lost}")
        return made

    epochs = plan.trial_epochs or plan.training.epochs
    tried = grid(
        replace(first, training=replace(plan.training, epochs=epochs)),
        {"model": plan.models, "training.learning_rate": plan.learning_rates},
    )
    tuning = searched(tried, jobs(validate, tried))
    while True:
        tuned = {
            model: replace(first, model=model, training=replace(plan.training, **found["best"]))
            for model, found in tuning.items()
        }
        seeds: dict[str, Sequence[Any]] = {"seed": range(plan.seeds)}
        runs = trained([one for base in tuned.values() for one in grid(base, seeds)])
        diverged = {run["model"] for run in runs if "diverged" in run}
        if not diverged:
            break
        tuning |= {model: next_best(tuning[model]) for model in diverged}
    best = {kind: chosen(runs, kind) for kind in ("spiking", "standard")}
    base = tuned[best["spiking"]]
    seeds = {"seed": range(plan.variant_seeds)}
    ablations = {
        name: held(grid(replace(base, **ABLATIONS[name]), seeds)) for name in plan.ablations
    }
    limited = replace(base, training=replace(base.training, rate_limit=RATE_LIMIT))
    frontier = held(grid(limited, {"training.rate_penalty": plan.penalties, **seeds}))
    growth = []
    if plan.budgets:
        sizes = {"budget": plan.budgets, **seeds}
        growth = [run for name in best.values() for run in held(grid(tuned[name], sizes))]
    part = {
        "plan": asdict(plan),
        "dataset": describe(loaded(plan.dataset, plan.sequences)),
        "tuning": tuning,
        "runs": runs,
        "best": best,
        "claims": claims(pairs(runs, best["spiking"], plan)),
        "ablations": ablations,
        "frontier": frontier,
        "growth": growth,
        "times": timed([tuned[model] for model in best.values()], out),
    }
    return part | {"laws": laws(part)}


def searched(tried: Sequence[Run], results: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of every model its trials, and the settings of the best."""
    found: dict[str, dict[str, Any]] = {}
    for run, result in zip(tried, results):
        settings = {"learning_rate": run.training.learning_rate}
        trial = {"settings": settings, "accuracy": result["validation_accuracy"]}
        found.setdefault(run.model, {"trials": []})["trials"].append(trial)
    for of_model in found.values():
        of_model["best"] = best_settings(of_model["trials"])
    return found


def best_settings(trials: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of the trials, those of the best, the first of equals."""
    return dict(max(trials, key=lambda trial: float(trial["accuracy"]))["settings"])


def next_best(found: dict[str, Any]) -> dict[str, Any]:
    """What was searched, with the best rate marked as one at which a reported training diverged.

    >>> trials = [{"settings": {"learning_rate": rate}, "accuracy": reached}
    ...           for rate, reached in ((0.1, 0.9), (0.01, 0.8))]
    >>> next_best({"trials": trials, "best": {"learning_rate": 0.1}})["best"]
    {'learning_rate': 0.01}
    """
    trials = [
        trial | {"diverged": True} if trial["settings"] == found["best"] else trial
        for trial in found["trials"]
    ]
    left = [trial for trial in trials if "diverged" not in trial]
    if not left:
        raise DataError("trainings diverged at every rate that was tried; state lower ones")
    return {"trials": trials, "best": best_settings(left)}


def chosen(runs: Sequence[dict[str, Any]], kind: str) -> str:
    """The model of a kind whose mean accuracy on validation is highest.

    >>> runs = [{"model": m, "kind": "spiking", "seed": 0, "validation_accuracy": a}
    ...         for m, a in (("LIF", 0.8), ("BRF", 0.9))]
    >>> chosen(runs, "spiking")
    'BRF'
    """
    of_kind = [run for run in runs if run["kind"] == kind]
    by_model = table.gathered(of_kind, ["model"], "validation_accuracy")
    return str(max(by_model, key=lambda model: mean(by_model[model]))[0])


def pairs(
    runs: Sequence[dict[str, Any]], spiking: str, plan: Plan
) -> dict[str, tuple[list[float], list[float]]]:
    """A spiking model against every standard one; where bits are measured, fewer win."""
    if plan.measure == "accuracy":
        good = table.gathered(runs, ["model"], "test_accuracy")
    else:
        good = {
            model: [-bits for bits in found]
            for model, found in table.gathered(runs, ["model"], "bits").items()
        }
    return {f"{spiking} > {other}": (good[spiking,], good[other,]) for other in plan.standard}


def timed(runs: Sequence[Run], out: Path) -> list[dict[str, Any]]:
    """Milliseconds of one inference at batch 1 on one thread, each run's seed 0, every runtime."""
    contestants = []
    for asked in runs:
        run = replace(asked, seed=0)
        with one_thread():
            network, dataset = prepared(run)
            fit(network, dataset, run.training, run.seed, files(out, key(run)).checkpoint)
        contestants.append(Contestant(run.model, "parameters", network.eval()))
    rows = measure(contestants, dataset.test, sizes=(1,)).rows
    return [
        {"name": row["name"], "runtime": row["runtime"], "ms": row["ms"], "ratio": row["ratio"]}
        for row in rows
    ]
