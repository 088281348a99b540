"""The training kernels of a population whose spikes arrive spread over several steps.

    i_t[h] = ... + sum_j w_rec[h, j] a_t[j],    a_t[j] = sum_d shares[d - 1, j] z_{t-d}[j]

with d from 1 to D. Learned delays are trained so. `before` (D, B, H) are the last D outputs before
step 0; all others are in `bits`. Backward, `da` has the gradients of a, kept for D steps beyond a
segment: those of step t + 1 are made when step t is reached, before its spikes need them.
"""

from __future__ import annotations

from spikern.engines.codegen import delayed_kernels, kernels
from spikern.engines.codegen.program import Gradient, Step

_ARRIVED = """
for q0 in range(0, size, 64):
    masks[:] = -1 if size - q0 >= 64 else (1 << (size - q0)) - 1
    for q in range(q0, min(size, q0 + 64)):
        for h in range(hidden):
            da[later + q, h] = f32(0.0)
    add_dots(da, later + q0, masks, w_rec, di, later + q0)
for q in range(size):
    add_share_gradients(d_share, before, bits, {t}, batch, low + q, da, later + q, early)
"""
"""The gradients of what arrived at step {t}, and of the shares that it was."""

SPREAD = kernels.WHOLE._replace(
    blocks={
        **kernels.WHOLE.blocks,
        "make_sums": """
acc = distinct(np.zeros((1, width), np.float32))
longest = shares.shape[0]
early = longest if any_nonzero(before, low, low + size) else 0
arriving = distinct(np.empty((1, hidden), np.float32))
""",
        "make_scratch": """
di = distinct(np.zeros(((every + 1) * size, width), np.float32))
da = distinct(np.zeros(((every + longest) * size, hidden), np.float32))
masks = distinct(np.empty(hidden, np.int64))
most = every * size * max(hidden, w_in.shape[0])
d_share = distinct(d_shares[block])
d_share[:, :] = f32(0.0)
""",
        "carry_gradients": """
for q in range(size):
    for h in range(width):
        di[every * size + q, h] = di[q, h]
for e in range(longest * size - 1, -1, -1):
    for h in range(hidden):
        da[every * size + e, h] = da[e, h]
""",
    },
    spikes={
        **kernels.WHOLE.spikes,
        "recur": """
spread(before, bits, shares, t, batch, b, arriving, early)
n = list_nonzero(arriving, 0, rows, 0)
take(arriving, 0, rows, 0, n, initial)
add_rows(acc, 0, w_rec, rows, 0, 0, n, initial)
@note_values
""",
        "push_spikes": delayed_kernels.DELAYED.spikes["push_spikes"],
        "pull_spikes": _ARRIVED.format(t="t + 1")
        + """
for q in range(size):
    b, e = low + q, (t - first_step) * size + q
    if t >= lengths[b]:
        continue
    if narrow:
        add_rows(G_z, q, w_up, None, b, 0, w_up.shape[0], d_above[t])
    add_shares(G_z, q, shares, 1, da, e, size)
if fed:
    for q0 in range(0, size, 64):
        @mark_slopes
        add_dots(G_z, q0, masks, w_above, d_above[t], low + q0)
""",
        "pull_start": _ARRIVED.format(t="0")
        + """
for k in range(d_before.shape[0]):
    for q in range(size):
        for h in range(hidden):
            d_before[k, low + q, h] = f32(0.0)
        e = (every + k - longest) * size + q
        add_shares(d_before[k], low + q, shares, longest - k, da, e, size)
""",
    },
)
"""What arrives is a number for every neuron that fired lately, so a step costs what a standard
network's costs; a spike alone costs one of D shares."""


def source(step: Step, gradient: Gradient) -> str:
    """The text of a module with the training kernels of a neuron whose spikes are spread.

    Raises UnsupportedError for smooth firing, as the kernels with delays do.
    """
    delayed_kernels.check_spikes(step, gradient)
    return kernels.source(step, gradient, SPREAD)
