"""Equal tuning budgets: the same search, the same number of trials, for every model.

Trials are proposed by Optuna's tree-structured Parzen estimator, the first ten of them at random;
they maximise the accuracy on validation, and are written to a journal in the study's folder as
they end. Trial k is drawn by a sampler seeded with (seed, k), so a search that was killed goes on
to what it would have found unbroken, and the random trials of all models are the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikern._utils.errors import DataError, DivergedError, InputError

if TYPE_CHECKING:
    import optuna

SEEDS_PER_SEARCH = 100_000
"""Trials of a search that have seeds of their own."""


@dataclass(frozen=True)
class Interval:
    """A dimension of a search: numbers from low to high, evenly or, if `log`, by their logarithm.

    Whole numbers if both ends are int. Raises InputError for ends that make no interval.
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.log and not self.low > 0):
            raise InputError(
                f"an interval needs low < high, and low > 0 if it is logarithmic, got {self}"
            )


@dataclass(frozen=True)
class Choice:
    """A dimension of a search: one of some values."""

    values: tuple[str | int | float | bool, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise InputError("a choice needs values")


Space = Mapping[str, Interval | Choice]
"""What is searched, by name."""


def search(
    accuracy: Callable[[dict[str, Any]], float],
    space: Space,
    trials: int,
    journal: Path,
    seed: int = 0,
) -> dict[str, Any]:
    """Find settings of high validation accuracy; resumes from its journal.

    `accuracy` trains with the settings that it is given and returns the best accuracy on
    validation. A training that diverges is a trial of accuracy 0: its budget is spent.

    Returns {"space", "trials": [{"settings", "accuracy"}, ...], "best": settings}, as JSON has it.
    Raises DataError if the journal is of another search, InputError without Optuna.
    """
    if trials < 1 or not space:
        raise InputError(f"a search needs trials and a space, got {trials} and {dict(space)}")
    try:
        import optuna
    except ImportError as error:
        raise InputError("a search needs Optuna: pip install 'spikern[studies]'") from error
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal.parent.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(journal)))
    study = optuna.create_study(
        storage=storage, study_name="search", direction="maximize", load_if_exists=True
    )
    _check_same(study, {"space": described(space), "seed": seed}, journal)

    def objective(trial: optuna.Trial) -> float:
        settings = {name: _suggest(trial, name, where) for name, where in space.items()}
        try:
            return accuracy(settings)
        except DivergedError:
            return 0.0

    while (done := len(_complete(study))) < trials:
        study.sampler = optuna.samplers.TPESampler(seed=SEEDS_PER_SEARCH * seed + done)
        study.optimize(objective, n_trials=1)
    complete = _complete(study)[:trials]
    return {
        "space": described(space),
        "trials": [{"settings": t.params, "accuracy": t.value} for t in complete],
        "best": max(complete, key=lambda trial: float(trial.value or 0.0)).params,
    }


def described(space: Space) -> dict[str, Any]:
    """The space as JSON has it.

    >>> described({"learning_rate": Interval(1e-3, 1e-1, log=True), "layers": Choice((1, 2))})
    {'learning_rate': {'low': 0.001, 'high': 0.1, 'log': True}, 'layers': {'values': [1, 2]}}
    """
    return dict(json.loads(json.dumps({name: vars(where) for name, where in space.items()})))


def _check_same(study: optuna.Study, asked: dict[str, Any], journal: Path) -> None:
    found = study.user_attrs or asked
    if found != asked:
        raise DataError(
            f"{journal} is of a search with {found}, this one has {asked}; "
            f"use the same settings or another place"
        )
    for name, value in asked.items():
        study.set_user_attr(name, value)


def _complete(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return [t for t in study.trials if t.state.name == "COMPLETE"]


def _suggest(trial: optuna.Trial, name: str, where: Interval | Choice) -> Any:
    if isinstance(where, Choice):
        return trial.suggest_categorical(name, where.values)
    if isinstance(where.low, int) and isinstance(where.high, int):
        return trial.suggest_int(name, where.low, where.high, log=where.log)
    return trial.suggest_float(name, where.low, where.high, log=where.log)
