"""The training kernels of a population in groups, of which only those awake are worked on.

`gains` (T B, E) says who is awake, 0 for nobody. Weights are in blocks, one for each group of
targets: the row of source j for group g is row g sources + j. So an event adds one short row for
each group that is awake, and sums and gradients of currents have a row for each group too. In
`di` those of group g begin at row g `span`. Indices of neurons are unsigned, since numba adds a
test for negative values to every signed one.
"""

from __future__ import annotations

from spikern.engines.codegen import kernels
from spikern.engines.codegen.program import Gradient, Step

GROUPS = kernels.Form(
    i="gate * acc[group, h - own]",
    keep=("di[u, h - own] = y",),
    blocks={
        "make_sums": """
experts = gains.shape[1]
members, fan_in, span = hidden // experts, w_in.shape[0] // experts, (every + 1) * size
acc = distinct(np.zeros((experts, width), np.float32))
groups = distinct(np.empty((1, experts), np.int32))
""",
        "current": """
at = t * batch + b
awake = list_nonzero(gains, at, groups, 0)
first, last = offsets[at], offsets[at + 1]
for k in range(awake):
    group = groups[0, k]
    for j in range(members):
        acc[group, j] = bias[group * members + j]
    add_rows(acc, group, w_in, events, 0, first, last, amounts, group * fan_in)
    @note_events
""",
        "update_neurons": """
for group in range(experts):
    own, gate = np.uint64(group * members), gains[at, group]
    @stand_still
    @tape_sums
    for h in range(own, own + np.uint64(members)):
        @load
        @update
        @surrogate
        @tape
        @store
        @count
""",
        "make_scratch": """
di = distinct(np.zeros((experts * span, width), np.float32))
raw = distinct(np.empty((experts * span, width), np.float32))
most = 1
for q in range(size):
    for t in range(steps):
        most = max(most, list_nonzero(gains, t * batch + low + q, groups, 0))
most *= every * size * max(hidden, fan_in)
""",
        "pad_gradients": """
for group in range(experts):
    d_gains[t * batch + b, group] = f32(0.0)
if passed:
    for h in range(hidden):
        d_current[t, b, h] = f32(0.0)
""",
        "differentiate_neurons": """
for group in range(experts):
    own, gate = np.uint64(group * members), gains[t * batch + b, group]
    u = group * span + e
    d_gains[t * batch + b, group] = f32(0.0)
    @hand_on_gradients
    for h in range(own, own + np.uint64(members)):
        @load_adjoint
        @adjoint
        @store_adjoint
    if gate != f32(0.0):
        d_gains[t * batch + b, group] = product(di, u, raw, u)
    for j in range(members):
        di[u, j] *= gate
        db[own + j] += di[u, j]
        if passed:
            d_current[t, b, own + j] = di[u, j]
""",
        "stand_still": """
if gate == f32(0.0):
    for h in range(own, own + np.uint64(members)):
        S_z[q, h] = f32(0.0)
    continue
""",
        "hand_on_gradients": """
if gate == f32(0.0):
    for h in range(own, own + np.uint64(members)):
        G_z[q, h] = f32(0.0)
        if passed:
            d_current[t, b, h] = f32(0.0)
    continue
""",
        "carry_gradients": """
for group in range(experts):
    for q in range(size):
        for j in range(width):
            di[group * span + every * size + q, j] = di[group * span + q, j]
""",
    },
    spikes={
        "send": "",
        "recur": """
if recurrent:
    if @valued:
        n = list_nonzero(S_z, q, rows, 0)
        take(S_z, q, rows, 0, n, initial)
        for k in range(awake):
            group = groups[0, k]
            add_rows(acc, group, w_rec, rows, 0, 0, n, initial, group * hidden)
            @note_values
    else:
        n = list_kept(bits, (t - 1) * batch + b, rows, 0)
        for k in range(awake):
            group = groups[0, k]
            add_rows(acc, group, w_rec, rows, 0, 0, n, None, group * hidden)
            @note_spikes
""",
        "make_lists": """
z_sources, z_places = np.empty(most, np.int32), np.empty(most, np.int32)
z_given, z_ends = np.empty(most, np.float32), np.empty(w_rec.shape[0] + 1, np.int64)
""",
        "push_spikes": """
if recurrent:
    by_source(z_sources, z_places, z_given, fired, z_ends, to, times)
    add_to_rows(dw_rec, z_ends, to, times, di)
""",
        "pull_spikes": """
for q in range(size):
    b = low + q
    e, at, after = (t - first_step) * size + q, t * batch + b, (t + 1) * batch + b
    if t >= lengths[b]:
        continue
    if narrow:
        add_rows(G_z, q, w_up, None, b, 0, w_up.shape[0], d_above[t])
    n = 0
    for group in range(experts):
        if gains[at, group] != f32(0.0):
            n = list_between(T_slope, e, group * members, group * members + members, rows, 0, n)
    if fed:
        add_products(G_z, q, rows, 0, n, w_above, 0, d_above[t], b)
    if recurrent and t + 1 < lengths[b]:
        for group in range(experts):
            if gains[after, group] != f32(0.0):
                u = group * span + later + q
                add_products(G_z, q, rows, 0, n, w_rec, group * hidden, di, u)
""",
        "pull_start": """
if recurrent:
    for q in range(size):
        for group in range(experts):
            if gains[low + q, group] != f32(0.0):
                u = group * span + later + q
                add_products(G_z, q, None, 0, hidden, w_rec, group * hidden, di, u)
""",
    },
    notes={
        "note_events": (
            "arrived = note(sources, places, given, arrived, group * span + e, events, 0, first, "
            "last, amounts, group * fan_in)"
        ),
        "note_values": (
            "fired = note(z_sources, z_places, z_given, fired, group * span + e, rows, 0, 0, n, "
            "initial, group * hidden)"
        ),
        "note_spikes": (
            "fired = note(z_sources, z_places, z_given, fired, group * span + e, rows, 0, 0, n, "
            "None, group * hidden)"
        ),
        "tape_sums": "raw[group * span + e] = acc[group]",
    },
)
"""Neurons group by group. A group that sleeps has no spikes, so none get a gradient; the rest of
its state is what it was, and so are the gradients."""


def source(step: Step, gradient: Gradient) -> str:
    """The text of a module with the training kernels of a neuron in groups."""
    return kernels.source(step, gradient, GROUPS)
