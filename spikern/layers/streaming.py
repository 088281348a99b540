"""Compilation of a trained network to its stream, the event-driven inference engine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from spikern._utils.errors import UnsupportedError
from spikern.engines import stream
from spikern.engines.codegen import trace
from spikern.engines.population import Population, is_sparse, recurrent_weights
from spikern.layers.delays import Axons
from spikern.layers.network import Network
from spikern.layers.rnn import SpikingRNN


def compile_stream(trained: SpikingRNN | Network) -> stream.Stream:
    """Compile a SpikingRNN, or a Network of a SpikingRNN and a Readout, for inference.

    The stream computes in float32, also that of a network in double precision, whose spikes may
    then differ. It has no dropout, and learned delays are rounded to whole steps. It keeps the
    network's task. Raises UnsupportedError on bidirectional layers and on any other module.
    """
    stacks = _stacks(trained)
    made = _compiled(stacks)
    if isinstance(trained, Network):
        made.task, made.answer = trained.task, trained.answer
        made.body = len(made.populations) - len(stacks[-1].populations())
    return made


def _stacks(trained: SpikingRNN | Network) -> list[SpikingRNN]:
    """The layers, or body and readout; UnsupportedError for what cannot be streamed."""
    parts = [trained.body, trained.readout] if isinstance(trained, Network) else [trained]
    stacks = [stack for stack in parts if isinstance(stack, SpikingRNN)]
    if len(stacks) < len(parts):
        others = [type(part).__name__ for part in parts if not isinstance(part, SpikingRNN)]
        raise UnsupportedError(
            f"a {' with a '.join(others)} cannot be streamed: only a SpikingRNN can, alone or with "
            f"a Readout; use torch for RNN, GRU, LSTM"
        )
    if any(stack.bidirectional for stack in stacks):
        raise UnsupportedError(
            "a bidirectional layer needs the end of a sequence before its first step, so it cannot "
            "be streamed; train with bidirectional=False"
        )
    return stacks


def _compiled(stacks: Sequence[SpikingRNN]) -> stream.Stream:
    """Compile stacks, each of which reads the one before."""
    neurons = [neuron for stack in stacks for neuron in stack.neurons]
    delayed = any(stack.delayed or (stack.skip and not stack.feedback) for stack in stacks)
    if delayed or not all(neuron.spikes for neuron in neurons[:-1]):
        return _wired(stacks)
    populations: list[Population] = []
    for stack in stacks:
        own = stack.populations()
        if populations:
            own[0] = _reads_last(own[0], len(populations[-1].w_in))
        populations += own
    return stream.Stream([_to_arrays(p) for p in populations], stacks[-1].output_size)


def _wired(stacks: Sequence[SpikingRNN]) -> stream.Stream:
    """Compile one population after the other, with their delays and skip connections."""
    populations: list[stream.StreamPopulation] = []
    connections: list[stream.Connections] = []
    for stack in stacks:
        base = len(connections)
        for name, p in zip(stack.names, stack.populations()):
            below = len(connections)
            sources = (below, below - 1) if stack.skip and below > base else (below,)
            input_delays, recurrent_delays = (
                _delays(getattr(stack, f"delay_{kind}_{name}", None)) for kind in ("ih", "hh")
            )
            if recurrent_delays is not None and p.w_rec is not None:
                p = p._replace(w_in=torch.cat([p.w_in, p.w_rec], 1), w_rec=None)
            populations.append(_to_arrays(p))
            outputs = stack.output_size if stack.feedback else len(p.w_in)
            connections.append(stream.Connections(sources, outputs, input_delays, recurrent_delays))
    return stream.Stream(populations, stacks[-1].output_size, connections)


def _delays(axons: Axons | None) -> stream.Steps | None:
    """Return the delays of axons in whole steps; None if there are no axons."""
    return None if axons is None else np.asarray(axons.steps.cpu().numpy(), np.int64)


def _reads_last(p: Population, width: int) -> Population:
    """Return the population with input from the last of `width` neurons, the top layer's."""
    return p._replace(w_in=functional.pad(p.w_in, (width - p.w_in.shape[1], 0)))


def _to_arrays(p: Population) -> stream.StreamPopulation:
    """Return the population with arrays in place of tensors."""
    w_rec = recurrent_weights(p)
    return stream.StreamPopulation(
        trace.step(p.model),
        np.stack([_floats(c) for c in p.params]),
        _floats(p.w_in),
        None if w_rec is None else _floats(w_rec),
        np.zeros(len(p.w_in), np.float32) if p.bias is None else _floats(p.bias),
        p.synapses.cpu().numpy() if p.synapses is not None and is_sparse(p) else None,
        p.router and stream.StreamRouter(_floats(p.router.weight), *p.router[1:]),
    )


def _floats(x: Tensor) -> stream.Floats:
    """A copy: the layer may be trained on."""
    floats: stream.Floats = x.detach().float().cpu().numpy().copy()
    return floats
