"""The text of the time loops, with a line `@name` where the neuron's own arithmetic goes.

A kernel runs one block of samples over all steps, t outside and the block's samples inside, so
that their state stays in the cache. Work follows events: the weights lie one row a presynaptic
unit, and a unit that fired adds its row. Threads take blocks; every block has its own sums of
gradients, which are added up in order, so the result does not depend on the number of threads.
"""

HEAD = '''"""Kernels of @title, derived from its step."""

import math

import numpy as np
from llvmlite import ir
from numba import config, njit
from numba.core import cgutils
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic

f32 = np.float32
POWERS = np.array([2.0**k for k in range(-126, 128)], dtype=np.float32)
BIT_OF = np.array(
    [0, 1, 28, 2, 29, 14, 24, 3, 30, 22, 20, 15, 25, 17, 4, 8]
    + [31, 27, 13, 23, 21, 19, 16, 7, 26, 12, 18, 6, 11, 5, 10, 9],
    dtype=np.int32,
)

if config.DISABLE_JIT:

    def distinct(a):
        return a

else:

    @intrinsic
    def distinct(typingctx, a):
        """The same array, with a promise to the compiler that no other one overlaps it."""

        def codegen(context, builder, sig, args):
            array = context.make_array(sig.args[0])(context, builder, args[0])
            pointer = array.data
            kind = ir.FunctionType(pointer.type, [pointer.type])
            name = "spikern_distinct_" + "".join(c for c in str(pointer.type) if c.isalnum())
            promise = cgutils.get_or_insert_function(builder.module, kind, name)
            if promise.is_declaration:
                promise.linkage = "internal"
                promise.attributes.add("noinline")
                promise.attributes.add("optnone")
                promise.return_value.add_attribute("noalias")
                ir.IRBuilder(promise.append_basic_block()).ret(promise.args[0])
            array.data = builder.call(promise, [pointer])
            return impl_ret_borrowed(context, builder, sig.return_type, array._getvalue())

        return a(a), codegen


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
def add_rows(acc, w, rows, q, n):
    """acc += the n rows of w that rows[q] lists."""
    acc = distinct(acc)
    k = 0
    while k + 4 <= n:
        j0, j1, j2, j3 = rows[q, k], rows[q, k + 1], rows[q, k + 2], rows[q, k + 3]
        for h in range(acc.shape[0]):
            acc[h] = acc[h] + w[j0, h] + w[j1, h] + w[j2, h] + w[j3, h]
        k += 4
    while k < n:
        j0 = rows[q, k]
        for h in range(acc.shape[0]):
            acc[h] += w[j0, h]
        k += 1


@njit(cache=True)
def add_scaled_rows(acc, w, rows, q, n, values, v):
    """acc += the n rows of w that rows[q] lists, each times its value in values[v]."""
    acc = distinct(acc)
    k = 0
    while k + 4 <= n:
        j0, j1, j2, j3 = rows[q, k], rows[q, k + 1], rows[q, k + 2], rows[q, k + 3]
        y0, y1, y2, y3 = values[v, j0], values[v, j1], values[v, j2], values[v, j3]
        for h in range(acc.shape[0]):
            acc[h] = acc[h] + y0 * w[j0, h] + y1 * w[j1, h] + y2 * w[j2, h] + y3 * w[j3, h]
        k += 4
    while k < n:
        j0 = rows[q, k]
        y0 = values[v, j0]
        for h in range(acc.shape[0]):
            acc[h] += y0 * w[j0, h]
        k += 1


@njit(cache=True)
def list_nonzero(values, v, rows, q):
    """In rows[q], the indices of what is not zero in values[v], in order; returns how many."""
    rows = distinct(rows)
    n = 0
    for j in range(values.shape[1]):
        rows[q, n] = j
        n += values[v, j] != f32(0.0)
    return n


@njit(cache=True)
def pack(rows, q, n, bits, row):
    """The n units that rows[q] lists as the bits of one row."""
    for c in range(bits.shape[1]):
        bits[row, c] = 0
    for c in range(n):
        j = np.int64(rows[q, c])
        word = (np.int64(bits[row, j >> 5]) & 0xFFFFFFFF) | (1 << (j & 31))
        bits[row, j >> 5] = np.int32(word - ((word >> 31) << 32))


@njit(cache=True)
def unpack(bits, row, rows):
    """In rows[0], the units whose bit is set in one row, in order; returns how many."""
    n = 0
    for c in range(bits.shape[1]):
        word = np.int64(bits[row, c]) & 0xFFFFFFFF
        while word:
            lowest = word & -word
            rows[0, n] = (c << 5) + BIT_OF[((lowest * 0x077CB531) & 0xFFFFFFFF) >> 27]
            n += 1
            word ^= lowest
    return n
'''

CONSTANTS = '''

@njit(cache=True)
def constants(P, C):
    """What depends on the neuron's constants alone."""
    for h in range(P.shape[1]):
        @load_params
        @compute_constants
        @store_constants
'''

