"""What is trained and judged on: the splits of a data set, or any iterable of batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from spikern._utils.errors import InputError
from spikern._utils.seeds import seeded
from spikern.data.dataset import UNLABELLED, Batch, Split, check_labels, check_shapes
from spikern.events import valid_steps
from spikern.layers.network import Network
from spikern.layers.rnn import SpikingRNN

Given = Split | tuple[Tensor, Tensor] | tuple[Tensor, Tensor, Tensor]
"""Sequences, or their x (T, B, F) and y, (B,) or (T, B), and lengths (B,) if some end early."""
Batches = Iterable[Given]
CALIBRATION_BATCH = 64
STREAMS = 16
"""Streams that a split is read as where the state is carried on."""


class Source(NamedTuple):
    """What an epoch of training reads.

    batches  generator -> the batches of one epoch
    first    generator -> a batch to calibrate on
    number   batches of one epoch; None where it is not known beforehand
    """

    batches: Callable[[torch.Generator], Iterator[Split]]
    first: Callable[[torch.Generator], Split]
    number: int | None


def from_split(split: Split, size: int, carry_state: bool, network: Network) -> Source:
    """Batches of `size` sequences of a split, in an order that the generator draws."""
    place = place_of(network)

    def order(generator: torch.Generator) -> Tensor:
        return torch.randperm(len(split), generator=generator)

    def batches(generator: torch.Generator) -> Iterator[Split]:
        chosen = streams(len(split), size) if carry_state else torch.split(order(generator), size)
        return (split.select(indices).to(*place) for indices in chosen)

    def first(generator: torch.Generator) -> Split:
        return split.select(order(generator)[:CALIBRATION_BATCH]).to(*place)

    number = -(-len(split) // min(size, len(split)))
    return Source(batches, first, number)


def from_batches(given: Batches, network: Network) -> Source:
    """The batches of an iterable, checked, where the network is."""
    check_repeatable(given)

    def batches(generator: torch.Generator) -> Iterator[Split]:
        return checked(given, network)

    def first(generator: torch.Generator) -> Split:
        with seeded(generator.initial_seed()):
            for batch in batches(generator):
                return batch
        raise InputError("there is no batch to train on")

    try:
        number = len(given)  # type: ignore[arg-type]
    except TypeError:  # of an iterable, and of a DataLoader of one
        number = None
    return Source(batches, first, number)


def place_of(network: Network) -> tuple[torch.device, torch.dtype]:
    """The device and the type of the weights, which an input shares."""
    weight = next(network.parameters())
    return weight.device, weight.dtype


def checked(batches: Batches, network: Network) -> Iterator[Split]:
    """The batches, where the network is. Raises InputError for one that is not `Given`."""
    device, dtype = place_of(network)
    for k, given in enumerate(batches):
        where = f"batch {k + 1}"
        batch = _batch(where, given)
        check_shapes(where, batch, batch.y.ndim == 2, dtype)
        check_labels(where, batch, network.classes)
        yield batch.to(device)


def check_split(where: str, split: Split, network: Network) -> None:
    """Raise InputError for a split that the network cannot be judged on."""
    dtype = split.x.dtype if isinstance(split.x, Tensor) else torch.float32
    check_shapes(where, split, isinstance(split.y, Tensor) and split.y.ndim == 2, dtype)
    check_labels(where, split, network.classes)
    if split.x.shape[2] != network.body.input_size:
        raise InputError(
            f"{where} has {split.x.shape[2]} features, the network {network.body.input_size} inputs"
        )
    if bool((split.y == UNLABELLED).all()):
        raise InputError(f"no answer can be judged: {len(split)} sequences have no label")


def _batch(where: str, given: Given) -> Split:
    if isinstance(given, Split):
        return given
    parts = tuple(given) if isinstance(given, (tuple, list)) else ()
    if len(parts) not in (2, 3) or not all(isinstance(part, Tensor) for part in parts):
        kinds = ", ".join(type(part).__name__ for part in parts)
        raise InputError(
            f"{where}: expected a Batch, (x, y) or (x, y, lengths) of tensors, got "
            f"{type(given).__name__}{f' of {kinds}' if parts else ''}; give the DataLoader a "
            f"collate_fn, or make tensors of arrays by torch.from_numpy"
        )
    x, y = parts[:2]
    if x.ndim != 3 or y.ndim not in (1, 2) or x.shape[1] != y.shape[-1]:
        raise InputError(
            f"{where}: expected x (T, B, F) with y (B,) or (T, B), got x {tuple(x.shape)} and "
            f"y {tuple(y.shape)}; sequences lie along the second axis, as collate puts them"
        )
    full = torch.full((x.shape[1],), len(x))
    return Batch(x, y, parts[2] if len(parts) == 3 else full)


def check_repeatable(batches: Batches) -> None:
    """Raise InputError for no batches, and for a generator, of which an epoch leaves nothing."""
    check_batches(batches)
    if isinstance(batches, Iterator):
        raise InputError(
            f"a {type(batches).__name__} ends after one epoch; pass a DataLoader or a list"
        )


def check_batches(batches: Batches) -> None:
    """Raise InputError for what holds no batches, or is itself one."""
    arrays = (Tensor, np.ndarray)
    if isinstance(batches, tuple) and batches and all(isinstance(b, arrays) for b in batches):
        raise InputError("expected an iterable of batches, got one batch: give [(x, y)]")
    if not isinstance(batches, Iterable) or isinstance(batches, arrays):
        raise InputError(f"expected an iterable of batches, got {type(batches).__name__}")
    if isinstance(batches, Sequence) and not batches:
        raise InputError("expected batches, got none")


def streams(number: int, count: int) -> list[Tensor]:
    """Batches that read consecutive sequences 0..number - 1 as `count` streams, the longest first.

    >>> [batch.tolist() for batch in streams(5, 2)]
    [[0, 3], [1, 4], [2]]
    """
    parts = _parts(number, count)
    return [torch.stack([part[k] for part in parts if k < len(part)]) for k in range(len(parts[0]))]


def _parts(number: int, count: int) -> Sequence[Tensor]:
    """Sequences 0..number - 1 as at most `count` streams of consecutive ones."""
    return torch.tensor_split(torch.arange(number), min(count, number) or 1)


def before_in_stream(number: int, index: int) -> list[int]:
    """The sequences that are read before one of 0..number - 1 where the state is carried on.

    >>> before_in_stream(40, 5)
    [3, 4]
    """
    (own,) = (part for part in _parts(number, STREAMS) if int(part[0]) <= index <= int(part[-1]))
    return list(range(int(own[0]), index))


def carried(state: Any, batch: int) -> Any:
    """A state, without its gradient, for the first `batch` samples of those that it is of."""
    if state is None:
        return None
    if isinstance(state, Tensor):
        if state.shape[1] < batch:
            raise InputError(
                f"a state of {state.shape[1]} sequences cannot be carried to {batch}; batches "
                f"may only become smaller"
            )
        return state.detach()[:, :batch]
    fields = [carried(field, batch) for field in state]
    return type(state)(*fields) if hasattr(state, "_fields") else tuple(fields)


def in_order(split: Split, batch_size: int, carry_state: bool) -> list[Tensor]:
    """The indices of the batches in which a split is judged."""
    if carry_state:
        return streams(len(split), STREAMS)
    return list(torch.split(torch.arange(len(split)), batch_size))


def check_carried(network: Network, every_step: bool) -> None:
    """Raise InputError unless a state can be carried from one sequence to the next."""
    if not every_step:
        raise InputError("carry_state needs a label at every step: sequences are parts of one")
    if isinstance(network.body, SpikingRNN) and network.body.bidirectional:
        raise InputError(
            "carry_state needs layers that run forward alone; build them with bidirectional=False"
        )


def labels_of(batch: Split, logits: Tensor) -> Tensor:
    """The labels of a batch in the form of its logits: a sequence's own at each of its steps.

    Raises InputError for labels per step where there is one answer per sequence.
    """
    if batch.y.ndim == 2 and logits.ndim == 2:
        raise InputError(
            "there is a label for every step, and one answer per sequence; build the network with "
            "answer='every_step'"
        )
    if logits.ndim == 2 or batch.y.ndim == 2:
        return batch.y
    return torch.where(valid_steps(batch.lengths, len(logits)), batch.y, UNLABELLED)
