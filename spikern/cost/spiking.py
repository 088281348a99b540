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
from spikern.layers.rnn import SpikingRNN
from spikern.neurons.model import NeuronModel

MADE_OF = r"(parametrizations\.)?(weight_\w+?)(_orig|_mask|\.(original\d*|\d+\..*))?"
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
    """Run a stack on x and count its populations; also its last output and those of all layers.

    `names` are those of the populations, `kind` is that of the connection into the first layer.
    """
    known = {f"weight_{kind}_{name}" for kind, name in _synapses(module)}
    for name, _ in [*module.named_parameters(), *module.named_buffers()]:
        made = re.fullmatch(MADE_OF, name)
        if "weight" in name and (made is None or made[2] not in known):
            raise UnsupportedError(f"no count is known for what crosses {name} of a SpikingRNN")
    if module.drops_out:
        raise UnsupportedError(
            "dropout scales what reaches the next layer, so that it is no spike any more; "
            "count the network as it is used, after eval()"
        )
    if module.spreads_delays:
        raise UnsupportedError(
            "while delays are learned a spike is spread over steps, so that it is no spike any "
            "more; count the network as it is used, after eval()"
        )
    outputs, _ = module.unroll(x.values, lengths=lengths)
    sides = module.directions
    heard = [x]
    for k, out in enumerate(outputs):
        heard.append(Signal(out, module.neuron.spikes, names[(k + 1) * sides - 1]))
    layers = []
    for index, name in enumerate(names):
        k, side = divmod(index, sides)
        own = Signal(outputs[k].chunk(sides, -1)[side], module.neuron.spikes, name)
        connections = tuple(
            connect(source, name, what, getattr(module, f"{weight}_{module.names[index]}"), in_play)
            for what, source, weight in _crossed(module, k, side, own, heard, kind)
        )
        layers.append(_layer(module, own, connections, in_play))
    return layers, heard[-1], outputs


def _synapses(module: SpikingRNN) -> list[tuple[str, str]]:
    """The connections that a stack has: ih, sk, hh or fb, and the population that they lead to."""
    heard = [("ih", module.names)]
    heard += [("sk", module.names[module.directions :])] * module.skip
    heard += [("hh", module.names)] * module.recurrent
    heard += [("fb", module.names[:-1])] * module.feedback
    return [(kind, name) for kind, names in heard for name in names]


def _crossed(
    module: SpikingRNN, k: int, side: int, own: Signal, heard: list[Signal], kind: str
) -> list[tuple[str, Signal, str]]:
    """What reaches a population of layer k: the kind, the signal as it arrives, the weight.

    With feedback, all but the input from outside takes a step; backward in time, a step back.
    Axons that take time take as many steps as they are long.
    """
    sent = [("input" if k else kind, heard[k], "weight_ih")]
    if module.skip and k:
        sent.append(("skip", heard[k - 1], "weight_sk"))
    arriving = _arriving(module, k, [signal for _, signal, _ in sent], heard[0])
    crossed = [(what, signal, weight) for (what, _, weight), signal in zip(sent, arriving)]
    if module.recurrent_delay > 1:
        late = module.get_submodule(f"delay_hh_l{k}")(own.values)[0]
        crossed.append(("recurrent", own._replace(values=late), "weight_hh"))
    elif module.recurrent:
        crossed.append(("recurrent", _later(own, backward=side == 1), "weight_hh"))
    if module.feedback and k < module.num_layers - 1:
        crossed.append(("feedback", _later(heard[k + 2]), "weight_fb"))
    return crossed


def _arriving(module: SpikingRNN, k: int, sent: list[Signal], outside: Signal) -> list[Signal]:
    """What layer k hears from below, as it arrives; `outside` is the network's input."""
    if module.delay:
        axons = module.get_submodule(f"delay_ih_l{k}")
        late, _ = axons(torch.cat([signal.values for signal in sent], 2))
        parts = late.split([signal.values.shape[2] for signal in sent], 2)
        return [signal._replace(values=part) for signal, part in zip(sent, parts)]
    if module.feedback:
        return [signal if signal is outside else _later(signal) for signal in sent]
    return sent


def _later(signal: Signal, backward: bool = False) -> Signal:
    """A signal as it arrives one step later, or earlier where time runs backward."""
    values = signal.values
    return signal._replace(values=delayed(values.flip(0)).flip(0) if backward else delayed(values))


def _layer(
    module: SpikingRNN, own: Signal, connections: tuple[Connection, ...], in_play: Tensor
) -> Layer:
    """One population as it was counted: what it put out, and what crossed into it."""
    size, model = module.hidden_size, module.neuron
    uses = counted(in_play)
    fired = (own.values != 0).cpu() & in_play.unsqueeze(2)
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
