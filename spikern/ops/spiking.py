"""Counts of SpikingRNN and Readout: events over synapses, updates read off the equation."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from spikern.engines import trace
from spikern.engines.derive import update_ops
from spikern.layers import SpikingRNN
from spikern.ops.counts import Layer, Storage
from spikern.ops.synapses import Signal, connect, counted, delayed
from spikern.types import NeuronModel, UnsupportedError

KNOWN_WEIGHT = re.compile(
    r"(parametrizations\.)?weight_(ih|hh)_l\d+(_orig|_mask|\.(original\d*|\d+\..*))?"
)
"""A weight by its name, or what torch's pruning or a parametrization makes it from."""


def constants_read(model: NeuronModel) -> int:
    """How many constants one neuron's update reads; 1 - alpha is one of them, computed once.

    >>> from spikern.neurons import LIF
    >>> constants_read(LIF)  # alpha_mem, 1 - alpha_mem, v_th
    3
    """
    program = trace.forward(model)
    once = {op.name for op in trace.constant_ops(program)}
    known = once | {name for name in program.inputs if name.startswith("p_")}
    later = [op for op in trace.needed(program, program.outputs) if op.name not in once]
    return len({a for op in later for a in op.args if a in known})


def spiking_layers(
    module: SpikingRNN, x: Signal, lengths: Tensor, in_play: Tensor, names: list[str], kind: str
) -> tuple[list[Layer], Signal, list[Tensor]]:
    """Run a stack on x and count its layers; also its last output and those of all layers.

    `kind` is that of the connection into the first layer.
    """
    for name, _ in [*module.named_parameters(), *module.named_buffers()]:
        if "weight" in name and not KNOWN_WEIGHT.fullmatch(name):
            raise UnsupportedError(f"no count is known for what crosses {name} of a SpikingRNN")
    outputs, _ = module.unroll(x.values, lengths=lengths)
    layers, arriving = [], x
    for k, (name, out) in enumerate(zip(names, outputs)):
        into = kind if k == 0 else "input"
        connections = [connect(arriving, name, into, getattr(module, f"weight_ih_l{k}"), in_play)]
        arriving = Signal(out, module.neuron.spikes, name)
        if module.recurrent:
            before = arriving._replace(values=delayed(out))
            weight = getattr(module, f"weight_hh_l{k}")
            connections.append(connect(before, name, "recurrent", weight, in_play))
        size, model = module.hidden_size, module.neuron
        uses = counted(in_play)
        fired = (out != 0).cpu() & in_play.unsqueeze(2)
        layers.append(
            Layer(
                name,
                model.name,
                size,
                model.spikes,
                tuple(connections),
                {what: tuple(n * size * u for u in uses) for what, n in update_ops(model).items()},
                uses,
                counted(fired if model.spikes else torch.zeros_like(fired)),
                Storage(
                    states=size * len(set(model.state._fields) - {"z"}),
                    constants=size * constants_read(model),
                    biases=size * int(module.bias),
                ),
            )
        )
    return layers, arriving, outputs
