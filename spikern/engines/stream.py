"""The stream engine: event-driven inference of a trained stack, one step or many, without torch.

The same arithmetic in the same order as the fused engine, so the spikes are the same bit for
bit. State is an array that the caller keeps; the additions that were executed are counted.
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

from spikern.engines import cache, kernel, stream_kernel
from spikern.engines.team import in_threads
from spikern.types import InputError, NeuronModel

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
        text = stream_kernel.source([p.model for p in self.populations])
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
        plan = np.zeros((len(self.populations), len(stream_kernel.PLAN)), np.int64)
        at = state_at = wired = 0
        signature = f"void({_F2}, {_F2})"
        for k, p in enumerate(self.populations):
            hidden, fan_in = p.w_in.shape
            rows = len(kernel.Parts(p.model, stream_kernel.UNUSED).hoisted)
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
