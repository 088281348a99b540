"""The text of a stack's inference kernel: all populations of one step before the next step.

Weights, constants and sizes come in one array each and are cut up once a call, because every
array that crosses from Python costs as much as adding a row. A single step is given the addresses
of those that stay.
"""

from __future__ import annotations

from collections.abc import Sequence

from spikern.engines.codegen import emit, kernels
from spikern.engines.codegen.runtime import HEAD
from spikern.neurons.model import NeuronModel
from spikern.neurons.surrogate import Surrogate

PLAN = (
    "hidden",
    "fan_in",
    "recurrent",
    "P",
    "C",
    "w_in",
    "w_rec",
    "bias",
    "state",
    "widest",
    "one",
    "links",
    "at",
    "to",
    "whole",
    "memory",
    "memory_size",
    "wires",
    "wires_size",
    "out",
    "additions",
)
"""Columns of the plan: sizes, where each thing begins in `memory`, where in a sample's state, the
widest layer or input, the length of a single step, and of sparse recurrent weights, which are then
what begins at w_rec, how many links there are and where in `wires` they are. The rest is for `step`
and in the first row alone: the size of a sample's state, and the addresses of the arrays that do
not change from step to step."""
UNUSED = Surrogate("none", lambda u: u, lambda u: u, 0.0, "")
"""Inference has no gradient."""
ADVANCE = '''

@njit(cache=True, nogil=True)
def advance(low, high, memory, wires, plan, lengths, x, state, out, additions):
    """Samples low..high over all steps of x (T B, F); state (B, S) and additions change."""
    x, out, plan, memory = distinct(x), distinct(out), distinct(plan), distinct(memory)
    batch = state.shape[0]
    steps = x.shape[0] // batch
    rows = distinct(np.empty((@populations_and_input, plan[0, 9]), np.int32))
    acc = distinct(np.empty(plan[0, 9], np.float32))
    @carve
    for b in range(low, high):
        @begin
        for t in range(min(steps, lengths[b])):
            at = t * batch + b
            n = list_nonzero(x, at, rows, @input)
            @populations
        for t in range(lengths[b], steps):
            for h in range(out.shape[1]):
                out[t * batch + b, h] = f32(0.0)
    @count


@njit(cache=True)
def step(plan, x, state):
    """One sample by one step: x (F,), state (1, S); False, and nothing done, of other shapes."""
    if x.shape[0] != plan[0, 1] or state.shape[0] != 1 or state.shape[1] != plan[0, 14]:
        return False
    last = plan.shape[0] - 1
    memory = carray(floats_at(plan[0, 15]), (plan[0, 16],))
    wires = carray(words_at(plan[0, 17]), (plan[0, 18],))
    out = carray(floats_at(plan[0, 19]), (1, plan[last, 0]))
    additions = carray(counts_at(plan[0, 20]), (last + 1, 2))
    x = matrix(x, 0, 1, x.shape[0])
    advance(0, 1, memory, wires, plan, plan[0, 10:11], x, state, out, additions)
    return True
'''
VIEWS = '''
import ctypes

from numba import carray
from numba.np.arrayobj import populate_array

if config.DISABLE_JIT:

    def floats_at(address):
        return ctypes.cast(int(address), ctypes.POINTER(ctypes.c_float))

    def words_at(address):
        return ctypes.cast(int(address), ctypes.POINTER(ctypes.c_uint32))

    def counts_at(address):
        return ctypes.cast(int(address), ctypes.POINTER(ctypes.c_int64))

    def matrix(memory, at, rows, columns):
        return memory[at : at + rows * columns].reshape((rows, columns))

else:

    def reaching(kind):
        """What makes a pointer to numbers of a kind out of an address."""

        @intrinsic
        def pointer(typingctx, address):
            def codegen(context, builder, sig, args):
                return builder.inttoptr(args[0], context.get_value_type(sig.return_type))

            return types.CPointer(kind)(types.int64), codegen

        return pointer

    floats_at, words_at = reaching(types.float32), reaching(types.uint32)
    counts_at = reaching(types.int64)

    @intrinsic
    def matrix(typingctx, memory, at, rows, columns):
        """The matrix that begins at a place of an array, with the promise of `distinct`.

        It costs nothing, where a slice and its reshape cost a third of a step of a small network;
        it keeps nothing alive.
        """
        kind = types.Array(memory.dtype, 2, "C")

        def codegen(context, builder, sig, args):
            whole = context.make_array(sig.args[0])(context, builder, args[0])
            view = context.make_array(kind)(context, builder)
            size = whole.itemsize
            pointer = promised(builder, builder.gep(whole.data, [args[1]]))
            strides = builder.mul(args[3], size), size
            populate_array(view, pointer, (args[2], args[3]), strides, size, None)
            return view._getvalue()

        return kind(memory, types.int64, types.int64, types.int64), codegen

'''
CARVE = """
H{k} = plan[{k}, 0]
P{k} = matrix(memory, plan[{k}, 3], {params}, H{k})
C{k} = matrix(memory, plan[{k}, 4], {consts}, H{k})
w_in{k} = matrix(memory, plan[{k}, 5], plan[{k}, 1], H{k})
w_rec{k} = matrix(memory, plan[{k}, 6], plan[{k}, 2], H{k})
links{k} = matrix(memory, plan[{k}, 6], 1, plan[{k}, 11])[0]
at{k} = matrix(wires, plan[{k}, 12], 1, (plan[{k}, 11] > 0) * (H{k} + 1))[0]
to{k} = matrix(wires, plan[{k}, 13], 1, plan[{k}, 11])[0]
bias{k} = matrix(memory, plan[{k}, 7], 1, H{k})[0]
acc{k} = acc[:H{k}]
n{k} = a{k} = r{k} = 0
"""
POPULATION = """
for h in range(H{k}):
    acc{k}[h] = bias{k}[h]
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
if plan[{k}, 11] > 0:
    for e in range(n{k}):
        r{k} += np.int64(at{k}[rows[{k}, e] + 1]) - np.int64(at{k}[rows[{k}, e]])
    if t == 0:
        add_scaled_links(acc{k}, at{k}, to{k}, links{k}, rows, {k}, n{k}, S{k}, {z})
    else:
        add_links(acc{k}, at{k}, to{k}, links{k}, rows, {k}, n{k})
elif plan[{k}, 2] > 0:
    r{k} += n{k} * H{k}
    if t == 0:
        add_scaled_rows(acc{k}, w_rec{k}, rows, {k}, n{k}, S{k}, {z})
    else:
        add_rows(acc{k}, w_rec{k}, rows, {k}, n{k})
"""


