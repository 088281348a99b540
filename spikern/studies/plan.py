"""What a study of one data set trains: its plan, and the trainings that a plan asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType
from typing import Any, Literal, get_args

from spikern._utils import json_file
from spikern._utils.choices import check_choice
from spikern._utils.errors import InputError
from spikern._utils.numbers import check_counts
from spikern.layers.baseline import BASELINES
from spikern.layers.network import MODELS, Answer
from spikern.studies.jobs import changed, grid
from spikern.studies.search import Result
from spikern.studies.trainings import AS_BUILT, Architecture, TrainingJob
from spikern.train.training import Training

TUNING_SEED = 1000
"""The seed of all searches; no training that is reported has it."""
ABLATIONS: dict[str, dict[str, Any]] = {
    "no recurrence": {"recurrent": False, "recurrent_delay": 1},
    "no delays": {"delay": 0, "recurrent_delay": 1},
    "constants not trained": {"trained_constants": False},
    "surrogate: fast sigmoid": {"surrogate": "fast_sigmoid", "surrogate_settings": ()},
    "surrogate: multi-Gaussian": {"surrogate": "multi_gaussian", "surrogate_settings": ()},
}
"""What each ablation changes of the architecture; the width stays."""
RATE_LIMIT = 0.01
"""Firing rate above which the frontier penalises."""
Measure = Literal["accuracy", "bits"]
Axes = Mapping[str, Sequence[Any]]
"""Values by the dotted name of a setting of a job."""


@dataclass(frozen=True)
class Axis:
    """One setting of a search: a dotted name in a TrainingJob, and the values to try."""

    name: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Search:
    """All combinations of the values of some settings, for one model."""

    model: str
    axes: tuple[Axis, ...]


@dataclass(frozen=True)
class Plan:
    """What a study of one data set trains."""

    dataset: str
    parameters: int
    """Parameter budget of every model, met within 5 %."""
    training: Training
    """How every model is trained, except for the learning rate."""
    spiking: tuple[str, ...] = ("LIF", "ALIF", "SEAdLIF", "BRF")
    standard: tuple[str, ...] = ("RNN", "GRU", "LSTM")
    learning_rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2)
    """Learning rates to try with every model."""
    trial_epochs: int | None = None
    """Epochs of a trial; None: as many as of a training."""
    seeds: int = 5
    variant_seeds: int = 3
    """Seeds of ablations, frontier, growth and int8."""
    ablations: tuple[str, ...] = tuple(name for name in ABLATIONS if name != "no delays")
    """Names of ABLATIONS, of the best spiking model; one that changes nothing of it is left out."""
    penalties: tuple[float, ...] = (1.0, 10.0, 100.0)
    """Weights of the penalty on the rate along the frontier; none: no frontier."""
    budgets: tuple[int, ...] = ()
    """Parameters at which growth is measured; a law with a break needs twelve."""
    measure: Measure = "accuracy"
    """The reported figure: test accuracy, or bits per answer (test loss / ln 2; less is better)."""
    answer: Answer = "last"
    architecture: Architecture = AS_BUILT
    """Structure of every network, as far as it applies to the model."""
    sequences: int | None = None
    """Sequences of every split, the same share of every class; None: all."""
    turns: tuple[str, ...] = ()
    """Data sets that the seeds take in turn, such as one for each speaker that is held out; none:
    all seeds take `dataset`."""
    searches: tuple[Search, ...] = ()
    """Searches of models that vary more than the learning rate; all models have as many trials."""

    def __post_init__(self) -> None:
        for model in self.spiking:
            check_choice("spiking model", model, [name for name in MODELS if name not in BASELINES])
        for model in self.standard:
            check_choice("standard model", model, BASELINES)
        for ablation in self.ablations:
            check_choice("ablation", ablation, ABLATIONS)
        check_choice("measure", self.measure, get_args(Measure))
        check_choice("answer", self.answer, get_args(Answer))
        searched = tuple(search.model for search in self.searches)
        once: dict[str, tuple[Any, ...]] = {
            "model": self.models, "learning rate": self.learning_rates, "search of": searched,
            "penalty": self.penalties, "budget": self.budgets, "turn": self.turns,
        }  # fmt: skip
        for what, values in once.items():
            if twice := [value for value in values if values.count(value) > 1]:
                raise InputError(f"a plan has each {what} once, got {twice[0]} twice")
        if not (self.spiking and self.standard and self.learning_rates):
            raise InputError(
                "a plan has a spiking and a standard model at least, and a learning rate to try"
            )
        check_counts(seeds=self.seeds, variant_seeds=self.variant_seeds, parameters=self.parameters)
        for size in self.budgets:
            check_counts(budgets=size)
        if self.trial_epochs is not None:
            check_counts(trial_epochs=self.trial_epochs)
        for weight in self.penalties:
            replace(self.training, rate_penalty=weight)  # which refuses what is no weight
        if not max(2, self.variant_seeds) <= self.seeds:
            raise InputError(
                f"claims need two seeds or more, variants no more than these; got {self.seeds} and "
                f"{self.variant_seeds}"
            )
        for search in self.searches:
            check_choice("model of the plan", search.model, self.models)
        trials = {m: math.prod(map(len, axes_of(self, m).values())) for m in self.models}
        if len(set(trials.values())) > 1:
            raise InputError(
                f"every model of a plan has as many trials as the others, got {trials}"
            )

    @property
    def models(self) -> tuple[str, ...]:
        """All models, spiking ones first."""
        return self.spiking + self.standard

    def brief(self) -> Plan:
        """A plan that takes seconds and shows only that this one runs."""
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
            searches=(),
            sequences=16,
        )


def carried_out(plan: Plan, part: Result) -> bool:
    """Whether a part of results.json is of this plan; a setting that came later has its default.

    >>> carried_out(Plan("digits", 2_000, Training()), {"plan": {"dataset": "digits"}})
    False
    """
    given = part["plan"]
    defaults = {"training": asdict(Training()), "architecture": asdict(AS_BUILT)}
    later = {name: known | given.get(name, {}) for name, known in defaults.items()}
    recorded = {"turns": ()} | given | later
    return json_file.canonical(recorded) == json_file.canonical(asdict(plan))


def tuned_job(plan: Plan, model: str, settings: dict[str, Any]) -> TrainingJob:
    """The training of a model by a plan, with the settings that a search chose."""
    job = TrainingJob(
        plan.dataset,
        model,
        TUNING_SEED,
        plan.training,
        budget=plan.parameters,
        answer=plan.answer,
        architecture=plan.architecture,
        sequences=plan.sequences,
    )
    for name, value in settings.items():
        job = changed(job, dotted(name).split("."), value)
    return job


def by_seed(
    plan: Plan, job: TrainingJob, seeds: int, axes: Axes = MappingProxyType({})
) -> list[TrainingJob]:
    """A job with every combination of the values of axes and every seed, on the seed's data."""
    turns = plan.turns or (job.dataset,)
    jobs = grid(job, {**axes, "seed": range(seeds)})
    return [replace(each, dataset=turns[each.seed % len(turns)]) for each in jobs]


