"""A finished comparison: opened again, counted and priced, beside fair twins of its networks.

The twins are standard networks in int8, pruned to the spiking network's density, and as accurate
as the spiking network at the smallest size.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from spikern._utils import json_file, processes
from spikern._utils.choices import check_choice
from spikern._utils.errors import DataError, InputError, UnsupportedError
from spikern._utils.provenance import provenance
from spikern.cost.break_even import compare_energy
from spikern.cost.counts import Counts
from spikern.cost.prices import EnergyTable
from spikern.cost.summary import (
    comparisons,
    count_summary,
    estimates,
    memory_summary,
    table_texts,
)
from spikern.data.dataset import Dataset
from spikern.layers.baseline import BASELINES, Baseline
from spikern.layers.network import Network
from spikern.studies.comparison import (
    DATA,
    SETTINGS,
    Comparison,
    check_data,
    data_of,
    job_result,
)
from spikern.studies.jobs import files
from spikern.studies.trainings import Architecture, TrainingJob
from spikern.studies.twins import (
    SizeSearch,
    density,
    measured_graph,
    measured_weights,
    prune,
    search_size,
)
from spikern.timing.inference import Contestant, measure
from spikern.train.loading import SUFFIX, load_network
from spikern.train.quantisation import int8_weights
from spikern.train.recipes import Recipe
from spikern.train.training import Training
from spikern.train.trial import count_split


class FinishedRun(NamedTuple):
    """The comparison in a folder, its data, one of its seeds, and the models to count."""

    folder: Path
    comparison: Comparison
    dataset: Dataset
    seed: int
    models: tuple[str, ...]

    @property
    def equal(self) -> str:
        """What the models have in common: their parameters or their width."""
        return "parameters" if self.comparison.hidden is None else "width"

    def counts_of(self, model: str, network: Network) -> Counts:
        """The counts of a network, of this model, on the test split."""
        carry_state = self.comparison.carries_state(model)
        return count_split(network, self.dataset, self.comparison.encoder, carry_state)


class Model(NamedTuple):
    """A trained network, the result of its job, and its counts on the test split."""

    name: str
    network: Network
    result: dict[str, Any]
    counts: Counts


def open_run(path: str | Path, seed: int | None = None) -> FinishedRun:
    """The run in a folder of `spikern compare`, or in one checkpoint jobs/NAME-SEED.safetensors.

    `seed` selects one of a folder's seeds, None the first; a checkpoint has its own. Raises
    DataError if there is no finished run, InputError if it has no such seed.
    """
    path = Path(path)
    if path.suffix == SUFFIX:
        if not path.is_file():
            raise DataError(f"no checkpoint {path}; give the folder of a finished comparison")
        name, _, number = path.stem.rpartition("-")
        if path.parent.name != "jobs" or not name or not number.isdigit():
            raise DataError(f"{path} is not a checkpoint of a comparison, jobs/NAME-SEED{SUFFIX}")
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
        job = files(path, f"{model}-{seed}")
        for needed in (job.result, job.checkpoint):
            if not needed.is_file():
                raise DataError(
                    f"the run in {path} is not finished, {needed.name} is missing; "
                    f"finish it with spikern compare --resume"
                )
    dataset = data_of(comparison)
    check_data(path, dataset)
    return FinishedRun(path, comparison, dataset, seed, comparison.models)


def read_settings(folder: Path) -> Comparison:
    """The comparison of a folder's settings.json; version 0.1.0 called oscillating "swinging"."""
    path = folder / SETTINGS
    if not path.is_file():
        raise DataError(f"no comparison in {folder}; give the folder that spikern compare wrote")
    found = json_file.read(path)
    try:
        found.pop(DATA, None)
        recipe = dict(found.pop("recipe"))
        budget = recipe.pop("match_parameters")
        trainings = {
            "oscillating" if kind == "swinging" else kind: Training(**values)
            for kind, values in recipe.items()
        }
        made = Recipe(**trainings, match_parameters=budget)
        models = tuple(found["models"])
        return Comparison(**found | {"models": models, "recipe": made})
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not that of a comparison: {error}") from error


