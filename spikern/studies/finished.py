"""A finished comparison, opened again: its settings, its data, its trained networks.

The whole account of a run as plain data: counts, estimates, statements, twins, times.

The fair twins of an account: in int8, pruned as the spiking network is, as accurate as it is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from spikern import data
from spikern._utils import processes
from spikern._utils.choices import check_choice
from spikern._utils.errors import DataError, InputError, UnsupportedError
from spikern._utils.provenance import provenance
from spikern.cost.break_even import compare_energy
from spikern.cost.counts import Counts
from spikern.cost.prices import EnergyTable
from spikern.cost.summary import comparisons, count_summary, estimates, memory_summary
from spikern.data import load
from spikern.data.dataset import Dataset, Split
from spikern.layers.baseline import BASELINES
from spikern.layers.network import Network
from spikern.studies.comparison import Comparison, Job, checkpoint_path, reload, result_path
from spikern.studies.twins import (
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
from spikern.timing.inference import Contestant, measure
from spikern.train.loop import Training
from spikern.train.recipes import Recipe
from spikern.train.trial import count_split

SUFFIX = ".safetensors"


class Run(NamedTuple):
    """A folder's comparison with its data, one seed of it, and the models that are asked about."""

    folder: Path
    comparison: Comparison
    dataset: Dataset
    seed: int
    models: tuple[str, ...]


class Model(NamedTuple):
    """A trained network, the result of its job, and its counts on the test split."""

    name: str
    network: Network
    result: dict[str, Any]
    counts: Counts


def open_run(path: Path, seed: int | None = None) -> Run:
    """The run in a folder of `spikern compare`, or in one checkpoint jobs/NAME-SEED.safetensors.

    A folder is asked about one seed, None being its first; a checkpoint about its own model and
    seed. Raises DataError if there is no finished run, InputError if it has no such seed.
    """
    path = Path(path)
    if path.suffix == SUFFIX:
        if not path.is_file():
            raise DataError(f"no checkpoint {path}; give the folder of a finished comparison")
        name, _, number = path.stem.rpartition("-")
        if path.parent.name != "jobs" or not name or not number.isdigit():
            raise DataError(f"{path} is no checkpoint of a comparison, jobs/NAME-SEED{SUFFIX}")
        if seed not in (None, int(number)):
            raise InputError(f"{path} is of seed {number}, got seed {seed}; leave it out")
        run = open_run(path.parent.parent, int(number))
        check_choice("model of the run", name, run.models)
        return run._replace(models=(name,))
    comparison = read_settings(path)
    seed = seed or 0
    if not 0 <= seed < comparison.seeds:
        raise InputError(f"{path} has the seeds 0 to {comparison.seeds - 1}, got {seed}")
    for model in comparison.models:
        for file in (result_path, checkpoint_path):
            needed = file(path, Job(model, seed))
            if not needed.is_file():
                raise DataError(
                    f"the run in {path} is not finished, {needed.name} is missing; "
                    f"finish it with spikern compare --resume"
                )
    dataset = load(comparison.dataset)
    if comparison.delta is not None:
        dataset = data.encoded(dataset, comparison.delta)
    return Run(path, comparison, dataset, seed, comparison.models)


