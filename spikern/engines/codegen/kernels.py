"""The text of a neuron's training kernels: its programs put into the time loops.

The templates are Python with a line `@name` where the neuron's own arithmetic goes. What all
kernels have in common, they import from `runtime`.

A kernel runs one block of samples over all steps, t outside and the samples of the block inside, so
that their state stays in the cache. Threads take blocks; every block has its own sums of
gradients, which are added up in order, so the result does not depend on the number of threads.

The input of a population has one of three forms, and the other two are empty: `current` (T, B, H),
an analog input already multiplied by the weights; lists of events; or `below`, the spikes of the
population underneath as bits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from inspect import getmembers, isfunction
from typing import NamedTuple

from spikern.engines.codegen import emit
from spikern.engines.codegen.program import (
    Gradient,
    Op,
    Program,
    Step,
    Value,
    constant_ops,
    needed,
)

HEAD = '''@purpose

import math

import numpy as np
from numba import njit

from spikern.engines.codegen.runtime import (
    @imports
)

f32 = np.float32
RUNTIME = "@hash"
"""The hash of the module that is imported above: another runtime is another file."""
'''
CONSTANTS = '''

@njit(cache=True, error_model="numpy")
def constants(P, C):
    """What depends on the neuron's constants alone."""
    for h in range(P.shape[1]):
        @load_params
        @compute_constants
        @store_constants
'''
FORWARD = '''

@njit(cache=True, nogil=True, error_model="numpy")
def forward(
    block, edges, steps, every, lengths, offsets, indices, values, current, below,
    w_in, w_rec, begin, target, synapses, bias, P, C, start, gains, delays, shares, before,
    out, final, bits, checkpoints, totals,
):
    """One block of samples over time; see the reference engine for the meaning."""
    current, w_in = distinct(current), distinct(w_in)
    w_rec, synapses = distinct(w_rec), distinct(synapses)
    bias, P, C, out, bits = distinct(bias), distinct(P), distinct(C), distinct(out), distinct(bits)
    final, checkpoints, sums = distinct(final), distinct(checkpoints), distinct(totals[block])
    batch, hidden, width = lengths.shape[0], bias.shape[0], w_in.shape[1]
    projected, stacked, wanted = current.shape[0] > 0, below.shape[0] > 0, out.shape[0] > 0
    recurrent, sparse = w_rec.shape[0] > 0, synapses.shape[0] > 0
    low, size = edges[block], edges[block + 1] - edges[block]
    @make_sums
    events, amounts = matrix(indices, 0, 1, indices.shape[0]), matrix(values, 0, 1, values.shape[0])
    columns = distinct(np.empty((1, w_in.shape[0]), np.int32))
    rows = distinct(np.empty((1, hidden), np.int32))
    initial = distinct(np.empty((1, hidden), np.float32))
    @make_state
    sums[:] = f32(0.0)
    for q in range(size):
        for h in range(hidden):
            @begin_state
    for t in range(steps):
        if t % every == 0:
            for q in range(size):
                for h in range(hidden):
                    @check_state
        for q in range(size):
            b = low + q
            if t >= lengths[b]:
                if wanted:
                    for h in range(hidden):
                        out[t, b, h] = f32(0.0)
                @no_spikes
                continue
            @current
            @recur
            @update_neurons
            if wanted:
                for h in range(hidden):
                    @hand_on
            @keep
            @send
    for q in range(size):
        for h in range(hidden):
            @end_state
'''
BACKWARD = '''