def source(models: Sequence[NeuronModel]) -> str:
    """A self-contained module that advances this stack of neurons."""
    carve: list[str] = []
    populations: list[str] = []
    begin: list[str] = []
    count: list[str] = []
    text = HEAD + VIEWS
    last = len(models) - 1
    for k, model in enumerate(models):
        parts = kernels.Parts(model, UNUSED)
        fields = model.state._fields
        filled = kernels.constant_parts(parts)
        text += emit.fill(kernels.CONSTANTS.replace("def constants", f"def constants{k}"), filled)
        sizes = {"params": len(model.params._fields), "consts": len(parts.hoisted)}
        carve += _lines(CARVE.format(k=k, **sizes))
        begin += [f"S{k} = matrix(state[b], plan[{k}, 8], {len(fields)}, H{k})"]
        if model.spikes:
            begin += [f"n{k} = list_nonzero(S{k}, {fields.index('z')}, rows, {k})"]
        body = emit.fill(POPULATION.format(k=k, count="n" if k == 0 else f"n{k - 1}"), {
            "gather": [_gather(k, len(models))], **_population(k, parts, k == last),
        })  # fmt: skip
        populations += _lines(body)
        count += [f"additions[{k}, 0] += a{k} * H{k}", f"additions[{k}, 1] += r{k}"]
    filled = {"carve": carve, "begin": begin, "populations": populations, "count": count}
    text += emit.fill(ADVANCE, filled)
    text = text.replace("@populations_and_input", str(len(models) + 1))
    text = text.replace("@input", str(len(models)))
    title = "stack of " + ", ".join(model.name for model in models)
    return text.replace("@title", f"the {title}") + f"\n\nTITLE = {title!r}\n"


def _population(k: int, parts: kernels.Parts, last: bool) -> dict[str, list[str]]:
    model, fields = parts.model, parts.state
    update = parts.update()
    stores = [
        f"S{k}[{f}, h] = {parts.value(parts.forward, f'n_{n}')}" for f, n in enumerate(fields)
    ]
    if last:
        stores.append(f"out[at, h] = {parts.value(parts.forward, 'out')}")
    sources = {f"s_{n}": f"S{k}[{f}, h]" for f, n in enumerate(fields)} | {"i": f"acc{k}[h]"}
    loads = kernels.load(parts, [*update, *stores], sources, f"P{k}", f"C{k}")
    recur: list[str] = []
    spikes: list[str] = []
    if model.spikes:
        z = fields.index("z")
        recur = RECUR.format(k=k, z=z).strip("\n").split("\n")
        spikes = [f"n{k} = list_nonzero(S{k}, {z}, rows, {k})"]
    return {"recur": recur, "load": loads, "update": update, "store": stores, "spikes": spikes}


def _gather(k: int, populations: int) -> str:
    if k == 0:
        return f"add_scaled_rows(acc0, w_in0, rows, {populations}, n, x, at)"
    return f"add_rows(acc{k}, w_in{k}, rows, {k - 1}, n{k - 1})"


def _lines(text: str) -> list[str]:
    return text.strip("\n").split("\n")
