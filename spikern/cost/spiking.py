"""Counts of SpikingRNN and Readout: events over synapses, updates read off the equation."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from spikern._utils.errors import UnsupportedError
from spikern.cost.counts import Connection, Layer, Storage
from spikern.cost.synapses import Signal, connect, counted, delayed
from spikern.engines.codegen import trace
from spikern.engines.codegen.operations import update_ops
from spikern.engines.codegen.program import constant_ops, needed
from spikern.layers.rnn import SpikingRNN
from spikern.neurons.model import NeuronModel

MADE_OF = r"(parametrizations\.)?(weight_\w+?)(_orig|_mask|\.(original\d*|\d+\..*))?"
"""The name of a weight, or of a tensor from which pruning or a parametrization computes it."""
SPREAD = (
    "a delay that is being learned spreads a spike over several steps, which cannot be counted as "
    "a spike; count the network as it is used, after eval()"
)


def constants_read(model: NeuronModel) -> int:
    """The number of constants that one neuron update reads; 1 - alpha, computed once, is one.

    >>> from spikern.neurons import LIF
    >>> constants_read(LIF)  # alpha_mem, 1 - alpha_mem, v_th
    3
    """
    program = trace.forward(model)
    once = {op.name for op in constant_ops(program)}
    constants = once | {name for name in program.inputs if name.startswith("p_")}
    per_step = [op for op in needed(program, program.outputs) if op.name not in once]
    return len({a for op in per_step for a in op.args if a in constants})


def spiking_layers(
    module: SpikingRNN, x: Signal, lengths: Tensor, valid: Tensor, names: list[str], kind: str
) -> tuple[list[Layer], Signal]:
    """Run a stack on x and count its populations; also return its output.

    `names` are the names of the populations, `kind` is that of the connection into the first layer.
    """
    known = {f"weight_{kind}_{name}" for kind, name in _synapses(module)}
    for name, _ in [*module.named_parameters(), *module.named_buffers()]:
        match = re.fullmatch(MADE_OF, name)
        if "weight" in name and (match is None or match[2] not in known):
            raise UnsupportedError(f"cannot count the connection {name} of a SpikingRNN")
    if module.drops_out:
        raise UnsupportedError(
            "dropout scales the spikes that the next layer gets, which cannot be counted as "
            "spikes; count the network as it is used, after eval()"
        )
    if module.spreads_delays:
        raise UnsupportedError(SPREAD)
    outputs, _ = module.unroll(x.values, lengths=lengths)
    sides = module.directions
    signals = [x]
    for k, out in enumerate(outputs):
        signals.append(Signal(out, module.neurons[k].spikes, names[(k + 1) * sides - 1]))
    layers = []
    for index, name in enumerate(names):
        k, side = divmod(index, sides)
        own = Signal(outputs[k].chunk(sides, -1)[side], module.neurons[k].spikes, name)
        connections = tuple(
            connect(source, name, what, getattr(module, f"{weight}_{module.names[index]}"), valid)
            for what, source, weight in _connections(module, k, side, own, signals, kind)
        )
        layers.append(_layer(module, module.neurons[k], own, connections, valid))
    return layers, signals[-1]


def _synapses(module: SpikingRNN) -> list[tuple[str, str]]:
    """The connections of a stack: ih, sk, hh or fb, and their target population."""
    there = {"ih": True, "sk": module.skip, "hh": module.recurrent, "fb": module.feedback}
    return [
        (kind, name)
        for kind in there
        for name in module.names
        if there[kind] and hasattr(module, f"weight_{kind}_{name}")
    ]


def _connections(
    module: SpikingRNN, k: int, side: int, own: Signal, signals: list[Signal], kind: str
) -> list[tuple[str, Signal, str]]:
    """The connections into a population of layer k: kind, arriving signal, name of the weight.

    `signals` are the input and the outputs of all layers. A recurrent spike arrives one step later,
    or one step earlier where time runs backward. With feedback everything but the input of the
    network arrives one step later. A delay adds its steps.
    """
    below = [("input" if k else kind, signals[k], "weight_ih")]
    if module.skip and k:
        below.append(("skip", signals[k - 1], "weight_sk"))
    arriving = _from_below(module, k, [signal for _, signal, _ in below], signals[0])
    connections = [(what, signal, weight) for (what, _, weight), signal in zip(below, arriving)]
    recurrent = hasattr(module, f"weight_hh_l{k}")
    if recurrent and module.recurrent_delay > 1:
        delayed_own = module.get_submodule(f"delay_hh_l{k}")(own.values)[0]
        connections.append(("recurrent", own._replace(values=delayed_own), "weight_hh"))
    elif recurrent:
        connections.append(("recurrent", _one_step_later(own, backward=side == 1), "weight_hh"))
    if hasattr(module, f"weight_fb_l{k}"):
        connections.append(("feedback", _one_step_later(signals[k + 2]), "weight_fb"))
    return connections


def _from_below(
    module: SpikingRNN, k: int, below: list[Signal], network_input: Signal
) -> list[Signal]:
    """The signals from the layers below layer k as they arrive at it."""
    if module.delay:
        axons = module.get_submodule(f"delay_ih_l{k}")
        arriving, _ = axons(torch.cat([signal.values for signal in below], 2))
        parts = arriving.split([signal.values.shape[2] for signal in below], 2)
        return [signal._replace(values=part) for signal, part in zip(below, parts)]
    if module.feedback:
        return [s if s is network_input else _one_step_later(s) for s in below]
    return below


def _one_step_later(signal: Signal, backward: bool = False) -> Signal:
    """A signal delayed by one step, or advanced where time runs backward."""
    values = signal.values
    return signal._replace(values=delayed(values.flip(0)).flip(0) if backward else delayed(values))


def _layer(
    module: SpikingRNN,
    model: NeuronModel,
    own: Signal,
    connections: tuple[Connection, ...],
    valid: Tensor,
) -> Layer:
    """The counts of one population, from its output and its connections."""
    size = own.values.shape[2]
    uses = counted(valid)
    fired = (own.values != 0).cpu() & valid.unsqueeze(2)
    return Layer(
        own.source,
        model.name,
        size,
        model.spikes,
        connections,
        {what: tuple(n * size * u for u in uses) for what, n in update_ops(model).items()},
        uses,
        counted(fired if model.spikes else torch.zeros_like(fired)),
        Storage(
            states=size * len(set(model.state._fields) - {"z"}),
            constants=size * constants_read(model),
            biases=size * int(module.bias),
        ),
    )
