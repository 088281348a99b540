"""The stream engine: event-driven inference of a trained network, one step or many, without torch.

The same arithmetic in the same order as the fused engine, so the spikes are the same bit for bit.
Sums may differ in their last places where that engine multiplies matrices: with an analog input
of which more than 30 % is not zero, and in the scores of a router.
The state is an array that the caller keeps; the additions that were executed are counted.

A `Stream` is one kernel for all populations, with delays and connections that lead past a layer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikern._utils import tensor_file
from spikern._utils.display import Facts, shown_by
from spikern._utils.errors import InputError
from spikern.engines.codegen import cache, kernels, storage, stream_kernels
from spikern.engines.codegen.program import Step
from spikern.engines.codegen.stream_kernels import (
    ADVANCE_SIGNATURE,
    CONSTANTS_SIGNATURE,
    STEP_SIGNATURE,
    Column,
)
from spikern.engines.predicting import Predicting
from spikern.engines.threads import equal_parts, in_threads

Floats = NDArray[np.float32]
Steps = NDArray[np.int64]
"""Delays in whole steps, one per axon."""
FORMAT = 6
"""Of the file that `save` writes."""
BLOCKS = 16
"""Largest number of blocks of samples that the threads share."""
ALIGNMENT = 16
"""Every array begins at a multiple of this many floats, a line of the cache."""


class StreamRouter(NamedTuple):
    """What wakes `awake` of E groups of neurons, by weight (E, F), learned or a table.

    The state of the others stands still or decays.
    """

    weight: Floats
    awake: int
    learned: bool
    decaying: bool = False


class StreamPopulation(NamedTuple):
    """One population: its step, its constants (P, H) and its weights, (to, from) as in torch.

    `synapses` (N, 2) lists the recurrent synapses that exist as (from, to); None if all do.
    """

    step: Step
    params: Floats
    w_in: Floats
    w_rec: Floats | None
    bias: Floats
    synapses: NDArray[np.int64] | None = None
    router: StreamRouter | None = None


class Connections(NamedTuple):
    """How a population is connected.

    inputs            what reaches it, side by side: 0 the input of the network, k the output of the
                      k-th population
    outputs           how many of its last neurons are its output
    input_delays      delays of what reaches it, from 0 up; None if nothing is delayed
    recurrent_delays  delays of its own spikes, from 1 up, which are the last inputs of its w_in;
                      None if there are none
    """

    inputs: tuple[int, ...]
    outputs: int
    input_delays: Steps | None
    recurrent_delays: Steps | None


class Result(NamedTuple):
    """The result of a run: out (T, B, C), the state after it (B, S), additions (populations, 2).

    additions[k] counts the weights that population k added up: those of its input's events, and
    those of its own spikes, without those of a router.
    """

    out: Floats
    state: Floats
    additions: NDArray[np.int64]


def _of_stream(stream: Stream) -> Facts:
    return {
        "inputs": stream.input_size,
        "neurons": ", ".join(f"{len(p.bias)} {p.step.name}" for p in stream.populations),
        "outputs": stream.output_size,
        "numbers in its state": stream.state_size,
    }


@shown_by(_of_stream)
class Stream(Predicting):
    """A trained stack compiled for inference: `out, state, additions = stream.run(x, state)`.

    `outputs` says how many neurons of the last population are the output, its last ones; None all.
    Layers with feedback are one population, in which their neurons follow each other. `connections`
    says what reaches each population; None: what the one below sends, without delays.

    For a loop in real time, `stream.step(x, state)` advances one sample by one step and changes
    `state` in place; `stream.additions` grows with it. `stream.predict(readings)` takes raw
    readings and gives the names of classes.

    >>> from spikern import SpikingRNN, compile_stream
    >>> stream = compile_stream(SpikingRNN("LIF", 3, 8))
    >>> state = stream.zero_state()
    >>> stream.step(np.ones(3, np.float32), state).shape
    (8,)
    """

    def __init__(
        self,
        populations: Sequence[StreamPopulation],
        outputs: int | None = None,
        connections: Sequence[Connections] | None = None,
    ) -> None:
        self.populations = tuple(populations)
        self.connections = _chain(self.populations, outputs)
        if connections is not None:
            self.connections = tuple(connections)
        text = stream_kernels.source(
            [p.step for p in self.populations],
            [p.router is not None for p in self.populations],
            [None if self._is_plain(k) else c.inputs for k, c in enumerate(self.connections)],
        )
        title = f"the {cache.load(text).TITLE}"
        name = cache.name_of(text)
        self._memory, self._indices, self._plan = self._lay_out(name)
        self._advance = cache.function(name, "advance", ADVANCE_SIGNATURE, title)
        neurons = int(self._plan[-1, Column.HIDDEN])
        self.input_size = int(self._plan[0, Column.FAN_IN] - self._plan[0, Column.OWN])
        self.output_size = self.connections[-1].outputs
        self._additions = np.zeros((len(self.populations), 2), np.int64)
        self._out = np.zeros(neurons, np.float32)
        self._answer = self._out[neurons - self.output_size :]
        first = self._plan[0]
        first[Column.STATE_SIZE], first[Column.INPUTS] = self.state_size, self.input_size
        first[Column.MEMORY] = self._memory.ctypes.data
        first[Column.MEMORY_SIZE] = self._memory.size
        first[Column.INDICES] = self._indices.ctypes.data
        first[Column.INDICES_SIZE] = self._indices.size
        first[Column.OUT] = self._out.ctypes.data
        first[Column.ADDITIONS] = self._additions.ctypes.data
        first[Column.ADVANCE] = cache.address(name, "advance")
        self._step = partial(cache.function(name, "step", STEP_SIGNATURE, ""), self._plan)

    def hoisted(self, k: int) -> Floats:
        """What the step of population k computes from constants alone, (values, H)."""
        begin, end = self._plan[k, [Column.CONSTANTS, Column.W_IN]]
        hidden = len(self.populations[k].bias)
        rows = len(kernels.Parts(self.populations[k].step).hoisted)
        return self._memory[begin:end][: rows * hidden].reshape(rows, hidden)

    @property
    def is_wired(self) -> bool:
        """Whether a population reads more than what the one below sends, or later."""
        return not all(map(self._is_plain, range(len(self.populations))))

    def _is_plain(self, k: int) -> bool:
        """Whether all that reaches a population is what the one below sends, without delays."""
        inputs, _, input_delays, recurrent_delays = self.connections[k]
        if inputs != (k,) or input_delays is not None or recurrent_delays is not None:
            return False
        below, sent = self.populations[k - 1], self.connections[k - 1].outputs
        return k == 0 or (below.step.spikes and sent == len(below.bias))

    @property
    def additions(self) -> NDArray[np.int64]:
        """The additions so far, (populations, 2); to count anew, set its elements to zero."""
        return self._additions

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy is constructed anew, since the plan holds addresses; its additions are zero."""
        kept = {"_task": self.task, "answer": self.answer, "body": self.body}
        return type(self), (self.populations, self.output_size, self.connections), kept

    def _lay_out(self, name: str) -> tuple[Floats, NDArray[np.uint32], NDArray[np.int64]]:
        """All floats of the stack, all indices of its sparse synapses, and the plan."""
        floats: list[Floats] = []
        indices: list[NDArray[Any]] = [np.zeros(0, np.int64)]
        plan = np.zeros((len(self.populations), len(Column)), np.int64)
        floats_end = indices_end = state_end = 0
        for row, (k, p), wired in zip(plan, enumerate(self.populations), self.connections):
            hidden, fan_in = p.w_in.shape
            row[Column.OUTPUTS] = wired.outputs
            row[Column.LONGEST], axons = buffer_shape(wired)
            if row[Column.LONGEST]:
                below, own = (np.zeros(0, np.int64) if d is None else d for d in wired[2:])
                row[Column.CHANNELS], row[Column.OWN] = len(below), len(own)
                row[Column.DELAYS] = indices_end
                indices += [below, own]
                indices_end += axons
            params = np.ascontiguousarray(p.params, np.float32)
            hoisted = len(kernels.Parts(p.step).hoisted)
            constants = np.zeros((hoisted, hidden), np.float32)
            cache.function(name, f"constants{k}", CONSTANTS_SIGNATURE, "")(params, constants)
            experts, w_rt = 1, np.zeros((0, fan_in), np.float32)
            if p.router is not None:
                experts, w_rt = len(p.router.weight), p.router.weight
                row[Column.AWAKE], row[Column.LEARNED] = p.router.awake, p.router.learned
                row[Column.DECAYING] = p.router.decaying
            w_rec = np.zeros((hidden, 0), np.float32) if p.w_rec is None else p.w_rec
            row[Column.HIDDEN], row[Column.FAN_IN] = hidden, fan_in
            row[Column.EXPERTS] = experts
            if p.synapses is None:
                row[Column.RECURRENT] = w_rec.shape[1]
                w_rec = _rows_by_group(w_rec, experts)
            else:
                source, target = p.synapses.T
                begin = np.searchsorted(source, np.arange(hidden + 1))
                w_rec = w_rec[target, source]
                row[Column.SYNAPSES] = len(target)
                row[Column.BEGIN], row[Column.TARGET] = indices_end, indices_end + len(begin)
                indices += [begin, target]
                indices_end += len(begin) + len(target)
            for column, array in (
                (Column.PARAMS, params),
                (Column.CONSTANTS, constants),
                (Column.W_IN, _rows_by_group(p.w_in, experts)),
                (Column.W_REC, w_rec),
                (Column.W_RT, w_rt.T),
                (Column.BIAS, p.bias),
            ):
                row[column] = floats_end
                padded = np.zeros(-(-array.size // ALIGNMENT) * ALIGNMENT, np.float32)
                padded[: array.size] = array.reshape(-1)
                floats.append(padded)
                floats_end += padded.size
            row[Column.STATE] = state_end
            row[Column.BUFFER] = state_end + len(p.step.state) * hidden
            state_end = int(row[Column.BUFFER] + row[Column.LONGEST] * axons)
        self.state_size = state_end
        plan[:, Column.WIDEST] = plan[:, [Column.HIDDEN, Column.FAN_IN]].max()
        plan[:, Column.ONE_STEP] = 1
        memory: Floats = np.concatenate(floats)
        return memory, np.concatenate(indices).astype(np.uint32), plan

    def fields(self, state: Floats) -> list[dict[str, Floats]]:
        """Views of a state (B, S): for each population its fields by name, each (B, H).

        A population with delayed axons has a field more, `delay_buffer` (B, D, A), their last D
        values, of the inputs first.
        """
        result = []
        at = 0
        for p, wired in zip(self.populations, self.connections):
            views = {}
            for field in p.step.state:
                views[field] = state[:, at : at + len(p.bias)]
                at += len(p.bias)
            steps, axons = buffer_shape(wired)
            if steps:
                buffer = state[:, at : at + steps * axons]
                views["delay_buffer"] = buffer.reshape(len(state), steps, axons)
                at += steps * axons
            result.append(views)
        return result

    def run(
        self, x: Floats, state: Floats | None = None, lengths: NDArray[np.int64] | None = None
    ) -> Result:
        """Advance x (T, B, F) from a state (B, S), which does not change; None is zeros."""
        x, after, until = _check_run(x, state, lengths, self.input_size, self.state_size)
        steps, batch, _ = x.shape
        out = np.empty((steps, batch, len(self._out)), np.float32)
        flat, flat_out = x.reshape(steps * batch, -1), out.reshape(steps * batch, -1)
        blocks = min(batch, BLOCKS)
        edges = equal_parts(batch, blocks)
        additions = np.zeros((blocks, *self._additions.shape), np.int64)

        def work(block: int) -> None:
            self._advance(
                edges[block], edges[block + 1], self._memory, self._indices, self._plan, until,
                flat, after, flat_out, additions[block],
            )  # fmt: skip

        in_threads(work, blocks)
        total = additions.sum(0)
        self._additions += total
        return Result(out[..., len(self._out) - self.output_size :], after, total)

    def step(self, x: Floats, state: Floats) -> Floats:
        """Advance one sample by one step: x (F,), state (1, S) changed in place; returns (C,).

        The next step overwrites the array that is returned. Raises InputError, and leaves the state
        as it was, if x or the state is not finite, or on another shape, type or layout.
        """
        try:
            fits = self._step(x, state)
        except TypeError:  # another type or layout
            fits = False
        if not fits:
            raise _unfit(x, state, self)
        return self._answer

    def save(self, path: str | Path) -> None:
        """Write steps, constants, weights and the task to one safetensors file."""
        _write(path, self)


def _rows_by_group(weight: Floats, experts: int) -> Floats:
    """Weights (to, from) as (E, from, to / E): a short row of each source for each group."""
    to, sources = weight.shape
    return weight.reshape(experts, to // experts, sources).transpose(0, 2, 1)


def _unfit(x: Any, state: Any, stream: Stream) -> InputError:
    """The error for arguments that one step cannot take."""
    return InputError(
        f"expected x ({stream.input_size},) and a state (1, {stream.state_size}), finite, "
        f"contiguous and writeable float32 arrays, got {_description(x)} and {_description(state)}"
    )


def _description(x: Any) -> str:
    """The type, shape, layout and first value that is not finite, for an error message."""
    if not isinstance(x, np.ndarray):
        return type(x).__name__
    layout = "" if x.flags.c_contiguous else "not contiguous"
    access = "" if x.flags.writeable else "read-only"
    return ", ".join(filter(None, (f"{x.dtype} {x.shape}", layout, access, _not_finite(x))))


def _not_finite(x: NDArray[Any]) -> str:
    """The first value that is NaN or infinite and where it is; empty if all are finite."""
    if np.isfinite((x.min(initial=0), x.max(initial=0))).all():
        return ""
    at = np.argwhere(~np.isfinite(x))[0]
    return f"{x[tuple(at)]} at {at.tolist()}"


def _numbers(what: str, values: Any) -> Floats:
    """An argument as contiguous float32 that a kernel takes, which writeable arrays alone are."""
    try:
        return np.require(values, np.float32, ["C", "W"])
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"expected {what} as an array of numbers: {error}") from error


def _check_run(
    x: Floats, state: Floats | None, lengths: NDArray[np.int64] | None, input_size: int,
    state_size: int,
) -> tuple[Floats, Floats, NDArray[np.int64]]:  # fmt: skip
    """The arguments of a run: x (T, B, F), a state (B, S) to change, the steps of each sample."""
    x = _numbers("input", x)
    if x.ndim != 3 or x.shape[2] != input_size:
        raise InputError(f"expected input of shape (T, B, {input_size}), got {x.shape}")
    steps, batch, _ = x.shape
    if 0 in x.shape:
        raise InputError(f"empty input: {steps} steps and {batch} samples")
    shape = (batch, state_size)
    after = np.zeros(shape, np.float32) if state is None else _numbers("a state", state).copy()
    if after.shape != shape:
        raise InputError(f"expected a state of shape {shape}, got {after.shape}")
    for what, array in (("input [step, sample, feature]", x), ("state", after)):
        if odd := _not_finite(array):
            raise InputError(
                f"the {what} holds {odd}, which a stream never forgets; clean or mask it first"
            )
    until = np.full(batch, steps)
    if lengths is not None:
        until = np.asarray(lengths)
        if until.dtype.kind not in "iu":
            raise InputError(f"expected lengths as whole numbers, got {until.dtype}")
        until = until.astype(np.int64)
        if until.shape != (batch,) or (until < 1).any() or (until > steps).any():
            raise InputError(f"expected {batch} lengths in 1..{steps}, got {until.tolist()}")
    return x, after, until


def buffer_shape(connections: Connections) -> tuple[int, int]:
    """Steps and axons of a population's delay buffer."""
    both = connections.input_delays, connections.recurrent_delays
    delays = [steps for steps in both if steps is not None]
    return max((int(s.max()) for s in delays), default=0), sum(len(s) for s in delays)


def _chain(populations: Sequence[StreamPopulation], outputs: int | None) -> tuple[Connections, ...]:
    """The connections of populations each of which reads the one below."""
    widths = [len(p.bias) for p in populations]
    widths[-1] = widths[-1] if outputs is None else outputs
    return tuple(Connections((k,), width, None, None) for k, width in enumerate(widths))


def _write(path: str | Path, stream: Stream) -> None:
    """Write a stream to one safetensors file."""
    arrays: dict[str, Any] = {}
    for k, p in enumerate(stream.populations):
        arrays |= {f"{k}.params": p.params, f"{k}.w_in": p.w_in, f"{k}.bias": p.bias}
        if p.w_rec is not None:
            arrays[f"{k}.w_rec"] = p.w_rec
        if p.synapses is not None:
            arrays[f"{k}.synapses"] = p.synapses
        if p.router is not None:
            arrays[f"{k}.router"] = p.router.weight
    head = {
        "format": str(FORMAT),
        "steps": json.dumps([storage.to_data(p.step) for p in stream.populations]),
        "outputs": str(stream.output_size),
        "answer": json.dumps(stream.answer),
        "body": str(stream.body),
    }
    if stream.is_wired:
        for k, connections in enumerate(stream.connections):
            if connections.input_delays is not None:
                arrays[f"{k}.below"] = connections.input_delays
            if connections.recurrent_delays is not None:
                arrays[f"{k}.own"] = connections.recurrent_delays
        head["wires"] = json.dumps([[c.inputs, c.outputs] for c in stream.connections])
    routers = [p.router for p in stream.populations]
    if any(routers):
        head["routings"] = json.dumps([[r.awake, int(r.learned)] if r else [0, 0] for r in routers])
    if decaying := [k for k, r in enumerate(routers) if r and r.decaying]:
        head["decaying"] = json.dumps(decaying)
    if stream.task is not None:
        head["task"] = json.dumps(stream.task.to_data())
    tensor_file.write(path, arrays, head)
