"""Memories of labelled sequences: a class is learned from a few examples, without training.

    key     for every hidden unit and level, whether the unit's mean over the last steps of the
            sequence, of a spiking unit its rate there, is above that quantile of the unit over the
            stored sequences; the distance of two keys is the number of quantiles between them,
            summed over the units
    value   the label

The search is exact: such memories are small. A class of which more examples are stored is nearer by
chance; `examples` draws equally many of each.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from spikern._utils.choices import check_type
from spikern._utils.errors import InputError
from spikern._utils.numbers import check_counts
from spikern.data.dataset import UNLABELLED, Batch, Split
from spikern.events.trains import Input
from spikern.layers.arguments import Lengths, as_lengths
from spikern.layers.network import Network
from spikern.retrieval.mixing import Floats
from spikern.retrieval.remembering import check_split, run
from spikern.retrieval.search import Words, nearest_of_all, packed, votes
from spikern.train.batches import place_of


class ClassMemory(NamedTuple):
    """What `remember_classes` returns.

    keys        (N, W) words of 64 bits
    values      (N,) the labels
    thresholds  (levels, H) the quantiles of every unit
    steps       last steps over which a unit's mean is taken
    spiking     whether the units are those of a spiking network
    """

    keys: Words
    values: NDArray[np.int32]
    thresholds: NDArray[np.float32]
    steps: int
    spiking: bool


def examples(data: Split, number: int, seed: int = 0) -> Batch:
    """Draw this many sequences of each class of a split; InputError if a class has fewer.

    >>> from spikern import load
    >>> len(examples(load("digits").train, 5))
    50
    """
    check_counts(number=number)
    check_split(data)
    check_labels(data)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(data), generator=generator)
    drawn = []
    for label in sorted(set(data.y.tolist())):
        own = order[data.y[order] == label]
        if len(own) < number:
            raise InputError(f"class {label} has {len(own)} sequences, {number} were asked for")
        drawn.append(own[:number])
    return data.batch(torch.cat(drawn))


def check_labels(data: Split | Batch) -> None:
    """Raise InputError unless every sequence has one label."""
    if data.y.ndim != 1 or bool((data.y == UNLABELLED).any()):
        raise InputError("expected one label per sequence; texts are for `remember`")


def means(network: Network, x: Input, lengths: Lengths | None, steps: int) -> NDArray[np.float32]:
    """The mean of every hidden unit over the last `steps` of each sample, or all it has, (B, H)."""
    hidden, *_ = run(network, x, None, lengths)
    full = [len(hidden)] * hidden.shape[1]
    ends = as_lengths(full if lengths is None else lengths).to(hidden.device)
    to_end = ends - torch.arange(len(hidden), device=hidden.device)[:, None]
    within = ((to_end > 0) & (to_end <= steps)).unsqueeze(2)
    averaged: NDArray[np.float32] = ((hidden * within).sum(0) / within.sum(0)).cpu().numpy()
    return averaged


def remember_classes(
    network: Network, data: Batch, steps: int = 16, levels: int = 7,
    beside: ClassMemory | None = None,
) -> ClassMemory:  # fmt: skip
    """Store a key for each sequence of a batch, with its label.

    With `beside`, the sequences are added to a memory, whose steps and quantiles stay as they are:
    so a class is learned that the network was not trained on. Raises InputError for labels at every
    step.

    >>> from spikern import build, load
    >>> digits = load("digits")
    >>> network = build("LIF", digits.input_size, 16, digits.classes)
    >>> memory = remember_classes(network, examples(digits.train, 5))
    >>> recall_classes(network, memory, digits.test.batch([0, 1]).x).shape
    (2, 10)
    """
    check_counts(steps=steps, levels=levels)
    check_type("data", data, Split)
    check_labels(data)
    if beside is not None:
        steps = beside.steps
    here = data.to(*place_of(network))
    seen = means(network, here.x, here.lengths, steps)
    if beside is not None:
        check_fit(network, seen, beside)
    values = data.y.cpu().numpy().astype(np.int32)
    if beside is None:
        share = np.arange(1, levels + 1) / (levels + 1)
        quantiles = np.quantile(seen, share, 0).astype(np.float32)
        return ClassMemory(above(seen, quantiles), values, quantiles, steps, network.spiking)
    keys = np.concatenate([beside.keys, above(seen, beside.thresholds)])
    return beside._replace(keys=keys, values=np.concatenate([beside.values, values]))


def recall_classes(
    network: Network, memory: ClassMemory, x: Input, lengths: Lengths | None = None,
    nearest: int = 3, tau: float = 16.0,
) -> Floats:  # fmt: skip
    """Return the probabilities (B, C) of the classes, by the nearest stored sequences alone.

    C is one more than the largest label, if the network has not as many outputs. `tau` is the
    distance over which a weight falls to 1/e. Raises InputError for a memory of another network.
    """
    check_counts(nearest=nearest)
    if not tau > 0:
        raise InputError(f"tau must be above 0, got {tau}")
    seen = means(network, x, lengths, memory.steps)
    check_fit(network, seen, memory)
    queries = above(seen, memory.thresholds)
    found = nearest_of_all(queries, memory.keys, nearest)
    classes = max(network.classes, int(memory.values.max()) + 1)
    return votes(found, memory.values, classes, tau)


def check_fit(network: Network, seen: NDArray[np.float32], memory: ClassMemory) -> None:
    """Raise InputError for means (B, H) of a network of another width or kind than the memory's."""
    wide, hidden = memory.thresholds.shape[1], seen.shape[1]
    if (wide, memory.spiking) != (hidden, network.spiking):
        of, own = ("spiking" if s else "standard" for s in (memory.spiking, network.spiking))
        raise InputError(
            f"the memory is of {wide} hidden outputs of a {of} network, this {own} network has "
            f"{hidden}; remember with the network itself"
        )


def above(seen: NDArray[np.float32], thresholds: NDArray[np.float32]) -> Words:
    """Pack whether means (B, H) are above the quantiles (levels, H) into keys (B, W)."""
    return packed((seen[:, None] > thresholds).reshape(len(seen), -1))