FORWARD = '''

@njit(cache=True, nogil=True)
def forward(
    block, edges, x, current, w_in, w_rec, bias, P, C, start, lengths, every,
    out, final, bits, checks,
):
    """One block of samples over time; see the reference engine for the meaning."""
    x, current, w_in, w_rec = distinct(x), distinct(current), distinct(w_in), distinct(w_rec)
    bias, P, C, out, bits = distinct(bias), distinct(P), distinct(C), distinct(out), distinct(bits)
    final, checks = distinct(final), distinct(checks)
    steps, batch, hidden = out.shape
    features = w_in.shape[0]
    projected, recurrent = current.shape[0] > 0, w_rec.shape[0] > 0
    low, size = edges[block], edges[block + 1] - edges[block]
    acc = distinct(np.empty(hidden, np.float32))
    columns = distinct(np.empty((1, features), np.int32))
    rows = distinct(np.empty((size, hidden), np.int32))
    counts = np.zeros(size, np.int64)
    @make_state
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
                for h in range(hidden):
                    out[t, b, h] = f32(0.0)
                @no_spikes
                continue
            @current
            @recur
            for h in range(hidden):
                @load
                @update
                @store
                @store_out
            @collect
    for q in range(size):
        for h in range(hidden):
            @end_state
'''

CURRENT = """
if projected:
    for h in range(hidden):
        acc[h] = current[t, b, h]
else:
    for h in range(hidden):
        acc[h] = bias[h]
    n = list_nonzero(x, t * batch + b, columns, 0)
    add_scaled_rows(acc, w_in, columns, 0, n, x, t * batch + b)
"""

BACKWARD = '''

@njit(cache=True, fastmath={"reassoc", "contract", "nsz"})
def add_dots(sums, v, w, rows, q, n, g):
    """sums[v, j] += w[j] . g[v] for the n rows j that rows[q] lists."""
    k = 0
    while k + 4 <= n:
        j0, j1, j2, j3 = rows[q, k], rows[q, k + 1], rows[q, k + 2], rows[q, k + 3]
        y0 = y1 = y2 = y3 = f32(0.0)
        for h in range(w.shape[1]):
            y = g[v, h]
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
            y0 += w[j0, h] * g[v, h]
        sums[v, j0] += y0
        k += 1


@njit(cache=True)
def add_to_rows(w, rows, n, g, q):
    """The n rows of w that rows[0] lists each get g[q] added."""
    w = distinct(w)
    for k in range(n):
        j = rows[0, k]
        for h in range(w.shape[1]):
            w[j, h] += g[q, h]


@njit(cache=True)
def add_scaled_to_rows(w, rows, n, g, q, values, v):
    """The n rows of w that rows[0] lists each get g[q], times their value in values[v], added."""
    w = distinct(w)
    for k in range(n):
        j = rows[0, k]
        y = values[v, j]
        for h in range(w.shape[1]):
            w[j, h] += y * g[q, h]


@njit(cache=True, nogil=True)
def backward(
    block, edges, d_out, d_final, x, current, w_in, w_rec, bias, P, C, start, lengths, every,
    bits, z_all, checks, d_current, d_w_in, d_w_rec, d_bias, d_P, d_start,
):
    """The gradients of one block; segments of `every` steps are run again from their state."""
    x, current, w_in, w_rec = distinct(x), distinct(current), distinct(w_in), distinct(w_rec)
    bias, P, C, bits = distinct(bias), distinct(P), distinct(C), distinct(bits)
    d_out, checks, z_all = distinct(d_out), distinct(checks), distinct(z_all)
    d_current, d_start = distinct(d_current), distinct(d_start)
    dw_in, dw_rec = distinct(d_w_in[block]), distinct(d_w_rec[block])
    db, dP = distinct(d_bias[block]), distinct(d_P[block])
    steps, batch, hidden = d_out.shape
    features = w_in.shape[0]
    projected, recurrent, wanted = current.shape[0] > 0, w_rec.shape[0] > 0, d_current.shape[0] > 0
    low, size = edges[block], edges[block + 1] - edges[block]
    acc = distinct(np.empty(hidden, np.float32))
    columns = distinct(np.empty((1, features), np.int32))
    rows = distinct(np.empty((1, hidden), np.int32))
    di = distinct(np.zeros((size, hidden), np.float32))
    @make_state
    @make_tape
    @make_gradients
    dw_in[:, :] = f32(0.0)
    dw_rec[:, :] = f32(0.0)
    dP[:, :] = f32(0.0)
    db[:] = f32(0.0)
    for q in range(size):
        for h in range(hidden):
            @begin_gradients
    for segment in range((steps - 1) // every, -1, -1):
        first = segment * every
        last = min(steps, first + every)
        for q in range(size):
            b = low + q
            for h in range(hidden):
                @restore_state
            for t in range(first, min(last, lengths[b])):
                e = (t - first) * size + q
                @current
                @recur_again
                for h in range(hidden):
                    @load
                    @update
                    @surrogate
                    @tape
                    @store
        for t in range(last - 1, first - 1, -1):
            for q in range(size):
                b = low + q
                e = (t - first) * size + q
                if t >= lengths[b]:
                    if wanted:
                        for h in range(hidden):
                            d_current[t, b, h] = f32(0.0)
                    continue
                @pull_spikes
                for h in range(hidden):
                    @load_adjoint
                    @adjoint
                    @store_adjoint
                if wanted:
                    for h in range(hidden):
                        d_current[t, b, h] = di[q, h]
                if not projected:
                    n = list_nonzero(x, t * batch + b, columns, 0)
                    add_scaled_to_rows(dw_in, columns, n, di, q, x, t * batch + b)
                @push_rows
    @pull_start
    for q in range(size):
        for h in range(hidden):
            @end_gradients
'''
