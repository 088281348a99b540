"""The twin at equal accuracy: the smallest standard model that answers as well on validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch

from spikern.baselines import BASELINES
from spikern.data.dataset import Dataset
from spikern.network import Answer, Network, build
from spikern.statistics import mean
from spikern.train import Training, evaluate, fit
from spikern.types import InputError


class Trained(NamedTuple):
    """A trained network and the validation accuracy that its weights were kept for."""

    network: Network
    validation_accuracy: float


class Rung(NamedTuple):
    """One hidden size of a ladder, trained once a seed."""

    hidden: int
    trained: tuple[Trained, ...]

    @property
    def validation_accuracy(self) -> float:
        """The mean over the seeds."""
        return mean([one.validation_accuracy for one in self.trained])


class Climb(NamedTuple):
    """The rungs that were tried, smallest first, and the one that reached the target, if any.

    `test_accuracies` are of the reached rung, a seed each: no other rung is ever tested.
    """

    target: float
    rungs: tuple[Rung, ...]
    reached: Rung | None
    test_accuracies: tuple[float, ...]


Train = Callable[[int, int], Trained]
"""(hidden size, seed) -> a trained network."""


def trainer(
    model: str,
    dataset: Dataset,
    training: Training,
    answer: Answer = "last",
    folder: Path | None = None,
) -> Train:
    """How a model is trained at a size and seed; the seed decides every number in it.

    With `folder`, every training has a checkpoint there, and one that is there is gone on with.
    """

    def train(hidden: int, seed: int) -> Trained:
        torch.manual_seed(seed)
        settings: dict[str, Any] = {} if model in BASELINES else {"dt": dataset.dt}
        network = build(
            model, dataset.input_size, hidden, dataset.classes,
            "every_step" if dataset.every_step else answer, **settings,
        )  # fmt: skip
        stem = f"{dataset.name}-{model}-{hidden}-{seed}"
        checkpoint = None if folder is None else folder / f"{stem}.safetensors"
        history = fit(network, dataset, training, seed, checkpoint)
        best = history.epochs[history.best_epoch - 1]
        return Trained(network.eval(), best.validation_accuracy)

    return train


def climb(
    train: Train, sizes: Sequence[int], seeds: Sequence[int], target: float, dataset: Dataset
) -> Climb:
    """Train upwards through `sizes` until the mean validation accuracy reaches `target`.

    Selection looks at validation alone; the test split is looked at once, by the rung reached.
    Raises InputError on sizes that do not rise, no seed, or a target outside 0..1.

    >>> from spikern.data import load
    >>> digits = load("digits")
    >>> train = trainer("RNN", digits, Training(epochs=1, batch_size=1258))
    >>> found = climb(train, (2, 4), seeds=(0,), target=0.0, dataset=digits)
    >>> found.reached.hidden, len(found.rungs), len(found.test_accuracies)
    (2, 1, 1)
    """
    if not sizes or sizes[0] < 1 or any(a >= b for a, b in pairwise(sizes)):
        raise InputError(f"sizes of a ladder rise from at least 1, got {list(sizes)}")
    if not seeds:
        raise InputError("a ladder needs at least one seed, got none")
    if not 0 <= target <= 1:
        raise InputError(f"the target is an accuracy in 0..1, got {target}")
    rungs: list[Rung] = []
    for hidden in sizes:
        rungs.append(Rung(hidden, tuple(train(hidden, seed) for seed in seeds)))
        if rungs[-1].validation_accuracy >= target:
            tested = [evaluate(one.network, dataset.test).accuracy for one in rungs[-1].trained]
            return Climb(target, tuple(rungs), rungs[-1], tuple(tested))
    return Climb(target, tuple(rungs), None, ())
