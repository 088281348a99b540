"""The text of the time loops, with a line `@name` where the neuron's own arithmetic goes.

A kernel runs one block of samples over all steps, t outside and the block's samples inside, so
that their state stays in the cache. Threads take blocks; every block has its own sums of
gradients, which are added up in order, so the result does not depend on the number of threads.

What arrives has one of three forms, the others being empty: `current` (T, B, H), an analog input
already multiplied; lists of events; or `below`, the kept bits of the population underneath.
"""

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
    block, edges, steps, every, lengths, offsets, indices, values, current, below,
    w_in, w_rec, at, to, links, bias, P, C, start,
    out, final, bits, checks, totals,
):
    """One block of samples over time; see the reference engine for the meaning."""
    current, w_in = distinct(current), distinct(w_in)
    w_rec, links = distinct(w_rec), distinct(links)
    bias, P, C, out, bits = distinct(bias), distinct(P), distinct(C), distinct(out), distinct(bits)
    final, checks, sums = distinct(final), distinct(checks), distinct(totals[block])
    batch, hidden = lengths.shape[0], bias.shape[0]
    projected, stacked, wanted = current.shape[0] > 0, below.shape[0] > 0, out.shape[0] > 0
    recurrent, linked = w_rec.shape[0] > 0, links.shape[0] > 0
    low, size = edges[block], edges[block + 1] - edges[block]
    acc = distinct(np.empty(hidden, np.float32))
    columns = distinct(np.empty((1, w_in.shape[0]), np.int32))
    rows = distinct(np.empty((1, hidden), np.int32))
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
            for h in range(hidden):
                @load
                @update
                @store
                @count
            if wanted:
                for h in range(hidden):
                    @hand_on
            @keep
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
    if stacked:
        n = list_kept(below, t * batch + b, columns, 0)
        add_rows(acc, w_in, columns, 0, n)
    else:
        first, last = offsets[t * batch + b], offsets[t * batch + b + 1]
        add_events(acc, w_in, indices, values, first, last)
"""

BACKWARD = '''

@njit(cache=True, fastmath={"reassoc", "contract", "nsz"})
def add_dots(sums, v, w, rows, q, n, g, u):
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


@njit(cache=True, fastmath={"reassoc", "contract", "nsz"})
def add_link_dots(sums, v, at, to, links, rows, q, n, g, u):
    """sums[v, j] += the links from j . g[u] where they lead, for the n units that rows[q] lists."""
    for k in range(n):
        j = rows[q, k]
        y = f32(0.0)
        for e in range(at[j], at[j + 1]):
            y += links[e] * g[u, to[e]]
        sums[v, j] += y


@njit(cache=True)
def add_to_rows(w, rows, n, g, q):
    """The n rows of w that rows[0] lists each get g[q] added."""
    for k in range(n):
        j = rows[0, k]
        for h in range(w.shape[1]):
            w[j, h] += g[q, h]


@njit(cache=True)
def add_scaled_to_rows(w, rows, n, g, q, values, v):
    """The n rows of w that rows[0] lists each get g[q], times their value in values[v], added."""
    for k in range(n):
        j = rows[0, k]
        y = values[v, j]
        for h in range(w.shape[1]):
            w[j, h] += y * g[q, h]


@njit(cache=True)
def add_to_events(w, indices, values, first, last, g, q):
    """The rows of w of the events first to last - 1 get g[q], times the event's value, added."""
    for k in range(first, last):
        j, y = indices[k], values[k]
        for h in range(w.shape[1]):
            w[j, h] += y * g[q, h]


@njit(cache=True)
def add_to_links(links, at, to, rows, n, g, q):
    """The links from the n units that rows[0] lists get g[q], where they lead, added."""
    for k in range(n):
        j = rows[0, k]
        for e in range(at[j], at[j + 1]):
            links[e] += g[q, to[e]]


@njit(cache=True)
def add_scaled_to_links(links, at, to, rows, n, g, q, values, v):
    """The same, times the unit's value in values[v]."""
    for k in range(n):
        j = rows[0, k]
        y = values[v, j]
        for e in range(at[j], at[j + 1]):
            links[e] += y * g[q, to[e]]