@njit(cache=True, nogil=True, error_model="numpy")
def backward(
    block, edges, steps, every, lengths, offsets, indices, values, current, below,
    w_in, w_rec, begin, target, synapses, bias, P, C, start, gains, delays, shares, before,
    d_out, d_final, d_totals, d_above, w_above, w_up, bits, checkpoints,
    d_current, d_w_in, d_w_rec, d_synapses, d_bias, d_P, d_shares, d_start, d_gains, d_before,
):
    """The gradients of one block; segments of `every` steps are run again from their state.

    d_out (T, B, H) or nothing is the gradient of the output; d_above (T, B, U) or nothing that of
    the currents of the population above, which reached it through w_above (H, U), or through
    w_up (U, H) where U is small.
    """
    current, w_in = distinct(current), distinct(w_in)
    w_rec, synapses = distinct(w_rec), distinct(synapses)
    bias, P, C, bits = distinct(bias), distinct(P), distinct(C), distinct(bits)
    d_out, checkpoints = distinct(d_out), distinct(checkpoints)
    d_above, w_above, w_up = distinct(d_above), distinct(w_above), distinct(w_up)
    d_current, d_start = distinct(d_current), distinct(d_start)
    dw_in, dw_rec = distinct(d_w_in[block]), distinct(d_w_rec[block])
    db, dP, d_synapse = distinct(d_bias[block]), distinct(d_P[block]), distinct(d_synapses[block])
    batch, hidden, width = lengths.shape[0], bias.shape[0], w_in.shape[1]
    projected, stacked = current.shape[0] > 0, below.shape[0] > 0
    recurrent, sparse = w_rec.shape[0] > 0, synapses.shape[0] > 0
    passed, is_output = d_current.shape[0] > 0, d_out.shape[0] > 0
    fed, narrow = w_above.shape[0] > 0, w_up.shape[0] > 0
    low, size = edges[block], edges[block + 1] - edges[block]
    @make_sums
    events, amounts = matrix(indices, 0, 1, indices.shape[0]), matrix(values, 0, 1, values.shape[0])
    columns = distinct(np.empty((1, w_in.shape[0]), np.int32))
    rows = distinct(np.empty((1, hidden), np.int32))
    initial = distinct(np.empty((1, hidden), np.float32))
    later = every * size
    @make_scratch
    sources, places = np.empty(most, np.int32), np.empty(most, np.int32)
    given, times = np.empty(most, np.float32), np.empty(most, np.float32)
    to = np.empty(most, np.int32)
    ends = np.empty(w_in.shape[0] + 1, np.int64)
    go = distinct(np.zeros(hidden, np.float32))
    @make_lists
    @make_state
    @make_tape
    @make_gradients
    dw_in[:, :] = f32(0.0)
    dw_rec[:, :] = f32(0.0)
    d_synapse[:] = f32(0.0)
    dP[:, :] = f32(0.0)
    db[:] = f32(0.0)
    for q in range(size):
        for h in range(hidden):
            @begin_gradients
    for segment in range((steps - 1) // every, -1, -1):
        first_step = segment * every
        last_step = min(steps, first_step + every)
        arrived = fired = 0
        for q in range(size):
            b = low + q
            for h in range(hidden):
                @restore_state
            for t in range(first_step, min(last_step, lengths[b])):
                e = (t - first_step) * size + q
                @current
                @recur
                @update_neurons
        for t in range(last_step - 1, first_step - 1, -1):
            @pull_spikes
            for q in range(size):
                b = low + q
                e = (t - first_step) * size + q
                if t >= lengths[b]:
                    @pad_gradients
                    continue
                if is_output:
                    for h in range(hidden):
                        go[h] = d_out[t, b, h]
                @differentiate_neurons
            later = (t - first_step) * size
        if not projected:
            by_source(sources, places, given, arrived, ends, to, times)
            add_to_rows(dw_in, ends, to, times, di)
        @push_spikes
        @carry_gradients
        later = every * size
    @pull_start
    for q in range(size):
        for h in range(hidden):
            @end_gradients
'''


class Form(NamedTuple):
    """What of the time loops depends on how the neurons of a population are arranged.

    i       where the current of neuron h is
    keep    where its gradient y goes
    blocks  the texts of lines `@name` of FORWARD and BACKWARD, and of such lines in these
    spikes  those that a population which never fires has not
    notes   what the backward kernel keeps of arriving events for the gradients
    awake   the condition without which a neuron does not fire; none: all can
    """

    i: str
    keep: Sequence[str]
    blocks: Mapping[str, str]
    spikes: Mapping[str, str]
    notes: Mapping[str, str]
    awake: str = ""


WHOLE = Form(
    i="acc[0, h]",
    keep=("di[e, h] = y", "db[h] += y"),
    blocks={
        "make_sums": """
acc = distinct(np.zeros((1, width), np.float32))
""",
        "current": """
if projected:
    for h in range(hidden):
        acc[0, h] = current[t, b, h]
else:
    for h in range(hidden):
        acc[0, h] = bias[h]
    if stacked:
        n = list_kept(below, t * batch + b, columns, 0)
        add_rows(acc, 0, w_in, columns, 0, 0, n)
        @note_spikes_below
    else:
        first, last = offsets[t * batch + b], offsets[t * batch + b + 1]
        add_rows(acc, 0, w_in, events, 0, first, last, amounts)
        @note_events
""",
        "update_neurons": """
for h in range(hidden):
    @load
    @update
    @surrogate
    @tape
    @store
    @count
""",
        "make_scratch": """
di = distinct(np.zeros(((every + 1) * size, width), np.float32))
masks = distinct(np.empty(hidden, np.int64))
turned = distinct(np.zeros((hidden * sparse + 1, 16), np.float32))
most = every * size * max(hidden, w_in.shape[0])
""",
        "pad_gradients": """
for h in range(hidden):
    di[e, h] = f32(0.0)
if passed:
    for h in range(width):
        d_current[t, b, h] = f32(0.0)
""",
        "differentiate_neurons": """
for h in range(hidden):
    @load_adjoint
    @adjoint
    @store_adjoint
if passed:
    for h in range(width):
        d_current[t, b, h] = di[e, h]
""",
        "carry_gradients": """
for q in range(size):
    for h in range(width):
        di[every * size + q, h] = di[q, h]
""",
    },
    spikes={
        "send": "",
        "recur": """
if recurrent or sparse:
    if @valued:
        n = list_nonzero(S_z, q, rows, 0)
        take(S_z, q, rows, 0, n, initial)
        if sparse:
            add_synapses(acc, begin, target, synapses, rows, 0, n, initial)
        else:
            add_rows(acc, 0, w_rec, rows, 0, 0, n, initial)
        @note_values
    else:
        n = list_kept(bits, (t - 1) * batch + b, rows, 0)
        if sparse:
            add_synapses(acc, begin, target, synapses, rows, 0, n)
        else:
            add_rows(acc, 0, w_rec, rows, 0, 0, n)
        @note_spikes
""",
        "make_lists": """
z_sources, z_places = np.empty(most, np.int32), np.empty(most, np.int32)
z_given, z_ends = np.empty(most, np.float32), np.empty(hidden + 1, np.int64)
""",
        "push_spikes": """
if recurrent or sparse:
    by_source(z_sources, z_places, z_given, fired, z_ends, to, times)
    if sparse:
        add_to_synapses(d_synapse, begin, target, z_ends, to, times, di)
    else:
        add_to_rows(dw_rec, z_ends, to, times, di)
""",
        "pull_spikes": """
if narrow:
    for q in range(size):
        if t < lengths[low + q]:
            add_rows(G_z, q, w_up, None, low + q, 0, w_up.shape[0], d_above[t])
if fed or recurrent or sparse:
    for q0 in range(0, size, 64):
        @mark_slopes
        if fed:
            add_dots(G_z, q0, masks, w_above, d_above[t], low + q0)
        @pull_recurrent
""",
        "mark_slopes": """
masks[:] = 0
for q in range(q0, min(size, q0 + 64)):
    if t < lengths[low + q]:
        mark(masks, T_slope, (t - first_step) * size + q, q - q0)
""",
        "pull_recurrent": """
if sparse:
    add_synapse_dots(
        G_z, q0, masks, begin, target, synapses, di, later + q0, min(64, size - q0), turned
    )
elif recurrent:
    add_dots(G_z, q0, masks, w_rec, di, later + q0)
""",
        "pull_start": """
if recurrent or sparse:
    for q0 in range(0, size, 64):
        masks[:] = -1 if size - q0 >= 64 else (1 << (size - q0)) - 1
        @pull_recurrent
""",
    },
    notes={
        "note_spikes_below": "arrived = note(sources, places, given, arrived, e, columns, 0, 0, n)",
        "note_events": (
            "arrived = note(sources, places, given, arrived, e, events, 0, first, last, amounts)"
        ),
        "note_values": (
            "fired = note(z_sources, z_places, z_given, fired, e, rows, 0, 0, n, initial)"
        ),
        "note_spikes": "fired = note(z_sources, z_places, z_given, fired, e, rows, 0, 0, n)",
    },
)
"""All neurons side by side. `recur` adds the rows of the last spikes, of which only those of the
initial state need not be 0 or 1; `push_spikes` is the gradient of the recurrent weights of a
segment; `pull_spikes` is that of a spike through the currents it caused, where the surrogate's
support reaches (`mark_slopes`), and `pull_start` that of the spikes in the initial state. `send` is
for spikes that arrive later."""


_LISTING = '''

@njit(cache=True, nogil=True, error_model="numpy")
def count_events(x, low, high, bits, counts):
    """Which entries of rows low..high - 1 of x (R, F) are not zero, and how many in each row."""
    for row in range(low, high):
        keep(x, row, bits, row)
        n = 0
        for c in range(bits.shape[1]):
            n += ones(bits[row, c])
        counts[row] = n


@njit(cache=True, nogil=True, error_model="numpy")
def list_events(x, low, high, bits, offsets, indices, values):
    """The entries of rows low..high - 1 of x (R, F) that are not zero, from offsets[row] on."""
    columns = np.empty((1, x.shape[1]), np.int32)
    for row in range(low, high):
        first = offsets[row]
        for k in range(list_kept(bits, row, columns, 0)):
            indices[first + k] = columns[0, k]
            values[first + k] = x[row, columns[0, k]]
'''


def source(step: Step, gradient: Gradient, form: Form = WHOLE) -> str:
    """The text of a module with the training kernels of a neuron."""
    parts = Parts(step, gradient.primitive, awake=form.awake)
    adjoint = prefixed(gradient.adjoint)
    parts.hoist(adjoint)
    blocks = {name: text.strip("\n").splitlines() for name, text in form.blocks.items()}
    for name, text in form.spikes.items():
        blocks[name] = text.strip("\n").splitlines() if step.spikes else []
    forward = _forward_parts(parts, form) | constant_parts(parts)
    backward = forward | _backward_parts(parts, form, adjoint, gradient.derivative)
    forward |= {name: [] for name in (*form.notes, "surrogate", "tape")}
    backward |= {"count": []} | {name: [line] for name, line in form.notes.items()}
    body = emit.fill(emit.fill(CONSTANTS + FORWARD, blocks), blocks | forward)
    body += emit.fill(emit.fill(BACKWARD, blocks), blocks | backward)
    body = body.replace("@valued", "t == 0" if parts.primitive is None else "True")
    title = f"{step.name} with the {gradient.surrogate} surrogate"
    facts = f"TITLE = {title!r}\nCONSTANTS = {len(parts.hoisted)}\n"
    return module_text(f"Kernels of {title}, derived from its step", f"{body}\n\n{facts}")


def module_text(purpose: str, body: str) -> str:
    """A module with these kernels, which imports what they use of the runtime.

    It names the hash of the runtime, because numba's cache on disk looks at this file alone, while
    the machine code in it contains the functions of the runtime too.
    """
    from spikern.engines.codegen import runtime  # with numba, which no layer needs before it runs

    words = set(re.findall(r"\w+", body))
    names = [name for name, _ in getmembers(runtime, isfunction) if name in words]
    text = emit.fill(HEAD, {"imports": [f"{name}," for name in names]})
    return text.replace("@hash", runtime.HASH).replace("@purpose", repr(purpose)) + body


@cache
def listing() -> str:
    """The text of a module with the kernels that turn a dense input into lists of events."""
    return module_text("Lists of the events of a dense input", _LISTING)


@dataclass
class Parts:
    """The lines that fill the templates, and the constants hoisted out of the loops.

    With a primitive it is what a neuron fires in place of spikes, for tests of the gradient. Only
    where the condition `awake` holds does it fire; without one, anywhere.
    """

    step: Step
    primitive: Program | None = None
    dialect: emit.Dialect = emit.NUMBA
    awake: str = ""
    names: dict[str, str] = field(default_factory=dict)
    truths: set[str] = field(default_factory=set)
    hoisted: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.state = self.step.state
        self.params = self.step.params
        self.forward = self.step.program
        self.hoist(self.forward)

    def hoist(self, program: Program) -> None:
        """Give every operation on constants alone a row of C, and equal operations the same row."""
        for op in constant_ops(program):
            text = emit.expression(op, self.names, self.truths)
            self.names[op.name] = self.hoisted.setdefault(text, f"c_{len(self.hoisted)}")
            if op.truth:
                self.truths |= {op.name, self.names[op.name]}

    def lines(self, ops: Iterable[Op]) -> list[str]:
        """Statements of the operations that are not hoisted."""
        kept = [op for op in ops if not self.names.get(op.name, "").startswith("c_")]
        self.truths |= {op.name for op in kept if op.truth}
        return emit.statements(kept, self.names, self.truths, self.dialect)

    def value(self, program: Program, output: str) -> str:
        """The text of an output."""
        return emit.value(program.outputs[output], self.names, self.truths, self.dialect)

    def update(self) -> list[str]:
        """The step: up to u, the spike, the rest."""
        if not self.step.spikes:
            return self.lines(needed(self.forward, self.forward.outputs))
        first = needed(self.forward, ["u"])
        names = {op.name for op in first}
        rest = [op for op in needed(self.forward, self.forward.outputs) if op.name not in names]
        lines = [*self.lines(first), f"u = {self.value(self.forward, 'u')}"]
        if self.primitive is None:
            lines += [self.dialect.spike, *self.if_awake("z")]
        else:
            lines += self.of_u(self.primitive, "z")
        return [*lines, *self.lines(rest)]

    def of_u(self, program: Program, output: str) -> list[str]:
        """A function of u alone; its results get names that the step does not use."""
        names = {op.name: f"u{op.name}" for op in program.ops}
        truths = {op.name for op in program.ops if op.truth}
        lines = emit.statements(needed(program, [output]), names, truths, self.dialect)
        result = emit.value(program.outputs[output], names, truths, self.dialect)
        return [*lines, f"{output} = {result}", *self.if_awake(output)]

    def if_awake(self, name: str) -> list[str]:
        """The statement that a neuron asleep has zero there."""
        return [f"{name} = {name} if {self.awake} else f32(0.0)"] if self.awake else []


def load_lines(
    parts: Parts, lines: list[str], sources: dict[str, str], P: str = "P", C: str = "C"
) -> list[str]:
    """Loads of what the lines read: constants, hoisted constants and the given sources."""
    used = set(re.findall(r"\w+", " ".join(lines)))
    loads = [f"p_{f} = {P}[{k}, h]" for k, f in enumerate(parts.params) if f"p_{f}" in used]
    for k, c in enumerate(parts.hoisted.values()):
        if c in used:
            truth = " != f32(0.0)" if c in parts.truths else ""
            loads.append(f"{c} = {C}[{k}, h]{truth}")
    return loads + [f"{name} = {source}" for name, source in sources.items() if name in used]


def prefixed(program: Program) -> Program:
    """The adjoint's results under names that the step's do not use."""
    names = {op.name: f"b{op.name}" for op in program.ops}

    def renamed(value: Value) -> Value:
        return names.get(value, value) if isinstance(value, str) else value

    ops = [
        Op(names[op.name], op.kind, tuple(renamed(a) for a in op.args), op.truth)
        for op in program.ops
    ]
    outputs = {k: renamed(v) for k, v in program.outputs.items()}
    return Program(program.inputs, tuple(ops), outputs)


def constant_parts(parts: Parts) -> dict[str, list[str]]:
    """The lines that compute the hoisted constants."""
    stores = [f"C[{k}, h] = {c}" for k, c in enumerate(parts.hoisted.values())]
    return {
        "load_params": [f"p_{f} = P[{k}, h]" for k, f in enumerate(parts.params)],
        "compute_constants": [f"{c} = {text}" for text, c in parts.hoisted.items()],
        "store_constants": stores or ["pass"],
    }


def _forward_parts(parts: Parts, form: Form) -> dict[str, list[str]]:
    state, spikes = parts.state, parts.step.spikes
    update = parts.update()
    stores = [f"S_{f}[q, h] = {parts.value(parts.forward, f'n_{f}')}" for f in state]
    counted = ["sums[h] += z"] if spikes else []
    out = [] if spikes else [f"answer[q, h] = {parts.value(parts.forward, 'out')}"]
    sources = {f"s_{f}": f"S_{f}[q, h]" for f in state} | {"i": form.i}
    buffers = [f"S_{f}" for f in state] + ([] if spikes else ["answer"])
    exact = spikes and parts.primitive is None
    return {
        "make_state": [f"{b} = distinct(np.empty((size, hidden), np.float32))" for b in buffers],
        "begin_state": [f"S_{f}[q, h] = start[{k}, low + q, h]" for k, f in enumerate(state)],
        "check_state": [
            f"checkpoints[t // every, {k}, low + q, h] = S_{f}[q, h]" for k, f in enumerate(state)
        ],
        "end_state": [f"final[{k}, low + q, h] = S_{f}[q, h]" for k, f in enumerate(state)],
        "no_spikes": ["bits[t * batch + b] = 0"] if exact else [],
        "load": load_lines(parts, [*update, *stores, *out], sources),
        "update": update,
        "store": [*stores, *out],
        "count": counted,
        "hand_on": [f"out[t, b, h] = {'S_z' if spikes else 'answer'}[q, h]"],
        "keep": ["keep(S_z, q, bits, t * batch + b)"] if exact else [],
    }


def _backward_parts(
    parts: Parts, form: Form, adjoint: Program, derivative: Program
) -> dict[str, list[str]]:
    state, spikes = parts.state, parts.step.spikes
    lines: list[str] = []
    done: set[str] = set()
    if spikes:
        first = needed(adjoint, ["d_z"])
        done = {op.name for op in first}
        lines += [*parts.lines(first), f"g_u = ({parts.value(adjoint, 'd_z')}) * slope"]
    wanted = [o for o in adjoint.outputs if o != "d_z"]
    lines += parts.lines(op for op in needed(adjoint, wanted) if op.name not in done)
    stores = [f"G_{f}[q, h] = {parts.value(adjoint, f'd_s_{f}')}" for f in state]
    stores += [f"y = {parts.value(adjoint, 'd_i')}", *form.keep]
    stores += [
        f"dP[{k}, h] += {parts.value(adjoint, f'd_p_{f}')}"
        for k, f in enumerate(parts.params)
        if isinstance(adjoint.outputs[f"d_p_{f}"], str)
    ]
    taped = {f"s_{f}": f"s_{f}" for f in state} | {"i": "i", "z": "z", "slope": "d"}
    sources = {name: f"T_{name}[e, h]" for name in taped}
    sources |= {f"g_n_{f}": f"G_{f}[q, h]" for f in state} | {"g_out": "go[h]"}
    if spikes:
        sources["g_n_z"] += " + d_totals[h]"
    loads = load_lines(parts, [*lines, *stores], sources)
    kept = [n for n in taped if any(load.startswith(f"{n} = T_") for load in loads)]
    return {
        "make_tape": [
            f"T_{n} = distinct(np.empty((every * size, hidden), np.float32))" for n in kept
        ],
        "make_gradients": [
            f"G_{f} = distinct(np.empty((size, hidden), np.float32))" for f in state
        ],
        "begin_gradients": [f"G_{f}[q, h] = d_final[{k}, low + q, h]" for k, f in enumerate(state)],
        "restore_state": [
            f"S_{f}[q, h] = checkpoints[segment, {k}, b, h]" for k, f in enumerate(state)
        ],
        "surrogate": parts.of_u(derivative, "d") if spikes else [],
        "tape": [f"T_{n}[e, h] = {taped[n]}" for n in kept],
        "load_adjoint": loads,
        "adjoint": lines,
        "store_adjoint": stores,
        "end_gradients": [f"d_start[{k}, low + q, h] = G_{f}[q, h]" for k, f in enumerate(state)],
    }
