"""Populations of neurons, which every engine runs: one above the other, or merged by feedback.

i_t = w_in x_t + w_rec z_{t-1} + bias,    x_t the input, or the spikes of the population below

i^k_t = w_in^k z^{k-1}_{t-1} + w_rec^k z^k_{t-1} + w_fb^k z^{k+1}_{t-1} + bias^k

The lowest layer has the input x_t in place of z^{k-1}_{t-1}. With skip connections layer k hears
z^{k-2}_{t-1} too, and layer 1 the input x_t. Layer k is rows and columns
k H .. (k + 1) H of the recurrent matrix (to, from); the last H neurons are the output. So every
engine runs feedback as it runs recurrence, and all of them mean the same by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from spikern.events.trains import Events
from spikern.neurons.model import NeuronModel, Params, State
from spikern.neurons.surrogate import Surrogate


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


class Bundle(NamedTuple):
    """Synapses between two layers: weight (H, H) as (to, from); `links` as in `Population`."""

    weight: Tensor
    links: Tensor | None


def merged(populations: Sequence[Population], feedback: Sequence[Bundle]) -> Population:
    """Layers of one neuron and size as one population; feedback[k] leads from k + 1 to k.

    What a layer hears from below is the one there and then, if it skips, the one below that.
    """
    first = populations[0]
    count, hidden = len(populations), len(first.w_in)
    outside = [first.w_in, first.w_in.new_zeros((count - 1) * hidden, first.w_in.shape[1])]
    blocks: dict[tuple[int, int], Bundle] = {}
    for k, p in enumerate(populations):
        if p.w_rec is not None:
            blocks[k, k] = Bundle(p.w_rec, p.links)
        if k:
            below, beyond = p.w_in[:, :hidden], p.w_in[:, hidden:]
            blocks[k, k - 1] = Bundle(below, None)
            blocks[k - 1, k] = feedback[k - 1]
            if k == 1 and beyond.numel():
                outside[1:] = [beyond, outside[1][hidden:]]
            elif beyond.numel():
                blocks[k, k - 2] = Bundle(beyond, None)
    nothing = first.w_in.new_zeros(hidden, hidden)
    rows = [
        torch.cat(
            [existing(*blocks[k, j]) if (k, j) in blocks else nothing for j in range(count)], 1
        )
        for k in range(count)
    ]
    biases = [p.bias for p in populations if p.bias is not None]
    return first._replace(
        params=type(first.params)(*(torch.cat(c) for c in zip(*(p.params for p in populations)))),
        w_in=torch.cat(outside),
        bias=torch.cat(biases) if biases else None,
        w_rec=torch.cat(rows),
        links=_links(blocks, count, hidden),
    )


def _links(blocks: dict[tuple[int, int], Bundle], count: int, hidden: int) -> Tensor | None:
    """The synapses of all blocks as (from, to), ascending; None if too many for a list to pay."""
    width = count * hidden
    known = sum(hidden**2 if b.links is None else len(b.links) for b in blocks.values())
    if known >= LINKED * width**2:
        return None
    found = []
    for (k, j), bundle in blocks.items():
        links = bundle.links
        if links is None:
            links = torch.ones_like(bundle.weight, dtype=torch.bool).nonzero()
        found.append(links + links.new_tensor([j * hidden, k * hidden]))
    whole = torch.cat(found)
    return whole[(whole[:, 0] * width + whole[:, 1]).argsort()]


def together(states: Sequence[State]) -> State:
    """The states of all layers as that of the merged population, (B, L H)."""
    return type(states[0])(*(torch.cat(fields, -1) for fields in zip(*states)))


def apart(made: Outcome, count: int) -> tuple[list[Tensor], Outcome]:
    """The output of every layer (T, B, H), and what the merged population did, layer by layer."""
    outputs = made.out.chunk(count, -1)
    fields = zip(*(field.chunk(count, -1) for field in made.states[0]))
    states = [type(made.states[0])(*each) for each in fields]
    spikes = [n for total in made.spikes for n in total.chunk(count)]
    return list(outputs), Outcome(outputs[-1], states, spikes)
