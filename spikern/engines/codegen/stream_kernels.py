"""The text of a stack's inference kernel: all populations of one step before the next step.

Weights, constants and sizes come in one array each and are cut up once per call, because every
array that crosses from Python costs as much as adding a row. A single step is given the addresses
of the arrays that stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from spikern.engines.codegen import emit, kernels
from spikern.engines.codegen.program import Step


class Column(IntEnum):
    """Columns of the plan (populations, columns) int64, which a kernel is given."""

    HIDDEN = 0
    """Neurons of the population."""
    FAN_IN = 1
    """Its inputs."""
    RECURRENT = 2
    """Rows of its recurrent weights; 0 where there are none or they are sparse."""
    PARAMS = 3
    """Where its parameters begin in `memory`, which holds all floats of the stack."""
    CONSTANTS = 4
    """Where its hoisted constants begin in `memory`."""
    W_IN = 5
    """Where its input weights begin in `memory`."""
    W_REC = 6
    """Where its recurrent weights begin in `memory`, those of sparse synapses too."""
    BIAS = 7
    """Where its biases begin in `memory`."""
    STATE = 8
    """Where its fields begin in the state of a sample."""
    WIDEST = 9
    """Neurons of the widest population, or inputs of the first if they are more."""
    ONE_STEP = 10
    """1, the length of a single step."""
    SYNAPSES = 11
    """How many sparse recurrent synapses it has."""
    BEGIN = 12
    """Where the first synapse of each neuron is listed in `indices`."""
    TARGET = 13
    """Where the targets of the synapses are listed in `indices`."""
    EXPERTS = 14
    """Its groups; 1 where all neurons are always awake."""
    AWAKE = 15
    """How many of them the input wakes."""
    LEARNED = 16
    """1 if its router is learned, 0 if it is a table."""
    DECAYING = 17
    """1 if the state of those asleep decays, 0 if it stands still."""
    W_RT = 18
    """Where the weights of its router begin in `memory`."""
    STATE_SIZE = 19
    """Size of a sample's state. This and what follows: first row only, read by `step` only."""
    MEMORY = 20
    """Address of `memory`."""
    MEMORY_SIZE = 21
    """Length of `memory`."""
    INDICES = 22
    """Address of `indices`."""
    INDICES_SIZE = 23
    """Length of `indices`."""
    OUT = 24
    """Address of the output of a step."""
    ADDITIONS = 25
    """Address of the additions counted by `step`."""


