"""A finished comparison, opened again: its settings, its data, its trained networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from spikern import events
from spikern.compare import Comparison, Job, checkpoint_path, reload, result_path
from spikern.data import load
from spikern.data.dataset import Dataset
from spikern.engines import boundary
from spikern.network import Network
from spikern.ops import Counts
from spikern.recipes import Recipe
from spikern.train import Training
from spikern.trial import count_split
from spikern.types import DataError, InputError

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
        boundary.check_choice("model of the run", name, run.models)
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
        dataset = events.encoded(dataset, comparison.delta)
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
