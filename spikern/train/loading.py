"""Trained networks from the files of a run, without training and, for new files, without data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from spikern._utils import json_file
from spikern._utils.choices import check_choice, check_type
from spikern._utils.errors import DataError, InputError
from spikern.data import Task, encoded, load
from spikern.layers.baseline import BASELINES
from spikern.layers.description import check_state, rebuild
from spikern.layers.network import Network
from spikern.neurons.model import NeuronModel
from spikern.neurons.surrogate import Surrogate
from spikern.train import checkpoint
from spikern.train.trial import fresh_network

SUFFIX = ".safetensors"


def load_network(
    path: str | Path,
    model: str | None = None,
    seed: int | None = None,
    neurons: Sequence[NeuronModel] = (),
    surrogates: Sequence[Surrogate] = (),
) -> Network:
    """The trained network of a checkpoint, or of a model and seed in a run's folder.

    In a folder the seed is 0 unless it is given, and a model is named where there are several.
    It has the weights of the epoch that was best on validation, and the `task` of its data set.
    Neurons and surrogates that are not in `NEURONS` and `SURROGATES` are passed; they are known by
    name. A checkpoint of version 0.1.0 does not say how its network is built; it is loaded where it
    lies, in the folder of its run, whose data set must be available.

    Raises DataError where there is no such file or it is corrupt, InputError for an unknown model,
    neuron or surrogate, and for a model or a seed beside a checkpoint, which is of one.
    """
    check_type("path", path, str, Path)
    path = Path(path)
    for name, own in (("neurons", neurons), ("surrogates", surrogates)):
        if not isinstance(own, list | tuple) or any(isinstance(one, str) for one in own):
            raise InputError(f"{name} is a list of one's own, got {own!r:.60}")
    if path.is_file() or path.suffix == SUFFIX:
        for name, asked in (("model", model), ("seed", seed)):
            if asked is not None:
                raise InputError(
                    f"{path} is one network, got {name} {asked} beside it; leave it out, or give "
                    f"the folder of the run"
                )
        file = path
    else:
        file = _checkpoint_of(path, model, seed or 0)
    if not file.is_file():
        raise DataError(f"no checkpoint {file}; give a checkpoint, or the folder of a run")
    tensors, header = checkpoint.read(file)
    best = checkpoint.unpack("best", tensors)
    try:
        if "network" in header:
            network = rebuild(header["network"], best, neurons, surrogates).eval()
            if header.get("task") is not None:
                network.task = Task.from_data(header["task"])
            return network
        network = _built_by_run(file, best)
        check_state(network, best)
    except DataError as error:
        raise DataError(f"{file}: {error}") from error
    network.load_state_dict(best)
    return network.eval()


def _checkpoint_of(folder: Path, model: str | None, seed: int) -> Path:
    """The checkpoint of a model and seed in a run's folder; without a name, of its only model."""
    if not folder.is_dir():
        what = f"is not a checkpoint, *{SUFFIX}" if folder.exists() else "is not there"
        raise DataError(f"{folder} {what}; give a checkpoint, or the folder of a run")
    stems = [p.stem.rpartition("-") for p in sorted((folder / "jobs").glob(f"*-*{SUFFIX}"))]
    names = list(dict.fromkeys(name for name, _, number in stems if number == str(seed)))
    if not names:
        seeds = sorted({number for _, _, number in stems if number.isdigit()}, key=int)
        there = f"it has those of {', '.join(seeds)}" if seeds else "give a run's folder"
        raise DataError(f"no trained network of seed {seed} in {folder}; {there}")
    if model is None:
        if len(names) > 1:
            raise InputError(f"{folder} has several models, name one: {', '.join(names)}")
        (model,) = names
    check_choice("model of the run", model, names)
    return folder / "jobs" / f"{model}-{seed}{SUFFIX}"


def _built_by_run(file: Path, tensors: dict[str, Tensor]) -> Network:
    """The network of a checkpoint of version 0.1.0, from settings.json and the weights' shapes."""
    try:
        settings = json_file.read(file.parent.parent / "settings.json")
        dataset = load(settings["dataset"])
        if settings["delta"] is not None:
            dataset = encoded(dataset, settings["delta"])
        answer, layers = settings["answer"], settings["layers"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"it does not say how its network is built, and it lies in no folder of a "
            f"comparison ({error}); build the network and load the tensors named 'best' into it"
        ) from error
    model, _, seed = file.stem.rpartition("-")
    weight = "rnn.weight_hh_l0" if model in BASELINES else "weight_ih_l0"
    try:
        rows, columns = tensors[f"body.{weight}"].shape
    except (KeyError, ValueError) as error:
        raise DataError(f"it has no matrix best.body.{weight}") from error
    hidden = columns if model in BASELINES else rows
    network = fresh_network(model, hidden, dataset, int(seed), answer, layers)
    network.task = dataset.task
    return network
