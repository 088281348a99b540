"""The stream engine where axons take several steps, or lead past a layer.

One stream a population, and numpy between them: what a population hears is looked up in a delay
line and handed to its stream as input. Every step is a call for every population.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikern.engines.stream import Floats, Result, Stream, Streamed, checked, write

Steps = NDArray[np.int64]
"""Delays in whole steps, one an axon."""


class Wires(NamedTuple):
    """How a population is connected.

    hears    what reaches it, side by side: 0 the input, k the output of the k-th population
    outputs  its last so many neurons are its output
    below    delays of what reaches it, from 0 up; None if nothing is late
    own      delays of its own spikes, from 1 up, which its w_in reads last; None if none
    """

    hears: tuple[int, ...]
    outputs: int
    below: Steps | None
    own: Steps | None


class LateStream:
    """What `compile_stream` gives for a network with delays or skip connections.

    Used as a `Stream`; its fields have one more, `line` (B, D, A): what is under way on the axons
    of a population. A step costs a call for each population: tens of microseconds rather than few.

    >>> from spikern import SpikingRNN, compile_stream
    >>> stream = compile_stream(SpikingRNN("LIF", 3, 8, delay=5))
    >>> state = stream.zero_state()
    >>> stream.step(np.ones(3, np.float32), state).shape, stream.fields(state)[0]["line"].shape[2]
    ((8,), 3)
    """

    def __init__(self, populations: Sequence[Streamed], wires: Sequence[Wires]) -> None:
        self.populations, self.wires = tuple(populations), tuple(wires)
        self._streams = [Stream([p], w.outputs) for p, w in zip(populations, wires)]
        first = self.wires[0]
        own = 0 if first.own is None else len(first.own)
        self.input_size = self._streams[0].input_size - own
        self.output_size = self._streams[-1].output_size
        self._lines = [self._line(s, w) for s, w in zip(self._streams, wires)]
        sizes = [n for s, (d, a) in zip(self._streams, self._lines) for n in (s.state_size, d * a)]
        self._edges = np.cumsum([0, *sizes])
        self.state_size = int(self._edges[-1])
        self.additions = np.zeros((len(self.populations), 2), np.int64)

    def _line(self, stream: Stream, wires: Wires) -> tuple[int, int]:
        """Steps and axons of a population's line."""
        each = [steps for steps in (wires.below, wires.own) if steps is not None]
        return max((int(s.max()) for s in each), default=0), sum(len(s) for s in each)

    def zero_state(self, batch: int = 1) -> Floats:
        """The state before the first step, (B, S)."""
        return np.zeros((batch, self.state_size), np.float32)

    def fields(self, state: Floats) -> list[dict[str, Floats]]:
        """Views of a state (B, S): for each population its fields by name, and its line."""
        found = []
        for k, stream in enumerate(self._streams):
            neurons, line = self._cut(state, k)
            found.append(stream.fields(neurons)[0] | ({"line": line} if line.size else {}))
        return found

    def _cut(self, state: Floats, k: int) -> tuple[Floats, Floats]:
        begin, middle, end = self._edges[2 * k : 2 * k + 3]
        line: Floats = state[:, middle:end].reshape(len(state), *self._lines[k])
        return state[:, begin:middle], line

    def run(
        self,
        x: Floats,
        state: Floats | None = None,
        lengths: NDArray[np.int64] | None = None,
    ) -> Result:
        """Advance x (T, B, F) from a state (B, S), which is left alone; None is zeros."""
        x, after, until = checked(self, x, state, lengths)
        out = np.zeros((*x.shape[:2], self.output_size), np.float32)
        total = np.zeros_like(self.additions)
        for t in range(int(until.max())):
            running = np.flatnonzero(until > t)
            out[t, running], after[running] = self._advance(x[t, running], after[running], total)
        self.additions += total
        return Result(out, after, total)

    def step(self, x: Floats, state: Floats) -> Floats:
        """Advance one sample by one step: x (F,), state (1, S) changed in place; returns (C,)."""
        out, state[:] = self._advance(x[None], state, self.additions)
        answer: Floats = out[0]
        return answer

    def _advance(
        self, x: Floats, state: Floats, additions: NDArray[np.int64]
    ) -> tuple[Floats, Floats]:
        """All populations by one step: x (B, F), state (B, S); additions (populations, 2) grow."""
        signals = [x]
        after: Floats = np.empty_like(state)
        for k, (stream, wires) in enumerate(zip(self._streams, self.wires)):
            neurons, line = self._cut(state, k)
            longest = line.shape[1]
            given = np.concatenate([signals[h] for h in wires.hears], 1)
            sent = []
            own = at = 0
            if wires.below is not None:
                at = len(wires.below)
                sent.append(given)
                whole = np.concatenate([line[:, :, :at], given[:, None]], 1)
                given = whole[:, longest - wires.below, np.arange(at)]
            if wires.own is not None:
                late = line[:, longest - wires.own, at + np.arange(len(wires.own))]
                own = int(np.count_nonzero(late)) * len(wires.own)
                given = np.concatenate([given, late], 1)
            made = stream.run(np.ascontiguousarray(given[None]), neurons)
            signals.append(made.out[0])
            if wires.own is not None:
                sent.append(made.out[0])
            if sent:
                line = np.concatenate([line[:, 1:], np.concatenate(sent, 1)[:, None]], 1)
            begin, middle, end = self._edges[2 * k : 2 * k + 3]
            after[:, begin:middle] = made.state
            after[:, middle:end] = line.reshape(len(line), -1)
            additions[k] += made.additions[0] + np.array([-own, own])
        return signals[-1], after

    def save(self, path: str | Path) -> None:
        """Write constants, weights and delays to one safetensors file."""
        delays = {}
        for k, wires in enumerate(self.wires):
            if wires.below is not None:
                delays[f"{k}.below"] = wires.below
            if wires.own is not None:
                delays[f"{k}.own"] = wires.own
        plain = json.dumps([[w.hears, w.outputs] for w in self.wires])
        write(path, self.populations, self.output_size, delays, wires=plain)
