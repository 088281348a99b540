"""Recording: every state field of every layer at every step, named as the neuron names it.

The layer runs on the reference engine with its neuron watched: the same step function, whose
currents, distances to threshold and states are kept as they pass. Fused kernels keep only what
training needs, so whatever engine the layer names, it is the reference engine that is seen; with
weights whose sums are exact both have the same bits, with others the same up to rounding.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from spikern._utils.errors import UnsupportedError
from spikern.engines.population import Input
from spikern.layers.rnn import SpikingRNN
from spikern.neurons.model import Fire, NeuronModel, Params, State


class Trace(NamedTuple):
    """What one layer did, each (T, B, H); of one sample, each (T, H).

    state  the neuron's own NamedTuple after each step: `state.v`, `state.z`, ...
    i      total input current of each step: input, bias and recurrence
    u      distance to threshold, fires where above 0; None for a neuron that has no threshold
    out    what the layer passed on: spikes, or a readout's potential
    """

    state: State
    i: Tensor
    u: Tensor | None
    out: Tensor


class Recording(NamedTuple):
    """The traces of all layers, the first one first; the final state; each sample's steps (B,)."""

    layers: tuple[Trace, ...]
    state: State
    lengths: Tensor

    def sample(self, index: int) -> tuple[Trace, ...]:
        """The traces of one sample, cut to the steps that it has, each (T, H)."""
        steps = int(self.lengths[index])
        return tuple(_each(trace, lambda x: x[:steps, index]) for trace in self.layers)


def record(
    layer: SpikingRNN, x: Input, state: State = None, lengths: Tensor | None = None
) -> Recording:
    """Run a layer as `layer(x, state, lengths)` does and keep what happened at every step.

    layer is a SpikingRNN or a Readout; x, state and lengths are what it takes. The traces have
    time first, (T, B, H), whatever the layout of x; a lone sample is a batch of one. The final
    state is the one that the layer returns. Past a sample's length all traces are zero, as the
    layer's output is; `Recording.sample` cuts them off. Nothing has a gradient, and the layer is
    left as it was.

    Raises InputError on what the layer refuses, UnsupportedError on what is not a SpikingRNN.

    >>> layer = SpikingRNN("ALIF", input_size=3, hidden_size=8)
    >>> recording = record(layer, torch.randn(20, 4, 3))
    >>> trace = recording.layers[0]
    >>> trace.state._fields, trace.state.v.shape
    (('v', 'a', 'z'), torch.Size([20, 4, 8]))
    >>> bool(((trace.u > 0) == (trace.state.z > 0)).all())
    True
    """
    if isinstance(layer, SpikingRNN) and layer.bidirectional:
        raise UnsupportedError(
            "half of a bidirectional layer runs backward in time, which a trace against time does "
            "not show; record a layer with bidirectional=False"
        )
    if not isinstance(layer, SpikingRNN):
        raise UnsupportedError(
            f"expected a SpikingRNN or a Readout, got {type(layer).__name__}; "
            f"of a Network record first its body, then its readout on the body's spikes"
        )
    seen = _Seen([], [], [], [])
    twin = copy.copy(layer)  # shares the parameters; only these two attributes differ
    twin.neuron = _watched(layer.neuron, seen)
    twin.engine_asked = "reference"
    with torch.no_grad():
        _, after = twin(x, state, lengths)
    if layer.feedback:
        seen = _by_layer(seen, layer.num_layers)
    steps = len(seen.i) // layer.num_layers
    batch, device = seen.i[0].shape[0], seen.i[0].device
    until = torch.full((batch,), steps, device=device) if lengths is None else lengths
    running = (torch.arange(steps, device=device)[:, None] < until).unsqueeze(2)

    def stacked(values: list[Tensor]) -> Tensor:
        whole = torch.stack(values)
        return torch.where(running, whole, torch.zeros_like(whole))

    traces = []
    for k in range(layer.num_layers):
        part = slice(k * steps, (k + 1) * steps)
        fields = (stacked([*values]) for values in zip(*seen.state[part]))
        traces.append(
            Trace(
                layer.neuron.state(*fields),
                stacked(seen.i[part]),
                stacked(seen.u[part]) if layer.neuron.spikes else None,
                stacked(seen.out[part]),
            )
        )
    return Recording(tuple(traces), after, until)


class _Seen(NamedTuple):
    """What passed through a watched step, one entry a call, each (B, H)."""

    state: list[State]
    i: list[Tensor]
    u: list[Tensor]
    out: list[Tensor]


def _by_layer(seen: _Seen, count: int) -> _Seen:
    """What passed through the one population of a network with feedback, layer after layer."""

    def cut(x: Tensor, k: int) -> Tensor:
        return x.chunk(count, -1)[k]

    layers = range(count)
    return _Seen(
        [type(s)(*(cut(field, k) for field in s)) for k in layers for s in seen.state],
        *([cut(x, k) for k in layers for x in values] for values in seen[1:]),
    )


def _watched(neuron: NeuronModel, seen: _Seen) -> NeuronModel:
    """The same neuron, whose step also appends what passes through it."""

    def step(p: Params, s: State, i: Tensor, fire: Fire) -> tuple[State, Tensor]:
        def ask(u: Tensor) -> Tensor:
            seen.u.append(u)
            return fire(u)

        following, out = neuron.step(p, s, i, ask)
        seen.state.append(following)
        seen.i.append(i)
        seen.out.append(out)
        return following, out

    return replace(neuron, step=step)


def _each(trace: Trace, cut: Any) -> Trace:
    """The trace with every tensor cut the same way."""
    return Trace(
        type(trace.state)(*(cut(field) for field in trace.state)),
        cut(trace.i),
        None if trace.u is None else cut(trace.u),
        cut(trace.out),
    )
