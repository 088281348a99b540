"""One training as a job: a frozen description, and functions of it that train."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spikern import data
from spikern._utils.errors import DivergedError, InputError
from spikern.data.dataset import Dataset, encoded
from spikern.layers.baseline import BASELINES
from spikern.layers.network import Answer, Network, hidden_for_budget
from spikern.studies.jobs import Name, files, key
from spikern.studies.robustness import robustness
from spikern.train.loading import load_network
from spikern.train.loop import Training, fit
from spikern.train.trial import fresh_network, train_and_test

LEVELS: dict[str, tuple[float, ...]] = {
    "input noise": (0.0, 0.2, 0.5, 1.0),
    "dropped events": (0.0, 0.1, 0.3, 0.5),
    "weights": (0.0, 0.1, 0.2, 0.4),
}
"""The levels of every disturbance; noise is in standard deviations of the training input."""
DISTURBED = 2_000
"""At most this many test sequences are disturbed, evenly spread."""


@dataclass(frozen=True)
class TrainingJob:
    """One training of one model with one seed."""

    dataset: str
    model: str
    seed: int
    training: Training
    budget: int | None = None
    """Parameter budget that the model is brought to, within 5 %."""
    hidden_size: int | None = None
    """Hidden units, instead of a budget."""
    answer: Answer = "last"
    layers: int = 1
    sequences: int | None = None
    """Sequences of every split, evenly spread; None: all."""
    delta: float | None = None
    """Threshold that encodes an analog input as events; None: no encoding."""
    recurrent: bool = True
    trained_constants: bool = True
    surrogate: str = "triangular"


@functools.lru_cache(maxsize=2)
def load_dataset(name: str, sequences: int | None = None, delta: float | None = None) -> Dataset:
    """A data set, thinned and encoded as asked for; kept for the next job of this process."""
    dataset = data.load(name)
    if sequences is not None:
        dataset = dataset.thinned(sequences)
    return dataset if delta is None else encoded(dataset, delta)


def prepare(job: TrainingJob) -> tuple[Network, Dataset]:
    """The fresh network of a job, and its data."""
    dataset = load_dataset(job.dataset, job.sequences, job.delta)
    hidden = job.hidden_size
    if hidden is None:
        if job.budget is None:
            raise InputError(f"a training needs hidden_size= or budget=, got neither: {job}")
        hidden = hidden_for_budget(
            job.model, dataset.input_size, dataset.classes, job.budget, job.layers
        )
    settings: dict[str, Any] = {}
    if job.model not in BASELINES:
        settings = {"recurrent": job.recurrent, "surrogate": job.surrogate}
    network = fresh_network(
        job.model, hidden, dataset, job.seed, job.answer, job.layers, **settings
    )
    if not job.trained_constants:
        for name, parameter in network.body.named_parameters():
            parameter.requires_grad_(not name.startswith("raw_"))
    return network, dataset


def train(job: TrainingJob, checkpoint: Path) -> dict[str, Any]:
    """Train, test once and count; see `train_and_test`, and "hidden" and "bits" per answer."""
    return _trained(job, checkpoint)[0]


def train_and_disturb(job: TrainingJob, checkpoint: Path) -> dict[str, Any]:
    """Train as `train` does, without the epochs, which the checkpoint has; with the robustness.

    A training that diverges gives {"diverged": message}.
    """
    try:
        result, network, dataset = _trained(job, checkpoint)
    except DivergedError as error:
        return {"diverged": str(error)}
    del result["epochs"]
    return result | {"robustness": disturb(network, dataset)}


def _trained(job: TrainingJob, checkpoint: Path) -> tuple[dict[str, Any], Network, Dataset]:
    network, dataset = prepare(job)
    encoder = None if job.delta is None else "delta"
    result = train_and_test(network, dataset, job.training, job.seed, checkpoint, encoder)
    bits = {"hidden": network.body.hidden_size, "bits": result["test_loss"] / math.log(2)}
    return result | bits, network, dataset


def disturb(network: Network, dataset: Dataset) -> dict[str, list[list[float]]]:
    """[level, test accuracy] at the LEVELS of everything that can disturb these data or weights."""
    name = "dropped events" if dataset.events else "input noise"
    unit = 1.0
    if not dataset.events:
        unit = float(dataset.train.x.std())  # type: ignore[union-attr]  # analog, so a tensor
    fewer = dataset.thinned(DISTURBED)
    curves = {}
    for disturbance, scale in ((name, unit), ("weights", 1.0)):
        levels = LEVELS[disturbance]
        accuracies = robustness(network, fewer, disturbance, [scale * level for level in levels])
        curves[disturbance] = [list(pair) for pair in zip(levels, accuracies.values())]
    return curves


def validate(job: TrainingJob, checkpoint: Path) -> dict[str, Any]:
    """The best accuracy on validation; the test split is not looked at.

    A training that diverges has accuracy 0.
    """
    network, dataset = prepare(job)
    try:
        history = fit(network, dataset, job.training, job.seed, checkpoint)
    except DivergedError:
        return {"validation_accuracy": 0.0}
    best = history.epochs[history.best_epoch - 1]
    return {"validation_accuracy": best.validation_accuracy}


def trained_network(job: TrainingJob, out: Path, name: Name = key) -> Network:
    """The network of a finished job, from its checkpoint."""
    return load_network(files(out, name(job)).checkpoint)
