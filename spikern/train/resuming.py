"""What a checkpoint says of its training, and the training that goes on from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from spikern import __version__
from spikern._utils import json_file
from spikern._utils.errors import DataError
from spikern.data.dataset import Dataset
from spikern.layers.description import as_written, check_state, check_tensors, describe
from spikern.layers.network import Network
from spikern.train import checkpoint
from spikern.train.batches import Batches
from spikern.train.checkpoint import pack
from spikern.train.progress import Epoch
from spikern.train.training import Training

OLD_HEADER = ("training", "seed", "dataset")
"""What a checkpoint of version 0.1.0 says of its run."""
OLD_EPOCHS = [(int, float, float, float | None, float)]
"""The form of epochs in a checkpoint of version 0.1.0."""
EPOCHS = [(*OLD_EPOCHS[0], float | None)]
"""The form of epochs in a checkpoint."""


def header_of(
    network: Network,
    data: Dataset | Batches,
    training: Training,
    seed: int,
    optimizer: torch.optim.Optimizer | None,
    functions: Mapping[str, Any],
) -> dict[str, Any]:
    """What a checkpoint says of its training, and a resumed one must have alike."""
    header = {
        "training": asdict(training),
        "seed": seed,
        "dataset": data.name if isinstance(data, Dataset) else None,
        "data": data.digest if isinstance(data, Dataset) else None,
        "network": describe(network),
        "version": __version__,
    }
    if optimizer is not None:
        groups = optimizer.param_groups
        header["optimizer"] = [type(optimizer).__name__, *map(_settings, groups)]
    for name, own in functions.items():
        if own not in (None, functional.cross_entropy):
            header[name] = _described(own)
    return header


def resume(
    path: Path, header: dict[str, Any], network: Network, optimizer: torch.optim.Optimizer
) -> tuple[list[Epoch], dict[str, Tensor]]:
    """Give network and optimizer the state of a checkpoint; its epochs, and the best weights.

    Raises DataError if the checkpoint is damaged or of another training.
    """
    try:
        tensors, found = checkpoint.read(path)
    except DataError as error:
        raise DataError(f"{error}; choose another file, or delete it to start anew") from error
    if isinstance(found.get("training"), dict):  # settings that came later have their defaults
        found["training"] = asdict(Training()) | found["training"]
    if found.keys() == {*OLD_HEADER, "epochs"}:
        header = {key: header[key] for key in OLD_HEADER}
    elif isinstance(found.get("network"), dict):
        header = header | {"network": as_written(header["network"], found["network"])}
    if different := _differences(header, found):
        raise DataError(
            f"{path} belongs to another run: {'; '.join(different)}; use the same settings or "
            f"another place"
        )
    state, best = (checkpoint.unpack(part, tensors) for part in ("network", "best"))
    wanted = pack("network", network.state_dict()) | pack("best", network.state_dict())
    try:
        more = found.keys() - header - {"task"}  # which earlier versions did not write
        known = any(json_file.has_form(found, {"epochs": form}) for form in (EPOCHS, OLD_EPOCHS))
        if not known or more != {"epochs"}:
            entries = ", ".join(sorted(more)) or "none"
            raise DataError(f"expected its epochs and no other entry besides, got {entries}")
        remembered = checkpoint.unpack("optimizer", tensors)
        check_tensors(tensors, wanted | pack("optimizer", checkpoint.layout(optimizer, remembered)))
        check_state(network, state)
        check_state(network, best)
    except DataError as error:
        raise DataError(f"{path}: {error}; delete it to start anew") from error
    network.load_state_dict(state)
    checkpoint.unpack_optimizer(optimizer, remembered)
    return [Epoch(*e) for e in found["epochs"]], best


def _settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON can hold of the settings of an optimizer's group, a loss or a schedule."""
    plain = (bool, int, float, str, type(None))

    def is_plain(value: Any) -> bool:
        several = isinstance(value, tuple | list) and all(map(is_plain, value))
        return several or isinstance(value, plain)

    listed = {k: v.tolist() if isinstance(v, Tensor) else v for k, v in values.items()}
    kept = {key: value for key, value in listed.items() if is_plain(value)}
    return {key: list(v) if isinstance(v, tuple) else v for key, v in kept.items()}


def _described(function: Any) -> list[Any]:
    """What JSON can hold of a loss or a schedule: its name, settings, arguments and tensors."""
    if isinstance(function, partial):
        kept = _settings({str(k): value for k, value in enumerate(function.args)})
        return [*_described(function.func), kept | _settings(function.keywords)]
    tensors = function.state_dict() if isinstance(function, nn.Module) else {}
    kind = getattr(function, "__qualname__", type(function).__name__)
    return [kind, _settings(getattr(function, "__dict__", {}) | dict(tensors))]


def _differences(wanted: Any, found: Any, where: str = "") -> list[str]:
    """What differs between two headers, in words; only entries of the first are looked at.

    >>> _differences({"seed": 1, "network": {"dt": 2.0}}, {"seed": 1, "network": {"dt": 1.0}})
    ['network.dt is 1.0 there and 2.0 here']
    """
    if isinstance(wanted, dict) and isinstance(found, dict):
        return [
            difference
            for key, value in wanted.items()
            for difference in _differences(value, found.get(key), f"{where}.{key}".lstrip("."))
        ]
    return [] if wanted == found else [f"{where} is {found!s:.400} there and {wanted!s:.400} here"]
