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
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.core import cgutils
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic, overload, register_jitable
from numba.np.arrayobj import populate_array

Array = Any
"""An array of numpy, which in a compiled kernel is one of numba."""
f32 = np.float32
HASH = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:20]
POWERS = np.array([2.0**k for k in range(-126, 128)], dtype=np.float32)
REORDERED = {"reassoc", "contract", "nsz"}
"""Freedoms of the compiler in sums of which no spike depends."""


# Numbers


@register_jitable
def truth(condition: bool) -> np.float32:
    """1 or 0."""
    return f32(1.0) if condition else f32(0.0)


@register_jitable
def exponential(x: Any) -> Any:
    """e^x in float32 within two units in the last place; below 1.2e-38 within its last place.

    Source: the polynomial of expf in the Cephes library, S. L. Moshier.
    """
    given = x
    x = f32(-104.0) if not x > f32(-104.0) else (f32(89.0) if x > f32(89.0) else x)
    n = f32(math.floor(x * f32(1.44269504) + f32(0.5)))
    r = (x - n * f32(0.693359375)) + n * f32(2.12194440e-4)
    y = f32(1.9875691500e-4) * r + f32(1.3981999507e-3)
    y = y * r + f32(8.3334519073e-3)
    y = y * r + f32(4.1665795894e-2)
    y = y * r + f32(1.6666665459e-1)
    y = y * r + f32(5.0000001201e-1)
    y = (y * r) * r + r + f32(1.0)
    half = np.int64(n) >> 1  # 2^n itself may be out of range
    y = (y * POWERS[half + 126]) * POWERS[np.int64(n) - half + 126]
    return given if given != given else y


def _compile_as(function: Callable[..., Any], compiled: Callable[..., Any]) -> None:
    """Let numba compile another function in the place of one."""
    overload(function, strict=False)(lambda *args, **kwargs: compiled)


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


# Forward: what events and spikes add to the currents


@register_jitable
def scale(values: Array | None, v: int, j: int) -> Any:
    """values[v, j]; 1 without values, which costs nothing: numba compiles each case by itself."""
    return f32(1.0) if values is None else values[v, j]


@register_jitable
def add_rows(
    acc: Array, w: Array, rows: Array, q: int, n: int, values: Array | None = None, v: int = 0
) -> None:
    """acc += the n rows of w that rows[q] lists, times their values in values[v] if there are."""
    k = 0
    while values is None and k + 8 <= n:
        j0, j1, j2, j3 = rows[q, k], rows[q, k + 1], rows[q, k + 2], rows[q, k + 3]
        j4, j5, j6, j7 = rows[q, k + 4], rows[q, k + 5], rows[q, k + 6], rows[q, k + 7]
        for h in range(acc.shape[0]):
            y = acc[h] + w[j0, h] + w[j1, h] + w[j2, h] + w[j3, h]
            acc[h] = y + w[j4, h] + w[j5, h] + w[j6, h] + w[j7, h]
        k += 8
    while k + 2 <= n:
        j0, j1 = rows[q, k], rows[q, k + 1]
        y0, y1 = scale(values, v, j0), scale(values, v, j1)
        for h in range(acc.shape[0]):
            acc[h] = acc[h] + y0 * w[j0, h] + y1 * w[j1, h]
        k += 2
    if k < n:
        j0 = rows[q, k]
        y0 = scale(values, v, j0)
        for h in range(acc.shape[0]):
            acc[h] += y0 * w[j0, h]


@register_jitable
def add_events(acc: Array, w: Array, indices: Array, values: Array, first: int, last: int) -> None:
    """acc += the rows of w of the events first to last - 1, each times the event's value."""
    k = first
    while k + 4 <= last:
        j0, j1, j2, j3 = indices[k], indices[k + 1], indices[k + 2], indices[k + 3]
        y0, y1, y2, y3 = values[k], values[k + 1], values[k + 2], values[k + 3]
        for h in range(acc.shape[0]):
            acc[h] = acc[h] + y0 * w[j0, h] + y1 * w[j1, h] + y2 * w[j2, h] + y3 * w[j3, h]
        k += 4
    while k < last:
        j0, y0 = indices[k], values[k]
        for h in range(acc.shape[0]):
            acc[h] += y0 * w[j0, h]
        k += 1


