"""The fused engine: training whose work follows spikes, in kernels derived from the neuron.

Same meaning as the reference engine, float32 on the CPU. Forward, a unit that fired adds its row
of weights; backward, a neuron farther from threshold than the surrogate reaches costs no
recurrent product, and a weight's gradient is touched only when its source fired. What is kept
for the backward pass is one bit a neuron and step, and the state every EVERY steps; the steps
between are run again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikern.engines import boundary, cache, kernel
from spikern.surrogate import SURROGATES, Surrogate
from spikern.types import NeuronModel, Params, State, UnsupportedError

EVERY = 16
"""Steps between the states that are kept."""
BLOCKS = 16
"""At most so many blocks of samples, each with its own sums of gradients."""
SUMS_BYTES = 1 << 25
"""Fewer blocks if their sums would take more than this."""
DENSE_INPUT = 0.3
"""An input with a greater share of nonzero entries is multiplied as a matrix."""

_sources: dict[Any, str] = {}
_F1, _F2, _F3, _F4 = "float32[::1]", "float32[:,::1]", "float32[:,:,::1]", "float32[:,:,:,::1]"
_COMMON = f"{_F2}, {_F3}, {_F2}, {_F2}, {_F1}, {_F2}, {_F2}, {_F3}, int64[::1], int64"
SIGNATURES = {
    "constants": f"void({_F2}, {_F2})",
    "forward": f"void(int64, int64[::1], {_COMMON}, {_F3}, {_F3}, int32[:,::1], {_F4})",
    "backward": (
        f"void(int64, int64[::1], {_F3}, {_F3}, {_COMMON}, int32[:,::1], {_F2}, {_F4}, "
        f"{_F3}, {_F3}, {_F3}, {_F2}, {_F3}, {_F3})"
    ),
}


def run(
    model: NeuronModel,
    surrogate: Surrogate,
    params: Params,
    state: State,
    x: Tensor,
    w_in: Tensor,
    bias: Tensor | None,
    w_rec: Tensor | None,
    lengths: Tensor | None = None,
    smooth: bool = False,
) -> tuple[Tensor, State]:
    """Run a population over time.

    x (T, B, F), w_in (H, F), bias (H,), w_rec (H, H) as (to, from), state fields (B, H),
    lengths (B,). Returns the outputs (T, B, H) and the state after each sample's last step.
    Raises UnsupportedError for anything but float32 on the CPU, or a step without scalar form.
    """
    if x.device.type != "cpu" or x.dtype != torch.float32:
        raise UnsupportedError(
            f"engine='fused' runs float32 on the CPU, not {x.dtype} on {x.device.type}; "
            "use engine='reference'"
        )
    name = kernel_name(model, surrogate, smooth)
    steps, batch, _ = x.shape
    hidden = w_in.shape[0]
    if lengths is None:
        lengths = torch.full((batch,), steps, dtype=torch.int64)
    out, final, _, _ = _run(
        name,
        x,
        w_in,
        w_in.new_zeros((0, hidden)) if w_rec is None else w_rec,
        w_in.new_zeros(hidden) if bias is None else bias,
        torch.stack(tuple(params)),
        torch.stack(tuple(state)),
        lengths.to(torch.int64),
    )
    return out, model.state(*final.unbind(0))


def supports(model: NeuronModel, surrogate: Surrogate) -> bool:
    """Whether kernels can be derived from the neuron's step."""
    try:
        _source(model, surrogate, False)
    except UnsupportedError:
        return False
    return True


def _source(model: NeuronModel, surrogate: Surrogate, smooth: bool) -> str:
    """The kernels' text, derived once a step and surrogate."""
    shape = surrogate.settings if surrogate.name in SURROGATES else surrogate.derivative
    key = (model.step, model.params, model.state, model.spikes, surrogate.name, shape, smooth)
    if key not in _sources:
        _sources[key] = kernel.source(model, surrogate, smooth)
    return _sources[key]


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def kernel_name(model: NeuronModel, surrogate: Surrogate, smooth: bool = False) -> str:
    """The name of the neuron's kernels, which are loaded if they were not."""
    text = _source(model, surrogate, smooth)
    cache.load(text)
    return cache.name_of(text)


