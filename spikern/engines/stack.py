"""A stack of populations, what every engine runs: each receives the spikes of the one below.

i_t = w_in x_t + w_rec z_{t-1} + bias,    x_t the input, or the spikes of the population below
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from spikern.events import Events
from spikern.surrogate import Surrogate
from spikern.types import NeuronModel, Params, State


class Population(NamedTuple):
    """Neurons of one kind with their constants, each (H,), and weights, (to, from) as in torch.

    w_in (H, F), bias (H,) or None, w_rec (H, H) or None. `links` (N, 2) lists the recurrent
    synapses that exist as (from, to), ascending; None if all do.
    """

    model: NeuronModel
    surrogate: Surrogate
    params: Params
    w_in: Tensor
    bias: Tensor | None
    w_rec: Tensor | None
    links: Tensor | None = None


class Outcome(NamedTuple):
    """What a run gives.

    out     (T, B, H) of the last population, zero past a sample's length
    states  the state of every population after each sample's last step
    spikes  (H,) of every population that fires: how often each neuron did, over samples and steps
    line    (D, B, A) what is under way on A axons that take several steps; None if none does
    """

    out: Tensor
    states: list[State]
    spikes: list[Tensor]
    line: Tensor | None = None


Input = Tensor | Events
"""(T, B, F): a tensor, or the events of one."""


def dense(x: Input) -> Tensor:
    """An input as a tensor (T, B, F)."""
    return x.to_dense() if isinstance(x, Events) else x


LINKED = 0.05
"""Recurrence sparser than this is kept as links, denser as rows with zeros; see decisions.md."""


def is_linked(population: Population) -> bool:
    """Whether the kernels keep the recurrent weights as links."""
    links = population.links
    return links is not None and len(links) < LINKED * len(population.w_in) ** 2


def existing(weight: Tensor, links: Tensor | None) -> Tensor:
    """The weights (to, from) of synapses that exist, the others zero; `links` as above."""
    if links is None:
        return weight
    source, target = links.long().unbind(1)
    exists = torch.zeros_like(weight)
    exists[target, source] = 1.0
    return weight * exists


def recurrence(population: Population) -> Tensor | None:
    """The recurrent weights (H, H) that exist, the others zero; None if there are none."""
    return None if population.w_rec is None else existing(population.w_rec, population.links)