@njit(cache=True, nogil=True)
def backward(
    block, edges, steps, every, lengths, offsets, indices, values, current, below,
    w_in, w_rec, at, to, links, bias, P, C, start,
    d_out, d_final, d_totals, d_above, w_above, bits, z_all, checks,
    d_current, d_w_in, d_w_rec, d_links, d_bias, d_P, d_start,
):
    """The gradients of one block; segments of `every` steps are run again from their state.

    d_out (T, B, H) or nothing is the gradient of the output; d_above (T, B, U) or nothing that of
    the currents of the population above, which reached it through w_above (H, U).
    """
    current, w_in = distinct(current), distinct(w_in)
    w_rec, links = distinct(w_rec), distinct(links)
    bias, P, C, bits = distinct(bias), distinct(P), distinct(C), distinct(bits)
    d_out, checks, z_all = distinct(d_out), distinct(checks), distinct(z_all)
    d_above, w_above = distinct(d_above), distinct(w_above)
    d_current, d_start = distinct(d_current), distinct(d_start)
    dw_in, dw_rec = distinct(d_w_in[block]), distinct(d_w_rec[block])
    db, dP, d_link = distinct(d_bias[block]), distinct(d_P[block]), distinct(d_links[block])
    batch, hidden = lengths.shape[0], bias.shape[0]
    projected, stacked = current.shape[0] > 0, below.shape[0] > 0
    recurrent, linked = w_rec.shape[0] > 0, links.shape[0] > 0
    passed, given, fed = d_current.shape[0] > 0, d_out.shape[0] > 0, d_above.shape[0] > 0
    low, size = edges[block], edges[block + 1] - edges[block]
    acc = distinct(np.empty(hidden, np.float32))
    columns = distinct(np.empty((1, w_in.shape[0]), np.int32))
    rows = distinct(np.empty((1, hidden), np.int32))
    di = distinct(np.zeros((size, hidden), np.float32))
    go = distinct(np.zeros(hidden, np.float32))
    @make_state
    @make_tape
    @make_gradients
    dw_in[:, :] = f32(0.0)
    dw_rec[:, :] = f32(0.0)
    d_link[:] = f32(0.0)
    dP[:, :] = f32(0.0)
    db[:] = f32(0.0)
    for q in range(size):
        for h in range(hidden):
            @begin_gradients
    for segment in range((steps - 1) // every, -1, -1):
        first_step = segment * every
        last_step = min(steps, first_step + every)
        for q in range(size):
            b = low + q
            for h in range(hidden):
                @restore_state
            for t in range(first_step, min(last_step, lengths[b])):
                e = (t - first_step) * size + q
                @current
                @recur
                for h in range(hidden):
                    @load
                    @update
                    @surrogate
                    @tape
                    @store
        for t in range(last_step - 1, first_step - 1, -1):
            for q in range(size):
                b = low + q
                e = (t - first_step) * size + q
                if t >= lengths[b]:
                    continue
                @pull_spikes
            for q in range(size):
                b = low + q
                e = (t - first_step) * size + q
                if t >= lengths[b]:
                    if passed:
                        for h in range(hidden):
                            d_current[t, b, h] = f32(0.0)
                    continue
                if given:
                    for h in range(hidden):
                        go[h] = d_out[t, b, h]
                for h in range(hidden):
                    @load_adjoint
                    @adjoint
                    @store_adjoint
                if passed:
                    for h in range(hidden):
                        d_current[t, b, h] = di[q, h]
            for q in range(size):
                b = low + q
                if t >= lengths[b]:
                    continue
                if stacked:
                    n = list_kept(below, t * batch + b, columns, 0)
                    add_to_rows(dw_in, columns, n, di, q)
                elif not projected:
                    first, last = offsets[t * batch + b], offsets[t * batch + b + 1]
                    add_to_events(dw_in, indices, values, first, last, di, q)
                @push_rows
    @pull_start
    for q in range(size):
        for h in range(hidden):
            @end_gradients
'''
