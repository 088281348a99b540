"""What `fit` is given, and what it refuses."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from spikern._utils.errors import DataError, InputError
from spikern.data.dataset import UNLABELLED, Dataset
from spikern.layers.arguments import computes_weights
from spikern.layers.network import Network
from spikern.train.batches import check_carried
from spikern.train.training import Training


def check_parts(network: Any, optimizer: Any, functions: Mapping[str, Any], callbacks: Any) -> None:
    """Raise InputError for a part of a training that is of another kind."""
    if not isinstance(network, Network):
        raise InputError(
            f"fit trains a Network, got {type(network).__name__}; train a layer in a loop of your "
            f"own, or make a Network of it and a Readout"
        )
    if not any(p.requires_grad for p in network.parameters()):
        raise InputError("no parameter of the network requires a gradient; nothing can be learned")
    if not isinstance(optimizer, torch.optim.Optimizer | None):
        raise InputError(
            f"expected an optimizer, made of the network's parameters, got {optimizer}"
        )
    own = set(network.parameters())
    groups = [] if optimizer is None else optimizer.param_groups
    if not all(p in own for group in groups for p in group["params"]):
        raise InputError("the optimizer has parameters that the network does not have")
    for name, function in functions.items():
        if function is not None and not callable(function):
            raise InputError(f"{name} is a function, got {type(function).__name__}")
    if not isinstance(callbacks, Sequence) or not all(map(callable, callbacks)):
        raise InputError(f"callbacks are a list of functions of an epoch, got {callbacks!r}")


def check_device(device: str | torch.device) -> None:
    """Raise InputError unless there is such a device, with what torch says of it."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).split("\n")[0]
        raise InputError(f"the network cannot be moved to {device}: {reason}") from None


def check_applies(network: Network, training: Training, dataset: Dataset) -> None:
    """Raise InputError for a setting that the data set cannot have."""
    check_suits(dataset.name, dataset.events, dataset.every_step, network, training)
    if dataset.classes != network.classes or dataset.input_size != network.body.input_size:
        raise InputError(
            f"{dataset.name} has {dataset.input_size} features and {dataset.classes} classes, the "
            f"network {network.body.input_size} inputs and {network.classes} outputs"
        )
    classes = dataset.train.y[dataset.train.y != UNLABELLED]
    if bool((classes == classes[0]).all()):
        raise InputError(
            f"all labels of {dataset.name} in the training split are "
            f"{dataset.class_names[int(classes[0])]}: there is nothing to tell apart"
        )


def check_suits(
    what: str, events: bool, every_step: bool, network: Network, training: Training
) -> None:
    """Raise InputError for a setting that sequences of this kind cannot have."""
    check_augmentation(what, events, every_step, training)
    if training.carry_state:
        check_carried(network, every_step)


def check_augmentation(what: str, events: bool, every_step: bool, training: Training) -> None:
    """Raise InputError for an augmentation that sequences of this kind cannot have."""
    for name in ("input_noise", "channel_shift", "time_stretch"):
        if getattr(training, name) and events:
            raise InputError(f"{what} holds events, which take no {name}; leave it at 0")
    if training.time_stretch and every_step:
        raise InputError(f"{what} has labels at every step, which time_stretch would move")


def check_can_be_kept(network: Network, file: Path) -> None:
    """Raise an error, or warn, for a network that a checkpoint cannot hold, and for its place."""
    if file.is_dir():
        raise DataError(f"{file} is a folder; a checkpoint is a file")
    there = next(folder for folder in file.absolute().parents if folder.exists())
    if not os.access(there, os.W_OK):
        raise DataError(f"cannot write in {there}; choose another place for {file.name}")
    if any(value.dtype == torch.bfloat16 for value in network.state_dict().values()):
        raise InputError("a checkpoint holds no bfloat16; train in float32, or without checkpoint=")
    if computes_weights(network):
        warnings.warn(
            "load_network cannot rebuild weights that pruning or a parametrization computes; fit "
            "resumes from the checkpoint with them in place",
            stacklevel=3,
        )