ADVANCE = '''

@njit(cache=True, nogil=True, error_model="numpy")
def advance(low, high, memory, indices, plan, lengths, x, state, out, additions):
    """Samples low..high over all steps of x (T B, F); state (B, S) and additions change."""
    x, out, plan, memory = distinct(x), distinct(out), distinct(plan), distinct(memory)
    batch = state.shape[0]
    steps = x.shape[0] // batch
    rows = distinct(np.empty((@populations_and_input, plan[0, WIDEST]), np.int32))
    amounts = distinct(np.empty(rows.shape, np.float32))
    acc = np.empty(rows.size, np.float32)
    @groups
    @carve
    for b in range(low, high):
        @begin
        for t in range(min(steps, lengths[b])):
            at = t * batch + b
            n = list_nonzero(x, at, rows, @input)
            take(x, at, rows, @input, n, amounts)
            @populations
        for t in range(lengths[b], steps):
            for h in range(out.shape[1]):
                out[t * batch + b, h] = f32(0.0)
    @count


@njit(cache=True, error_model="numpy")
def step(plan, x, state):
    """One sample by one step: x (F,), state (1, S); False, and nothing done, if x is unfit."""
    if x.shape[0] != plan[0, FAN_IN] or state.shape[0] != 1:
        return False
    if state.shape[1] != plan[0, STATE_SIZE]:
        return False
    odd = 0
    for f in range(x.shape[0]):
        odd += x[f] - x[f] != f32(0.0)
    for k in range(state.shape[1]):
        odd += state[0, k] - state[0, k] != f32(0.0)
    if odd > 0:
        return False
    last = plan.shape[0] - 1
    memory = floats_at(plan[0, MEMORY], (plan[0, MEMORY_SIZE],))
    indices = words_at(plan[0, INDICES], (plan[0, INDICES_SIZE],))
    out = floats_at(plan[0, OUT], (1, plan[last, HIDDEN]))
    additions = counts_at(plan[0, ADDITIONS], (last + 1, 2))
    lengths = plan[0, ONE_STEP : ONE_STEP + 1]
    x = matrix(x, 0, 1, x.shape[0])
    advance(0, 1, memory, indices, plan, lengths, x, state, out, additions)
    return True
'''
CARVE = """
H{k} = plan[{k}, HIDDEN]
P{k} = matrix(memory, plan[{k}, PARAMS], {params}, H{k})
C{k} = matrix(memory, plan[{k}, CONSTANTS], {constants}, H{k})
w_in{k} = matrix(memory, plan[{k}, W_IN], plan[{k}, FAN_IN], H{k})
w_rec{k} = matrix(memory, plan[{k}, W_REC], plan[{k}, RECURRENT], H{k})
synapses{k} = matrix(memory, plan[{k}, W_REC], 1, plan[{k}, SYNAPSES])[0]
begin{k} = matrix(indices, plan[{k}, BEGIN], 1, (plan[{k}, SYNAPSES] > 0) * (H{k} + 1))[0]
target{k} = matrix(indices, plan[{k}, TARGET], 1, plan[{k}, SYNAPSES])[0]
bias{k} = matrix(memory, plan[{k}, BIAS], 1, H{k})[0]
acc{k} = matrix(acc, {k} * plan[0, WIDEST], 1, H{k})
n{k} = a{k} = r{k} = 0
"""
POPULATION = """
for h in range(H{k}):
    acc{k}[0, h] = bias{k}[h]
@gather
a{k} += {count}
@recur
for h in range(H{k}):
    @load
    @update
    @store
@spikes
"""
RECUR = """
if plan[{k}, SYNAPSES] > 0:
    for e in range(n{k}):
        r{k} += np.int64(begin{k}[rows[{k}, e] + 1]) - np.int64(begin{k}[rows[{k}, e]])
    if t == 0:
        take(S{k}, {z}, rows, {k}, n{k}, amounts)
        add_synapses(acc{k}, begin{k}, target{k}, synapses{k}, rows, {k}, n{k}, amounts)
    else:
        add_synapses(acc{k}, begin{k}, target{k}, synapses{k}, rows, {k}, n{k})
elif plan[{k}, RECURRENT] > 0:
    r{k} += n{k} * H{k}
    if t == 0:
        take(S{k}, {z}, rows, {k}, n{k}, amounts)
        add_rows(acc{k}, 0, w_rec{k}, rows, {k}, 0, n{k}, amounts)
    else:
        add_rows(acc{k}, 0, w_rec{k}, rows, {k}, 0, n{k})
"""
GROUPS = """
groups = np.empty(rows.shape, np.int32)
scores, gains = np.empty(acc.shape, np.float32), np.empty(acc.shape, np.float32)
"""
CARVE_GROUPS = """
E{k} = plan[{k}, EXPERTS]
m{k} = H{k} // E{k}
w_in{k} = matrix(memory, plan[{k}, W_IN], E{k} * plan[{k}, FAN_IN], m{k})
w_rec{k} = matrix(memory, plan[{k}, W_REC], E{k} * plan[{k}, RECURRENT], m{k})
w_rt{k} = matrix(memory, plan[{k}, W_RT], plan[{k}, FAN_IN], E{k})
acc{k} = matrix(acc, {k} * plan[0, WIDEST], E{k}, m{k})
scores{k} = matrix(scores, {k} * plan[0, WIDEST], 1, E{k})
gains{k} = matrix(gains, {k} * plan[0, WIDEST], 1, E{k})
"""
POPULATION_GROUPS = """
scores{k}[:] = f32(0.0)
if plan[{k}, LEARNED]:
    add_rows(scores{k}, 0, w_rt{k}, rows, {below}, 0, {n}, {amounts})
else:
    add_rows(scores{k}, 0, w_rt{k}, rows, {below}, 0, {n})
awake = wake(scores{k}, gains{k}, groups, {k}, plan[{k}, AWAKE], plan[{k}, LEARNED])
a{k} += {n} * awake
for e in range(awake):
    g = groups[{k}, e]
    for j in range(m{k}):
        acc{k}[g, j] = bias{k}[g * m{k} + j]
    add_rows(acc{k}, g, w_in{k}, rows, {below}, 0, {n}, {amounts}, g * plan[{k}, FAN_IN])
if plan[{k}, RECURRENT] > 0:
    r{k} += n{k} * awake * m{k}
    if t == 0:
        take(S{k}, {z}, rows, {k}, n{k}, amounts)
    for e in range(awake):
        g = groups[{k}, e]
        if t == 0:
            add_rows(acc{k}, g, w_rec{k}, rows, {k}, 0, n{k}, amounts, g * H{k})
        else:
            add_rows(acc{k}, g, w_rec{k}, rows, {k}, 0, n{k}, None, g * H{k})
for g in range(E{k}):
    gate = gains{k}[0, g]
    if gate == f32(0.0) and plan[{k}, DECAYING] == 0:
        for h in range(g * m{k}, g * m{k} + m{k}):
            S{k}[{z}, h] = f32(0.0)
            @asleep
        continue
    for h in range(g * m{k}, g * m{k} + m{k}):
        @load
        @update
        @store
@spikes
"""
"""In place of POPULATION where the input wakes groups of neurons."""


