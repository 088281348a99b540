"""The stream engine: event-driven inference of a trained stack, one step or many, without torch.

The same arithmetic in the same order as the fused engine, so the spikes are the same bit for
bit. State is an array that the caller keeps; the additions that were executed are counted.

The stream engine where axons take several steps, or lead past a layer.

One stream a population, and numpy between them: what a population hears is looked up in a delay
line and handed to its stream as input. Every step is a call for every population.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from spikern._utils.errors import InputError
from spikern.engines.codegen import cache, kernels, stream_kernels
from spikern.engines.threads import in_threads
from spikern.neurons.model import NeuronModel

Floats = NDArray[np.float32]
_F2 = "float32[:,::1]"
SIGNATURE = (
    "void(int64, int64, float32[::1], uint32[::1], int64[:,::1], int64[::1], "
    f"{_F2}, {_F2}, {_F2}, int64[:,::1])"
)
STEP_SIGNATURE = f"boolean(int64[:,::1], float32[::1], {_F2})"
FORMAT = 3
BLOCKS = 16
"""At most so many blocks of samples for the threads to take."""


class Streamed(NamedTuple):
    """One population: its neuron, its constants (P, H) and its weights, (to, from) as in torch.

    `links` (N, 2) lists the recurrent synapses that exist as (from, to); None if all do.
    """

    model: NeuronModel
    params: Floats
    w_in: Floats
    w_rec: Floats | None
    bias: Floats
    links: NDArray[np.int64] | None = None


class Result(NamedTuple):
    """What a run gives: out (T, B, C), the state after it (B, S), additions (populations, 2).

    additions[k] counts what population k really added up: weights of its input's events, and
    weights of its own spikes.
    """

    out: Floats
    state: Floats
    additions: NDArray[np.int64]


class Stream:
    """A trained stack compiled for inference: `out, state, additions = stream.run(x, state)`.

    `outputs` says how many neurons of the last population are the output, its last ones; None all.
    Layers with feedback are one population, layer k its neurons k H .. (k + 1) H.

    For a loop in real time, `stream.step(x, state)` advances one sample by one step and changes
    `state` in place; `stream.additions` grows with it.

    >>> from spikern import SpikingRNN, compile_stream
    >>> stream = compile_stream(SpikingRNN("LIF", 3, 8))
    >>> state = stream.zero_state()
    >>> stream.step(np.ones(3, np.float32), state).shape
    (8,)
    """

    def __init__(self, populations: Sequence[Streamed], outputs: int | None = None) -> None:
        self.populations = tuple(populations)
        text = stream_kernels.source([p.model for p in self.populations])
        self._module = cache.load(text)
        name = cache.name_of(text)
        title = f"the {self._module.TITLE}"
        self._memory, self._wires, self._plan = self._lay_out(name)
        self._advance = cache.function(name, "advance", SIGNATURE, title)
        self.input_size = int(self._plan[0, 1])
        self.output_size = int(self._plan[-1, 0]) if outputs is None else outputs
        self.state_size = sum(len(p.model.state._fields) * len(p.bias) for p in self.populations)
        self._additions = np.zeros((len(self.populations), 2), np.int64)
        self._out = np.zeros(int(self._plan[-1, 0]), np.float32)
        self._answer = self._out[len(self._out) - self.output_size :]
        addresses = (
            *(fixed for a in (self._memory, self._wires) for fixed in (a.ctypes.data, a.size)),
            *(a.ctypes.data for a in (self._out, self._additions)),
        )
        self._plan[0, 14:] = self.state_size, *addresses
        self._step = partial(cache.function(name, "step", STEP_SIGNATURE, ""), self._plan)

    @property
    def additions(self) -> NDArray[np.int64]:
        """What was added up so far, (populations, 2); to count anew, set its elements to zero."""
        return self._additions

    def __reduce__(self) -> tuple[type[Stream], tuple[tuple[Streamed, ...], int]]:
        """A copy is made anew, for the plan holds addresses; its additions begin at zero."""
        return type(self), (self.populations, self.output_size)

    def _lay_out(self, name: str) -> tuple[Floats, NDArray[np.uint32], NDArray[np.int64]]:
        pieces: list[Floats] = []
        wires: list[NDArray[np.int64]] = []
        plan = np.zeros((len(self.populations), len(stream_kernels.PLAN)), np.int64)
        at = state_at = wired = 0
        signature = f"void({_F2}, {_F2})"
        for k, p in enumerate(self.populations):
            hidden, fan_in = p.w_in.shape
            rows = len(kernels.Parts(p.model, stream_kernels.UNUSED).hoisted)
            hoisted = np.zeros((rows, hidden), np.float32)
            params = np.ascontiguousarray(p.params, np.float32)
            cache.function(name, f"constants{k}", signature, "")(params, hoisted)
            w_rec = np.zeros((0, hidden), np.float32) if p.w_rec is None else p.w_rec.T
            plan[k, :3] = hidden, fan_in, w_rec.shape[0]
            if p.links is not None:
                source, target = p.links.T
                begins = np.searchsorted(source, np.arange(hidden + 1))
                plan[k, 2] = 0
                plan[k, 11:14] = len(target), wired, wired + len(begins)
                wires += [begins, target]
                wired += len(begins) + len(target)
                w_rec = w_rec[source, target]
            for column, piece in enumerate((params, hoisted, p.w_in.T, w_rec, p.bias), 3):
                plan[k, column] = at
                at += -(-piece.size // 16) * 16
                padded = np.zeros(-(-piece.size // 16) * 16, np.float32)
                padded[: piece.size] = piece.reshape(-1)
                pieces.append(padded)
            plan[k, 8] = state_at
            state_at += len(p.model.state._fields) * hidden
        plan[:, 9:11] = max(plan[:, 0].max(), plan[0, 1]), 1
        memory: Floats = np.concatenate(pieces)
        return memory, np.concatenate([np.zeros(0), *wires]).astype(np.uint32), plan

    def zero_state(self, batch: int = 1) -> Floats:
        """The state before the first step, (B, S)."""
        return np.zeros((batch, self.state_size), np.float32)

    def fields(self, state: Floats) -> list[dict[str, Floats]]:
        """Views of a state (B, S): for each population its fields by name, each (B, H)."""
        found = []
        at = 0
        for p in self.populations:
            views = {}
            for field in p.model.state._fields:
                views[field] = state[:, at : at + len(p.bias)]
                at += len(p.bias)
            found.append(views)
        return found

    def run(
        self,
        x: Floats,
        state: Floats | None = None,
        lengths: NDArray[np.int64] | None = None,
    ) -> Result:
        """Advance x (T, B, F) from a state (B, S), which is left alone; None is zeros."""
        x, after, until = checked(self, x, state, lengths)
        steps, batch, _ = x.shape
        out = np.empty((steps, batch, len(self._out)), np.float32)
        flat, flat_out = x.reshape(steps * batch, -1), out.reshape(steps * batch, -1)
        blocks = min(batch, BLOCKS)
        edges = [batch * k // blocks for k in range(blocks + 1)]
        additions = np.zeros((blocks, *self._additions.shape), np.int64)

        def work(block: int) -> None:
            self._advance(
                edges[block], edges[block + 1], self._memory, self._wires, self._plan, until,
                flat, after, flat_out, additions[block],
            )  # fmt: skip

        in_threads(work, blocks)
        total = additions.sum(0)
        self._additions += total
        return Result(out[..., len(self._out) - self.output_size :], after, total)

    def step(self, x: Floats, state: Floats) -> Floats:
        """Advance one sample by one step: x (F,), state (1, S) changed in place; returns (C,).

        What is returned is a buffer that the next step overwrites.
        """
        try:
            fits = self._step(x, state)
        except TypeError:  # another type or layout
            fits = False
        if not fits:
            raise InputError(
                f"expected x ({self.input_size},) and a state (1, {self.state_size}), contiguous "
                f"float32 arrays, got {_told(x)} and {_told(state)}"
            )
        return self._answer

    def save(self, path: str | Path) -> None:
        """Write constants and weights to one safetensors file."""
        write(path, self.populations, self.output_size, {})


def _told(x: Any) -> str:
    """What was given in place of an array that a step takes."""
    if not isinstance(x, np.ndarray):
        return type(x).__name__
    return f"{x.dtype} {x.shape}{'' if x.flags.c_contiguous else ', not contiguous'}"


class Sized(Protocol):
    """What takes x (T, B, F) and a state (B, S)."""

    input_size: int
    state_size: int


def checked(
    stream: Sized, x: Floats, state: Floats | None, lengths: NDArray[np.int64] | None
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """The arguments of a run: x, a state to change, and each sample's steps."""
    x = np.ascontiguousarray(x, np.float32)
    if x.ndim != 3 or x.shape[2] != stream.input_size:
        raise InputError(f"expected input of shape (T, B, {stream.input_size}), got {x.shape}")
    steps, batch, _ = x.shape
    shape = (batch, stream.state_size)
    after = np.zeros(shape, np.float32) if state is None else np.array(state, np.float32, order="C")
    if after.shape != shape:
        raise InputError(f"expected a state of shape {shape}, got {after.shape}")
    until = np.full(batch, steps)
    if lengths is not None:
        until = np.asarray(lengths, np.int64)
        if until.shape != (batch,) or (until < 1).any() or (until > steps).any():
            raise InputError(f"expected {batch} lengths in 1..{steps}, got {until.tolist()}")
    return x, after, until


def write(
    path: str | Path,
    populations: Sequence[Streamed],
    outputs: int,
    more: Mapping[str, NDArray[Any]],
    **head: str,
) -> None:
    """Write populations to one safetensors file, with more arrays and entries of its header."""
    arrays: dict[str, Any] = dict(more)
    for k, p in enumerate(populations):
        arrays |= {f"{k}.params": p.params, f"{k}.w_in": p.w_in, f"{k}.bias": p.bias}
        if p.w_rec is not None:
            arrays[f"{k}.w_rec"] = p.w_rec
        if p.links is not None:
            arrays[f"{k}.links"] = p.links
    head |= {
        "format": str(FORMAT),
        "neurons": json.dumps([p.model.name for p in populations]),
        "outputs": str(outputs),
    }
    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, path, head)


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