def trained(run: FinishedRun, name: str) -> Model:
    """A model of the run, from its checkpoint, counted on the test split."""
    stem = f"{name}-{run.seed}"
    path = files(run.folder, stem).checkpoint
    network, result = load_network(path), job_result(run.folder, stem)
    own = network.body.kind if isinstance(network.body, Baseline) else network.body.neuron.name
    if (own, network.parameter_count) != (name, result["parameters"]):
        raise DataError(
            f"{path} is not the network of the result beside it: expected {name} of "
            f"{result['parameters']:,} parameters, got {own} of {network.parameter_count:,}; bring "
            f"it back, or compare anew"
        )
    return Model(name, network, result, run.counts_of(name, network))


BATCHES = (1, 64)
"""Batch sizes at which times are measured."""
BITS = 8
FINE_TUNING = 4
"""A pruned twin is fine-tuned for the epochs of its training divided by this."""


@processes.one_thread()
def count_run(
    run: FinishedRun,
    tables: Mapping[str, EnergyTable],
    against: Sequence[str] = (),
    smallest: bool = False,
    measured: bool = False,
) -> dict[str, Any]:
    """The content of count.json; `against` names the standard models to compare with, none: all.

    `smallest` also trains standard models of smaller sizes, `measured` times all on this machine.
    Raises InputError on a model that is not in the run or not a standard one, and where there is
    none of the kinds that are compared.
    """
    started = time.perf_counter()
    names = standard_names(run, against)
    has_spiking = any(name not in BASELINES for name in run.models)
    if measured and not has_spiking:
        raise InputError("times are measured beside a spiking network; name one")
    if smallest and not (has_spiking and names):
        raise InputError(
            "the smallest standard models are those as accurate as a spiking one; count the folder "
            "of a run that has both"
        )
    models = [
        trained(run, name)
        for name in dict.fromkeys((*run.models, *names))
        if name not in BASELINES or name in names
    ]
    spiking = [m for m in models if m.network.spiking]
    standards = [m for m in models if m.name in names]
    counts = {m.name: m.counts for m in models}
    pairs = [(a, b) for a in spiking for b in standards]
    searches = [(a, b, search(a, b, run)) for a, b in pairs if smallest]
    return {
        "schema": 2,
        "dataset": run.dataset.name,
        "seed": run.seed,
        "equal": run.equal,
        "tables": table_texts(tables),
        "models": [described(m, tables) for m in models],
        "estimates": estimates(counts, tables),
        "statements": comparisons(counts, tables, names),
        "int8": in_int8(models, run, tables),
        "pruned": [as_sparse(a, b, run, tables) for a, b in pairs],
        "equal_accuracy": [as_accurate(a, standards) for a in spiking],
        "smallest": [as_small(*found, run, tables) for found in searches],
        "measured": times(run, spiking, standards, searches) if measured else None,
        "provenance": provenance(time.perf_counter() - started, 1),
    }


def standard_names(run: FinishedRun, against: Sequence[str]) -> list[str]:
    """The standard models to compare with: those of the run, or some of its comparison's."""
    for name in against:
        check_choice("model of the run", name, run.comparison.models)
        if name not in BASELINES:
            raise InputError(f"{name} is a spiking model; name a standard one to compare with")
    return list(dict.fromkeys(against)) or [m for m in run.models if m in BASELINES]


def described(model: Model, tables: Mapping[str, EnergyTable]) -> dict[str, Any]:
    """One model with its counts and its memory traffic."""
    kept = ("kind", "hidden", "parameters", "test_accuracy", "validation_accuracy")
    return {
        "name": model.name,
        **{key: model.result[key] for key in kept},
        "counts": count_summary(model.counts),
        "memory": memory_summary(model.counts, tables),
    }


def times(
    run: FinishedRun,
    spiking: Sequence[Model],
    standards: Sequence[Model],
    searches: Sequence[tuple[Model, Model, SizeSearch]],
) -> dict[str, Any]:
    """The spiking network that is best on validation timed beside its twins, on one thread."""
    model = max(spiking, key=lambda m: float(m.result["validation_accuracy"]))
    contestants = [Contestant(model.name, "", model.network)]
    contestants += [Contestant(m.name, run.equal, m.network) for m in standards]
    contestants += [
        Contestant(b.name, "accuracy", found.network)
        for a, b, found in searches
        if a is model and found.network is not None
    ]
    test = run.dataset.test
    return measure(contestants, test, sorted({min(n, len(test)) for n in BATCHES})).as_dict()


