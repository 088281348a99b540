"""The protocol of a study of one data set, the same for every model, spiking or standard.

`carry_out` takes the steps of docs/studies.md. A learning rate at which a reported training
diverges or falls apart is replaced by the next best; for a variant of a model alone, where only
the variant does. A variant that does so at every rate has no results.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from operator import attrgetter, itemgetter
from pathlib import Path
from statistics import median

from spikern._utils import json_file
from spikern._utils.errors import DivergedError
from spikern.studies import runner, table
from spikern.studies.plan import (
    Axes,
    Measure,
    Plan,
    ablated,
    axes_of,
    by_seed,
    dotted,
    penalised,
    settings_of,
    trials_of,
    tuned_job,
)
from spikern.studies.results import by_model, describe, has_ended, independent, laws
from spikern.studies.search import Result, best_that_learns, goodness, or_diverged, ranked
from spikern.studies.statistics import claims, mean
from spikern.studies.trainings import (
    TrainingJob,
    check_same_data,
    digest_of,
    hours_of,
    load_dataset,
    train_and_disturb,
    trained_network,
    validate,
)
from spikern.timing.inference import Contestant, measure
from spikern.train.checks import check_device

DATA = "data.json"
"""The file of a study's folder that has a digest of each data set, by its name."""
Group = tuple[str, Axes]
"""A model and the axes along which it varies."""
Groups = Mapping[str, Group]


Order = Mapping[str, Sequence[Result]]
"""The settings of every model, best first."""


@dataclass(frozen=True)
class Trainer:
    """The trainings of a plan in a folder; those that are done are not done again."""

    plan: Plan
    out: Path
    workers: int = 1
    ray: str | None = None
    device: str = "cpu"

    def run(self, jobs: Sequence[TrainingJob]) -> list[Result]:
        """The results of jobs with their settings, in order."""
        work = partial(or_diverged, partial(train_and_disturb, device=self.device))
        results = runner.run_all(work, jobs, self.out, self.workers, self.ray)
        return [settings_of(job) | result for job, result in zip(jobs, results)]

    def diverged(self, jobs: Sequence[TrainingJob]) -> list[Result]:
        """The jobs that are known to diverge: one is enough to give the settings of all up."""
        return [result for result in runner.finished(jobs, self.out) if "diverged" in result]

    def trials(self) -> tuple[list[TrainingJob], list[Result]]:
        """The trainings of the search, and what they reached."""
        jobs = trials_of(self.plan)
        work = partial(validate, device=self.device)
        return jobs, runner.run_all(work, jobs, self.out, self.workers, self.ray)

    def learned(self, group: Group, seeds: int, order: Order) -> tuple[Result, list[Result]]:
        """The settings at which no training of a group diverges, and its results."""
        model, axes = group

        def with_settings(settings: Result) -> list[Result]:
            jobs = by_seed(self.plan, tuned_job(self.plan, model, settings), seeds, axes)
            return self.diverged(jobs) or self.run(jobs)

        return best_that_learns(order[model], with_settings)

    def seconds_given_up(self, model: str, ranking: Sequence[Result], best: Result) -> float:
        """The seconds of all epochs at the settings that ranked before the best and diverged."""
        better = [tuned_job(self.plan, model, s) for s in ranking[: ranking.index(best)]]
        jobs = [job for tuned in better for job in by_seed(self.plan, tuned, self.plan.seeds)]
        return 3600 * math.fsum(hours_of(job, self.out) for job in jobs)

    def side_by_side(self, groups: Groups, seeds: int, order: Order) -> None:
        """Train all groups before each is looked at alone: workers need not wait for one.

        Each has its best settings at which no training is known to diverge.
        """
        jobs: list[TrainingJob] = []
        for model, axes in groups.values():
            tuned = (tuned_job(self.plan, model, settings) for settings in order[model])
            by_settings = (by_seed(self.plan, job, seeds, axes) for job in tuned)
            jobs += next((found for found in by_settings if not self.diverged(found)), [])
        if jobs:
            self.run([*dict.fromkeys(jobs)])

    def groups(
        self, groups: Groups, seeds: int, order: Order
    ) -> dict[str, tuple[Result, list[Result]]]:
        """The settings of each group at which it learns, and its results."""
        self.side_by_side(groups, seeds, order)
        return {name: self.learned(group, seeds, order) for name, group in groups.items()}

    def variants(self, groups: Groups, order: Order) -> dict[str, list[Result]]:
        """The results of each group; none for one that diverges with every setting."""
        seeds = self.plan.variant_seeds
        self.side_by_side(groups, seeds, order)
        found: dict[str, list[Result]] = {}
        for name, group in groups.items():
            try:
                found[name] = self.learned(group, seeds, order)[1]
            except DivergedError:
                found[name] = []
        return found