def source(steps: Sequence[Step], grouped: Sequence[bool]) -> str:
    """The text of a module that advances this stack of neurons; which of them are in groups."""
    columns = "".join(f"{column.name} = {column.value}\n" for column in Column)
    body = f"\n# Columns of the plan\n{columns}"
    carve: list[str] = []
    populations: list[str] = []
    begin: list[str] = []
    count: list[str] = []
    last = len(steps) - 1
    for k, (step, groups) in enumerate(zip(steps, grouped, strict=True)):
        parts = kernels.Parts(step, awake="gate != f32(0.0)" if groups else "")
        fields = step.state
        filled = kernels.constant_parts(parts)
        body += emit.fill(kernels.CONSTANTS.replace("def constants", f"def constants{k}"), filled)
        sizes = {"params": len(step.params), "constants": len(parts.hoisted)}
        carve += _lines(CARVE.format(k=k, **sizes))
        carve += _lines(CARVE_GROUPS.format(k=k)) if groups else []
        begin += [f"S{k} = matrix(state[b], plan[{k}, STATE], {len(fields)}, H{k})"]
        if step.spikes:
            begin += [f"n{k} = list_nonzero(S{k}, {fields.index('z')}, rows, {k})"]
        below, n, amounts = (k - 1, f"n{k - 1}", "None") if k else (len(steps), "n", "amounts")
        if groups:
            names = {"below": below, "n": n, "amounts": amounts, "z": fields.index("z")}
            template = POPULATION_GROUPS.format(k=k, **names)
        else:
            template = POPULATION.format(k=k, count=n)
        gather = {"gather": [f"add_rows(acc{k}, 0, w_in{k}, rows, {below}, 0, {n}, {amounts})"]}
        own = _population(k, parts, k == last, groups)
        populations += _lines(emit.fill(template, gather | own))
        count += [
            f"additions[{k}, 0] += a{k} * {'m' if groups else 'H'}{k}",
            f"additions[{k}, 1] += r{k}",
        ]
    filled = {"carve": carve, "begin": begin, "populations": populations, "count": count}
    filled["groups"] = _lines(GROUPS) if any(grouped) else []
    body += emit.fill(ADVANCE, filled)
    body = body.replace("@populations_and_input", str(len(steps) + 1))
    body = body.replace("@input", str(len(steps)))
    title = "stack of " + ", ".join(step.name for step in steps)
    return kernels.module_text(
        "Kernels of a stack, derived from the steps", f"{body}\n\nTITLE = {title!r}\n"
    )


def _population(k: int, parts: kernels.Parts, last: bool, groups: bool) -> dict[str, list[str]]:
    """The lines of one population in one step."""
    fields = parts.state
    update = parts.update()
    stores = [
        f"S{k}[{f}, h] = {parts.value(parts.forward, f'n_{n}')}" for f, n in enumerate(fields)
    ]
    if last:
        stores.append(f"out[at, h] = {parts.value(parts.forward, 'out')}")
    sources = {f"s_{n}": f"S{k}[{f}, h]" for f, n in enumerate(fields)} | {
        "i": f"gate * acc{k}[g, h - g * m{k}] if gate != f32(0.0) else f32(0.0)"
        if groups
        else f"acc{k}[0, h]"
    }
    loads = kernels.load_lines(parts, [*update, *stores], sources, f"P{k}", f"C{k}")
    recur: list[str] = []
    spikes: list[str] = []
    if parts.step.spikes:
        z = fields.index("z")
        recur = _lines(RECUR.format(k=k, z=z))
        spikes = [f"n{k} = list_nonzero(S{k}, {z}, rows, {k})"]
    asleep = ["out[at, h] = f32(0.0)"] if last else []
    parts_of = {"load": loads, "update": update, "store": stores, "spikes": spikes}
    return parts_of | {"recur": recur, "asleep": asleep}


def _lines(text: str) -> list[str]:
    return text.strip("\n").split("\n")
