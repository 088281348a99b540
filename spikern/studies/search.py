"""Searches: what trials rank, and the best setting at which no reported training diverges."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from spikern._utils.errors import DivergedError
from spikern.studies.runner import Job

Result = dict[str, Any]
Setting = TypeVar("Setting")


def or_diverged(job: Job, config: Any, checkpoint: Path) -> Result:
    """What a job gives, or {"diverged": message} where its training diverges."""
    try:
        return job(config, checkpoint)
    except DivergedError as error:
        return {"diverged": str(error)}


def goodness(reached: float | None, measure: str) -> float:
    """More is better: an accuracy, or less loss; None is the loss of a training that diverged.

    >>> goodness(0.9, "accuracy"), goodness(0.5, "loss"), goodness(None, "loss")
    (0.9, -0.5, -inf)
    """
    if reached is None:
        return -math.inf
    return reached if measure == "accuracy" else -reached


def ranked(
    settings: Sequence[Setting], trials: Sequence[Result], quality: Callable[[Result], Any]
) -> list[Setting]:
    """The settings by the quality of their trials, best first, without those that diverged.

    Equals keep their order.

    >>> ranked([1, 2, 3, 4], [{"a": 5}, {"a": 7}, {"diverged": "loss is nan"}, {"a": 7}],
    ...        lambda trial: trial["a"])
    [2, 4, 1]
    """
    learned = [pair for pair in zip(settings, trials) if "diverged" not in pair[1]]
    best_first = sorted(learned, key=lambda pair: quality(pair[1]), reverse=True)
    return [setting for setting, _ in best_first]


def best_that_learns(
    settings: Sequence[Setting], train: Callable[[Setting], list[Result]]
) -> tuple[Setting, list[Result]]:
    """The first setting, best first, at which no training diverges, and its results.

    Raises DivergedError if there is none.

    >>> outcomes = {0.1: [{"diverged": "loss is nan"}, {"bits": 2.0}], 0.01: [{"bits": 2.1}]}
    >>> best_that_learns([0.1, 0.01], outcomes.get)
    (0.01, [{'bits': 2.1}])
    """
    for setting in settings:
        results = train(setting)
        if not any("diverged" in result for result in results):
            return setting, results
    raise DivergedError(
        f"trainings diverge with every setting that was tried, {list(settings)}; try lower "
        "learning rates"
    )
