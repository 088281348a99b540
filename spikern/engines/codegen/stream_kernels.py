"""The text of a stack's inference kernel: all populations of one step before the next step.

A population reads the spikes of the one below as a list. One whose inputs come from elsewhere too,
or later, has them side by side in a row of numbers first. Axons of several steps end in a ring, the
delay buffer in the sample's state, which is turned so that its oldest row is the first in between.

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
    """Neurons of the widest population, or inputs of one if they are more."""
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
    OUTPUTS = 19
    """How many of its last neurons are its output."""
    LONGEST = 20
    """Steps that its delay buffer holds."""
    CHANNELS = 21
    """Inputs that are delayed; 0 or all."""
    OWN = 22
    """Its spikes that are delayed, which are the last inputs; 0 or all."""
    DELAYS = 23
    """Where the delays of both are listed in `indices`."""
    BUFFER = 24
    """Where its delay buffer begins in the state of a sample."""
    STATE_SIZE = 25
    """Size of a sample's state. This and what follows: first row only, read by `step` only."""
    INPUTS = 26
    """Inputs of the stack."""
    MEMORY = 27
    """Address of `memory`."""
    MEMORY_SIZE = 28
    """Length of `memory`."""
    INDICES = 29
    """Address of `indices`."""
    INDICES_SIZE = 30
    """Length of `indices`."""
    OUT = 31
    """Address of the output of a step."""
    ADDITIONS = 32
    """Address of the additions counted by `step`."""
    ADVANCE = 33
    """Address of `advance`, which `step` calls."""


