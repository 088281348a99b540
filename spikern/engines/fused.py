"""The fused engine: training whose work follows spikes, in kernels derived from the neuron.

Same meaning as the reference engine, float32 on the CPU. Forward, a unit that fired adds its row
of weights; backward, a neuron farther from threshold than the surrogate reaches costs no
recurrent product, and a weight's gradient is touched only when its source fired. A whole stack is
one operator: inside it spikes are one bit a neuron and step and are never made dense. Kept for
the backward pass are these bits and the state every EVERY steps; what lies between is run again.

A stack as one differentiable operator of torch, `spikern::run`, and its gradient.

Kept for the backward pass are the spikes as bits and the state every EVERY steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikern._utils.errors import UnsupportedError
from spikern.engines.arrays import (
    FIELDS,
    allocate,
    array,
    edges_of,
    kernel_entry,
    layout,
    place_of_links,
)
from spikern.engines.codegen import cache, kernels
from spikern.engines.codegen.runtime import HEAD, LISTING
from spikern.engines.population import Input, Outcome, Population, is_linked, recurrence
from spikern.engines.threads import in_threads
from spikern.events.trains import Events
from spikern.neurons.model import NeuronModel, State
from spikern.neurons.surrogate import SURROGATES, Surrogate

_sources: dict[Any, str] = {}


def run_stack(
    populations: Sequence[Population],
    states: Sequence[State],
    x: Input,
    lengths: Tensor | None = None,
    smooth: bool = False,
) -> Outcome:
    """Run populations one after the other on x (T, B, F); lengths (B,).

    Raises UnsupportedError for anything but float32 on the CPU, a step without scalar form, or a
    population below the last one that does not speak in spikes.
    """
    weight = populations[0].w_in
    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        raise UnsupportedError(
            f"engine='fused' runs float32 on the CPU, not {weight.dtype} on {weight.device.type}; "
            "use engine='reference'"
        )
    names = [kernel_name(p.model, p.surrogate, smooth) for p in populations]
    _load(HEAD + LISTING)
    steps, batch, _ = x.shape
    if lengths is None:
        lengths = torch.full((batch,), steps, dtype=torch.int64)
    tensors = [t for p, s in zip(populations, states) for t in _tensors(p, s)]
    none = weight.new_empty(0)
    if isinstance(x, Events):
        given = (none.view(0, 0, 0), x.offsets, x.indices, x.values)
    else:
        given = (x, torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int32), none)
    found = run(",".join(names), steps, *given, lengths.to(torch.int64), tensors)
    count = len(populations)
    finals = found[1 : 1 + count]
    totals = found[1 + count : 1 + 2 * count]
    return Outcome(
        found[0],
        [p.model.state(*f.unbind(0)) for p, f in zip(populations, finals)],
        [t for p, t in zip(populations, totals) if p.model.spikes],
    )


def _tensors(p: Population, state: State) -> list[Tensor]:
    hidden = len(p.w_in)
    w_rec = p.w_rec if is_linked(p) else recurrence(p)
    if w_rec is None:
        w_rec = p.w_in.new_zeros((0, hidden))
    at, to = torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int32)
    if p.links is not None and is_linked(p):
        source, target = p.links.unbind(1)
        at = torch.zeros(hidden + 1, dtype=torch.int64)
        at[1:] = torch.bincount(source, minlength=hidden).cumsum(0)
        to = target.to(torch.int32)
    bias = p.w_in.new_zeros(hidden) if p.bias is None else p.bias
    return [p.w_in, bias, w_rec, torch.stack(tuple(p.params)), torch.stack(tuple(state)), at, to]


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
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
        _sources[key] = kernels.source(model, surrogate, smooth)
    return _sources[key]


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def kernel_name(model: NeuronModel, surrogate: Surrogate, smooth: bool = False) -> str:
    """The name of the neuron's kernels, which are loaded if they were not."""
    return str(_load(_source(model, surrogate, smooth)))


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _load(text: str) -> str:
    cache.load(text)
    return cache.name_of(text)


EVERY = 16
"""Steps between the states that are kept."""