def carry_out(
    plan: Plan,
    out: str | Path,
    workers: int,
    ray: str | None = None,
    device: str = "cpu",
) -> Result:
    """Do what is left of a plan; its part of results.json.

    Networks train on `device`; they are tested, counted and timed on the CPU.
    Raises InputError for a device that is not there, and DataError for data that changed.
    """
    check_device(device)
    out = Path(out)
    hold_data(plan, out)
    trainer = Trainer(plan, out, workers, ray, device)
    searches = searched(plan, *trainer.trials())
    select_by = plan.training.select_by
    ranking = {model: best_first(search["trials"], select_by) for model, search in searches.items()}
    trained = trainer.groups({model: (model, {}) for model in plan.models}, plan.seeds, ranking)
    # a setting at which a reported training diverged is not tried with a variant
    order = {
        model: ranking[model][ranking[model].index(settings) :]
        for model, (settings, _) in trained.items()
    }
    runs = joined({model: results for model, (_, results) in trained.items()})
    best = {kind: best_model(runs, kind, select_by) for kind in ("spiking", "standard")}
    spiking = best["spiking"]
    whole = tuned_job(plan, spiking, order[spiking][0]).architecture
    ablations = {
        name: (spiking, changes) for name in plan.ablations if (changes := ablated(name, whole))
    }
    frontier = {f"{weight:g}": (spiking, penalised(weight)) for weight in plan.penalties}
    in_int8 = {model: (model, {"training.weights": ["int8"]}) for model in plan.models}
    variants = trainer.variants({**ablations, **frontier, **in_int8}, order)
    sizes = {model: (model, {"budget": plan.budgets}) for model in best.values()}
    growth = trainer.variants(sizes if plan.budgets else {}, order)
    part = {
        "plan": asdict(plan),
        "dataset": describe(load_dataset(plan.dataset, plan.sequences)),
        "tuning": {
            name: decided(search, trained[name][0], select_by)
            | {"seconds_given_up": trainer.seconds_given_up(name, ranking[name], trained[name][0])}
            for name, search in searches.items()
        },
        "runs": runs,
        "best": best,
        "claims": judge(runs, spiking, plan),
        "ablations": {name: variants[name] for name in ablations},
        "frontier": joined({weight: variants[weight] for weight in frontier}),
        "int8": joined({model: variants[model] for model in in_int8}),
        "growth": joined(growth),
        "times": time_networks(
            [by_seed(plan, tuned_job(plan, m, order[m][0]), 1)[0] for m in best.values()], out
        ),
    }
    return part | {"laws": laws(part)}


def hold_data(plan: Plan, out: Path) -> None:
    """Write which data are trained on in a folder; DataError if others were so far."""
    path = out / DATA
    known = json_file.read(path) if path.exists() else {}
    for name in (plan.dataset, *plan.turns):
        dataset = load_dataset(name, plan.sequences)
        check_same_data(dataset, known.get(name), path)
        known[name] = digest_of(dataset)
    json_file.write(path, known)


def joined(groups: Mapping[str, list[Result]]) -> list[Result]:
    """The results of all groups, one after the other."""
    return [result for results in groups.values() for result in results]


def searched(
    plan: Plan, trials: Sequence[TrainingJob], results: Sequence[Result]
) -> dict[str, Result]:
    """The trials of every model with their seconds in sum."""
    searches: dict[str, Result] = {}
    for job, result in zip(trials, results):
        settings = {name: attrgetter(dotted(name))(job) for name in axes_of(plan, job.model)}
        reached = {name: result[f"validation_{name}"] for name in ("accuracy", "loss")}
        trial = {"settings": settings} | reached
        search = searches.setdefault(job.model, {"trials": [], "seconds": 0.0})
        search["trials"].append(trial)
        search["seconds"] += result["seconds"]
        search["trained_on"] = result.get("trained_on")
    return searches


