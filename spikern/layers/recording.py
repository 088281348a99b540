"""Recording: every state field of every layer at every step, named as the neuron names it.

The layer runs on the reference engine; a wrapper of the neuron's step keeps its currents, distances
to threshold and states. Fused kernels keep only what training needs, so recording uses the
reference engine whatever engine the layer names. Where sums of weights are exact, both engines
give the same bits, else the same values up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from spikern._utils.display import Facts, shown_by
from spikern._utils.errors import UnsupportedError
from spikern.engines.experts import route
from spikern.events.trains import Input, valid_steps
from spikern.layers.arguments import Lengths, as_lengths, to_time_first
from spikern.layers.rnn import SpikingRNN
from spikern.neurons.model import Fire, NeuronModel, Params, State


class Trace(NamedTuple):
    """The activity of one layer, each (T, B, H); of one sample, each (T, H).

    state  the neuron's own NamedTuple after each step: `state.v`, `state.z`, ...
    i      total input current of each step: input, bias and recurrence
    u      distance to threshold, above 0 where the neuron fires; None for one without a threshold
    out    the layer's output: spikes, or a readout's potential
    """

    state: State
    i: Tensor
    u: Tensor | None
    out: Tensor


def _of_recording(recording: Recording) -> Facts:
    first = recording.layers[0].i
    return {
        "layers": len(recording.layers),
        "steps": len(first),
        "samples": first.shape[1],
        "neurons": ", ".join(str(trace.i.shape[2]) for trace in recording.layers),
        "fields": ", ".join(("i", "u", "out", *recording.layers[0].state._fields)),
    }


@shown_by(_of_recording)
class Recording(NamedTuple):
    """The traces of all layers from the first on, the final state, and the lengths (B,)."""

    layers: tuple[Trace, ...]
    state: State
    lengths: Tensor

    def sample(self, index: int) -> tuple[Trace, ...]:
        """Return the traces of one sample, cut to its valid steps, each (T, H)."""
        steps = int(self.lengths[index])
        return tuple(_map_trace(trace, lambda x: x[:steps, index]) for trace in self.layers)


def record(
    layer: SpikingRNN, x: Input, state: State = None, lengths: Lengths | None = None
) -> Recording:
    """Run a layer as `layer(x, state, lengths)` does, and record every step.

    layer is a SpikingRNN or a Readout; x, state and lengths are its arguments. The traces have
    time first, (T, B, H), whatever the layout of x; a single sample is a batch of one. The final
    state is the one that the layer returns. Past a sample's length all traces are zero, as is the
    layer's output; `Recording.sample` cuts them off. While a neuron sleeps its current and its
    distance to threshold are zero. Nothing has a gradient, and the layer does not change.

    Raises InputError on arguments that the layer refuses, UnsupportedError on bidirectional
    layers, on experts with dropout in training, and on any other module.

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
    if layer.drops_out and layer.experts > 1:
        raise UnsupportedError(
            "dropout between layers of experts changes which of them wake, which a trace does not "
            "show; record after eval()"
        )
    calls = [_Calls([], [], [], [], []) for _ in layer.neurons]
    recorded = object.__new__(type(layer))  # copy refuses a layer with parametrizations
    recorded.__dict__ = dict(vars(layer))  # shares the parameters; only these two differ
    recorded.neurons = tuple(map(_with_recording_step, layer.neurons, calls))
    recorded.engine_asked = "reference"
    with torch.no_grad():
        _, after = recorded(x, state, lengths)
    _, lengths = to_time_first(x, lengths, layer.batch_first)
    if layer.experts > 1:
        given, _ = layer.check_call(to_time_first(x, None, layer.batch_first)[0], None)
        calls = _asleep(layer, given, calls)
    if layer.feedback:
        calls = _by_layer(calls[0], layer.hidden_sizes)
    currents = calls[0].i
    steps, device = len(currents), currents[0].device
    lengths = (as_lengths([steps] * len(currents[0])) if lengths is None else lengths).to(device)
    valid = valid_steps(lengths, steps).unsqueeze(2)

    def stack(values: Sequence[Tensor]) -> Tensor:
        trace = torch.stack(list(values))
        return torch.where(valid, trace, torch.zeros_like(trace))

    traces = [
        Trace(
            neuron.state(*(stack(values) for values in zip(*own.state))),
            stack(own.i),
            stack(own.u) if neuron.spikes else None,
            stack(own.out),
        )
        for neuron, own in zip(layer.neurons, calls)
    ]
    return Recording(tuple(traces), after, lengths)


class _Calls(NamedTuple):
    """The values of every call of a population's step in order, each (B, H)."""

    before: list[State]
    state: list[State]
    i: list[Tensor]
    u: list[Tensor]
    out: list[Tensor]


@torch.no_grad()
def _asleep(layer: SpikingRNN, x: Input, calls: Sequence[_Calls]) -> list[_Calls]:
    """The calls of layers of experts as they were for neurons that slept."""
    result = []
    for population, own in zip(layer.populations(), calls):
        gain, _ = route(population.router, x)  # type: ignore[arg-type]
        awake = gain.repeat_interleave(own.i[0].shape[1] // layer.experts, 2) != 0
        x, states = torch.stack(own.out), own.state
        if not population.router.decaying:  # type: ignore[union-attr]
            fields = (torch.where(awake[-1], n, s) for n, s in zip(own.state[-1], own.before[-1]))
            states = [*own.before[1:], type(own.state[-1])(*fields)._replace(z=x[-1])]
        result.append(own._replace(state=states, u=[*(torch.stack(own.u) * awake)]))
    return result


def _by_layer(calls: _Calls, widths: Sequence[int]) -> list[_Calls]:
    """Split the calls of a network with feedback, which is one population, into its layers."""

    def split(values: Sequence[Tensor]) -> list[list[Tensor]]:
        return [list(parts) for parts in zip(*(torch.split(x, list(widths), -1) for x in values))]

    states = zip(*(split(values) for values in zip(*calls.state)))
    kind = type(calls.state[0])
    return [
        _Calls([], [kind(*fields) for fields in zip(*state)], *others)
        for state, *others in zip(states, *(split(values) for values in calls[2:]))
    ]


def _with_recording_step(neuron: NeuronModel, calls: _Calls) -> NeuronModel:
    """Return the neuron with a step that also appends its values to `calls`."""

    def step(p: Params, s: State, i: Tensor, fire: Fire) -> tuple[State, Tensor]:
        def recording_fire(u: Tensor) -> Tensor:
            calls.u.append(u)
            return fire(u)

        after, out = neuron.step(p, s, i, recording_fire)
        calls.before.append(s)
        calls.state.append(after)
        calls.i.append(i)
        calls.out.append(out)
        return after, out

    return replace(neuron, step=step)


def _map_trace(trace: Trace, cut: Callable[[Tensor], Tensor]) -> Trace:
    """Return the trace with `cut` applied to every tensor."""
    return Trace(
        type(trace.state)(*(cut(field) for field in trace.state)),
        cut(trace.i),
        None if trace.u is None else cut(trace.u),
        cut(trace.out),
    )
