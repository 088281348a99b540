"""Populations of neurons, which every engine runs: one above the other, or merged by feedback.

    i_t = w_in x_t + w_rec z_{t-1} + bias,    x_t the input, or the spikes of the population below

Layers with feedback are merged to one population, in which every connection takes a step:

    i^k_t = w_in^k z^{k-1}_{t-1} + w_rec^k z^k_{t-1} + w_fb^k z^{k+1}_{t-1} + bias^k

The lowest layer has the input x_t in place of z^{k-1}_{t-1}. With skip connections layer k receives
z^{k-2}_{t-1} too, and layer 1 the input x_t. The layers follow each other in the rows and columns
of the recurrent matrix (to, from); the neurons of the last one are the output. So every engine runs
feedback as it runs recurrence, with the same meaning.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from spikern._utils.errors import InputError
from spikern.engines.experts import Router, Routing
from spikern.events.trains import Input
from spikern.neurons.model import NeuronModel, Params, State
from spikern.neurons.surrogate import Surrogate

SPARSE = 0.06
"""The share of synapses below which the recurrence of up to 256 neurons is a list of synapses,
otherwise rows with zeros; it grows with the root of their number, see decisions.md."""


class Delays(NamedTuple):
    """Recurrent axons of different length, and what is under way on them.

    steps   (H,) after how many steps a spike of each neuron arrives, whole numbers from 1 to D
    before  (D, B, H) the last D outputs before the first step
    """

    steps: Tensor
    before: Tensor


def last_values(before: Tensor, x: Tensor, lengths: Tensor | None) -> Tensor:
    """The last D values of before (D, B, F) and x (T, B, F) up to each sample's end.

    >>> before, x = torch.zeros(2, 1, 1), torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    >>> last_values(before, x, torch.tensor([1])).flatten()
    tensor([0., 1.])
    """
    history = torch.cat([before, x])
    if lengths is None:
        return history[len(x) :]
    at = torch.arange(len(before), device=x.device).unsqueeze(1) + lengths
    return history.gather(0, at.unsqueeze(2).expand_as(before))


class Spread(NamedTuple):
    """Recurrent axons on which a spike arrives spread over steps, as while delays are learned.

    shares  (D, H) what of a spike of each neuron arrives after 1 to D steps
    before  (D, B, H) the last D outputs before the first step
    """

    shares: Tensor
    before: Tensor


class Population(NamedTuple):
    """Neurons of one kind with their constants, each (H,), and weights, (to, from) as in torch.

    w_in (H, F), bias (H,) or None, w_rec (H, H) or None. `synapses` (N, 2) lists the recurrent
    synapses that exist as (from, to), ascending; None if all do. `router` wakes groups of neurons;
    None: all are awake. `delays` says when a recurrent spike arrives; None: after one step.
    """

    model: NeuronModel
    surrogate: Surrogate
    params: Params
    w_in: Tensor
    bias: Tensor | None
    w_rec: Tensor | None
    synapses: Tensor | None = None
    router: Router | None = None
    delays: Delays | Spread | None = None


class RunResult(NamedTuple):
    """The result of a run.

    out       (T, B, H) of the last population, zero past a sample's length
    states    the state of every population after each sample's last step
    spikes    (H,) of every population that spikes: the spikes of each neuron, over samples and
              steps
    buffers   (D, B, A) of every population with A axons that take several steps: the last D values
              that they were given
    routings  what every learned router did
    """

    out: Tensor
    states: list[State]
    spikes: list[Tensor]
    buffers: Sequence[Tensor] = ()
    routings: Sequence[Routing] = ()


def is_transformed() -> bool:
    """Whether a transform of torch.func or forward-mode differentiation runs the caller."""
    return not torch.compiler.is_compiling() and (
        forward_ad._current_level >= 0 or torch._C._are_functorch_transforms_active()
    )


def check_shapes(populations: Sequence[Population], x: Input) -> None:
    """Raise InputError unless the weights and constants of populations fit each other and x.

    All have the type and device of the first weights.

    Kernels read arrays by these shapes. A layer makes them right, but its parameters, and the
    layers of a network, can be replaced. States are checked where a layer takes them.
    """
    features, first = x.shape[2], populations[0].w_in
    kind = first.dtype, first.device
    for k, p in enumerate(populations):
        hidden = len(p.w_in)
        arrays = [
            ("weight_ih", p.w_in, (hidden, features)),
            ("weight_hh", p.w_rec, (hidden, hidden)),
            ("bias", p.bias, (hidden,)),
            *(
                [("weight_rt", p.router.weight, (len(p.router.weight), features))]
                if p.router
                else []
            ),
            *((name, value, (hidden,)) for name, value in zip(p.params._fields, p.params)),
        ]
        for name, tensor, shape in arrays:
            if tensor is not None and tensor.shape != shape:
                raise InputError(
                    f"population {k} of {hidden} {p.model.name} on {features} inputs: expected "
                    f"{name} as {shape}, got {tuple(tensor.shape)}"
                )
            if tensor is not None and (tensor.dtype, tensor.device) != kind:
                raise InputError(
                    f"population {k} of {hidden} {p.model.name}: expected {name} as {kind[0]} on "
                    f"{kind[1]}, like the first weights, got {tensor.dtype} on {tensor.device}"
                )
        if p.delays is not None and p.delays[0].shape[-1] != hidden:
            raise InputError(
                f"population {k} of {hidden} {p.model.name}: expected a delay for each neuron, got "
                f"delays of shape {tuple(p.delays[0].shape)}"
            )
        if p.router is not None and p.synapses is not None:
            raise InputError(f"population {k} has a router, and a recurrence of some synapses")
        features = hidden


def is_sparse(population: Population) -> bool:
    """Whether the kernels keep the recurrent weights as a list of synapses."""
    synapses = population.synapses
    return synapses is not None and _few(len(synapses), len(population.w_in))


def _few(synapses: int, width: int) -> bool:
    """Whether this many recurrent synapses are kept as a list."""
    return synapses < SPARSE * max(1.0, math.sqrt(width / 256)) * width**2


def existing_weights(weight: Tensor, synapses: Tensor | None) -> Tensor:
    """The weights (to, from) of the synapses that exist, the others zero."""
    if synapses is None:
        return weight
    presynaptic, postsynaptic = synapses.long().unbind(1)
    exists = torch.zeros_like(weight)
    exists[postsynaptic, presynaptic] = 1.0
    return weight * exists


def recurrent_weights(population: Population) -> Tensor | None:
    """The recurrent weights (H, H) that exist, the others zero; None if there are none."""
    if population.w_rec is None:
        return None
    return existing_weights(population.w_rec, population.synapses)


class Bundle(NamedTuple):
    """Synapses between two layers: weight (to, from); `synapses` as in `Population`."""

    weight: Tensor
    synapses: Tensor | None


def merge(populations: Sequence[Population], feedback: Sequence[Bundle | None]) -> Population:
    """Layers of one neuron and surrogate as one population; feedback[k] leads from k + 1 to k, if
    it is not None.

    The columns of w_in of a layer are the layer below and then, with skip connections, the one
    below that.
    """
    first = populations[0]
    widths = [len(p.w_in) for p in populations]
    outside = [first.w_in, first.w_in.new_zeros(sum(widths[1:]), first.w_in.shape[1])]
    blocks: dict[tuple[int, int], Bundle] = {}
    for k, p in enumerate(populations):
        if p.w_rec is not None:
            blocks[k, k] = Bundle(p.w_rec, p.synapses)
        if k:
            below, skipped = p.w_in[:, : widths[k - 1]], p.w_in[:, widths[k - 1] :]
            blocks[k, k - 1] = Bundle(below, None)
            if (above := feedback[k - 1]) is not None:
                blocks[k - 1, k] = above
            if k == 1 and skipped.numel():
                outside[1:] = [skipped, outside[1][widths[1] :]]
            elif skipped.numel():
                blocks[k, k - 2] = Bundle(skipped, None)
    rows = [
        torch.cat(
            [
                existing_weights(*blocks[k, j])
                if (k, j) in blocks
                else first.w_in.new_zeros(to, width)
                for j, width in enumerate(widths)
            ],
            1,
        )
        for k, to in enumerate(widths)
    ]
    biases = [p.bias for p in populations if p.bias is not None]
    return first._replace(
        params=type(first.params)(*(torch.cat(c) for c in zip(*(p.params for p in populations)))),
        w_in=torch.cat(outside),
        bias=torch.cat(biases) if biases else None,
        w_rec=torch.cat(rows),
        synapses=_synapses(blocks, widths),
    )


def _synapses(blocks: dict[tuple[int, int], Bundle], widths: Sequence[int]) -> Tensor | None:
    """The synapses of all blocks as (from, to), ascending; None if they are not sparse."""
    width = sum(widths)
    sizes = (b.weight.numel() if b.synapses is None else len(b.synapses) for b in blocks.values())
    if not _few(sum(sizes), width):
        return None
    begins = [0, *accumulate(widths)]
    lists = []
    for (k, j), bundle in blocks.items():
        synapses = bundle.synapses
        if synapses is None:
            ranges = (torch.arange(n, device=bundle.weight.device) for n in bundle.weight.T.shape)
            synapses = torch.cartesian_prod(*ranges)
        lists.append(synapses + synapses.new_tensor([begins[j], begins[k]]))
    merged = torch.cat(lists)
    return merged[(merged[:, 0] * width + merged[:, 1]).argsort()]


def merge_states(states: Sequence[State]) -> State:
    """The states of all layers as that of the merged population, fields side by side."""
    return type(states[0])(*(torch.cat(fields, -1) for fields in zip(*states)))


def split_result(result: RunResult, widths: Sequence[int]) -> tuple[list[Tensor], RunResult]:
    """The output of every layer (T, B, H), and the merged population's result layer by layer."""
    sizes = list(widths)
    outputs = torch.split(result.out, sizes, -1)
    (state,) = result.states
    fields = zip(*(torch.split(field, sizes, -1) for field in state))
    states = [type(state)(*each) for each in fields]
    spikes = [n for total in result.spikes for n in torch.split(total, sizes)]
    return list(outputs), RunResult(outputs[-1], states, spikes)
