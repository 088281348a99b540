"""The standard recurrent cells on the CPU, by kernels that are derived from their equations.

torch runs its GRU and RNN on the CPU one operation after the other, and a study takes as long as
its slowest opponent. A cell here is one pure function in torch; torch derives its adjoint.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from spikern._utils.errors import UnsupportedError
from spikern.engines.arrays import (
    LANES,
    allocate,
    array,
    block_edges,
    from_rows,
    rows_by_source,
    sum_of_blocks,
)
from spikern.engines.codegen import cache, cell_kernels, trace
from spikern.engines.threads import in_threads

Gates = Sequence[Tensor]


class Cell(NamedTuple):
    """A recurrent cell: next state = step(state, i, r), elementwise; the output is its first part.

    i and r are what the input and the recurrence give to each gate, biases included.
    """

    name: str
    state: tuple[str, ...]
    gates: int
    step: Callable[[Gates, Gates, Gates], tuple[Tensor, ...]]


def rnn(s: Gates, i: Gates, r: Gates) -> tuple[Tensor, ...]:
    """h = tanh(i + r)."""
    return (torch.tanh(i[0] + r[0]),)


def gru(s: Gates, i: Gates, r: Gates) -> tuple[Tensor, ...]:
    """h = n + z (h - n), n = tanh(i_n + reset r_n); as torch's, the reset acts on the product."""
    (h,) = s
    reset, z = torch.sigmoid(i[0] + r[0]), torch.sigmoid(i[1] + r[1])
    n = torch.tanh(i[2] + reset * r[2])
    return (n + z * (h - n),)


def lstm(s: Gates, i: Gates, r: Gates) -> tuple[Tensor, ...]:
    """c = forget c + enter g, h = leave tanh(c)."""
    _, c = s
    enter, forget = torch.sigmoid(i[0] + r[0]), torch.sigmoid(i[1] + r[1])
    g, leave = torch.tanh(i[2] + r[2]), torch.sigmoid(i[3] + r[3])
    c = forget * c + enter * g
    return leave * torch.tanh(c), c


CELLS = {
    c.name: c
    for c in (
        Cell("RNN", ("h",), 1, rnn),
        Cell("GRU", ("h",), 3, gru),
        Cell("LSTM", ("h", "c"), 4, lstm),
    )
}
EVERY = 16
"""Steps over which the gradients of weights are collected."""


@functools.cache
def source(name: str) -> str:
    """The text of a cell's kernels."""
    return trace.apart(_derived, name)


def _derived(name: str) -> str:
    cell = CELLS[name]
    count = len(cell.state)
    gates = [f"{kind}_{k}" for kind in "ir" for k in range(cell.gates)]
    inputs, outputs = [f"s_{s}" for s in cell.state] + gates, [f"n_{s}" for s in cell.state]

    def flat(*values: Tensor) -> tuple[Tensor, ...]:
        s, gates = values[:count], values[count:]
        return cell.step(s, gates[: cell.gates], gates[cell.gates :])

    step = trace.traced(cell, flat, inputs, outputs)
    adjoint = trace.adjoint_of(cell, flat, inputs, outputs)
    return cell_kernels.source(name, list(cell.state), cell.gates, step, adjoint)


def kernel(name: str, entry: str) -> Any:
    """A compiled kernel of a cell."""
    text = source(name)
    title = f"{cache.load(text).TITLE} ({entry})"
    f1, f2, f3 = "float32[::1]", "float32[:,::1]", "float32[:,:,::1]"
    states = (f3,) * len(CELLS[name].state)
    read = (f3, f2, f2, f1, f1, f3, *states)
    kinds = {
        "forward": ("int64, int64[::1]", *read),
        "backward": ("int64, int64[::1], int64", *read, f2, *states, f3, f3, f3, f2, f2, f3),
    }
    return cache.function(cache.name_of(text), entry, f"void({', '.join(kinds[entry])})", title)


@torch.library.custom_op("spikern::run_cell", mutates_args=(), device_types="cpu")
def run_cell(
    name: str, x: Tensor, w_in: Tensor, w: Tensor, bias_in: Tensor, bias: Tensor, start: Tensor
) -> list[Tensor]:
    """Each part of the state after every step, (T, B, H).

    x (T, B, F), w_in (G H, F), w (G H, H), bias_in and bias (G H,), start (S, B, H).
    """
    parts, batch, hidden = start.shape
    states = [allocate(len(x), batch, hidden) for _ in range(parts)]
    edges, forward = block_edges(batch, 0), kernel(name, "forward")
    read = _arrays(x, w_in, w, bias_in, bias, start, *states)
    in_threads(lambda block: forward(block, edges, *read), len(edges) - 1)
    return states


