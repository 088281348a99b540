"""The fair twins of an account: in int8, pruned as the spiking network is, as accurate as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from spikern.account.folder import Model, Run
from spikern.data.dataset import Split
from spikern.network import Network
from spikern.ops import EnergyTable
from spikern.ops.statement import statement
from spikern.ops.summary import estimates, statements
from spikern.trial import count_split
from spikern.twins import (
    Climb,
    Int8,
    climb,
    density,
    int8_weights,
    measured_graph,
    measured_weights,
    prune,
    trainer,
)
from spikern.types import UnsupportedError

BITS = 8
FINE_TUNING = 4
"""A pruned twin is trained on for a quarter of the epochs that it had."""
Measure = Callable[[Network, Split], Int8]


def in_int8(models: Sequence[Model], run: Run, tables: Mapping[str, EnergyTable]) -> dict[str, Any]:
    """Every network with its weights in int8: accuracy on the test split, estimates, statements.

    Estimates are by the tables whose weights have 8 bits. The standard ones are also run by ONNX
    Runtime, where it can; `missing` says where it cannot.
    """
    measured, missing = [], {}
    for model in models:
        measures: list[Measure] = [measured_weights]
        measures += [] if model.network.spiking else [measured_graph]
        for measure in measures:
            try:
                found = measure(model.network, run.dataset.test)
            except UnsupportedError as error:
                missing[model.name] = str(error)
                continue
            measured.append({"model": model.name, **found._asdict()})
    eight = {name: table for name, table in tables.items() if table.weight_bits == BITS}
    counts = {
        m.name: count_split(int8_weights(m.network), run.dataset, run.comparison.encoder)
        for m in models
    }
    return {
        "measured": measured,
        "missing": missing,
        "estimates": estimates(counts, eight),
        "statements": statements(counts, eight),
    }


def as_sparse(
    spiking: Model, standard: Model, run: Run, tables: Mapping[str, EnergyTable]
) -> dict[str, Any]:
    """The standard network pruned to the spiking one's connection density, and the statement.

    A spiking network that is fully connected leaves nothing to prune, and says so.
    """
    kept = density(spiking.network)
    pair = {"spiking": spiking.name, "twin": standard.name, "density": kept}
    if kept == 1.0:
        why = f"{spiking.name} is fully connected, so nothing is pruned"
        return pair | {"why": why, "test_accuracy": None, "statement": None}
    training = run.comparison.recipe.of(standard.name)
    shorter = replace(training, epochs=-(-training.epochs // FINE_TUNING))
    pruned = prune(standard.network, kept, run.dataset, shorter, run.seed)
    counts = count_split(pruned.network, run.dataset, run.comparison.encoder)
    names = (spiking.name, f"{standard.name}, pruned")
    said = statement(spiking.counts, counts, tables, names=names)
    return pair | {"why": "", "test_accuracy": pruned.test_accuracy, "statement": said.as_dict()}


def as_accurate(spiking: Model, standards: Sequence[Model]) -> dict[str, Any]:
    """Which standard networks of the run answer the test split at least as well."""
    target = spiking.result["test_accuracy"]
    others = {m.name: m.result["test_accuracy"] for m in standards}
    return {
        "spiking": spiking.name,
        "test_accuracy": target,
        "standard": others,
        "reached_by": [name for name, accuracy in others.items() if accuracy >= target],
    }


def climbed(spiking: Model, standard: Model, run: Run) -> Climb:
    """The smallest standard model, by halves of this one's size, as good on validation.

    Checkpoints are kept in the run's folder, so that an interrupted climb is gone on with.
    """
    train = trainer(
        standard.name,
        run.dataset,
        run.comparison.recipe.of(standard.name),
        run.comparison.answer,
        Path(run.folder) / "twins",
    )
    target = spiking.result["validation_accuracy"]
    return climb(train, sizes(standard.result["hidden"]), (run.seed,), target, run.dataset)


def sizes(largest: int) -> list[int]:
    """A size, and its halves down to 2, smallest first.

    >>> sizes(44)
    [2, 5, 11, 22, 44]
    """
    found = [largest]
    while found[-1] // 2 >= 2:
        found.append(found[-1] // 2)
    return found[::-1]


def climb_entry(
    found: Climb, spiking: Model, standard: Model, run: Run, tables: Mapping[str, EnergyTable]
) -> dict[str, Any]:
    """A climb as plain data, with the statement against the model that it reached."""
    reached = found.reached
    said = None
    if reached is not None:
        counts = count_split(reached.trained[0].network, run.dataset, run.comparison.encoder)
        names = (spiking.name, f"{standard.name} of {reached.hidden} units")
        said = statement(spiking.counts, counts, tables, names=names).as_dict()
    return {
        "spiking": spiking.name,
        "twin": standard.name,
        "target": found.target,
        "rungs": [
            {"hidden": rung.hidden, "validation_accuracy": rung.validation_accuracy}
            for rung in found.rungs
        ],
        "reached": None if reached is None else reached.hidden,
        "test_accuracy": found.test_accuracies[0] if found.test_accuracies else None,
        "statement": said,
    }
