"""Networks of a size that learn from a part of the data: the job of this study.

What is kept for the next job of a process is here, since jobs reach other processes by the names of
modules that can be imported.
"""

import functools
import math
import runpy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from spikern.data import Dataset, load
from spikern.layers.network import Answer
from spikern.studies import Architecture, TrainingJob
from spikern.studies.trainings import prepare
from spikern.train import Training, evaluate, fit

Row = dict[str, Any]
(CHARACTERS,) = runpy.run_path(str(Path(__file__).parents[1] / "characters" / "plan.py"))["PLANS"]


class Way(NamedTuple):
    """How a model is trained, its structure, and the learning rates to try."""

    training: Training
    structure: Architecture
    rates: tuple[float, ...]


@dataclass(frozen=True)
class Task:
    """A data set, how a spiking and a gated model learn it, and how long at most."""

    dataset: str
    answer: Answer
    ways: dict[str, Way]
    budgets: tuple[int, ...]
    most: int
    """Epochs on a small part of the data; on more of it as many updates or fewer epochs."""

    def training(self, model: str, share: float) -> Training:
        """As many updates as on all data, up to `most` epochs; patience for a share of them."""
        training = self.ways[model].training
        epochs = min(self.most, math.ceil(training.epochs / share))
        patience = training.patience * epochs // training.epochs
        return replace(training, epochs=epochs, patience=patience)


CARRIED = Training(epochs=12, carry_state=True, select_by="loss", patience=3)
RECORDINGS = Training(epochs=40, select_by="loss", patience=20)
TASKS = {
    "tinyshakespeare": Task(
        "tinyshakespeare",
        "every_step",
        {
            "ALIF": Way(
                replace(CARRIED, batch_size=8, rate_limit=0.01, rate_penalty=10.0),
                CHARACTERS.architecture,
                (1e-2, 2e-2, 4e-2),
            ),
            "GRU": Way(replace(CARRIED, batch_size=16), Architecture(), (3e-3, 1e-2, 3e-2)),
        },
        (3_125, 6_250, 12_500, 25_000, 50_000, 100_000, 200_000),
        most=48,
    ),
    "fsdd": Task(
        "fsdd",
        "mean",
        {
            "AdLIF": Way(RECORDINGS, Architecture(), (3e-3, 1e-2, 3e-2, 1e-1, 3e-1)),
            "GRU": Way(RECORDINGS, Architecture(), (3e-3, 1e-2, 3e-2, 1e-1, 3e-1)),
        },
        (1_250, 2_500, 5_000, 10_000, 20_000, 40_000, 80_000),
        most=160,
    ),
}


@dataclass(frozen=True)
class Growing:
    """A training on a share of the training data."""

    training: TrainingJob
    share: float


def job(task: Task, model: str, budget: int, share: float, rate: float, seed: int) -> Growing:
    """A network of a size on a share of the data."""
    training = replace(task.training(model, share), learning_rate=rate)
    return Growing(
        TrainingJob(
            task.dataset,
            model,
            seed,
            training,
            budget,
            answer=task.answer,
            architecture=task.ways[model].structure,
        ),
        share,
    )


@functools.lru_cache(maxsize=2)
def part_of(name: str, share: float) -> Dataset:
    """The data with a share of the training sequences: the first of a text, else evenly spread."""
    data = load(name)
    number = round(share * len(data.train))
    chosen = torch.arange(number)
    if not data.every_step:
        chosen = chosen * len(data.train) // number
    return replace(data, train=data.train.select(chosen))


def grown(config: Growing, checkpoint: Path) -> Row:
    """Train; bits per answer on validation and test of the epoch that is best on validation."""
    own = config.training
    network, _ = prepare(own)
    data = part_of(own.dataset, config.share)
    history = fit(network, data, own.training, own.seed, checkpoint, bar=False)
    carry = own.training.carry_state
    found = {
        name: evaluate(network, split, carry_state=carry).loss / math.log(2)
        for name, split in (("validation", data.validation), ("test", data.test))
    }
    return {
        "parameters": network.parameter_count,
        "samples": int((data.train.y >= 0).sum()),
        "epochs": history.best_epoch,
        "trained": len(history.epochs),
    } | found