def read_settings(folder: Path) -> Comparison:
    """The comparison that a folder's settings.json asks for."""
    found = read_json(folder / "settings.json")
    try:
        recipe = dict(found.pop("recipe"))
        budget = recipe.pop("match_parameters")
        trainings = {kind: Training(**values) for kind, values in recipe.items()}
        made = Recipe(**trainings, match_parameters=budget)
        return Comparison(**found | {"models": tuple(found["models"]), "recipe": made})
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{folder / 'settings.json'} is not that of a comparison: {error}"
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """An object from a file of a run."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(
            f"no finished run in {path.parent}: cannot read {path.name} ({error}); "
            f"give the folder that spikern compare wrote"
        ) from error
    if not isinstance(found, dict):
        raise DataError(f"{path} holds no object; it is not a file of spikern compare")
    return found


def trained(run: Run, name: str) -> Model:
    """A model of the run, from its checkpoint, counted on the test split."""
    job = Job(name, run.seed)
    result = read_json(result_path(run.folder, job))
    network = reload(job, result["hidden"], run.dataset, run.comparison, run.folder)
    return Model(name, network, result, count_split(network, run.dataset, run.comparison.encoder))


BATCHES = (1, 64)
"""Samples at a time, where times are measured."""


@processes.one_thread()
def count_run(
    run: Run,
    tables: Mapping[str, EnergyTable],
    against: Sequence[str] = (),
    climb: bool = False,
    measured: bool = False,
) -> dict[str, Any]:
    """Everything of count.json; `against` names the standard models to compare with, none: all.

    `climb` trains standard models of other sizes, `measured` times all on this machine.
    Raises InputError on a model that is not in the run or not a standard one.
    """
    started = time.perf_counter()
    asked, names = wanted(run, against)
    models = [trained(run, name) for name in asked]
    spiking = [m for m in models if m.network.spiking]
    standards = [m for m in models if m.name in names]
    counts = {m.name: m.counts for m in models}
    pairs = [(a, b) for a in spiking for b in standards]
    climbs = [(a, b, climbed(a, b, run)) for a, b in pairs if climb]
    return {
        "schema": 1,
        "dataset": run.dataset.name,
        "seed": run.seed,
        "equal": equal(run),
        "tables": {
            t.name: {
                "title": t.title,
                "node": t.node,
                "precision": t.precision,
                "source": t.source,
                "not_modelled": t.not_modelled,
            }
            for t in tables.values()
        },
        "models": [described(m, tables) for m in models],
        "estimates": estimates(counts, tables),
        "statements": comparisons(counts, tables, names),
        "int8": in_int8(models, run, tables),
        "pruned": [as_sparse(a, b, run, tables) for a, b in pairs],
        "equal_accuracy": [as_accurate(a, standards) for a in spiking],
        "climbs": [climb_entry(found, a, b, run, tables) for a, b, found in climbs],
        "measured": times(run, spiking, standards, climbs) if measured else None,
        "provenance": provenance(time.perf_counter() - started, 1),
    }


def wanted(run: Run, against: Sequence[str]) -> tuple[list[str], list[str]]:
    """The models to reload, and which of them are the standard ones to compare with."""
    for name in against:
        check_choice("model of the run", name, run.comparison.models)
        if name not in BASELINES:
            raise InputError(f"{name} is a spiking model; name a standard one to compare with")
    names = list(against) or [m for m in run.models if m in BASELINES]
    asked = [m for m in run.models if m not in BASELINES or m in names]
    return list(dict.fromkeys([*asked, *names])), list(dict.fromkeys(names))


def described(model: Model, tables: Mapping[str, EnergyTable]) -> dict[str, Any]:
    """One model with its counts and its memory traffic."""
    kept = ("kind", "hidden", "parameters", "test_accuracy", "validation_accuracy")
    return {
        "name": model.name,
        **{key: model.result[key] for key in kept},
        "counts": count_summary(model.counts),
        "memory": memory_summary(model.counts, tables),
    }


def equal(run: Run) -> str:
    """In what the models of the run are brought together."""
    return "parameters" if run.comparison.hidden is None else "width"


def best(models: Sequence[Model]) -> Model:
    """The most accurate on the test split."""
    return max(models, key=lambda m: float(m.result["test_accuracy"]))


def times(
    run: Run,
    spiking: Sequence[Model],
    standards: Sequence[Model],
    climbs: Sequence[tuple[Model, Model, Climb]],
) -> dict[str, Any]:
    """The most accurate spiking network timed beside its twins, interleaved, on one thread."""
    if not spiking:
        raise InputError("times are measured beside a spiking network; none was asked about")
    model = best(spiking)
    entered = [Contestant(model.name, "", model.network)]
    entered += [Contestant(m.name, equal(run), m.network) for m in standards]
    entered += [
        Contestant(b.name, "accuracy", found.reached.trained[0].network)
        for a, b, found in climbs
        if a is model and found.reached is not None
    ]
    test = run.dataset.test
    made = measure(entered, test, tuple(dict.fromkeys(min(n, len(test)) for n in BATCHES)))
    return {
        "rows": list(made.rows),
        "checks": [c._asdict() for c in made.checks],
        "missing": made.missing,
        "no_joules": made.no_joules,
    }


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
        for in_eight in measures:
            try:
                found = in_eight(model.network, run.dataset.test)
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
        "statements": comparisons(counts, eight),
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
    said = compare_energy(spiking.counts, counts, tables, names=names)
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
        said = compare_energy(spiking.counts, counts, tables, names=names).as_dict()
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
