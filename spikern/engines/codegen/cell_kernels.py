"""The text of the training kernels of a standard recurrent cell: its programs in the time loops.

A kernel runs one block of samples over all steps. A step is two products with weights that stay in
the cache and the cell's own arithmetic. Nothing is kept of a step but the state after it: the
backward kernel multiplies once more, which takes less time than memory would, and collects the
gradients of the weights over a segment of steps. As in `kernels`, the result does not depend on the
number of threads.
"""

from __future__ import annotations

from spikern.engines.codegen import emit
from spikern.engines.codegen.kernels import module_text
from spikern.engines.codegen.program import Program

FORWARD = '''

@njit(cache=True, nogil=True, error_model="numpy")
def forward(block, edges, x, w_in, w, bias_in, bias, start, @states):
    """One block of samples over time.

    x (T, B, F) is the input, w_in (F, G H) and w (H, G H) the weights of G gates, which also have
    two biases; start (S, B, H), and an array (T, B, H) of each part of the state.
    """
    w_in, w, bias_in, bias = distinct(w_in), distinct(w), distinct(bias_in), distinct(bias)
    @distinct_states
    low, size = edges[block], edges[block + 1] - edges[block]
    steps, hidden, width = x.shape[0], start.shape[2], w.shape[1]
    acc_i = distinct(np.empty((size, width), np.float32))
    acc_r = distinct(np.empty((size, width), np.float32))
    @make_state
    for t in range(steps):
        for q in range(size):
            acc_i[q], acc_r[q] = bias_in, bias
        add_matrix_product(acc_i, x[t, low : low + size], w_in)
        add_matrix_product(acc_r, S_h, w)
        for q in range(size):
            b = low + q
            for j in range(hidden):
                @load_gates
                @load
                @update
                @store
'''
BACKWARD = '''

@njit(cache=True, nogil=True, error_model="numpy")
def backward(
    block, edges, every, x, w_in, w, bias_in, bias, start, @states,
    w_back, @gradients, d_gates, d_w_in, d_w, d_bias_in, d_bias, d_start,
):
    """The gradients of one block; those of the weights are collected over `every` steps.

    w_back (G H, H) are the recurrent weights. The gradient of a part of the state is (T, B, H), or
    (1, B, H) if it is the same at every step. d_gates (T, B, G H) is what reaches the input, unless
    it is empty.
    """
    w_in, w, bias_in, bias = distinct(w_in), distinct(w), distinct(bias_in), distinct(bias)
    w_back, d_gates, d_start = distinct(w_back), distinct(d_gates), distinct(d_start)
    dw_in, dw = distinct(d_w_in[block]), distinct(d_w[block])
    db_in, db = distinct(d_bias_in[block : block + 1]), distinct(d_bias[block : block + 1])
    @distinct_states
    low, size = edges[block], edges[block + 1] - edges[block]
    steps, hidden, width = x.shape[0], start.shape[2], w.shape[1]
    acc_i = distinct(np.empty((size, width), np.float32))
    acc_r = distinct(np.empty((size, width), np.float32))
    D_i = distinct(np.zeros((every * size, width), np.float32))
    D_r = distinct(np.zeros((every * size, width), np.float32))
    inputs = distinct(np.empty((x.shape[2], every * size), np.float32))
    sources = distinct(np.empty((hidden, every * size), np.float32))
    @make_gradient
    n = 0
    for t in range(steps - 1, -1, -1):
        @before
        for q in range(size):
            acc_i[q], acc_r[q] = bias_in, bias
        add_matrix_product(acc_i, x[t, low : low + size], w_in)
        add_matrix_product(acc_r, B_h[low : low + size], w)
        for q in range(size):
            b = low + q
            for j in range(hidden):
                @load_gates
                @load_before
                @gradient
            for j in range(hidden):
                sources[j, n + q] = B_h[b, j]
            for f in range(x.shape[2]):
                inputs[f, n + q] = x[t, b, f]
            if d_gates.shape[0] > 0:
                d_gates[t, b] = D_i[n + q, : d_gates.shape[2]]
        add_matrix_product(G_h, D_r[n : n + size], w_back)
        n += size
        if n == every * size or t == 0:
            add_matrix_product(dw_in, inputs, D_i[:n])
            add_matrix_product(dw, sources, D_r[:n])
            add_rows(db_in, 0, D_i, None, 0, 0, n)
            add_rows(db, 0, D_r, None, 0, 0, n)
            n = 0
    for q in range(size):
        for j in range(hidden):
            @end_gradient
'''


def source(name: str, state: list[str], gates: int, step: Program, adjoint: Program) -> str:
    """The text of a module with the kernels of a cell.

    The step's inputs are s_* (the state, of which h is the output), i_k and r_k (what the input and
    the recurrence give to gate k), its outputs n_*; the adjoint has the gradient g_* of each output
    too, and gives the gradient d_* of each input.
    """
    places = [f"{k} * hidden + j" for k in range(gates)]
    renamed = {op.name: f"b{op.name}" for op in adjoint.ops}
    d = {n: emit.value(v, renamed, set()) for n, v in adjoint.outputs.items()}
    made = {n: emit.value(v, {}, set()) for n, v in step.outputs.items()}

    def each(*lines: str) -> list[str]:
        return [line.format(n=n, s=s) for n, s in enumerate(state) for line in lines]

    parts = {
        "distinct_states": each("states_{s} = distinct(states_{s})"),
        "make_state": each(
            "S_{s} = distinct(np.empty((size, hidden), np.float32))",
            "S_{s}[:] = start[{n}, low : low + size]",
        ),
        "load_gates": [f"{x}_{k} = acc_{x}[q, {at}]" for k, at in enumerate(places) for x in "ir"],
        "load": each("s_{s} = S_{s}[q, j]"),
        "update": emit.statements(step.ops, {}, set()),
        "store": [f"S_{s}[q, j] = states_{s}[t, b, j] = {made[f'n_{s}']}" for s in state],
        "make_gradient": each("G_{s} = distinct(np.zeros((size, w_back.shape[1]), np.float32))"),
        "before": each(
            "B_{s} = states_{s}[t - 1] if t > 0 else start[{n}]",
            "E_{s} = d_states_{s}[t] if d_states_{s}.shape[0] == steps else d_states_{s}[0]",
        ),
        "load_before": each("s_{s} = B_{s}[b, j]", "g_n_{s} = G_{s}[q, j] + E_{s}[b, j]"),
        "gradient": [
            *emit.statements(adjoint.ops, renamed, set()),
            *(f"G_{s}[q, j] = {d[f'd_s_{s}']}" for s in state),
            *(
                f"D_{x}[n + q, {at}] = {d[f'd_{x}_{k}']}"
                for k, at in enumerate(places)
                for x in "ir"
            ),
        ],
        "end_gradient": each("d_start[{n}, low + q, j] = G_{s}[q, j]"),
    }
    body = emit.fill(FORWARD + BACKWARD, parts)
    body = body.replace("@states", ", ".join(each("states_{s}")))
    body = body.replace("@gradients", ", ".join(each("d_states_{s}")))
    return module_text(f"Kernels of {name}, derived from its step", f"{body}\n\nTITLE = {name!r}\n")