@torch.library.custom_op("spikern::run", mutates_args=(), device_types="cpu")
def run(
    names: str,
    steps: int,
    x: Tensor,
    offsets: Tensor,
    indices: Tensor,
    values: Tensor,
    lengths: Tensor,
    tensors: list[Tensor],
) -> list[Tensor]:
    """Out; then of every population: final states, totals, bits, checks."""
    each = names.split(",")
    found = _outputs(allocate, steps, len(lengths), tensors)
    out, finals, totals, bits, checks = _parts(found)
    read = layout(each, x, (offsets, indices, values), tensors, bits)
    for k, (name, arrays) in enumerate(zip(each, read)):
        edges = edges_of(len(lengths), arrays.w_rec.size + arrays.w_in.size)
        blocks = len(edges) - 1
        sums = allocate(blocks, len(arrays.bias))
        into = [
            out.numpy() if k == len(each) - 1 else np.empty((0, 0, 0), np.float32),
            *(t[k].numpy() for t in (finals, bits, checks)),
            sums.numpy(),
        ]
        forward = kernel_entry(name, "forward")
        rest = (edges, steps, EVERY, array(lengths), *arrays, *into)
        in_threads(lambda block, f=forward, r=rest: f(block, *r), blocks)  # type: ignore[misc]
        torch.sum(sums, 0, out=totals[k])
    return found


