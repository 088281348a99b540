"""Counts of SpikingRNN and Readout: events over synapses, updates read off the equation."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from spikern._utils.errors import UnsupportedError
from spikern.cost.counts import Connection, Layer, Storage
from spikern.cost.routing import awake_groups, with_decay, with_router
from spikern.cost.synapses import Signal, connect, counted, one_step_later
from spikern.engines.codegen import trace
from spikern.engines.codegen.operations import update_ops
from spikern.engines.codegen.program import constant_ops, needed
from spikern.layers.arguments import is_weight
from spikern.layers.connectivity import existing_matrix
from spikern.layers.delays import Axons
from spikern.layers.rnn import SpikingRNN
from spikern.neurons.model import NeuronModel, State

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
    module: SpikingRNN, x: Signal, state: State, lengths: Tensor, valid: Tensor, names: list[str],
    kind: str,
) -> tuple[list[Layer], Signal]:  # fmt: skip
    """Run a stack on x from a state and count its populations; also return its output.

    `names` are the names of the populations, `kind` is that of the connection into the first layer.
    """
    known = {f"weight_{kind}_{name}" for kind, name in _synapses(module)}
    for name, _ in [*module.named_parameters(), *module.named_buffers()]:
        match = re.fullmatch(MADE_OF, name)
        if is_weight(name) and (match is None or match[2] not in known):
            raise UnsupportedError(f"cannot count the connection {name} of a SpikingRNN")
    if module.drops_out:
        raise UnsupportedError(
            "dropout scales the spikes that the next layer gets, which cannot be counted as "
            "spikes; count the network as it is used, after eval()"
        )
    if module.spreads_delays:
        raise UnsupportedError(SPREAD)
    outputs, _ = module.unroll(x.values, state, lengths)
    states, buffer = module.initial_states(state, x.values.shape[1])
    buffers = [] if buffer is None else [*torch.split(buffer, module.delayed_axons(), 2)]
    sides = module.directions
    own = [
        Signal(
            outputs[k // sides].chunk(sides, -1)[k % sides],
            module.neuron_of(k).spikes,
            name,
            getattr(before, "z", None),
        )
        for k, (name, before) in enumerate(zip(names, states))
    ]
    signals = [x]
    for k, out in enumerate(outputs):
        parts = own[k * sides : (k + 1) * sides]
        before = [part.before for part in parts if part.before is not None]
        last = torch.cat(before, 1) if before else None
        signals.append(Signal(out, parts[0].spiking, parts[-1].source, last))
    layers, populations = [], module.populations()
    for index, name in enumerate(names):
        arriving = _connections(module, index, own[index], signals, kind, buffers, lengths)
        router = populations[0 if module.feedback else index].router
        awake = router and awake_groups(router, signals[index], valid)
        own_name = module.names[index]
        connections = [
            connect(
                source, name, what, existing_matrix(module, f"{weight}_{own_name}"), valid, awake
            )
            for what, source, weight in arriving
        ]
        model = module.neuron_of(index)
        layer = _layer(module, model, own[index], tuple(connections), valid, awake)
        if router is not None and awake is not None:
            if router.decaying:
                layer = with_decay(layer, model, signals[index], own[index], awake, valid)
            layer = with_router(layer, router, signals[index], valid)
        layers.append(layer)
    return layers, signals[-1]


def _synapses(module: SpikingRNN) -> list[tuple[str, str]]:
    """The connections of a stack: ih, sk, hh, fb or rt, and their target population."""
    there = {
        "ih": True, "sk": module.skip, "hh": module.recurrent, "fb": module.feedback,
        "rt": module.experts > 1,
    }  # fmt: skip
    return [
        (kind, name)
        for kind in there
        for name in module.names
        if there[kind] and hasattr(module, f"weight_{kind}_{name}")
    ]


def _connections(
    module: SpikingRNN, index: int, own: Signal, signals: list[Signal], kind: str,
    buffers: Sequence[Tensor], lengths: Tensor,
) -> list[tuple[str, Signal, str]]:  # fmt: skip
    """The connections into a population: kind, arriving signal, name of the weight.

    `signals` are the input and the outputs of all layers, `buffers` the delay buffers of all
    populations. A recurrent spike arrives one step later, or one step earlier where time runs
    backward. With feedback everything but the input of the network arrives one step later. A delay
    adds its steps.
    """
    k, side = divmod(index, module.directions)
    name = module.names[index]
    below = [("input" if k else kind, signals[k], "weight_ih")]
    if module.skip and k:
        below.append(("skip", signals[k - 1], "weight_sk"))
    widths = [signal.values.shape[2] for _, signal, _ in below]
    if module.delay:
        values = torch.cat([signal.values for _, signal, _ in below], 2)
        delayed, longest = _delayed(
            module, f"delay_ih_{name}", values, buffers[index][:, :, : sum(widths)]
        )
        arriving = [
            s._replace(values=v, kept=s.kept + longest)
            for (_, s, _), v in zip(below, torch.split(delayed, widths, 2))
        ]
    else:
        step = bool(module.feedback)
        arriving = [one_step_later(s) if step and s is not signals[0] else s for _, s, _ in below]
    connections = [(what, signal, weight) for (what, _, weight), signal in zip(below, arriving)]
    if hasattr(module, f"weight_hh_{name}"):
        if module.recurrent_delay > 1:
            size = own.values.shape[2]
            delayed, longest = _delayed(
                module, f"delay_hh_{name}", own.values, buffers[index][:, :, -size:]
            )
            recurrent = own._replace(values=delayed, kept=longest)
        else:
            recurrent = one_step_later(own, side == 1, lengths)
        connections.append(("recurrent", recurrent, "weight_hh"))
    if hasattr(module, f"weight_fb_{name}"):
        connections.append(("feedback", one_step_later(signals[k + 2]), "weight_fb"))
    return connections


def _delayed(module: SpikingRNN, name: str, values: Tensor, buffer: Tensor) -> tuple[Tensor, int]:
    """Values as they arrive by delayed axons, after the last of those that are under way, and the
    longest delay."""
    axons: Axons = getattr(module, name)
    arriving = axons(values, buffer[len(buffer) - axons.longest :])[0]
    return arriving, int(axons.steps.max())


def _layer(
    module: SpikingRNN,
    model: NeuronModel,
    own: Signal,
    connections: tuple[Connection, ...],
    valid: Tensor,
    awake: Tensor | None,
) -> Layer:
    """The counts of one population, from its output, its connections and who is awake."""
    size = own.values.shape[2]
    uses = counted(valid)
    updates = tuple(size * n for n in uses)
    if awake is not None:
        updates = tuple(size // awake.shape[2] * n for n in counted(awake))
    fired = (own.values != 0).cpu() & valid.unsqueeze(2)
    return Layer(
        own.source,
        model.name,
        size,
        model.spikes,
        connections,
        {what: tuple(n * u for u in updates) for what, n in update_ops(model).items()},
        uses,
        counted(fired if model.spikes else torch.zeros_like(fired)),
        Storage(
            states=size * len(set(model.state._fields) - {"z"}),
            constants=size * constants_read(model),
            biases=size * int(module.bias),
        ),
        awake=None if awake is None else updates,
    )