def ablated(ablation: str, architecture: Architecture) -> Axes:
    """What an ablation changes of a job of this architecture; empty if nothing.

    >>> ablated("no recurrence", Architecture())
    {'architecture.recurrent': [False]}
    >>> ablated("no delays", Architecture())
    {}
    """
    left = replace(architecture, **ABLATIONS[ablation])
    if left.delay == 0 and left.recurrent_delay == 1:
        left = replace(left, learn_delays=False)  # there is none left to learn
    return {
        f"architecture.{field.name}": [value]
        for field in fields(left)
        if (value := getattr(left, field.name)) != getattr(architecture, field.name)
    }


def penalised(weight: float) -> Axes:
    """A penalty of this weight on rates above the limit."""
    return {"training.rate_limit": [RATE_LIMIT], "training.rate_penalty": [weight]}


def dotted(name: str) -> str:
    """Where a setting is in a job; a name without a dot is of the training."""
    return name if "." in name else f"training.{name}"


def axes_of(plan: Plan, model: str) -> dict[str, Sequence[Any]]:
    """The settings that the search of a model varies."""
    for search in plan.searches:
        if search.model == model:
            return {axis.name: axis.values for axis in search.axes}
    return {"learning_rate": plan.learning_rates}


def trials_of(plan: Plan) -> list[TrainingJob]:
    """The trainings of a plan's search."""
    epochs = plan.training.epochs if plan.trial_epochs is None else plan.trial_epochs
    trials = []
    for model in plan.models:
        axes = {dotted(name): values for name, values in axes_of(plan, model).items()}
        trials += grid(tuned_job(plan, model, {"epochs": epochs}), axes)
    return trials


def settings_of(job: TrainingJob) -> Result:
    """What results.json says of a training's settings."""
    of_job = {name: getattr(job, name) for name in ("dataset", "model", "seed", "budget")}
    names = ("recurrent", "trained_constants", "surrogate")
    return (
        of_job
        | {name: getattr(job.architecture, name) for name in names}
        | {name: getattr(job.training, name) for name in ("learning_rate", "rate_penalty")}
    )
