"""The text of a neuron's training kernels for a GPU: its programs put into time loops of Triton.

    forward   a program is a sample with a block of neurons; a neuron that fired adds its row of
              weights, in ascending order as on the CPU, so that the sums are the same bit for bit
    backward  a program is 16 samples with a block of neurons; what reaches the spikes of a step
              through the currents of the next one is a product of matrices
    sums      the gradients of the constants, from what `backward` kept of each step; in one kernel
              with it they would not fit into the registers

Each runs the steps from `first` to `last`. Where one block holds all neurons a launch runs many
steps; elsewhere a launch is one step, since programs wait for each other only between launches.
"""

from __future__ import annotations

import re

from spikern.engines.codegen import emit
from spikern.engines.codegen.kernels import Parts, prefixed
from spikern.engines.codegen.program import Gradient, Program, Step, constant_ops, needed

SAMPLES = 16
"""Samples of a program of the backward pass: the least that a product of matrices takes."""
_HEAD = '''@purpose

import triton
import triton.language as tl


@triton.jit
def power_of_two(n):
    """2^n from its bits, for n of a normal number."""
    return ((n + 127) << 23).to(tl.float32, bitcast=True)


@triton.jit
def exponential(x):
    """e^x, the same operations as on the CPU."""
    given = x
    x = tl.where(x > -104.0, tl.where(x > 89.0, 89.0, x), -104.0)
    n = tl.floor(x * 1.44269504 + 0.5)
    r = (x - n * 0.693359375) + n * 2.12194440e-4
    y = 1.9875691500e-4 * r + 1.3981999507e-3
    y = y * r + 8.3334519073e-3
    y = y * r + 4.1665795894e-2
    y = y * r + 1.6666665459e-1
    y = y * r + 5.0000001201e-1
    y = (y * r) * r + r + 1.0
    whole = n.to(tl.int32)
    half = whole >> 1
    y = (y * power_of_two(half)) * power_of_two(whole - half)
    return tl.where(given != given, given, y)


@triton.jit
def tanh(x):
    """Source: tanhf in the Cephes library, S. L. Moshier."""
    a = tl.abs(x)
    s = x * x
    y = -5.70498872745e-3 * s + 2.06390887954e-2
    y = y * s - 5.37397155531e-2
    y = y * s + 1.33314422036e-1
    y = y * s - 3.33332819422e-1
    far = 1.0 - tl.div_rn(2.0, exponential(a + a) + 1.0)
    return tl.where(a < 0.625, y * s * x + x, tl.where(x < 0.0, -far, far))


@triton.jit
def log1p(x):
    """Source: W. Kahan's correction of log(1 + x) for what 1 + x loses."""
    y = 1.0 + x
    kept = tl.abs(y - 1.0) > 0.0
    corrected = tl.log(y) * tl.div_rn(x, tl.where(kept, y - 1.0, 1.0))
    return tl.where(kept, tl.where(y < float("inf"), corrected, y), x)


@triton.jit
def expm1(x):
    """e^x - 1 by its series near 0."""
    y = x * (1.0 / 720.0) + 1.0 / 120.0
    y = y * x + 1.0 / 24.0
    y = y * x + 1.0 / 6.0
    y = y * x + 0.5
    return tl.where(tl.abs(x) < 0.25, y * x * x + x, exponential(x) - 1.0)


@triton.jit
def arctan(x):
    """Source: atanf in the Cephes library, S. L. Moshier."""
    a = tl.abs(x)
    steep = a > 2.414213562373095
    middle = a > 0.4142135623730950
    y = tl.where(middle, tl.div_rn(a - 1.0, a + 1.0), a)
    y = tl.where(steep, -tl.div_rn(1.0, a), y)
    begin = tl.where(steep, 1.5707963267948966, tl.where(middle, 0.7853981633974483, 0.0))
    s = y * y
    p = 8.05374449538e-2 * s - 1.38776856032e-1
    p = p * s + 1.99777106478e-1
    p = p * s - 3.33329491539e-1
    found = begin + (p * s * y + y)
    return tl.where(x < 0.0, -found, tl.where(x == 0.0, x, found))


@triton.jit
def nearest(x):
    """The nearest whole number, the even one of two: beyond 2^23 every number is whole."""
    a = tl.abs(x)
    whole = (a + 8388608.0) - 8388608.0
    return tl.where(a < 8388608.0, tl.where(x < 0.0, -whole, whole), x)


@triton.jit
def power(x, y):
    """x^y by its logarithm; a negative x has powers of whole numbers alone."""
    y = tl.where(x == x, y, y)
    found = exponential(y * tl.log(tl.abs(x)))
    odd = tl.floor(y * 0.5) != y * 0.5
    negative = (x < 0.0) | (tl.div_rn(1.0, x) < 0.0)
    finite = (x < 0.0) & (x > float("-inf"))
    found = tl.where(negative & odd & (tl.floor(y) == y), -found, found)
    found = tl.where(finite & (tl.floor(y) != y), float("nan"), found)
    return tl.where((y == 0.0) | (x == 1.0), 1.0, found)


@triton.jit
def list_nonzero(z, h, on, listed, values, counts, slot, HP: tl.constexpr):
    """The neurons whose z is not zero, ascending, with their z."""
    fired = on & (z != 0.0)
    place = slot * HP + tl.cumsum(fired.to(tl.int32), 0) - 1
    tl.store(listed + place, h, mask=fired)
    tl.store(values + place, z, mask=fired)
    tl.store(counts + slot, tl.sum(fired.to(tl.int32), 0))


@triton.jit
def wait_until(counter, wanted):
    """Wait until other programs have raised a counter to a number."""
    seen = tl.atomic_add(counter, 0, sem="acquire")
    while seen < wanted:
        seen = tl.atomic_add(counter, 0, sem="acquire")
'''
_FORWARD = '''

@triton.jit(
    do_not_specialize=["first", "last", "origin", "every"],
    do_not_specialize_on_alignment=["before", "after"],
)
def forward(
    current, rows, P, lengths, before, after, listed, values, counts, out, tape,
    first, last, origin, every, B, H,
    HP: tl.constexpr, RECURRENT: tl.constexpr, TAPE: tl.constexpr,
):
    """Steps first to last - 1 from the state `before`; the tape begins at the step `origin`."""
    b, block, blocks = tl.program_id(0), tl.program_id(1), tl.num_programs(1)
    h = block * HP + tl.arange(0, HP)
    on = h < H
    at = b * H + h
    size = tl.cast(B, tl.int64) * H
    end = tl.minimum(last, tl.load(lengths + b).to(tl.int32))
    @load_params
    @constants
    @load_state
    @list_start
    for t in range(first, end):
        now = t * size
        i = tl.load(current + now + at, mask=on, other=0.0)
        @recur
        @update
        if TAPE:
            held = t - origin
            @store_tape
        else:
            tl.store(out + now + at, @out, mask=on)
        @next
        @list_spikes
    if not TAPE:
        for t in range(tl.maximum(first, end), last):
            tl.store(out + t * size + at, tl.where(on, 0.0, 0.0), mask=on)
    @store_state
'''
_RECUR = """
if RECURRENT:
    tl.debug_barrier()  # the lists are written
    for k in range(blocks):
        slot = ((t % 2) * B + b) * blocks + k
        for q in tl.range(0, tl.load(counts + slot), loop_unroll_factor=4):
            j = tl.load(listed + slot * HP + q)
            z_j = tl.load(values + slot * HP + q)
            i += z_j * tl.load(rows + j * H + h, mask=on, other=0.0)
"""
_LIST_START = """
if RECURRENT:
    if (blocks == 1) | (first == last):
        slot = ((first % 2) * B + b) * blocks + block
        list_nonzero(s_z, h, on, listed, values, counts, slot, HP)
"""
_LIST_SPIKES = """
if RECURRENT:
    slot = (((t + 1) % 2) * B + b) * blocks + block
    list_nonzero(s_z, h, on, listed, values, counts, slot, HP)
"""
_BACKWARD = '''

@triton.jit(
    do_not_specialize=["first", "last", "origin", "every", "steps"],
    do_not_specialize_on_alignment=["before", "after"],
)
def backward(
    w, P, lengths, tape, d_out, before, after, d_i, pulled_tape, done,
    first, last, origin, every, steps, B, H,
    HP: tl.constexpr, KP: tl.constexpr, RECURRENT: tl.constexpr, TOGETHER: tl.constexpr,
):
    """Steps last - 1 to first, from the gradient `before` of the state after them."""
    @tile
    @load_gradients
    for back in range(last - first):
        t = last - 1 - back
        @moment
        @pull
        @keep_gradients
        @load_backward
        @backward
        tl.store(d_i + now + at, tl.where(on, @d_i, 0.0), mask=exists)
        if TOGETHER:
            tl.debug_barrier()  # all threads have stored
            tl.atomic_add(done + tl.program_id(0), 1, sem="release")
        @hand_back
    @store_gradients


@triton.jit(do_not_specialize=["first", "last", "origin", "every"])
def sums(
    P, lengths, tape, d_out, pulled_tape, d_P,
    first, last, origin, every, B, H, HP: tl.constexpr,
):
    """Add the gradients of the constants over the steps first to last - 1."""
    @tile
    @begin_sums
    for t in range(first, last):
        @moment
        @load_sums
        @sums
    @end_sums
'''
_TILE = f"""
b = tl.program_id(0) * {SAMPLES} + tl.arange(0, {SAMPLES})[:, None]
h = tl.program_id(1) * HP + tl.arange(0, HP)[None, :]
exists = (b < B) & (h < H)
at = b * H + h
size = tl.cast(B, tl.int64) * H
length = tl.load(lengths + b, mask=b < B, other=0)
@load_params
@constants
"""
_MOMENT = """
on = exists & (t < length)
now = t * size
held = t - origin
"""
_PULL = f"""
if RECURRENT:
    if t + 1 < steps:
        if TOGETHER:
            wait_until(done + tl.program_id(0), (steps - 1 - t) * tl.num_programs(1))
        else:
            tl.debug_barrier()  # d_i of t + 1 is written
        pulled = tl.zeros([{SAMPLES}, HP], tl.float32)
        for low in range(0, H, KP):
            k = low + tl.arange(0, KP)
            d_next = tl.load(
                d_i + (now + size) + b * H + k[None, :],
                mask=(b < B) & (k[None, :] < H), other=0.0,
            )
            w_k = tl.load(w + k[:, None] * H + h, mask=(k[:, None] < H) & (h < H), other=0.0)
            pulled = tl.dot(d_next, w_k, pulled, input_precision="ieee")
        g_n_z += pulled
"""