def _outputs(
    make: Callable[..., Tensor], steps: int, batch: int, tensors: Sequence[Tensor]
) -> list[Tensor]:
    starts = tensors[4::FIELDS]
    checked = (steps + EVERY - 1) // EVERY
    sizes = [(s.shape[0], s.shape[2]) for s in starts]
    return [
        make(steps, batch, sizes[-1][1]),
        *(make(fields, batch, hidden) for fields, hidden in sizes),
        *(make(hidden) for _, hidden in sizes),
        *(make(steps * batch, (hidden + 63) // 64, dtype=torch.int64) for _, hidden in sizes),
        *(make(checked, fields, batch, hidden) for fields, hidden in sizes),
    ]


def _parts(found: Sequence[Any]) -> tuple[Any, Any, Any, Any, Any]:
    """The operator's list as out, finals, totals, bits, checks."""
    count = (len(found) - 1) // 4
    of_kind = (found[1 + count * n : 1 + count * (n + 1)] for n in range(4))
    return (found[0], *of_kind)


@run.register_fake
def _(
    names: str,
    steps: int,
    x: Tensor,
    offsets: Tensor,
    indices: Tensor,
    values: Tensor,
    lengths: Tensor,
    tensors: list[Tensor],
) -> list[Tensor]:
    return _outputs(tensors[0].new_empty, steps, len(lengths), tensors)


@torch.library.custom_op("spikern::run_backward", mutates_args=(), device_types="cpu")
def _run_backward(
    names: str,
    steps: int,
    d_out: Tensor,
    d_finals: list[Tensor],
    d_totals: list[Tensor],
    x: Tensor,
    offsets: Tensor,
    indices: Tensor,
    values: Tensor,
    lengths: Tensor,
    tensors: list[Tensor],
    z_all: Tensor,
    bits: list[Tensor],
    checks: list[Tensor],
    wants_x: bool,
) -> list[Tensor]:
    """The gradient of x; then of every population those of w_in, bias, w_rec, params, start."""
    each = names.split(",")
    batch, make = len(lengths), allocate
    read = layout(each, x, (offsets, indices, values), tensors, bits)
    given, above, w_above = array(d_out), np.empty((0, 0, 0), np.float32), np.empty((0, 0))
    w_above = w_above.astype(np.float32)
    gradients: list[Tensor] = []
    for k in range(len(each) - 1, -1, -1):
        a = read[k]
        hidden = len(a.bias)
        edges = edges_of(batch, a.w_rec.size + a.w_in.size)
        blocks = len(edges) - 1
        projected = a.current.size > 0
        passed = k > 0 or projected or wants_x
        d_current = make(steps, batch, hidden) if passed else make(0, 0, 0)
        sums = [
            make(blocks, *shape)
            for shape in (a.w_in.shape, a.w_rec.shape, a.links.shape, (hidden,), a.P.shape)
        ]
        d_start = make(*a.start.shape)
        rest = (
            edges, steps, EVERY, array(lengths), *a, given, array(d_finals[k]),
            array(d_totals[k]), above, w_above, array(bits[k]), array(z_all),
            array(checks[k]), d_current.numpy(), *(s.numpy() for s in sums), d_start.numpy(),
        )  # fmt: skip
        backward = kernel_entry(each[k], "backward")
        in_threads(lambda block, f=backward, r=rest: f(block, *r), blocks)  # type: ignore[misc]
        d_in, d_rec, d_links, d_bias, d_params = map(summed, sums)
        w_in, _, w_rec, _, _, at, to = tensors[FIELDS * k : FIELDS * (k + 1)]
        g_in = d_in.t().contiguous()
        if projected:
            g_in = d_current.reshape(-1, hidden).t() @ x.reshape(-1, x.shape[2])
        g_rec = torch.zeros_like(w_rec) if len(at) else d_rec.t().contiguous()
        if len(at):
            g_rec.view(-1)[place_of_links(at, to, hidden)] = d_links
        gradients = [g_in, d_bias, g_rec.view_as(w_rec), d_params, d_start, *gradients]
        given, above, w_above = np.empty((0, 0, 0), np.float32), d_current.numpy(), array(w_in.t())
    d_x = d_current @ tensors[0] if wants_x else x.new_empty(0)
    return [d_x, *gradients]


def summed(blocks: Tensor) -> Tensor:
    """The sum over blocks, in the place of the first."""
    total = blocks[0]
    for other in blocks[1:]:
        total += other
    return total


@_run_backward.register_fake
def _(
    names: str,
    steps: int,
    d_out: Tensor,
    d_finals: list[Tensor],
    d_totals: list[Tensor],
    x: Tensor,
    offsets: Tensor,
    indices: Tensor,
    values: Tensor,
    lengths: Tensor,
    tensors: list[Tensor],
    z_all: Tensor,
    bits: list[Tensor],
    checks: list[Tensor],
    wants_x: bool,
) -> list[Tensor]:
    d_x = torch.empty_like(x) if wants_x else x.new_empty(0)
    return [d_x, *(torch.empty_like(t) for n, t in enumerate(tensors) if n % FIELDS < 5)]


def _save(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    names, steps, *given, tensors = inputs
    out, finals, totals, bits, checks = _parts(output)
    ctx.names, ctx.steps, ctx.count = names, steps, len(finals)
    smooth = cache.module(names.split(",")[-1]).SMOOTH
    ctx.save_for_backward(*given, *tensors, *bits, *checks, *([out] if smooth else []))
    ctx.shapes = [t.shape for t in (out, *finals, *totals)]


def _differentiate(ctx: Any, gradients: list[Tensor | None]) -> tuple[Any, ...]:
    count = ctx.count
    given, rest = ctx.saved_tensors[:5], ctx.saved_tensors[5:]
    tensors, rest = list(rest[: FIELDS * count]), list(rest[FIELDS * count :])
    bits, checks, z_all = rest[:count], rest[count : 2 * count], rest[2 * count :]
    like = tensors[0]
    d_out, *others = (
        like.new_zeros(shape) if g is None else g for g, shape in zip(gradients, ctx.shapes)
    )
    wants_x = ctx.needs_input_grad[2]
    d_x, *found = _run_backward(
        ctx.names, ctx.steps, d_out, others[:count], others[count:], *given, tensors,
        z_all[0].flatten(0, 1) if z_all else like.new_empty((0, 0)), bits, checks, wants_x,
    )  # fmt: skip
    of_tensors: list[Tensor | None] = []
    for k in range(count):
        of_tensors += [*found[5 * k : 5 * (k + 1)], None, None]
    return None, None, d_x if wants_x else None, None, None, None, None, of_tensors


run.register_autograd(_differentiate, setup_context=_save)
