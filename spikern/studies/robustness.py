"""Robustness of a trained network to input noise, dropped events and disturbed weights.

Every disturbance is a pure function of what it disturbs, a level and a seed; level 0 changes
nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from spikern._utils.choices import check_choice
from spikern._utils.errors import InputError
from spikern.data.dataset import Dataset, Split
from spikern.events.trains import dense, valid_steps
from spikern.layers.arguments import is_weight
from spikern.layers.connectivity import existing_matrix, synapses_of
from spikern.layers.network import Network
from spikern.train.evaluation import evaluate


def noisy(split: Split, level: float, seed: int) -> Split:
    """An analog split with Gaussian noise of deviation `level` on every valid step.

        x' = x + level n,   n ~ N(0, 1)

    Raises InputError for a level that is negative or not finite.

    >>> split = Split(torch.zeros(3, 1, 1), torch.tensor([0]), torch.tensor([2]))
    >>> noisy(split, 1.0, seed=0).x.flatten()[2]
    tensor(0.)
    """
    if not 0 <= level < float("inf"):
        raise InputError(f"noise must be 0 or more and finite, got {level}")
    noise = torch.randn(split.x.shape, generator=_generator(seed))
    valid = valid_steps(split.lengths, len(split.x)).unsqueeze(2)
    return replace(split, x=dense(split.x) + level * noise * valid)


def dropped(split: Split, level: float, seed: int) -> Split:
    """A split of events, each of which is lost with probability `level`.

    Raises InputError for a level outside 0..1.

    >>> split = Split(torch.ones(4, 1, 1), torch.tensor([0]), torch.tensor([4]))
    >>> float(dropped(split, 1.0, seed=0).x.sum())
    0.0
    """
    if not 0 <= level <= 1:
        raise InputError(f"the share of dropped events lies in 0..1, got {level}")
    kept = torch.rand(split.x.shape, generator=_generator(seed)) >= level
    return replace(split, x=dense(split.x) * kept)


def disturbed(network: Network, level: float, seed: int) -> Network:
    """A copy of a network with noise on every weight, in deviations of its own matrix.

        w' = w + level std(w) n,   n ~ N(0, 1)

    Where there is no synapse there is no weight, and none gets one. Biases and time constants stay
    as they are. Raises InputError for a level that is negative or not finite.

    >>> from spikern.layers import build
    >>> network = build("LIF", 2, 4, 2)
    >>> other = disturbed(network, 0.1, seed=0)
    >>> torch.equal(other.body.weight_ih_l0, network.body.weight_ih_l0)
    False
    """
    if not 0 <= level < float("inf"):
        raise InputError(f"a disturbance must be 0 or more and finite, got {level}")
    other = copy.deepcopy(network)
    generator = _generator(seed)
    with torch.no_grad():
        for module in other.modules():
            for name, weight in module.named_parameters(recurse=False):
                if is_weight(name):
                    noise = torch.randn(weight.shape, generator=generator)
                    weight.add_(level * _deviation(module, name) * noise)
                    weight.copy_(existing_matrix(module, name))
    return other


def _deviation(module: nn.Module, name: str) -> Tensor:
    """The deviation of the weights of the synapses that exist."""
    synapses, weight = synapses_of(module, name), module.get_parameter(name)
    values = weight if synapses is None else weight[synapses[:, 1], synapses[:, 0]]
    return values.std(correction=0)


DISTURBANCES = ("input noise", "dropped events", "weights")


def robustness(
    network: Network,
    dataset: Dataset,
    disturbance: str,
    levels: Sequence[float],
    seed: int = 0,
    carry_state: bool = False,
) -> dict[float, float]:
    """Test accuracy at every level of "input noise", "dropped events" or "weights".

    Nothing may be chosen by what it returns. Raises InputError for a disturbance that the data
    do not have. `carry_state` is that of `spikern.train.evaluate`.
    """
    check_choice("disturbance", disturbance, DISTURBANCES)
    if disturbance == "input noise" and dataset.events:
        raise InputError(f"{dataset.name} holds events, which take no noise; drop some instead")
    if disturbance == "dropped events" and not dataset.events:
        raise InputError(f"{dataset.name} is analog and has no events to drop; add noise instead")

    def accuracy(level: float) -> float:
        changed, test = network, dataset.test
        if disturbance == "weights":
            changed = disturbed(network, level, seed)
        else:
            test = (noisy if disturbance == "input noise" else dropped)(test, level, seed)
        return evaluate(changed, test, carry_state=carry_state).accuracy

    return {level: accuracy(level) for level in levels}


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