def best_first(trials: Sequence[Result], select_by: str) -> list[Result]:
    """The settings of trials by what they reached on validation; of equals those with less loss.

    >>> reached = ((0.5, 2.0), (0.5, 1.0), (0.6, 3.0))
    >>> trials = [{"settings": k, "accuracy": a, "loss": b} for k, (a, b) in enumerate(reached)]
    >>> best_first(trials, "accuracy"), best_first(trials, "loss")
    ([2, 1, 0], [1, 0, 2])
    """

    def quality(trial: Result) -> tuple[float, float]:
        return goodness(trial[select_by], select_by), goodness(trial.get("loss"), "loss")

    return ranked([trial["settings"] for trial in trials], trials, quality)


def decided(search: Result, best: Result, select_by: str) -> Result:
    """A model's search with the best settings; those before them are marked as diverged later.

    >>> trials = [{"settings": {"learning_rate": rate}, "accuracy": reached}
    ...           for rate, reached in ((0.1, 0.9), (0.01, 0.8))]
    >>> found = decided({"trials": trials}, {"learning_rate": 0.01}, "accuracy")
    >>> [trial.get("diverged", False) for trial in found["trials"]], found["best"]
    ([True, False], {'learning_rate': 0.01})
    """
    order = best_first(search["trials"], select_by)
    better = order[: order.index(best)]
    trials = [
        trial | {"diverged": True} if trial["settings"] in better else trial
        for trial in search["trials"]
    ]
    return search | {"trials": trials, "best": best}


def best_model(runs: Sequence[Result], kind: str, select_by: str) -> str:
    """The model of a kind that is best on validation, in the mean over its runs.

    >>> runs = [{"model": m, "kind": "spiking", "seed": 0, "validation_accuracy": a}
    ...         for m, a in (("LIF", 0.8), ("BRF", 0.9))]
    >>> best_model(runs, "spiking", "accuracy")
    'BRF'
    """
    of_kind = [run for run in runs if run["kind"] == kind]
    reached = table.gathered(of_kind, ["model"], f"validation_{select_by}")
    return str(max(reached, key=lambda model: goodness(mean(reached[model]), select_by))[0])


def judge(runs: Sequence[Result], spiking: str, plan: Plan) -> dict[str, Result]:
    """The claims about the best spiking model; "ended" says whether the trainings of both had.

    No verdict stands on trainings that had not.
    """
    ended = {model: has_ended(of_model, plan.measure) for model, of_model in by_model(runs).items()}
    judged = claims(pairs(runs, spiking, plan.standard, plan.measure))
    return {
        f"{spiking} > {other}": judged[f"{spiking} > {other}"]
        | {"ended": ended[spiking] and ended[other]}
        for other in plan.standard
    }


def pairs(
    runs: Sequence[Result], spiking: str, standard: Sequence[str], measure: Measure
) -> dict[str, tuple[list[float], list[float]]]:
    """A spiking model against every standard one; where bits are measured, fewer win.

    A pair is of one seed, or of one data set where the seeds take several in turn.
    """
    value, sign = ("test_accuracy", 1) if measure == "accuracy" else ("bits", -1)
    good = {
        model: [sign * found for found in independent(of_model, value)]
        for model, of_model in by_model(sorted(runs, key=itemgetter("seed"))).items()
    }
    return {f"{spiking} > {other}": (good[spiking], good[other]) for other in standard}


def time_networks(jobs: Sequence[TrainingJob], out: Path) -> list[Result]:
    """Milliseconds of one inference of each trained network, at batch 1, on every runtime.

    A row has the medians of times and ratios, and the least and the greatest of the rounds, between
    which the median of a round lies with a probability of 98 %. The ratio of a round is that to
    the first row's time in it.
    """
    contestants = [Contestant(job.model, "parameters", trained_network(job, out)) for job in jobs]
    test = load_dataset(jobs[0].dataset, jobs[0].sequences).test
    rows = measure(contestants, test, sizes=(1,)).rows
    found = []
    for row in rows:
        ratios = [own / first for own, first in zip(row["samples"], rows[0]["samples"])]
        found.append(
            {"name": row["name"], "runtime": row["runtime"]}
            | {"ms": row["ms"], "ms_range": extremes(row["samples"])}
            | {"ratio": median(ratios), "ratio_range": extremes(ratios)}
        )
    return found


def extremes(values: Sequence[float]) -> tuple[float, float]:
    """The least and the greatest."""
    return min(values), max(values)