def source(step: Step, gradient: Gradient) -> str:
    """The text of a module with the training kernels of a neuron."""
    parts = Parts(step, gradient.primitive, emit.TRITON)
    adjoint = prefixed(gradient.adjoint)
    parts.hoist(adjoint)
    slope: list[str] = []
    done: set[str] = set()
    if step.spikes:
        first = needed(adjoint, ["d_z"])
        done = {op.name for op in first}
        slope = [
            *parts.lines(needed(parts.forward, ["u"])), f"u = {parts.value(parts.forward, 'u')}",
            *parts.of_u(gradient.derivative, "d"),
            *parts.lines(first), f"g_u = ({parts.value(adjoint, 'd_z')}) * d",
        ]  # fmt: skip

    def pulled_back(outputs: list[str]) -> list[str]:
        return [*slope, *parts.lines(op for op in needed(adjoint, outputs) if op.name not in done)]

    state = step.state
    trained = [f for f in step.params if isinstance(adjoint.outputs[f"d_p_{f}"], str)]
    backward = pulled_back(["d_i", *(f"d_s_{f}" for f in state)])
    summed = pulled_back([f"d_p_{f}" for f in trained])
    handed = [f"tl.where(on, {parts.value(adjoint, f'd_s_{f}')}, g_n_{f})" for f in state]
    d_params = [f"tl.where(on, {parts.value(adjoint, f'd_p_{f}')}, 0.0)" for f in trained]
    used = _words([*backward, *summed, *handed, *d_params, parts.value(adjoint, "d_i")])
    taped = [n for n in (*(f"s_{f}" for f in state), "i", "z") if n in used]
    update = parts.update()
    following = [f"tl.where(on, {parts.value(parts.forward, f'n_{f}')}, 0.0)" for f in state]

    def loads(
        pointer: str, name: str, fields: tuple[str, ...], mask: str, other: float = 0.0
    ) -> list[str]:
        return [
            f"{name}{f} = tl.load({pointer.format(k)}, mask={mask}, other={other})"
            for k, f in enumerate(fields)
        ]

    def stores(pointer: str, name: str, mask: str) -> list[str]:
        return [
            f"tl.store({pointer.format(k)}, {name}{f}, mask={mask})" for k, f in enumerate(state)
        ]

    from_tape = loads("tape + ({} * every + held) * size + at", "", tuple(taped), "on")
    g_out = ["g_out = tl.load(d_out + now + at, mask=on, other=0.0)"]
    spikes = step.spikes
    filled = {
        "purpose": [f"{_purpose(step, gradient)!r}"],
        "load_params": loads("P + {} * H + h", "p_", step.params, "h < H", 1.0),
        "constants": _constants(parts, adjoint),
        "load_state": loads("before + {} * size + at", "s_", state, "on"),
        "list_start": _lines(_LIST_START if spikes else ""),
        "recur": _lines(_RECUR if spikes else ""),
        "update": update,
        "store_tape": [
            f"tl.store(tape + ({k} * every + held) * size + at, {n}, mask=on)"
            for k, n in enumerate(taped)
        ] or ["pass"],
        "next": [f"n_{f} = {n}" for f, n in zip(state, following)]
        + [f"s_{f} = n_{f}" for f in state],
        "list_spikes": _lines(_LIST_SPIKES if spikes else ""),
        "store_state": stores("after + {} * size + at", "s_", "on"),
        "tile": _lines(_TILE),
        "moment": _lines(_MOMENT),
        "load_gradients": loads("before + {} * size + at", "g_n_", state, "exists"),
        "pull": _lines(_PULL if spikes else ""),
        "keep_gradients": stores("pulled_tape + ({} * every + held) * size + at", "g_n_", "on"),
        "load_backward": [*from_tape, *g_out],
        "backward": backward,
        "hand_back": [f"h_{f} = {h}" for f, h in zip(state, handed)]
        + [f"g_n_{f} = h_{f}" for f in state],
        "store_gradients": stores("after + {} * size + at", "g_n_", "exists"),
        "begin_sums": [f"sum_{f} = tl.zeros([{SAMPLES}, HP], tl.float32)" for f in trained],
        "load_sums": [
            *from_tape, *g_out,
            *loads("pulled_tape + ({} * every + held) * size + at", "g_n_", state, "on"),
        ],
        "sums": [*summed, *(f"sum_{f} += {d}" for f, d in zip(trained, d_params))],
        "end_sums": [
            line
            for k, f in enumerate(step.params) if f in trained
            for line in (
                f"to = d_P + ({k} * tl.num_programs(0) + tl.program_id(0)) * H + h",
                f"total = tl.sum(sum_{f}, 0)[None, :] + tl.load(to, mask=h < H, other=0.0)",
                "tl.store(to, total, mask=h < H)",
            )
        ],
    }  # fmt: skip
    text = emit.fill(emit.fill(_HEAD + _FORWARD + _BACKWARD, filled), filled)
    text = text.replace("@out", parts.value(parts.forward, "out"))
    text = text.replace("@d_i", parts.value(adjoint, "d_i"))
    facts = f"TAPED = {len(taped)}\nTRAINED = {bool(trained)}\n"
    return f"{text}\n\n{facts}" + (f"Z = {state.index('z')}\n" if spikes else "")


def _purpose(step: Step, gradient: Gradient) -> str:
    return (
        f"Kernels of {step.name} with the {gradient.surrogate} surrogate for a GPU, derived from "
        "its step"
    )


def _constants(parts: Parts, adjoint: Program) -> list[str]:
    """The statements of what depends on the neuron's constants alone, each once."""
    ops = {
        parts.names[op.name]: op
        for program in (adjoint, parts.forward)
        for op in reversed(constant_ops(program))
    }
    ordered = [ops[name] for name in parts.hoisted.values()]
    return emit.statements(ordered, parts.names, parts.truths, parts.dialect)


def _words(lines: list[str]) -> set[str]:
    return set(re.findall(r"\w+", " ".join(lines)))


def _lines(text: str) -> list[str]:
    return text.strip("\n").split("\n") if text else []
