"""From a trained network to its stream."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor
from torch.nn import functional

from spikern._utils.errors import UnsupportedError
from spikern.engines.population import Population, is_linked, recurrence
from spikern.engines.stream import Floats, LateStream, Steps, Stream, Streamed, Wires
from spikern.layers.delays import Axons
from spikern.layers.network import Network
from spikern.layers.rnn import SpikingRNN


def compile_stream(trained: SpikingRNN | Network) -> Stream | LateStream:
    """The inference engine of a SpikingRNN, or of a Network of a SpikingRNN and a Readout.

    Dropout does not act in it, and learned delays are whole steps. With delays or skip connections
    it is a `LateStream`, which is slower, else a `Stream`. Raises UnsupportedError on anything
    else, and on both directions.
    """
    parts = [trained.body, trained.readout] if isinstance(trained, Network) else [trained]
    stacks = [stack for stack in parts if isinstance(stack, SpikingRNN)]
    if len(stacks) < len(parts):
        raise UnsupportedError(
            f"a {type(trained).__name__} cannot be streamed: only a spiking stack, alone or with a "
            f"spiking readout, can; use torch for RNN, GRU, LSTM"
        )
    if any(stack.bidirectional for stack in stacks):
        raise UnsupportedError(
            "a bidirectional layer needs the end of a sequence before its first step, so it cannot "
            "be streamed; train with bidirectional=False"
        )
    if any(stack.late or (stack.skip and not stack.feedback) for stack in stacks):
        return _late_stream(stacks)
    populations: list[Population] = []
    for stack in stacks:
        own = stack.populations()
        if populations:
            own[0] = _reading_the_last(own[0], len(populations[-1].w_in))
        populations += own
    return Stream([streamed(p) for p in populations], stacks[-1].hidden_size)


def _late_stream(stacks: Sequence[SpikingRNN]) -> LateStream:
    """One population after the other, with the delays and skip connections between them."""
    populations: list[Streamed] = []
    wires: list[Wires] = []
    for stack in stacks:
        base = len(wires)
        for name, p in zip(stack.names, stack.populations()):
            hears = (
                [len(wires), len(wires) - 1] if stack.skip and len(wires) > base else [len(wires)]
            )
            below, own = (_steps(getattr(stack, f"delay_{k}_{name}", None)) for k in ("ih", "hh"))
            populations.append(streamed(p))
            wires.append(Wires(tuple(hears), stack.hidden_size, below, own))
    return LateStream(populations, wires)


def _steps(axons: Axons | None) -> Steps | None:
    """The delays of axons, None if there are none."""
    return None if axons is None else np.asarray(axons.steps.cpu().numpy(), np.int64)


def _reading_the_last(p: Population, width: int) -> Population:
    """A population that reads the last of `width` neurons: those of the top layer."""
    return p._replace(w_in=functional.pad(p.w_in, (width - p.w_in.shape[1], 0)))


def streamed(p: Population) -> Streamed:
    """A population of tensors as one of arrays."""
    w_rec = recurrence(p)
    return Streamed(
        p.model,
        np.stack([_floats(c) for c in p.params]),
        _floats(p.w_in),
        None if w_rec is None else _floats(w_rec),
        np.zeros(len(p.w_in), np.float32) if p.bias is None else _floats(p.bias),
        p.links.cpu().numpy() if p.links is not None and is_linked(p) else None,
    )


def _floats(x: Tensor) -> Floats:
    return np.ascontiguousarray(x.detach().cpu().numpy(), np.float32)