def _entry(name: str, entry: str) -> Any:
    title = "" if entry == "constants" else f"{cache.module(name).TITLE} ({entry})"
    return cache.function(name, entry, SIGNATURES[entry], title)


def in_threads(work: Callable[[int], None], blocks: int) -> None:
    """Do every block's work, on as many threads as torch has; each takes the next block."""
    remaining = iter(range(blocks))
    failed: list[BaseException] = []

    def some() -> None:
        try:
            for block in remaining:
                work(block)
        except BaseException as error:
            failed.append(error)

    others = [
        threading.Thread(target=some) for _ in range(min(torch.get_num_threads(), blocks) - 1)
    ]
    for other in others:
        other.start()
    some()
    for other in others:
        other.join()
    if failed:
        raise failed[0]


def _edges(batch: int, weights: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Where each block of samples begins: a matter of sizes alone, never of threads."""
    blocks = max(1, min(batch, BLOCKS, SUMS_BYTES // (4 * max(weights, 1))))
    return np.linspace(0, batch, blocks + 1).astype(np.int64)


def _is_dense(x: Tensor) -> bool:
    """Whether the input is analog: multiplied as a matrix rather than row by row."""
    return x.shape[2] > 16 and int(torch.count_nonzero(x)) > DENSE_INPUT * x.numel()


def _array(x: Tensor) -> Any:
    return x.detach().contiguous().numpy()


def _common(
    name: str, x: Tensor, w_in: Tensor, w_rec: Tensor, bias: Tensor, params: Tensor
) -> tuple[bool, tuple[Any, ...]]:
    """Whether the input is projected as a matrix, and what both kernels read."""
    none = x.new_empty((0, 0))
    hidden = w_in.shape[0]
    dense = _is_dense(x)
    if dense:
        current = torch.nn.functional.linear(x, w_in, bias)
        values, rows = none, w_in.new_empty((0, hidden))
    else:
        current, values, rows = x.new_empty((0, 0, 0)), x.reshape(-1, x.shape[2]), w_in.t()
    recurrent = w_rec.t() if w_rec.numel() else w_rec
    P = _array(params)
    C = boundary.allocate(cache.module(name).CONSTANTS, hidden).numpy()
    _entry(name, "constants")(P, C)
    return dense, (
        _array(values), _array(current), _array(rows), _array(recurrent),
        _array(bias), P, C,
    )  # fmt: skip


@torch.library.custom_op("spikern::run", mutates_args=(), device_types="cpu")
def _run(
    name: str,
    x: Tensor,
    w_in: Tensor,
    w_rec: Tensor,
    bias: Tensor,
    params: Tensor,
    start: Tensor,
    lengths: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    out, final, bits, checks = _outputs(boundary.allocate, x, start)
    _, common = _common(name, x, w_in, w_rec, bias, params)
    edges = _edges(x.shape[1], w_rec.numel() + w_in.numel())
    rest = (*common, _array(start), _array(lengths), EVERY)
    forward = _entry(name, "forward")
    arrays = [out.numpy(), final.numpy(), bits.numpy(), checks.numpy()]
    in_threads(lambda block: forward(block, edges, *rest, *arrays), len(edges) - 1)
    return out, final, bits, checks


def _outputs(make: Callable[..., Tensor], x: Tensor, start: Tensor) -> tuple[Tensor, ...]:
    steps, batch, _ = x.shape
    fields, _, hidden = start.shape
    out, final = make(steps, batch, hidden), make(fields, batch, hidden)
    bits = make(steps * batch, (hidden + 31) // 32, dtype=torch.int32)
    return out, final, bits, make((steps + EVERY - 1) // EVERY, fields, batch, hidden)


@_run.register_fake
def _(
    name: str,
    x: Tensor,
    w_in: Tensor,
    w_rec: Tensor,
    bias: Tensor,
    params: Tensor,
    start: Tensor,
    lengths: Tensor,
) -> tuple[Tensor, ...]:
    return _outputs(x.new_empty, x, start)


@torch.library.custom_op("spikern::run_backward", mutates_args=(), device_types="cpu")
def _run_backward(
    name: str,
    d_out: Tensor,
    d_final: Tensor,
    x: Tensor,
    w_in: Tensor,
    w_rec: Tensor,
    bias: Tensor,
    params: Tensor,
    start: Tensor,
    lengths: Tensor,
    z_all: Tensor,
    bits: Tensor,
    checks: Tensor,
    wants_x: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    steps, batch, features = x.shape
    hidden = w_in.shape[0]
    dense, common = _common(name, x, w_in, w_rec, bias, params)
    edges = _edges(batch, w_rec.numel() + w_in.numel())
    blocks = len(edges) - 1
    make = boundary.allocate
    d_current = make(steps, batch, hidden) if dense or wants_x else make(0, 0, 0)
    d_w_in = make(blocks, 0 if dense else features, hidden)
    d_w_rec = make(blocks, w_rec.shape[0], hidden)
    d_bias, d_params = make(blocks, hidden), make(blocks, *params.shape)
    d_start = make(*start.shape)
    rest = (
        _array(d_out), _array(d_final), *common, _array(start), _array(lengths), EVERY,
        _array(bits), _array(z_all), _array(checks), d_current.numpy(), d_w_in.numpy(),
        d_w_rec.numpy(), d_bias.numpy(), d_params.numpy(), d_start.numpy(),
    )  # fmt: skip
    backward = _entry(name, "backward")
    in_threads(lambda block: backward(block, edges, *rest), blocks)
    if dense:
        g_w_in = d_current.reshape(-1, hidden).t() @ x.reshape(-1, features)
    else:
        g_w_in = d_w_in.sum(0).t().contiguous()
    g_w_rec = d_w_rec.sum(0).t().contiguous() if w_rec.numel() else torch.zeros_like(w_rec)
    d_x = d_current @ w_in if wants_x else x.new_empty(0)
    return d_x, g_w_in, g_w_rec, d_bias.sum(0), d_params.sum(0), d_start


@_run_backward.register_fake
def _(
    name: str,
    d_out: Tensor,
    d_final: Tensor,
    x: Tensor,
    w_in: Tensor,
    w_rec: Tensor,
    bias: Tensor,
    params: Tensor,
    start: Tensor,
    lengths: Tensor,
    z_all: Tensor,
    bits: Tensor,
    checks: Tensor,
    wants_x: bool,
) -> tuple[Tensor, ...]:
    d_x = torch.empty_like(x) if wants_x else x.new_empty(0)
    likes = [torch.empty_like(y) for y in (w_in, w_rec, bias, params, start)]
    return (d_x, *likes)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    name, *tensors = inputs
    out, _, bits, checks = output
    ctx.name = name
    ctx.smooth = cache.module(name).SMOOTH
    ctx.save_for_backward(*tensors, bits, checks, *([out] if ctx.smooth else []))
    ctx.shapes = output[0].shape, output[1].shape


def _differentiate(
    ctx: Any, d_out: Tensor | None, d_final: Tensor | None, *_: Any
) -> tuple[Tensor | None, ...]:
    x, w_in, w_rec, bias, params, start, lengths, bits, checks, *z_all = ctx.saved_tensors
    d_out = x.new_zeros(ctx.shapes[0]) if d_out is None else d_out
    d_final = x.new_zeros(ctx.shapes[1]) if d_final is None else d_final
    wants_x = ctx.needs_input_grad[1]
    d_x, *rest = _run_backward(
        ctx.name, d_out, d_final, x, w_in, w_rec, bias, params, start, lengths,
        z_all[0].flatten(0, 1) if z_all else x.new_empty((0, 0)), bits, checks, wants_x,
    )  # fmt: skip
    return (None, d_x if wants_x else None, *rest, None)


_run.register_autograd(_differentiate, setup_context=_save)