def in_int8(
    models: Sequence[Model], run: FinishedRun, tables: Mapping[str, EnergyTable]
) -> dict[str, Any]:
    """Every network with its weights in int8: accuracy on the test split, estimates, statements.

    Estimates are by the tables whose weights have 8 bits. The standard ones are also run by ONNX
    Runtime, where it can; `missing` says where it cannot.
    """
    measured, missing = [], {}
    for model in models:
        for scheme in (measured_weights, *[measured_graph] * (not model.network.spiking)):
            try:
                carry_state = run.comparison.carries_state(model.name)
                found = scheme(model.network, run.dataset.test, carry_state)
                measured.append({"model": model.name, **found._asdict()})
            except UnsupportedError as error:
                missing[model.name] = str(error)
    eight = {name: table for name, table in tables.items() if table.weight_bits == BITS}
    counts = {m.name: run.counts_of(m.name, int8_weights(m.network)) for m in models}
    return {
        "measured": measured,
        "missing": missing,
        "estimates": estimates(counts, eight),
        "statements": comparisons(counts, eight),
    }


def as_sparse(
    spiking: Model, standard: Model, run: FinishedRun, tables: Mapping[str, EnergyTable]
) -> dict[str, Any]:
    """The standard network pruned to the spiking one's connection density, and the statement.

    For a fully connected spiking network nothing is pruned, and "why" says so.
    """
    kept = density(spiking.network)
    row = {"spiking": spiking.name, "twin": standard.name, "density": kept}
    if kept == 1.0:
        why = f"{spiking.name} is fully connected, so nothing is pruned"
        return row | {"why": why, "test_accuracy": None, "statement": None}
    training = run.comparison.recipe.of(standard.name)
    shorter = replace(training, epochs=-(-training.epochs // FINE_TUNING))
    twin = prune(standard.network, kept, run.dataset, shorter, run.seed)
    names = (spiking.name, f"{standard.name}, pruned")
    counts = run.counts_of(standard.name, twin.network)
    said = compare_energy(spiking.counts, counts, tables, names=names)
    return row | {"why": "", "test_accuracy": twin.test_accuracy, "statement": said.as_dict()}


def as_accurate(spiking: Model, standards: Sequence[Model]) -> dict[str, Any]:
    """The standard networks of the run that are at least as accurate on the test split."""
    target = spiking.result["test_accuracy"]
    others = {m.name: m.result["test_accuracy"] for m in standards}
    return {
        "spiking": spiking.name,
        "test_accuracy": target,
        "standard": others,
        "reached_by": [name for name, accuracy in others.items() if accuracy >= target],
    }


def search(spiking: Model, standard: Model, run: FinishedRun) -> SizeSearch:
    """The search for the smallest standard model, by halves of this one's size, as accurate.

    Its trainings are kept in the run's folder, so an interrupted search is resumed.
    """
    how, largest = run.comparison, standard.result["hidden"]
    job = TrainingJob(
        how.dataset, standard.name, run.seed, how.recipe.of(standard.name),
        answer=how.answer, architecture=Architecture(layers=how.layers), delta=how.delta,
    )  # fmt: skip
    halves = [largest >> k for k in range(max(1, largest.bit_length() - 1))]
    target = spiking.result["validation_accuracy"]
    return search_size(job, halves[::-1], target, run.folder / "twins")


def as_small(
    spiking: Model,
    standard: Model,
    found: SizeSearch,
    run: FinishedRun,
    tables: Mapping[str, EnergyTable],
) -> dict[str, Any]:
    """A search for a size, and the comparison with the network that it ended with."""
    said = reached = None
    if found.network is not None:
        reached = found.network.body.hidden_size
        names = (spiking.name, f"{standard.name} of {reached} units")
        counts = run.counts_of(standard.name, found.network)
        said = compare_energy(spiking.counts, counts, tables, names=names).as_dict()
    return {
        "spiking": spiking.name,
        "twin": standard.name,
        "target": found.target,
        "trials": [
            {"hidden": hidden, "validation_accuracy": accuracy}
            for hidden, accuracy in found.trials.items()
        ],
        "reached": reached,
        "test_accuracy": found.test_accuracy,
        "statement": said,
    }
