"""The twin pruned to the connection density of another network, then trained on.

The smallest weights of all connections together go (global magnitude), exactly as many as the
density says; biases stay. While the mask is held a pruned weight has no gradient, so Adam, whose
moments start at zero, leaves it at exactly zero, with weight decay or without.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from spikern.data.dataset import Dataset
from spikern.network import Network
from spikern.train import History, Training, evaluate, fit
from spikern.types import InputError


class Pruned(NamedTuple):
    """A pruned network, its density, what fine-tuning did, and its accuracy on the test split."""

    network: Network
    density: float
    history: History
    test_accuracy: float


def connections(network: Network) -> dict[str, Tensor]:
    """The weight matrices of a network by name."""
    return {
        name: p for name, p in network.named_parameters() if p.ndim == 2 and "weight" in name
    }  # fmt: skip


def density(network: Network) -> float:
    """The share of a network's connections that exist, that is, whose weight is not zero.

    >>> from spikern import build
    >>> density(build("LIF", 3, 8, 2))
    1.0
    """
    weights = connections(network).values()
    return sum(int(w.count_nonzero()) for w in weights) / sum(w.numel() for w in weights)


def magnitude_masks(weights: Mapping[str, Tensor], kept: float) -> dict[str, Tensor]:
    """Which weights stay: the `kept` share with the largest magnitude of all together.

    >>> magnitude_masks({"a": torch.tensor([[3.0, -1.0]]), "b": torch.tensor([[0.5, -2.0]])}, 0.5)
    {'a': tensor([[ True, False]]), 'b': tensor([[False,  True]])}
    """
    if not 0 < kept <= 1:
        raise InputError(f"the density of a pruned network lies in 0..1, got {kept}")
    flat = torch.cat([w.detach().abs().flatten() for w in weights.values()])
    mask = torch.zeros_like(flat, dtype=torch.bool)
    mask[flat.topk(round(kept * len(flat))).indices] = True
    parts = torch.split(mask, [w.numel() for w in weights.values()])
    return {name: part.view_as(w) for (name, w), part in zip(weights.items(), parts)}


@contextmanager
def held(network: Network, masks: Mapping[str, Tensor]) -> Iterator[None]:
    """Inside, the weights outside of their masks are zero and stay it."""
    hooks = []
    for name, weight in connections(network).items():
        mask = masks[name].to(weight.dtype)
        with torch.no_grad():
            weight.mul_(mask)
        hooks.append(weight.register_hook(partial(torch.mul, mask)))  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def prune(
    network: Network, kept: float, dataset: Dataset, training: Training, seed: int = 0
) -> Pruned:
    """A copy of a trained standard network, pruned to the density `kept` and fine-tuned.

    `training` says for how many epochs; the epoch with the best validation accuracy is kept,
    and the test split is looked at once.

    Raises InputError for a spiking network, or a density outside 0..1.
    """
    if network.spiking:
        raise InputError("the pruned twin is an RNN, GRU or LSTM; got a spiking network")
    pruned = copy.deepcopy(network)
    with held(pruned, magnitude_masks(connections(pruned), kept)):
        history = fit(pruned, dataset, training, seed)
    return Pruned(pruned, density(pruned), history, evaluate(pruned, dataset.test).accuracy)
