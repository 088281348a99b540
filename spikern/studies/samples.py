"""The samples that a report shows, and how often each class was answered as each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikern.data.dataset import UNLABELLED, Dataset, Split
from spikern.layers.network import Network, parts_of
from spikern.train.batches import before_in_stream


class Sample(NamedTuple):
    """A test sample and what the network named `model` made of it.

    x        (T, F)
    hidden   (T, H) spikes, one array per layer
    readout  (T, C)
    label    the class; or (T,) classes, negative where a step has none
    steps    how many of the T steps the sample has
    """

    model: str
    x: NDArray[Any]
    hidden: Sequence[NDArray[Any]]
    readout: NDArray[Any]
    label: int | NDArray[Any]
    class_names: Sequence[str]
    steps: int


def confusion(labels: Tensor, answers: Tensor, classes: int) -> list[list[int]]:
    """How often each class (row) was answered as each class (column), unlabelled steps left out.

    >>> confusion(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), 2)
    [[1, 0], [1, 1]]
    """
    labelled = labels != UNLABELLED
    pairs = labels[labelled] * classes + answers[labelled]
    counted: list[list[int]] = pairs.bincount(minlength=classes**2).view(classes, classes).tolist()
    return counted


def right_and_wrong(split: Split, answers: Tensor) -> list[int]:
    """The first sequence that is answered best, and the first that is answered worst.

    They are one where all are answered alike.

    >>> split = Split(torch.zeros(1, 3, 1), torch.tensor([0, 1, 1]), torch.ones(3).long())
    >>> right_and_wrong(split, torch.tensor([0, 0, 1]))
    [0, 1]
    """
    labelled = (split.y != UNLABELLED).view(-1, len(split))
    right = (answers == split.y).view(-1, len(split)) & labelled
    share = (right.sum(0) / labelled.sum(0)).numpy()  # NaN without a label
    return list(dict.fromkeys([int(np.nanargmax(share)), int(np.nanargmin(share))]))


def draw_sample(
    name: str, network: Network, dataset: Dataset, index: int, carry_state: bool = False
) -> Sample:
    """One test sequence through a spiking network, for the report's raster.

    With `carry_state`, as in `evaluate`, the sequences before it in its stream come first.
    """
    batch, state = dataset.test.batch([index]), None
    with torch.no_grad():
        for k in before_in_stream(len(dataset.test), index) if carry_state else ():
            earlier = dataset.test.batch([k])
            _, state = network.run(earlier.x, state, earlier.lengths)
        layers = network.hidden(batch.x, batch.lengths, state)
        readout, _ = network.readout(layers[-1], parts_of(state)[1], batch.lengths)
    return Sample(
        model=name,
        x=batch.x[:, 0].numpy(),
        hidden=[z[:, 0].numpy() for z in layers],
        readout=readout[:, 0].numpy(),
        label=batch.y[:, 0].numpy() if dataset.every_step else int(batch.y[0]),
        class_names=dataset.class_names,
        steps=int(batch.lengths[0]),
    )