_F2 = "float32[:,::1]"
CONSTANTS_SIGNATURE = f"void({_F2}, {_F2})"
ADVANCE_SIGNATURE = (
    "void(int64, int64, float32[::1], uint32[::1], int64[:,::1], int64[::1], "
    f"{_F2}, {_F2}, {_F2}, int64[:,::1])"
)
STEP_SIGNATURE = f"boolean(int64[:,::1], float32[::1], {_F2})"
ADVANCE = '''

@njit(cache=True, nogil=True, error_model="numpy")
def advance(low, high, memory, indices, plan, lengths, x, state, out, additions):
    """Samples low..high over all steps of x (T B, F); state (B, S) and additions change."""
    x, out, plan, memory = distinct(x), distinct(out), distinct(plan), distinct(memory)
    batch = state.shape[0]
    steps = x.shape[0] // batch
    rows = distinct(np.empty((@lists, plan[0, WIDEST]), np.int32))
    amounts = distinct(np.empty(rows.shape, np.float32))
    acc = np.empty(rows.size, np.float32)
    @scratch
    @carve
    for b in range(low, high):
        @begin
        for t in range(min(steps, lengths[b])):
            at = t * batch + b
            n = list_nonzero(x, at, rows, @input)
            take(x, at, rows, @input, n, amounts)
            @populations
        @end
        for t in range(lengths[b], steps):
            for h in range(out.shape[1]):
                out[t * batch + b, h] = f32(0.0)
    @count


advance_at = by_address(advance, "@signature")


@njit(cache=True, error_model="numpy")
def step(plan, x, state):
    """One sample by one step: x (F,), state (1, S); False, and nothing done, if x is unfit."""
    if x.shape[0] != plan[0, INPUTS] or state.shape[0] != 1:
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
    args = (0, 1, memory, indices, plan, lengths, x, state, out, additions)
    advance_at(plan[0, ADVANCE], args)
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
WIRED = """
inputs, answers = np.empty(rows.size, np.float32), np.empty(rows.size, np.float32)
"""
CARVE_WIRED = """
L{k}, F{k}, D{k} = plan[{k}, LONGEST], plan[{k}, CHANNELS], plan[{k}, OWN]
delays{k} = matrix(indices, plan[{k}, DELAYS], 1, F{k} + D{k})[0]
into{k} = matrix(inputs, {k} * plan[0, WIDEST], 1, plan[{k}, FAN_IN] - D{k})
arriving{k} = np.empty((L{k}, (D{k} + 63) >> 6), np.int64)
"""
CARVE_ANSWER = "answer{k} = matrix(answers, {k} * plan[0, WIDEST], 1, H{k})"
FROM_INPUT = """
for f in range(x.shape[1]):
    into{k}[0, at_input + f] = x[at, f]
at_input += x.shape[1]
"""
FROM_POPULATION = """
for f in range(plan[{j}, OUTPUTS]):
    into{k}[0, at_input + f] = {values}[{row}, H{j} - plan[{j}, OUTPUTS] + f]
at_input += plan[{j}, OUTPUTS]
"""
ARRIVE = """
at_input, newest = 0, t % max(L{k}, 1)
@sources
for f in range(F{k}):
    now, sent = into{k}[0, f], newest - np.int64(delays{k}[f])
    if sent < newest:
        into{k}[0, f] = buffer{k}[sent + L{k} if sent < 0 else sent, f]
    buffer{k}[newest, f] = now
i{k} = list_nonzero(into{k}, 0, rows, {list})
take(into{k}, 0, rows, {list}, i{k}, amounts)
others = i{k}
if t < early{k}:
    for h in range(D{k}):
        sent = newest - np.int64(delays{k}[F{k} + h])
        value = buffer{k}[sent + L{k} if sent < 0 else sent, F{k} + h]
        rows[{list}, i{k}], amounts[{list}, i{k}] = at_input + h, value
        i{k} += value != f32(0.0)
else:
    for c in range(arriving{k}.shape[1]):
        word = arriving{k}[newest, c]
        arriving{k}[newest, c] = 0
        while word != 0:
            rows[{list}, i{k}] = at_input + (c << 6) + lowest_bit(word)
            amounts[{list}, i{k}] = f32(1.0)
            i{k} += 1
            word = without_lowest_bit(word)
own{k} = i{k} - others
r{k} += own{k} * H{k}
"""
"""The numbers that reach a population, before its step. What was sent before the first step may be
any number, so the early steps look their numbers up; later, and where nothing was sent, spikes are
bits in the row of the step at which they arrive."""
DEPART = """
for h in range(D{k}):
    buffer{k}[newest, F{k} + h] = S{k}[{z}, h]
if D{k} > 0:
    for e in range(n{k}):
        h = np.int64(rows[{k}, e])
        delay = np.int64(delays{k}[F{k} + h])
        if t + delay >= early{k}:
            end = newest + delay if newest + delay < L{k} else newest + delay - L{k}
            arriving{k}[end, h >> 6] |= np.int64(1) << (h & 63)
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


def source(
    steps: Sequence[Step], grouped: Sequence[bool], sources: Sequence[Sequence[int] | None]
) -> str:
    """The text of a module that advances this stack of neurons.

    It depends on which are in groups, and, for those that read more than the spikes of the
    population below, on their sources: 0 the input of the stack, k the k-th population.
    """
    columns = "".join(f"{column.name} = {column.value}\n" for column in Column)
    body = f"\n# Columns of the plan\n{columns}"
    filled: dict[str, list[str]] = {
        name: [] for name in ("carve", "begin", "populations", "end", "count", "scratch")
    }
    count = len(steps)
    wired = [k for k, own in enumerate(sources) if own is not None]
    read = {source - 1 for own in sources if own is not None for source in own}
    for k, (step, groups) in enumerate(zip(steps, grouped, strict=True)):
        parts = kernels.Parts(step, awake="gate != f32(0.0)" if groups else "")
        fields = step.state
        constants = kernels.constant_parts(parts)
        body += emit.fill(
            kernels.CONSTANTS.replace("def constants", f"def constants{k}"), constants
        )
        sizes = {"params": len(step.params), "constants": len(parts.hoisted)}
        filled["carve"] += _lines(CARVE.format(k=k, **sizes))
        filled["carve"] += _lines(CARVE_GROUPS.format(k=k)) if groups else []
        filled["begin"] += [f"S{k} = matrix(state[b], plan[{k}, STATE], {len(fields)}, H{k})"]
        z = fields.index("z") if step.spikes else 0
        if step.spikes:
            filled["begin"] += [f"n{k} = list_nonzero(S{k}, {z}, rows, {k})"]
        elif k in read:
            filled["carve"] += [CARVE_ANSWER.format(k=k)]
        below, n, amounts = (k - 1, f"n{k - 1}", "None") if k else (count, "n", "amounts")
        events, arrive, depart = n, [], []
        if k in wired:
            below, n, amounts, events = count + 1 + k, f"i{k}", "amounts", f"i{k} - own{k}"
            filled["carve"] += _lines(CARVE_WIRED.format(k=k))
            filled["begin"] += [
                f"buffer{k} = matrix(state[b], plan[{k}, BUFFER], L{k}, F{k} + D{k})",
                f"arriving{k}[:] = 0",
                f"early{k} = L{k} if steps <= L{k} or buffer{k}[:, F{k} :].any() else 0",
            ]
            filled["end"] += [f"turn(buffer{k}, min(steps, lengths[b]))"]
            into = [line for source in sources[k] or () for line in _from(k, source, steps)]
            arrive = _lines(emit.fill(ARRIVE.format(k=k, list=below), {"sources": into}))
            depart = _lines(DEPART.format(k=k, z=z)) if step.spikes else []
        if groups:
            names = {"below": below, "n": n, "amounts": amounts, "z": z}
            template = POPULATION_GROUPS.format(k=k, **names)
        else:
            template = POPULATION.format(k=k, count=events)
        gather = {"gather": [f"add_rows(acc{k}, 0, w_in{k}, rows, {below}, 0, {n}, {amounts})"]}
        own = _population(k, parts, k == count - 1, groups, k in read)
        filled["populations"] += [*arrive, *_lines(emit.fill(template, gather | own)), *depart]
        filled["count"] += [
            f"additions[{k}, 0] += a{k} * {'m' if groups else 'H'}{k}",
            f"additions[{k}, 1] += r{k}",
        ]
    filled["scratch"] += _lines(GROUPS) if any(grouped) else []
    filled["scratch"] += _lines(WIRED) if wired else []
    body += emit.fill(ADVANCE, filled)
    body = body.replace("@lists", str(2 * count + 1 if wired else count + 1))
    body = body.replace("@input", str(count)).replace("@signature", ADVANCE_SIGNATURE)
    title = "stack of " + ", ".join(step.name for step in steps)
    return kernels.module_text(
        "Kernels of a stack, derived from the steps", f"{body}\n\nTITLE = {title!r}\n"
    )


def _from(k: int, source: int, steps: Sequence[Step]) -> list[str]:
    """The lines that put one source side by side with the others of population k."""
    if source == 0:
        return _lines(FROM_INPUT.format(k=k))
    step, j = steps[source - 1], source - 1
    values, row = (f"S{j}", step.state.index("z")) if step.spikes else (f"answer{j}", 0)
    return _lines(FROM_POPULATION.format(k=k, j=j, values=values, row=row))


def _population(
    k: int, parts: kernels.Parts, last: bool, groups: bool, read: bool
) -> dict[str, list[str]]:
    """The lines of one population in one step; `read` says whether others read its numbers."""
    fields = parts.state
    update = parts.update()
    stores = [
        f"S{k}[{f}, h] = {parts.value(parts.forward, f'n_{n}')}" for f, n in enumerate(fields)
    ]
    if last:
        stores.append(f"out[at, h] = {parts.value(parts.forward, 'out')}")
    elif read and not parts.step.spikes:
        stores.append(f"answer{k}[0, h] = {parts.value(parts.forward, 'out')}")
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
