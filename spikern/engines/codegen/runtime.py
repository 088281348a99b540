"""The text that every kernel begins with: lists of events, and rows of weights added up by them.

Weights lie one row a presynaptic unit, so a unit that fired adds its row. What fired is found 64
units at a time, as the bits of a word, and these bits are what is kept of a spike train. Sparse
weights are links: those from unit j are at[j] to at[j + 1], each to a unit and of a strength.
"""

from __future__ import annotations

HEAD = '''"""Kernels of @title, derived from its step."""

import math

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.core import cgutils
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic

f32 = np.float32
POWERS = np.array([2.0**k for k in range(-126, 128)], dtype=np.float32)

if config.DISABLE_JIT:

    def distinct(a):
        return a

    def signed(word):
        return word - (word >> 63 << 64)

    def fired(a, row, column):
        return signed(sum(1 << k for k in range(64) if a[row, column + k] != 0))

    def lowest(word):
        return (int(word) & -int(word)).bit_length() - 1

    def without_lowest(word):
        word = int(word) & 0xFFFFFFFFFFFFFFFF
        return signed(word & (word - 1))

else:

    def promised(builder, pointer):
        """The same pointer, with a promise that nothing else leads to what it leads to."""
        kind = ir.FunctionType(pointer.type, [pointer.type])
        name = "spikern_distinct_" + "".join(c for c in str(pointer.type) if c.isalnum())
        promise = cgutils.get_or_insert_function(builder.module, kind, name)
        if promise.is_declaration:
            promise.linkage = "internal"
            promise.attributes.add("noinline")
            promise.attributes.add("optnone")
            promise.return_value.add_attribute("noalias")
            ir.IRBuilder(promise.append_basic_block()).ret(promise.args[0])
        return builder.call(promise, [pointer])

    @intrinsic
    def distinct(typingctx, a):
        """The same array, with a promise to the compiler that no other one overlaps it.

        So it is for arrays that a kernel begins with, and never for one that is already in use.
        """

        def codegen(context, builder, sig, args):
            array = context.make_array(sig.args[0])(context, builder, args[0])
            array.data = promised(builder, array.data)
            return impl_ret_borrowed(context, builder, sig.return_type, array._getvalue())

        return a(a), codegen

    @intrinsic
    def fired(typingctx, a, row, column):
        """64 numbers of a row from a column on, as bits: set where a number is not zero."""

        def codegen(context, builder, sig, args):
            array = context.make_array(sig.args[0])(context, builder, args[0])
            width = cgutils.unpack_tuple(builder, array.shape, 2)[1]
            at = builder.add(builder.mul(args[1], width), args[2])
            lanes = ir.VectorType(ir.FloatType(), 64)
            pointer = builder.bitcast(builder.gep(array.data, [at]), lanes.as_pointer())
            values = builder.load(pointer, align=4)
            zeros = ir.Constant(lanes, [0.0] * 64)
            return builder.bitcast(builder.fcmp_unordered("!=", values, zeros), ir.IntType(64))

        return types.int64(a, types.int64, types.int64), codegen

    @intrinsic
    def lowest(typingctx, word):
        """The place of the lowest set bit of a word that is not 0."""

        def codegen(context, builder, sig, args):
            return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

        return types.int64(types.int64), codegen

    @njit(cache=True)
    def without_lowest(word):
        return word & (word - 1)


@njit(cache=True)
def truth(c):
    return f32(1.0) if c else f32(0.0)


@njit(cache=True)
def exponential(x):
    x = f32(-87.0) if x < f32(-87.0) else (f32(88.0) if x > f32(88.0) else x)
    n = f32(math.floor(x * f32(1.44269504) + f32(0.5)))
    r = (x - n * f32(0.693359375)) + n * f32(2.12194440e-4)
    y = f32(1.9875691500e-4) * r + f32(1.3981999507e-3)
    y = y * r + f32(8.3334519073e-3)
    y = y * r + f32(4.1665795894e-2)
    y = y * r + f32(1.6666665459e-1)
    y = y * r + f32(5.0000001201e-1)
    y = (y * r) * r + r + f32(1.0)
    return y * POWERS[np.int64(n) + 126]


@njit(cache=True)
def list_nonzero(values, v, rows, q):
    """In rows[q], the indices of what is not zero in values[v], in order; returns how many."""
    n = 0
    whole = values.shape[1] >> 6 << 6
    for c in range(0, whole, 64):
        word = fired(values, v, c)
        while word != 0:
            rows[q, n] = c + lowest(word)
            n += 1
            word = without_lowest(word)
    for j in range(whole, values.shape[1]):
        rows[q, n] = j
        n += values[v, j] != f32(0.0)
    return n


@njit(cache=True)
def keep(values, v, bits, row):
    """What is not zero in values[v] as the bits of one row."""
    whole = values.shape[1] >> 6
    for c in range(whole):
        bits[row, c] = fired(values, v, c << 6)
    if whole < bits.shape[1]:
        word = np.int64(0)
        for j in range(whole << 6, values.shape[1]):
            if values[v, j] != f32(0.0):
                word |= np.int64(1) << (j & 63)
        bits[row, whole] = word


@njit(cache=True)
def list_kept(bits, row, rows, q):
    """In rows[q], the units whose bit is set in one row, in order; returns how many."""
    n = 0
    for c in range(bits.shape[1]):
        word = bits[row, c]
        while word != 0:
            rows[q, n] = (c << 6) + lowest(word)
            n += 1
            word = without_lowest(word)
    return n


@njit(cache=True)
def add_rows(acc, w, rows, q, n):
    """acc += the n rows of w that rows[q] lists."""
    k = 0
    while k + 8 <= n:
        j0, j1, j2, j3 = rows[q, k], rows[q, k + 1], rows[q, k + 2], rows[q, k + 3]
        j4, j5, j6, j7 = rows[q, k + 4], rows[q, k + 5], rows[q, k + 6], rows[q, k + 7]
        for h in range(acc.shape[0]):
            y = acc[h] + w[j0, h] + w[j1, h] + w[j2, h] + w[j3, h]
            acc[h] = y + w[j4, h] + w[j5, h] + w[j6, h] + w[j7, h]
        k += 8
    while k + 2 <= n:
        j0, j1 = rows[q, k], rows[q, k + 1]
        for h in range(acc.shape[0]):
            acc[h] = acc[h] + w[j0, h] + w[j1, h]
        k += 2
    if k < n:
        j0 = rows[q, k]
        for h in range(acc.shape[0]):
            acc[h] += w[j0, h]


@njit(cache=True)
def add_scaled_rows(acc, w, rows, q, n, values, v):
    """acc += the n rows of w that rows[q] lists, each times its value in values[v]."""
    for k in range(n):
        j = rows[q, k]
        y = values[v, j]
        for h in range(acc.shape[0]):
            acc[h] += y * w[j, h]


@njit(cache=True)
def add_events(acc, w, indices, values, first, last):
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


@njit(cache=True)
def add_links(acc, at, to, links, rows, q, n):
    """acc += the links from the n units that rows[q] lists."""
    for k in range(n):
        j = rows[q, k]
        for e in range(at[j], at[j + 1]):
            acc[to[e]] += links[e]


@njit(cache=True)
def add_scaled_links(acc, at, to, links, rows, q, n, values, v):
    """acc += the links from the n units that rows[q] lists, each times its value in values[v]."""
    for k in range(n):
        j = rows[q, k]
        y = values[v, j]
        for e in range(at[j], at[j + 1]):
            acc[to[e]] += y * links[e]
'''
LISTING = '''

@njit(cache=True, nogil=True)
def count_events(x, low, high, counts):
    """How many entries of each row low..high - 1 of x (R, F) are not zero."""
    whole = x.shape[1] >> 6 << 6
    for row in range(low, high):
        n = 0
        for c in range(0, whole, 64):
            word = fired(x, row, c)
            while word != 0:
                n += 1
                word = without_lowest(word)
        for j in range(whole, x.shape[1]):
            n += x[row, j] != f32(0.0)
        counts[row] = n


@njit(cache=True, nogil=True)
def list_events(x, low, high, offsets, indices, values):
    """The entries of rows low..high - 1 of x (R, F) that are not zero, from offsets[row] on."""
    whole = x.shape[1] >> 6 << 6
    for row in range(low, high):
        n = offsets[row]
        for c in range(0, whole, 64):
            word = fired(x, row, c)
            while word != 0:
                j = c + lowest(word)
                indices[n], values[n] = j, x[row, j]
                n += 1
                word = without_lowest(word)
        for j in range(whole, x.shape[1]):
            if x[row, j] != f32(0.0):
                indices[n], values[n] = j, x[row, j]
                n += 1
'''
"""Kernels that turn a dense input into lists of events; appended to `HEAD`."""