@run_cell.register_fake
def _(name: str, x: Tensor, *others: Tensor) -> list[Tensor]:
    start = others[-1]
    return [start.new_empty(x.shape[0], *start.shape[1:]) for _ in range(start.shape[0])]


def _arrays(
    x: Tensor, w_in: Tensor, w: Tensor, bias_in: Tensor, bias: Tensor, *others: Tensor
) -> list[Any]:
    """What both kernels read: weights and biases as rows by source, padded to whole vectors."""
    rows = [rows_by_source(m) for m in (w_in, w, bias_in[:, None], bias[:, None])]
    return list(map(array, (x, *rows[:2], rows[2][0], rows[3][0], *others)))


@torch.library.custom_op("spikern::run_cell_backward", mutates_args=(), device_types="cpu")
def _run_cell_backward(
    name: str, wants_x: bool, d_states: list[Tensor], saved: list[Tensor]
) -> list[Tensor]:
    """The gradients of x, w_in, w, bias_in, bias and start. Autocast is off."""
    with torch.autocast("cpu", enabled=False):
        return _gradients(name, wants_x, d_states, saved)


def _gradients(
    name: str, wants_x: bool, d_states: list[Tensor], saved: list[Tensor]
) -> list[Tensor]:
    x, w_in, w, _, _, start, *_ = saved
    steps, batch, features = x.shape
    parts, _, hidden = start.shape
    width = -(-len(w) // LANES) * LANES
    edges, backward = block_edges(batch, width * (features + hidden)), kernel(name, "backward")
    blocks = len(edges) - 1
    d_gates = allocate(steps if wants_x else 0, batch, len(w))
    d_start = allocate(parts, batch, hidden)
    sums = [allocate(blocks, *n, width).zero_() for n in ((features,), (hidden,), (), ())]
    arguments = (
        edges, EVERY, *_arrays(*saved), array(rows_by_source(w.t())), *map(array, d_states),
        d_gates.numpy(), *(s.numpy() for s in sums), d_start.numpy(),
    )  # fmt: skip
    in_threads(lambda block: backward(block, *arguments), blocks)
    *d_weights, d_bias_in, d_bias = map(sum_of_blocks, sums)
    d_w_in, d_w = (from_rows(rows, len(w)) for rows in d_weights)
    d_x = d_gates @ w_in if wants_x else x.new_empty(0)
    return [d_x, d_w_in, d_w, d_bias_in[: len(w)].clone(), d_bias[: len(w)].clone(), d_start]


@_run_cell_backward.register_fake
def _(name: str, wants_x: bool, d_states: list[Tensor], saved: list[Tensor]) -> list[Tensor]:
    x, *others = map(torch.empty_like, saved[:6])
    return [x if wants_x else x.new_empty(0), *others]


def _save(ctx: Any, inputs: tuple[Any, ...], output: Sequence[Tensor]) -> None:
    ctx.name = inputs[0]
    ctx.save_for_backward(*inputs[1:], *output)


def _differentiate(ctx: Any, gradients: Sequence[Tensor | None]) -> tuple[Any, ...]:
    wants_x, start = ctx.needs_input_grad[1], ctx.saved_tensors[5]
    nothing = start.new_zeros(1, *start.shape[1:])
    d_states = [nothing if g is None else g for g in gradients]
    d_x, *others = _run_cell_backward(ctx.name, wants_x, d_states, list(ctx.saved_tensors))
    return None, d_x if wants_x else None, *others


run_cell.register_autograd(_differentiate, setup_context=_save)


def _refuse(ctx: Any, gradients: Sequence[Tensor | None]) -> tuple[Any, ...]:
    raise UnsupportedError(
        "the kernels of RNN, GRU and LSTM have first derivatives only; for second ones call "
        "`layer.rnn`, which is torch's, or use double precision"
    )


_run_cell_backward.register_autograd(_refuse)


# What torch's FlopCounterMode counts: two for each weight, sample and step


@register_flop_formula(torch.ops.spikern.run_cell)
def _(name: str, x: Any, w_in: Any, w: Any, *others: Any, **rest: Any) -> int:
    number: int = 2 * math.prod(x[:2]) * (math.prod(w_in) + math.prod(w))
    return number


@register_flop_formula(torch.ops.spikern.run_cell_backward)
def _(name: str, wants_x: bool, d_states: Any, saved: Sequence[Any], **rest: Any) -> int:
    x, w_in, w = saved[:3]
    weights: int = (1 + wants_x) * math.prod(w_in) + 2 * math.prod(w)
    number: int = 2 * weights * math.prod(x[:2])
    return number