@register_jitable
def add_synapses(
    acc: Array, begin: Array, target: Array, synapses: Array, rows: Array, q: int, n: int,
    values: Array | None = None, v: int = 0,
) -> None:  # fmt: skip
    """acc += the synapses of the n neurons that rows[q] lists, times values[v] if there are."""
    for k in range(n):
        j = rows[q, k]
        y = scale(values, v, j)
        for e in range(begin[j], begin[j + 1]):
            acc[target[e]] += y * synapses[e]


# Backward: what a gradient g of the currents adds to those of spikes and of weights


@register_jitable(fastmath=REORDERED)
def add_dots(sums: Array, v: int, w: Array, rows: Array, q: int, n: int, g: Array, u: int) -> None:
    """sums[v, j] += w[j] . g[u] for the n rows j that rows[q] lists."""
    k = 0
    while k + 4 <= n:
        j0, j1, j2, j3 = rows[q, k], rows[q, k + 1], rows[q, k + 2], rows[q, k + 3]
        y0 = y1 = y2 = y3 = f32(0.0)
        for h in range(w.shape[1]):
            y = g[u, h]
            y0 += w[j0, h] * y
            y1 += w[j1, h] * y
            y2 += w[j2, h] * y
            y3 += w[j3, h] * y
        sums[v, j0] += y0
        sums[v, j1] += y1
        sums[v, j2] += y2
        sums[v, j3] += y3
        k += 4
    while k < n:
        j0 = rows[q, k]
        y0 = f32(0.0)
        for h in range(w.shape[1]):
            y0 += w[j0, h] * g[u, h]
        sums[v, j0] += y0
        k += 1


@register_jitable(fastmath=REORDERED)
def add_synapse_dots(
    sums: Array, v: int, begin: Array, target: Array, synapses: Array, rows: Array, q: int, n: int,
    g: Array, u: int,
) -> None:  # fmt: skip
    """sums[v, j] += the synapses of j . g[u] at their targets, for the n that rows[q] lists."""
    for k in range(n):
        j = rows[q, k]
        y = f32(0.0)
        for e in range(begin[j], begin[j + 1]):
            y += synapses[e] * g[u, target[e]]
        sums[v, j] += y


@register_jitable
def add_to_rows(
    w: Array, rows: Array, n: int, g: Array, q: int, values: Array | None = None, v: int = 0
) -> None:
    """The n rows of w that rows[0] lists += g[q], times their values in values[v] if there are."""
    for k in range(n):
        j = rows[0, k]
        y = scale(values, v, j)
        for h in range(w.shape[1]):
            w[j, h] += y * g[q, h]


@register_jitable
def add_to_events(
    w: Array, indices: Array, values: Array, first: int, last: int, g: Array, q: int
) -> None:
    """The rows of w of the events first to last - 1 += g[q], each times the event's value."""
    for k in range(first, last):
        j, y = indices[k], values[k]
        for h in range(w.shape[1]):
            w[j, h] += y * g[q, h]


@register_jitable
def add_to_synapses(
    synapses: Array, begin: Array, target: Array, rows: Array, n: int, g: Array, q: int,
    values: Array | None = None, v: int = 0,
) -> None:  # fmt: skip
    """The synapses of the n neurons that rows[0] lists += g[q], times values[v] if there are."""
    for k in range(n):
        j = rows[0, k]
        y = scale(values, v, j)
        for e in range(begin[j], begin[j + 1]):
            synapses[e] += y * g[q, target[e]]
