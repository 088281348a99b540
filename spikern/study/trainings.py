"""The trainings of the protocol as jobs."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spikern import data
from spikern.baselines import BASELINES
from spikern.data.dataset import Dataset
from spikern.network import Answer, Network, hidden_for_budget
from spikern.study.robustness import robustness
from spikern.train import Training, fit
from spikern.trial import fresh_network, train_and_test
from spikern.types import DivergedError

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
