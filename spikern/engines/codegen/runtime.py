"""What every generated kernel calls: lists of events, and rows of weights added up by them.

The weights of a presynaptic neuron are one row, so a neuron that fired adds its row. Spikes are
found 64 neurons at a time, as the bits of a word, and these bits are what is kept of a spike
train. Sparse weights are a list of synapses: those of the presynaptic neuron j are begin[j] to
begin[j + 1] - 1, each with a target and a weight.

All functions are plain Python, which is how the tests run them; inside a compiled kernel numba
compiles them too. A generated kernel names the hash of this file, so a change here gives every
kernel a new name, and numba's cache on disk is never stale.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.core import cgutils, config
from numba.core.codegen import get_host_cpu_features
from numba.core.errors import TypingError
from numba.core.imputils import impl_ret_borrowed
from numba.core.sigutils import normalize_signature
from numba.extending import intrinsic, overload, register_jitable
from numba.np.arrayobj import populate_array

from spikern.engines.codegen import vectors
from spikern.engines.codegen.vectors import load, multiply_add, store, total

Array = Any
"""An array of numpy, which in a compiled kernel is one of numba."""
f32 = np.float32
HASH = hashlib.sha256(
    b"".join(Path(str(path)).read_bytes() for path in (__file__, vectors.__file__))
).hexdigest()[:20]


# Numbers


@register_jitable
def truth(condition: bool) -> np.float32:
    """1 or 0."""
    return f32(1.0) if condition else f32(0.0)


def select(condition: bool, a: Any, b: Any) -> Any:
    """a where the condition holds, else b, without a branch: loops that branch have no vectors."""
    return a if condition else b


def power_of_two(n: Any) -> Any:
    """2^n for a whole float32 from -126 to 127."""
    return f32(2.0) ** n


@register_jitable(inline="always")
def floor(x: Any) -> Any:
    """The largest whole number that is not above x, for |x| < 2^31."""
    n = f32(np.int32(x))
    return select(n > x, n - f32(1.0), n)


@register_jitable(inline="always")
def exponential(x: Any) -> Any:
    """e^x in float32 within two units in the last place; below 1.2e-38 within its last place.

    Source: the polynomial of expf in the Cephes library, S. L. Moshier.
    """
    low = select(x > f32(-104.0), x, f32(-104.0))
    z = select(low > f32(89.0), f32(89.0), low)
    n = floor(z * f32(1.44269504) + f32(0.5))
    r = (z - n * f32(0.693359375)) + n * f32(2.12194440e-4)
    y0 = f32(1.9875691500e-4) * r + f32(1.3981999507e-3)
    y1 = y0 * r + f32(8.3334519073e-3)
    y2 = y1 * r + f32(4.1665795894e-2)
    y3 = y2 * r + f32(1.6666665459e-1)
    y4 = y3 * r + f32(5.0000001201e-1)
    y = (y4 * r) * r + r + f32(1.0)
    half = floor(n * f32(0.5))  # 2^n itself may be out of range
    return select(x != x, x, (y * power_of_two(half)) * power_of_two(n - half))


@register_jitable(inline="always")
def tangent(x: Any) -> Any:
    """tanh x in float32 within two units in the last place.

    Source: tanhf in the Cephes library, S. L. Moshier.
    """
    s = x * x
    y0 = (f32(2.06390887954e-2) - f32(5.70498872745e-3) * s) * s - f32(5.37397155531e-2)
    near = ((y0 * s + f32(1.33314422036e-1)) * s - f32(3.33332819422e-1)) * s * x + x
    far = f32(1.0) - f32(2.0) / (exponential(abs(x) * f32(2.0)) + f32(1.0))
    return select(abs(x) < f32(0.625), near, select(x < f32(0.0), -far, far))


def _compile_as(function: Callable[..., Any], compiled: Callable[..., Any]) -> None:
    """Let numba compile another function in the place of one."""
    overload(function, strict=False)(lambda *args, **kwargs: compiled)


@intrinsic
def _select(typingctx: Any, condition: Any, a: Any, b: Any) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(*args)

    return types.float32(types.boolean, types.float32, types.float32), codegen


@intrinsic
def _power_of_two(typingctx: Any, n: Any) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        word = ir.IntType(32)
        exponent = builder.add(builder.fptosi(args[0], word), ir.Constant(word, 127))
        return builder.bitcast(builder.shl(exponent, ir.Constant(word, 23)), ir.FloatType())

    return types.float32(types.float32), codegen


_compile_as(select, lambda condition, a, b: _select(condition, a, b))
_compile_as(power_of_two, lambda n: _power_of_two(n))


# Arrays and addresses: each function in Python, and what numba compiles in its place


def distinct(array: Array) -> Array:
    """The same array, with a promise to the compiler that no other array overlaps it.

    For arrays at the beginning of a kernel, never for one that is already in use.
    """
    return array


def matrix(memory: Array, at: int, rows: int, columns: int) -> Array:
    """The matrix that begins at a place of an array, with the promise of `distinct`.

    Compiled it costs nothing, where a slice and its reshape cost a third of a step of a small
    network. It does not keep the memory alive.
    """
    return memory[at : at + rows * columns].reshape((rows, columns))


def _without_alias(builder: Any, pointer: Any) -> Any:
    """The same pointer, with a promise that no other pointer leads to the same memory.

    The compiler takes such memory for the function's own, and drops what is written and never read
    again: to the empty assembly it looks as if somebody else might read it.
    """
    kind = ir.FunctionType(pointer.type, [pointer.type])
    name = "spikern_distinct_" + "".join(c for c in str(pointer.type) if c.isalnum())
    promise = cgutils.get_or_insert_function(builder.module, kind, name)
    if promise.is_declaration:
        promise.linkage = "internal"
        promise.attributes.add("noinline")
        promise.attributes.add("optnone")
        promise.return_value.add_attribute("noalias")
        ir.IRBuilder(promise.append_basic_block()).ret(promise.args[0])
    result = builder.call(promise, [pointer])
    seen = ir.FunctionType(ir.VoidType(), [pointer.type])
    builder.asm(seen, "", "r,~{memory}", [result], side_effect=True)
    return result


@intrinsic
def _distinct(typingctx: Any, array: Any) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        view = context.make_array(sig.args[0])(context, builder, args[0])
        view.data = _without_alias(builder, view.data)
        return impl_ret_borrowed(context, builder, sig.return_type, view._getvalue())

    return array(array), codegen


_compile_as(distinct, lambda array: _distinct(array))


@intrinsic
def _matrix(typingctx: Any, memory: Any, at: Any, rows: Any, columns: Any) -> Any:
    kind = types.Array(memory.dtype, 2, "C")

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        source = context.make_array(sig.args[0])(context, builder, args[0])
        view = context.make_array(kind)(context, builder)
        size = source.itemsize
        pointer = _without_alias(builder, builder.gep(source.data, [args[1]]))
        strides = builder.mul(args[3], size), size
        populate_array(view, pointer, (args[2], args[3]), strides, size, None)
        return view._getvalue()

    return kind(memory, types.int64, types.int64, types.int64), codegen


_compile_as(matrix, lambda memory, at, rows, columns: _matrix(memory, at, rows, columns))


def _arrays_at(number: Any, kind: Any) -> Callable[[int, tuple[int, ...]], Array]:
    """A function that returns the array at an address, without keeping its memory alive.

    `number` and `kind` are the type of its numbers for ctypes and for numba.
    """

    def array_at(address: int, shape: tuple[int, ...]) -> Array:
        return carray(ctypes.cast(int(address), ctypes.POINTER(number)), shape)

    @intrinsic
    def pointer(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(sig.return_type))

        return types.CPointer(kind)(types.int64), codegen

    _compile_as(array_at, lambda address, shape: carray(pointer(address), shape))
    return array_at


def by_address(
    function: Callable[..., None], signature: str
) -> Callable[[int, tuple[Any, ...]], None]:
    """The same function, called where it is in memory compiled for a signature.

    The caller passes the address and a tuple of arguments, and is not compiled with a copy of the
    function. Arguments of other types are refused. In Python the address says nothing.
    """
    expected, _ = normalize_signature(signature)

    def call(address: int, args: tuple[Any, ...]) -> None:
        function(*args)

    @overload(call, strict=False)
    def compiled(address: Any, args: Any) -> Any:
        if tuple(map(types.unliteral, args)) != expected:
            raise TypingError(f"expected arguments of types {expected}, got {args}")
        return lambda address, args: _call_at(address, args)

    return call


@intrinsic
def _call_at(typingctx: Any, address: Any, args: Any) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        kinds = list(sig.args[1])
        convention = context.call_conv
        pointer = convention.get_function_type(types.none, kinds).as_pointer()
        function = builder.inttoptr(values[0], pointer)
        unpacked = cgutils.unpack_tuple(builder, values[1], len(kinds))
        status, _ = convention.call_function(builder, function, types.none, kinds, unpacked)
        with cgutils.if_unlikely(builder, status.is_error):
            convention.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return types.none(types.int64, args), codegen


floats_at = _arrays_at(ctypes.c_float, types.float32)
words_at = _arrays_at(ctypes.c_uint32, types.uint32)
counts_at = _arrays_at(ctypes.c_int64, types.int64)


# Words of 64 bits


def nonzero_word(a: Array, row: int, column: int) -> int:
    """64 numbers of a row, from a column on, as bits: set where a number is not zero."""
    return _signed(sum(1 << k for k in range(64) if a[row, column + k] != 0))


def lowest_bit(word: int) -> int:
    """The place of the lowest set bit of a word that is not 0."""
    return (int(word) & -int(word)).bit_length() - 1


def without_lowest_bit(word: int) -> int:
    """The word with its lowest set bit cleared."""
    unsigned = int(word) & 0xFFFFFFFFFFFFFFFF
    return _signed(unsigned & (unsigned - 1))


def ones(word: int) -> int:
    """How many bits of a word are set."""
    return (int(word) & 0xFFFFFFFFFFFFFFFF).bit_count()


def _signed(word: int) -> int:
    """A word of 64 bits as int64 has it."""
    return word - (word >> 63 << 64)


@intrinsic
def _nonzero_word(typingctx: Any, a: Any, row: Any, column: Any) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        array = context.make_array(sig.args[0])(context, builder, args[0])
        width = cgutils.unpack_tuple(builder, array.shape, 2)[1]
        at = builder.add(builder.mul(args[1], width), args[2])
        lanes = ir.VectorType(ir.FloatType(), 64)
        pointer = builder.bitcast(builder.gep(array.data, [at]), lanes.as_pointer())
        values = builder.load(pointer, align=4)
        zeros = ir.Constant(lanes, [0.0] * 64)
        return builder.bitcast(builder.fcmp_unordered("!=", values, zeros), ir.IntType(64))

    return types.int64(a, types.int64, types.int64), codegen


_compile_as(nonzero_word, lambda a, row, column: _nonzero_word(a, row, column))


@intrinsic
def _lowest_bit(typingctx: Any, word: Any) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), codegen


@intrinsic
def _ones(typingctx: Any, word: Any) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.int64), codegen


_compile_as(ones, lambda word: _ones(word))
_compile_as(lowest_bit, lambda word: _lowest_bit(word))
_compile_as(without_lowest_bit, lambda word: word & (word - 1))


# Lists of events and bits


@register_jitable
def list_nonzero(values: Array, v: int, rows: Array, q: int) -> int:
    """Write the indices of what is not zero in values[v] to rows[q], in order; return how many."""
    n = 0
    aligned = values.shape[1] >> 6 << 6
    for c in range(0, aligned, 64):
        word = nonzero_word(values, v, c)
        while word != 0:
            rows[q, n] = c + lowest_bit(word)
            n += 1
            word = without_lowest_bit(word)
    for j in range(aligned, values.shape[1]):
        rows[q, n] = j
        n += values[v, j] != f32(0.0)
    return n


@register_jitable
def keep(values: Array, v: int, bits: Array, row: int) -> None:
    """Write what is not zero in values[v] to one row of bits."""
    words = values.shape[1] >> 6
    for c in range(words):
        bits[row, c] = nonzero_word(values, v, c << 6)
    if words < bits.shape[1]:
        word = np.int64(0)
        for j in range(words << 6, values.shape[1]):
            if values[v, j] != f32(0.0):
                word |= np.int64(1) << (j & 63)
        bits[row, words] = word


@register_jitable
def list_kept(bits: Array, row: int, rows: Array, q: int) -> int:
    """Write the indices of the bits set in one row to rows[q], in order; return how many."""
    n = 0
    for c in range(bits.shape[1]):
        word = bits[row, c]
        while word != 0:
            rows[q, n] = (c << 6) + lowest_bit(word)
            n += 1
            word = without_lowest_bit(word)
    return n


@register_jitable
def send(bits: Array, row: int, delays: Array, arriving: Array, place: int, size: int) -> None:
    """Set the bits of the spikes in one row of bits where their axons end.

    What arrives d steps later is row place + d size of `arriving`, if it has that row.
    """
    for c in range(bits.shape[1]):
        word = bits[row, c]
        while word != 0:
            k = lowest_bit(word)
            to = place + delays[(c << 6) + k] * size
            if to < arriving.shape[0]:
                arriving[to, c] |= np.int64(1) << k
            word = without_lowest_bit(word)


@register_jitable
def any_nonzero(values: Array, low: int, high: int) -> bool:
    """Whether values[:, low:high] of three dimensions has a number that is not zero."""
    found = False
    for k in range(values.shape[0]):
        for q in range(low, high):
            for h in range(values.shape[2]):
                found |= values[k, q, h] != f32(0.0)
    return found


@register_jitable
def list_early(
    before: Array, arriving: Array, place: int, delays: Array, t: int, b: int, rows: Array,
    amounts: Array,
) -> int:  # fmt: skip
    """Write what arrives at step t, also of before step 0: neurons to rows[0], in order, and values
    to amounts[0]; return how many."""
    n = 0
    for j in range(delays.shape[0]):
        if delays[j] > t:
            value = before[before.shape[0] + t - delays[j], b, j]
        else:
            value = f32((arriving[place, j >> 6] >> (j & 63)) & 1)
        rows[0, n], amounts[0, n] = j, value
        n += value != f32(0.0)
    return n


@register_jitable
def spread(
    before: Array, bits: Array, shares: Array, t: int, batch: int, b: int, arriving: Array,
    early: int,
) -> None:  # fmt: skip
    """Write the shares of earlier spikes that arrive at step t to arriving[0], at the steps before
    `early` those of what was before step 0 too."""
    arriving[0, :] = f32(0.0)
    for d in range(1, (shares.shape[0] if t < early else min(t, shares.shape[0])) + 1):
        if t < d:
            for j in range(shares.shape[1]):
                arriving[0, j] += shares[d - 1, j] * before[before.shape[0] + t - d, b, j]
            continue
        for c in range(bits.shape[1]):
            word = bits[(t - d) * batch + b, c]
            while word != 0:
                j = (c << 6) + lowest_bit(word)
                arriving[0, j] += shares[d - 1, j]
                word = without_lowest_bit(word)


# Forward: what events and spikes add to the currents


@register_jitable
def take(values: Array, v: int, rows: Array, q: int, n: int, amounts: Array) -> None:
    """Write the numbers of values[v] at the n indices that rows[q] lists to amounts[q]."""
    for k in range(n):
        amounts[q, k] = values[v, rows[q, k]]


@register_jitable
def scale(amounts: Array | None, q: int, k: int) -> Any:
    """amounts[q, k]; 1 without amounts, which costs nothing: numba compiles each case by itself."""
    return f32(1.0) if amounts is None else amounts[q, k]


@register_jitable
def listed(rows: Array | None, q: int, k: int) -> int:
    """rows[q, k]; k without a list."""
    return k if rows is None else rows[q, k]


def _rows_of(size: int) -> Any:
    """`add_rows` for this many columns, whose sums stay in registers while all rows are added."""

    @register_jitable(inline="always")
    def add(
        acc: Array, a: int, w: Array, rows: Array | None, q: int, first: int, last: int,
        amounts: Array | None, base: int, column: int,
    ) -> None:  # fmt: skip
        y = load(acc, a, column, size)
        for k in range(first, last):
            y = y + scale(amounts, q, k) * load(w, base + listed(rows, q, k), column, size)
        store(acc, a, column, y)

    return add


_FEATURES = config.CPU_FEATURES if config.CPU_FEATURES is not None else get_host_cpu_features()
WIDE = 256 if "+avx512f" in _FEATURES else 64
"""Columns whose sums fit the registers of this processor."""
_rows_wide, _rows_32, _rows_16 = map(_rows_of, (WIDE, 32, 16))


@register_jitable
def add_rows(
    acc: Array, a: int, w: Array, rows: Array | None, q: int, first: int, last: int,
    amounts: Array | None = None, base: int = 0,
) -> None:  # fmt: skip
    """acc[a] += the rows of w that rows[q, first:last] lists, times amounts[q] there if given.

    Without a list, rows first to last - 1. Rows of w are counted from `base`.
    """
    column, columns = 0, acc.shape[1]
    while column + WIDE <= columns:
        _rows_wide(acc, a, w, rows, q, first, last, amounts, base, column)
        column += WIDE
    while column + 32 <= columns:
        _rows_32(acc, a, w, rows, q, first, last, amounts, base, column)
        column += 32
    if column + 16 <= columns:
        _rows_16(acc, a, w, rows, q, first, last, amounts, base, column)
        column += 16
    if column < columns:
        for k in range(first, last):
            j, y = base + listed(rows, q, k), scale(amounts, q, k)
            for h in range(column, columns):
                acc[a, h] += y * w[j, h]


def _tile_of(size: int) -> Any:
    """`add_matrix_product` for this many columns of eight rows, whose sums stay in registers."""

    @register_jitable(inline="always")
    def add(acc: Array, q: int, a: Array, w: Array, column: int) -> None:
        y0, y1 = load(acc, q, column, size), load(acc, q + 1, column, size)
        y2, y3 = load(acc, q + 2, column, size), load(acc, q + 3, column, size)
        y4, y5 = load(acc, q + 4, column, size), load(acc, q + 5, column, size)
        y6, y7 = load(acc, q + 6, column, size), load(acc, q + 7, column, size)
        for k in range(w.shape[0]):
            row = load(w, k, column, size)
            y0, y1 = multiply_add(y0, a[q, k], row), multiply_add(y1, a[q + 1, k], row)
            y2, y3 = multiply_add(y2, a[q + 2, k], row), multiply_add(y3, a[q + 3, k], row)
            y4, y5 = multiply_add(y4, a[q + 4, k], row), multiply_add(y5, a[q + 5, k], row)
            y6, y7 = multiply_add(y6, a[q + 6, k], row), multiply_add(y7, a[q + 7, k], row)
        store(acc, q, column, y0)
        store(acc, q + 1, column, y1)
        store(acc, q + 2, column, y2)
        store(acc, q + 3, column, y3)
        store(acc, q + 4, column, y4)
        store(acc, q + 5, column, y5)
        store(acc, q + 6, column, y6)
        store(acc, q + 7, column, y7)

    return add


_tile_wide, _tile_16 = map(_tile_of, (WIDE >> 3, 16))


@register_jitable
def add_matrix_product(acc: Array, a: Array, w: Array) -> None:
    """acc += a w, the matrix product; columns are whole vectors of 16."""
    q, columns = 0, acc.shape[1]
    while q + 8 <= acc.shape[0]:
        column = 0
        while column + (WIDE >> 3) <= columns and WIDE >> 3 > 16:
            _tile_wide(acc, q, a, w, column)
            column += WIDE >> 3
        while column < columns:
            _tile_16(acc, q, a, w, column)
            column += 16
        q += 8
    while q < acc.shape[0]:
        add_rows(acc, q, w, None, q, 0, w.shape[0], a)
        q += 1


@register_jitable
def turn(ring: Array, steps: int) -> None:
    """Turn a ring so that its oldest row is the first; step t wrote row t mod their number."""
    if ring.shape[0] == 0 or steps % ring.shape[0] == 0:
        return
    first = steps % ring.shape[0]
    head = ring[:first].copy()
    for row in range(ring.shape[0] - first):
        for column in range(ring.shape[1]):
            ring[row, column] = ring[row + first, column]
    ring[ring.shape[0] - first :] = head


@register_jitable
def add_synapses(
    acc: Array, begin: Array, target: Array, synapses: Array, rows: Array, q: int, n: int,
    amounts: Array | None = None,
) -> None:  # fmt: skip
    """acc[0] += the synapses of the n neurons that rows[q] lists, times amounts if there are."""
    for k in range(n):
        j, y = rows[q, k], scale(amounts, q, k)
        for e in range(begin[j], begin[j + 1]):
            acc[0, target[e]] += y * synapses[e]


@register_jitable
def wake(scores: Array, gains: Array, groups: Array, row: int, awake: int, learned: int) -> int:
    """Write the gains of the groups that the scores wake, and list these; return how many.

    See `spikern.engines.experts`.
    """
    gains[0, :] = f32(0.0)
    total = f32(0.0)
    for k in range(awake):
        best = -1
        for g in range(scores.shape[1]):
            left = gains[0, g] == f32(0.0)
            if left and (best < 0 or scores[0, g] > scores[0, best]):
                best = g
        if not learned and scores[0, best] <= f32(0.0):
            return k
        groups[row, k] = best
        gains[0, best] = f32(1.0)
        total += exponential(scores[0, best] - scores[0, groups[row, 0]])
    if learned:
        for k in range(awake):
            g = groups[row, k]
            share = exponential(scores[0, g] - scores[0, groups[row, 0]]) / total
            gains[0, g] = f32(awake) * share
    return awake


# Backward: the gradient of spikes through the currents g that they caused


@register_jitable
def mark(masks: Array, slopes: Array, row: int, q: int) -> None:
    """Set bit q of the masks of those neurons whose slope is not zero in a row."""
    for h in range(slopes.shape[1]):
        masks[h] |= np.int64(slopes[row, h] != f32(0.0)) << q


@register_jitable
def shifted(u: int, ahead: Array | None, j: int) -> int:
    """u + ahead[j]; u without shifts."""
    return u if ahead is None else u + ahead[j]


def _dots_of(part: int) -> Any:
    """`add_dots` for 4 `part` columns: a row stays in registers for all samples that need it."""

    @register_jitable(inline="always")
    def add(
        sums: Array, v: int, masks: Array, w: Array, g: Array, u: int, ahead: Array | None,
        column: int,
    ) -> None:  # fmt: skip
        one, two, three = column + part, column + 2 * part, column + 3 * part
        for j in range(masks.shape[0]):
            mask, first = masks[j], shifted(u, ahead, j)
            if mask == 0:
                continue
            w0, w1 = load(w, j, column, part), load(w, j, one, part)
            w2, w3 = load(w, j, two, part), load(w, j, three, part)
            while mask != 0:
                q = lowest_bit(mask)
                y = w0 * load(g, first + q, column, part)
                y = multiply_add(y, w1, load(g, first + q, one, part))
                y = multiply_add(y, w2, load(g, first + q, two, part))
                y = multiply_add(y, w3, load(g, first + q, three, part))
                sums[v + q, j] += total(y)
                mask = without_lowest_bit(mask)

    return add


_dots_256, _dots_64 = map(_dots_of, (64, 16))


@register_jitable
def add_dots(
    sums: Array, v: int, masks: Array, w: Array, g: Array, u: int, ahead: Array | None = None
) -> None:
    """sums[v + q, j] += w[j] . g[u + q] for every sample q whose bit is set in masks[j].

    With `ahead` g is read at u + ahead[j] + q.
    """
    column, columns = 0, w.shape[1]
    while column + 256 <= columns:
        _dots_256(sums, v, masks, w, g, u, ahead, column)
        column += 256
    while column + 64 <= columns:
        _dots_64(sums, v, masks, w, g, u, ahead, column)
        column += 64
    while column < columns:
        for j in range(masks.shape[0]):
            mask, first = masks[j], shifted(u, ahead, j)
            while mask != 0:
                q = lowest_bit(mask)
                sums[v + q, j] += total(load(w, j, column, 16) * load(g, first + q, column, 16))
                mask = without_lowest_bit(mask)
        column += 16


@register_jitable
def add_share_gradients(
    d_shares: Array, before: Array, bits: Array, t: int, batch: int, b: int, g: Array, u: int,
    early: int,
) -> None:  # fmt: skip
    """d_shares[d - 1, j] += g[u, j] times what neuron j sent d steps before step t; before step 0
    it sent something if t is less than `early`."""
    for d in range(1, (d_shares.shape[0] if t < early else min(t, d_shares.shape[0])) + 1):
        if t < d:
            for j in range(d_shares.shape[1]):
                d_shares[d - 1, j] += g[u, j] * before[before.shape[0] + t - d, b, j]
            continue
        for c in range(bits.shape[1]):
            word = bits[(t - d) * batch + b, c]
            while word != 0:
                j = (c << 6) + lowest_bit(word)
                d_shares[d - 1, j] += g[u, j]
                word = without_lowest_bit(word)


@register_jitable
def add_shares(sums: Array, v: int, shares: Array, first: int, g: Array, u: int, size: int) -> None:
    """sums[v, j] += the shares[d - 1, j] from d = first on, times g[u + d size, j]."""
    for d in range(first, shares.shape[0] + 1):
        for j in range(shares.shape[1]):
            sums[v, j] += shares[d - 1, j] * g[u + d * size, j]


@register_jitable
def product(a: Array, i: int, b: Array, j: int) -> Any:
    """The product of two rows, a[i] . b[j]."""
    y = load(a, i, 0, 16) * load(b, j, 0, 16)
    for column in range(16, a.shape[1], 16):
        y = multiply_add(y, load(a, i, column, 16), load(b, j, column, 16))
    return total(y)


@register_jitable
def list_between(values: Array, v: int, first: int, last: int, rows: Array, q: int, n: int) -> int:
    """Append the indices from first to last - 1 of what is not zero in values[v] to n in rows[q];
    return how many are listed."""
    for j in range(first, last):
        rows[q, n] = j
        n += values[v, j] != f32(0.0)
    return n


def _products_of(size: int) -> Any:
    """`add_products` for this many columns, in which g[u] stays in registers for all rows."""

    @register_jitable(inline="always")
    def add(
        sums: Array, v: int, rows: Array | None, q: int, n: int, w: Array, base: int, g: Array,
        u: int, column: int,
    ) -> None:  # fmt: skip
        y = load(g, u, column, size)
        for k in range(n):
            j = listed(rows, q, k)
            sums[v, j] += total(load(w, base + j, column, size) * y)

    return add


_products_64, _products_32, _products_16 = map(_products_of, (64, 32, 16))


@register_jitable
def add_products(
    sums: Array, v: int, rows: Array | None, q: int, n: int, w: Array, base: int, g: Array, u: int
) -> None:
    """sums[v, j] += w[base + j] . g[u] for the n that rows[q] lists, or for the first n."""
    column, columns = 0, w.shape[1]
    while column + 64 <= columns:
        _products_64(sums, v, rows, q, n, w, base, g, u, column)
        column += 64
    if column + 32 <= columns:
        _products_32(sums, v, rows, q, n, w, base, g, u, column)
        column += 32
    if column < columns:
        _products_16(sums, v, rows, q, n, w, base, g, u, column)


@register_jitable
def add_synapse_dots(
    sums: Array, v: int, masks: Array, begin: Array, target: Array, synapses: Array, g: Array,
    u: int, count: int, turned: Array,
) -> None:  # fmt: skip
    """The same for sparse weights and `count` samples, 16 at a time in the lanes of vectors.

    A synapse is read once for 16 samples, and `turned` (H + 1, 16) has their g by target; its last
    row is for the sums.
    """
    last = turned.shape[0] - 1
    for low in range(0, count, 16):
        for q in range(low, min(count, low + 16)):
            for h in range(last):
                turned[h, q - low] = g[u + q, h]
        for j in range(masks.shape[0]):
            mask = (masks[j] >> low) & 0xFFFF
            if mask != 0:
                store(turned, last, 0, _gathered(begin[j], begin[j + 1], target, synapses, turned))
            while mask != 0:
                q = lowest_bit(mask)
                sums[v + low + q, j] += turned[last, q]
                mask = without_lowest_bit(mask)


@register_jitable
def _gathered(first: int, last: int, target: Array, synapses: Array, turned: Array) -> Any:
    """The sum of the synapses first to last - 1, each times the row of its target."""
    y0 = f32(0.0) * load(turned, 0, 0, 16)
    y1 = y2 = y3 = y0
    e = first
    while e + 4 <= last:
        y0 = multiply_add(y0, synapses[e], load(turned, target[e], 0, 16))
        y1 = multiply_add(y1, synapses[e + 1], load(turned, target[e + 1], 0, 16))
        y2 = multiply_add(y2, synapses[e + 2], load(turned, target[e + 2], 0, 16))
        y3 = multiply_add(y3, synapses[e + 3], load(turned, target[e + 3], 0, 16))
        e += 4
    while e < last:
        y0 = multiply_add(y0, synapses[e], load(turned, target[e], 0, 16))
        e += 1
    return (y0 + y1) + (y2 + y3)


# Backward: the gradient of weights, from lists of what arrived in a segment of steps


@register_jitable
def note(
    sources: Array, places: Array, amounts: Array, n: int, place: int, rows: Array, q: int,
    first: int, last: int, given: Array | None = None, base: int = 0,
) -> int:  # fmt: skip
    """Append the events that rows[q, first:last] lists to n noted ones; return how many are noted.

    `place` says where the gradient of the currents is that they caused, `base` where the rows of
    their weights begin.
    """
    for k in range(first, last):
        sources[n], places[n], amounts[n] = base + rows[q, k], place, scale(given, q, k)
        n += 1
    return n


@register_jitable
def by_source(
    sources: Array, places: Array, amounts: Array, n: int, begin: Array, to: Array, times: Array
) -> None:
    """Sort n events by their source j: they are begin[j] to begin[j + 1] - 1 of to and times."""
    begin[:] = 0
    for k in range(n):
        begin[sources[k]] += 1
    for j in range(1, begin.shape[0]):
        begin[j] += begin[j - 1]
    for k in range(n - 1, -1, -1):
        j = sources[k]
        begin[j] -= 1
        to[begin[j]], times[begin[j]] = places[k], amounts[k]


def _gradients_of(size: int) -> Any:
    """`add_to_rows` for this many columns: a row is read and written once for all its events."""

    @register_jitable(inline="always")
    def add(w: Array, begin: Array, to: Array, times: Array, g: Array, column: int) -> None:
        for j in range(w.shape[0]):
            if begin[j] < begin[j + 1]:
                y = load(w, j, column, size)
                for k in range(begin[j], begin[j + 1]):
                    y = multiply_add(y, times[k], load(g, to[k], column, size))
                store(w, j, column, y)

    return add


_gradients_wide, _gradients_16 = map(_gradients_of, (WIDE, 16))


@register_jitable
def add_to_rows(w: Array, begin: Array, to: Array, times: Array, g: Array) -> None:
    """w[j] += the sum over the events of j of g at their place, times their amount."""
    column, columns = 0, w.shape[1]
    while column + WIDE <= columns:
        _gradients_wide(w, begin, to, times, g, column)
        column += WIDE
    while column < columns:
        _gradients_16(w, begin, to, times, g, column)
        column += 16


@register_jitable
def add_to_synapses(
    synapses: Array, first: Array, target: Array, begin: Array, to: Array, times: Array, g: Array
) -> None:
    """The same for sparse weights, of which those of j are first[j] to first[j + 1] - 1."""
    for j in range(first.shape[0] - 1):
        for e in range(first[j], first[j + 1]):
            y = synapses[e]
            for k in range(begin[j], begin[j + 1]):
                y += times[k] * g[to[k], target[e]]
            synapses[e] = y
