"""The training kernels of a population whose spikes take several steps to arrive.

    i_t[h] = ... + sum_j w_rec[h, j] z_{t - delays[j]}[j],    delays from 1 to D

`before` (D, B, H) are the last D outputs before step 0, which are read at the steps before `early`:
D of them, none where all these outputs are zero. A spike is also one bit of `arriving`, in the row
of the step and sample where it arrives; backward, these are set first. Gradients of currents are
kept for D steps beyond a segment, since so much later a spike of it arrives; `di` is where those of
the segment begin, and moves towards the beginning of `ring` with every segment.
"""

from __future__ import annotations

from spikern._utils.errors import UnsupportedError
from spikern.engines.codegen import kernels
from spikern.engines.codegen.program import Gradient, Step

DELAYED = kernels.WHOLE._replace(
    blocks={
        **kernels.WHOLE.blocks,
        "make_sums": """
acc = distinct(np.zeros((1, width), np.float32))
longest = before.shape[0]
early = longest if any_nonzero(before, low, low + size) else 0
arriving = distinct(np.zeros((steps * size, bits.shape[1]), np.int64))
""",
        "make_scratch": """
span = -(-longest // every) * every
base = span - every
ring = distinct(np.zeros(((span + longest) * size, width), np.float32))
di = ring[base * size :]
masks = distinct(np.empty(hidden, np.int64))
ahead = delays * size
most = every * size * max(hidden, w_in.shape[0])
""",
        "carry_gradients": """
base -= every
if base < 0:
    base = span - every
    for e in range(longest * size):
        for h in range(width):
            ring[span * size + e, h] = ring[e, h]
di = ring[base * size :]
""",
    },
    spikes={
        **kernels.WHOLE.spikes,
        "send": "send(bits, t * batch + b, delays, arriving, t * size + q, size)",
        "recur": """
if t < early:
    n = list_early(before, arriving, t * size + q, delays, t, b, rows, initial)
    add_rows(acc, 0, w_rec, rows, 0, 0, n, initial)
    @note_values
else:
    n = list_kept(arriving, t * size + q, rows, 0)
    add_rows(acc, 0, w_rec, rows, 0, 0, n)
    @note_spikes
""",
        "make_lists": kernels.WHOLE.spikes["make_lists"]
        + """
for t in range(steps):
    for q in range(size):
        send(bits, t * batch + low + q, delays, arriving, t * size + q, size)
""",
        "push_spikes": """
by_source(z_sources, z_places, z_given, fired, z_ends, to, times)
add_to_rows(dw_rec, z_ends, to, times, di)
""",
        "pull_recurrent": """
add_dots(G_z, q0, masks, w_rec, di, (t - first_step) * size + q0, ahead)
""",
        "pull_start": """
for k in range(d_before.shape[0]):
    for q in range(size):
        for h in range(hidden):
            d_before[k, low + q, h] = f32(0.0)
    for q0 in range(0, size, 64):
        samples = -1 if size - q0 >= 64 else (1 << (size - q0)) - 1
        for h in range(hidden):
            masks[h] = samples if delays[h] >= longest - k else 0
        place = (every + k - longest) * size + q0
        add_dots(d_before[k], low + q0, masks, w_rec, di, place, ahead)
""",
    },
)
"""Axons of different length. Value k of `before` arrives at step k + delays[j] - D, if at all."""


def check_spikes(step: Step, gradient: Gradient) -> None:
    """Raise UnsupportedError for smooth firing, which is no spikes whose bits could be kept."""
    if gradient.primitive is not None:
        raise UnsupportedError(
            f"{step.name} with delays has no kernels for smooth firing; use engine='reference'"
        )


def source(step: Step, gradient: Gradient) -> str:
    """The text of a module with the training kernels of a neuron with delays.

    Raises UnsupportedError for smooth firing.
    """
    check_spikes(step, gradient)
    return kernels.source(step, gradient, DELAYED)
