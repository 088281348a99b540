"""The fused engine: training whose work follows spikes, in kernels derived from the neuron.

Same meaning as the reference engine, float32 on the CPU. Forward, a neuron that fired adds its row
of weights; backward, a neuron farther from threshold than the surrogate reaches costs no
recurrent product, and the gradient of a weight changes only where its presynaptic neuron fired.

A whole stack is one operator of torch, `spikern::run`, that can be differentiated once, in reverse
mode. Inside it spikes are one bit per neuron and step and are never made dense. These bits and the
state every EVERY steps are kept for the backward pass, which runs the steps between them again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils.flop_counter import register_flop_formula

from spikern._utils.errors import UnsupportedError
from spikern.engines.arrays import (
    EVERY,
    FEW,
    PopulationGradients,
    PopulationTensors,
    allocate,
    allocate_outputs,
    array,
    as_list,
    as_outputs,
    by_population,
    edges_of,
    from_rows,
    kernel_arrays,
    kernel_entry,
    last_outputs,
    list_events,
    most_listed,
    places_of_synapses,
    sum_of_blocks,
)
from spikern.engines.codegen import (
    decaying_kernels,
    delayed_kernels,
    expert_kernels,
    kernels,
    spread_kernels,
)
from spikern.engines.derivation import kernel_name
from spikern.engines.population import (
    Delays,
    Population,
    RunResult,
    Spread,
    is_sparse,
    recurrent_weights,
)
from spikern.engines.threads import in_threads
from spikern.events.trains import Events, Input
from spikern.neurons.model import State


def run_stack(
    populations: Sequence[Population],
    states: Sequence[State],
    x: Input,
    lengths: Tensor | None = None,
    smooth: bool = False,
    gain: Tensor | None = None,
) -> RunResult:
    """Run populations one after the other on x (T, B, F); lengths (B,).

    gain (T, B, E) scales the current of groups of the first population, which sleep where it is 0,
    as its router says.

    Raises UnsupportedError for anything but float32 on the CPU, for a step without scalar form,
    for a population below the last one that does not spike, in forward-mode differentiation and in
    torch.export.
    """
    weight = populations[0].w_in
    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        raise UnsupportedError(
            f"engine='fused' runs float32 on the CPU, not {weight.dtype} on {weight.device.type}; "
            "use engine='reference'"
        )
    if not all(p.model.spikes for p in populations[:-1]):
        raise UnsupportedError(
            "engine='fused' runs a population that does not spike as the last of a stack; use "
            "spikern.engines.dispatch.run_stack, which cuts the stack there"
        )
    exporting = getattr(torch.compiler, "is_exporting", bool)()  # since torch 2.7
    if exporting or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        raise UnsupportedError(
            "engine='fused' cannot be exported or traced, since its kernels are files of this "
            "machine; use engine='reference'"
        )
    compiling = torch.compiler.is_compiling()
    if not compiling and forward_ad._current_level >= 0:
        raise UnsupportedError(
            "engine='fused' is differentiated in reverse mode only; use engine='reference' for "
            "forward-mode derivatives (jvp, jacfwd, dual tensors)"
        )
    names = [kernel_name(p.model, p.surrogate, smooth, _kernels_of(p)) for p in populations]
    gains = [gain, *[None] * (len(populations) - 1)]
    steps, batch, _ = x.shape
    if lengths is None:
        lengths = torch.full((batch,), steps, dtype=torch.int64, device="cpu")
    tensors = [
        t
        for p, state, own in zip(populations, states, gains)
        for t in population_tensors(p, state, own)
    ]
    none = allocate(0)
    transformed = not compiling and torch._C._are_functorch_transforms_active()
    values, events = x, (none.long(), none.int(), none)
    if isinstance(x, Events):
        values, events = none.view(0, 0, 0), (x.offsets, x.indices, x.values)
    elif not (compiling or transformed or x.requires_grad) and (
        listed := list_events(x, most_listed(gain))
    ):
        values, events = none.view(0, 0, 0), listed  # once for both directions
    arguments = ",".join(names), steps, values, *events, lengths.to(torch.int64)
    if transformed:
        outputs = as_outputs(_Transformed.apply(*arguments, *tensors))  # type: ignore[no-untyped-call]
    else:
        outputs = as_outputs(run(*arguments, tensors))
    return RunResult(
        outputs.out,
        [p.model.state(*final.unbind(0)) for p, final in zip(populations, outputs.finals)],
        [total for p, total in zip(populations, outputs.totals) if p.model.spikes],
        [buffer for p, buffer in zip(populations, outputs.buffers) if p.delays is not None],
    )


def _kernels_of(p: Population) -> Any:
    """The module that writes the kernels of a population."""
    if isinstance(p.delays, Spread):
        return spread_kernels
    if isinstance(p.delays, Delays):
        return delayed_kernels
    if p.router is None:
        return kernels
    return decaying_kernels if p.router.decaying else expert_kernels


def population_tensors(
    p: Population, state: State, gain: Tensor | None = None
) -> PopulationTensors:
    """The tensors that the operator takes of a population."""
    hidden = len(p.w_in)
    w_rec = p.w_rec if is_sparse(p) else recurrent_weights(p)
    begin, target = allocate(0, dtype=torch.int64), allocate(0, dtype=torch.int32)
    if p.synapses is not None and is_sparse(p):
        presynaptic, postsynaptic = p.synapses.unbind(1)
        begin = torch.zeros(hidden + 1, dtype=torch.int64, device="cpu")
        begin[1:] = torch.bincount(presynaptic, minlength=hidden).cumsum(0)
        target = postsynaptic.to(torch.int32)
    return PopulationTensors(
        w_in=p.w_in,
        bias=p.w_in.new_zeros(hidden) if p.bias is None else p.bias,
        w_rec=p.w_in.new_zeros((0, hidden)) if w_rec is None else w_rec,
        params=torch.stack(tuple(p.params)),
        start=torch.stack(tuple(state)),
        begin=begin,
        target=target,
        gain=p.w_in.new_empty((0, 0, 1)) if gain is None else gain,
        delays=p.delays.steps if isinstance(p.delays, Delays) else begin.new_empty(0),
        shares=p.delays.shares if isinstance(p.delays, Spread) else p.w_in.new_empty(0, 0),
        before=p.w_in.new_empty(0, 0, 0) if p.delays is None else p.delays.before,
    )


# The operator


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
    """The `Outputs` of a stack as a list; tensors are the `PopulationTensors` of all populations.

    The input is x (T, B, F), or the events that offsets, indices and values list.
    """
    modules = names.split(",")
    populations = by_population(tensors)
    outputs = allocate_outputs(allocate, steps, len(lengths), tensors)
    arrays = kernel_arrays(modules, x, (offsets, indices, values), populations, outputs.bits)
    for k, (name, a) in enumerate(zip(modules, arrays)):
        edges = edges_of(a, len(lengths))
        blocks = len(edges) - 1
        totals = allocate(blocks, len(a.bias))
        last = k == len(modules) - 1
        forward = kernel_entry(name, "forward")
        arguments = (
            edges, steps, EVERY, array(lengths), *a,
            outputs.out.numpy() if last else np.empty((0, 0, 0), np.float32),
            outputs.finals[k].numpy(), outputs.bits[k].numpy(), outputs.checkpoints[k].numpy(),
            totals.numpy(),
        )  # fmt: skip
        in_threads(lambda block, f=forward, a=arguments: f(block, *a), blocks)  # type: ignore[misc]
        torch.sum(totals, 0, out=outputs.totals[k])
        if len(a.before):
            outputs.buffers[k].numpy()[:] = _last_spikes(a.before, outputs.bits[k].numpy(), lengths)
    return as_list(outputs)


def _last_spikes(before: Any, bits: Any, lengths: Tensor) -> Any:
    """The last D outputs (D, B, H) of before (D, B, H) and the spikes since (T B, words)."""
    longest, batch, hidden = before.shape
    early, at, samples = last_outputs(longest, lengths)
    words = bits.reshape(-1, batch, bits.shape[1])[np.where(early, 0, at), samples]
    spikes = np.unpackbits(words.view(np.uint8), axis=-1, count=hidden, bitorder="little")
    outputs = spikes.astype(np.float32)
    outputs[early] = before[at[early], samples[early]]
    return outputs


@run.register_fake
def _(names: str, steps: int, *inputs: Any) -> list[Tensor]:
    *_, lengths, tensors = inputs
    return as_list(allocate_outputs(tensors[0].new_empty, steps, len(lengths), tensors))


# Its gradient


@torch.library.custom_op("spikern::run_backward", mutates_args=(), device_types="cpu")
def _run_backward(
    names: str,
    steps: int,
    wants_x: bool,
    wants_before: bool,
    gradients_and_saved: list[Tensor],
) -> list[Tensor]:
    """The gradient of x, then the `PopulationGradients` of every population.

    The list has the gradients of out, finals, totals and buffers, then what `_save` kept. The
    gradients of x and of `before` are empty unless they are wanted. Autocast is off.
    """
    with torch.autocast("cpu", enabled=False):
        return _gradients(names, steps, wants_x, wants_before, gradients_and_saved)


def _gradients(
    names: str,
    steps: int,
    wants_x: bool,
    wants_before: bool,
    gradients_and_saved: list[Tensor],
) -> list[Tensor]:
    modules = names.split(",")
    (d_out,), d_finals, d_totals, d_buffers, inputs, tensors, bits, checkpoints, _ = _split(
        gradients_and_saved, _lengths_of_lists(len(modules))
    )
    x, *events, lengths = inputs
    batch = len(lengths)
    populations = by_population(tensors)
    arrays = kernel_arrays(modules, x, tuple(events), populations, bits)
    nothing = np.empty((0, 0, 0), np.float32)
    none = np.empty((0, 0), np.float32)
    d_last, d_above, w_above, w_up = array(d_out), nothing, none, none
    gradients: list[Tensor] = []
    for k in range(len(modules) - 1, -1, -1):
        a, p = arrays[k], populations[k]
        hidden, experts = len(a.bias), p.gain.shape[2]
        edges = edges_of(a, batch)
        blocks = len(edges) - 1
        projected = a.current.size > 0
        passed = k > 0 or projected or wants_x
        width = a.w_in.shape[1] * experts
        d_current = allocate(steps, batch, width) if passed else allocate(0, 0, 0)
        d_start, d_gain = (allocate(*x.shape) for x in (a.start, p.gain))
        d_before = allocate(*a.before.shape) if wants_before else allocate(0, 0, 0)
        if len(a.before):
            d_last = _with_last(d_last, array(d_buffers[k]), steps, lengths)
        weights = a.w_in.shape, a.w_rec.shape, a.synapses.shape
        shapes = (*weights, (hidden,), a.P.shape, a.shares.shape)
        sums = [allocate(blocks, *shape) for shape in shapes]
        arguments = (
            edges, steps, EVERY, array(lengths), *a, d_last, array(d_finals[k]),
            array(d_totals[k]), d_above, w_above, w_up, array(bits[k]), array(checkpoints[k]),
            d_current.numpy(), *(s.numpy() for s in sums), d_start.numpy(),
            d_gain.flatten(0, 1).numpy(), d_before.numpy(),
        )  # fmt: skip
        backward = kernel_entry(modules[k], "backward")
        in_threads(lambda block, f=backward, a=arguments: f(block, *a), blocks)  # type: ignore[misc]
        if len(d_before):
            last = last_outputs(len(d_before), lengths)
            kept = last.at[last.early], last.samples[last.early]
            d_before.numpy()[kept] += array(d_buffers[k])[last.early]
        d_in, d_rec, d_synapses, d_bias, d_params, d_shares = map(sum_of_blocks, sums)
        d_in = from_rows(d_in, hidden, experts)
        if projected:
            d_in = d_current[..., :hidden].flatten(0, 1).t() @ x.flatten(0, 1)
        if len(p.begin):
            d_rec = p.w_rec.new_zeros(p.w_rec.shape)
            d_rec.view(-1)[places_of_synapses(p.begin, p.target, hidden)] = d_synapses
        else:
            d_rec = from_rows(d_rec, hidden, experts).view_as(p.w_rec)
        own = d_in, d_bias, d_rec, d_params, d_shares, d_start, d_gain, d_before
        gradients = [*PopulationGradients(*own), *gradients]
        d_last, d_above = nothing, d_current.numpy()
        w_above, w_up = (none, array(p.w_in)) if hidden <= FEW else (a.w_in, none)
    d_x = d_current[..., :hidden] @ populations[0].w_in if wants_x else x.new_empty(0)
    return [d_x, *gradients]


def _with_last(d_out: Any, d_buffer: Any, steps: int, lengths: Tensor) -> Any:
    """The gradient of outputs (T, B, H), nothing if zero, with that of the last D of them."""
    if not d_buffer.any():
        return d_out
    longest, *shape = d_buffer.shape
    d_out = d_out.copy() if len(d_out) else np.zeros((steps, *shape), np.float32)
    last = last_outputs(longest, lengths)
    since = ~last.early
    d_out[last.at[since], last.samples[since]] += d_buffer[since]
    return d_out


@_run_backward.register_fake
def _(
    names: str,
    steps: int,
    wants_x: bool,
    wants_before: bool,
    gradients_and_saved: list[Tensor],
) -> list[Tensor]:
    count = names.count(",") + 1
    inputs, tensors = _split(gradients_and_saved, _lengths_of_lists(count))[4:6]
    d_x = torch.empty_like(inputs[0]) if wants_x else inputs[0].new_empty(0)
    gradients = []
    for p in by_population(tensors):
        p = p if wants_before else p._replace(before=p.before.new_empty(0, 0, 0))
        gradients += [torch.empty_like(getattr(p, name)) for name in PopulationGradients._fields]
    return [d_x, *gradients]


def _lengths_of_lists(count: int) -> tuple[int, ...]:
    """Of the list that `_run_backward` takes: d_out, d_finals, d_totals, d_buffers, x to lengths,
    tensors, bits, checkpoints."""
    return (1, count, count, count, 5, count * len(PopulationTensors._fields), count, count)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Sequence[Tensor]) -> None:
    ctx.names, ctx.steps, *arguments, tensors = inputs
    outputs = as_outputs(output)
    differentiable = outputs.out, *outputs.finals, *outputs.totals, *outputs.buffers
    ctx.shapes = [t.shape for t in differentiable]
    ctx.save_for_backward(*arguments, *tensors, *outputs.bits, *outputs.checkpoints)


def _differentiate(ctx: Any, gradients: Sequence[Tensor | None]) -> tuple[Any, ...]:
    saved = ctx.saved_tensors
    x, wants_x = saved[0], ctx.needs_input_grad[2]
    wanted = ctx.needs_input_grad[7:]
    wants = by_population(wanted[0] if isinstance(wanted[0], list) else wanted)
    wants_before = any(p.before for p in wants)
    d_outputs = [x.new_zeros(shape) if g is None else g for g, shape in zip(gradients, ctx.shapes)]
    d_x, *d_tensors = _Backward.apply(  # type: ignore[no-untyped-call]
        ctx.names, ctx.steps, wants_x, wants_before, *d_outputs, *saved
    )
    per_population = len(PopulationGradients._fields)
    of_tensors: list[Tensor | None] = []
    for k in range(0, len(d_tensors), per_population):
        d_population = PopulationGradients(*d_tensors[k : k + per_population])
        named = d_population._asdict() | ({} if wants_before else {"before": None})
        of_tensors += [named.get(name) for name in PopulationTensors._fields]
    return None, None, d_x if wants_x else None, None, None, None, None, of_tensors


def _split(values: Sequence[Any], sizes: Sequence[int]) -> list[list[Any]]:
    """Lists of these sizes, in order, and of what is left."""
    edges = [0, *np.cumsum(sizes).tolist(), len(values)]
    return [list(values[a:b]) for a, b in pairwise(edges)]


run.register_autograd(_differentiate, setup_context=_save)


# The transforms of torch.func, which pass by the gradient that is registered for an operator


class _Transformed(torch.autograd.Function):
    """`run` with its gradient, on a flat list of tensors."""

    generate_vmap_rule = True

    @staticmethod
    def forward(*arguments: Any) -> tuple[Tensor, ...]:
        return tuple(run(*arguments[:7], list(arguments[7:])))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        _save(ctx, (*inputs[:7], inputs[7:]), output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        *of_arguments, of_tensors = _differentiate(ctx, gradients)
        return *of_arguments, *of_tensors


class _Backward(torch.autograd.Function):
    """`run_backward` on a flat list of tensors; it has no gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        names: str, steps: int, wants_x: bool, wants_before: bool, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        return tuple(_run_backward(names, steps, wants_x, wants_before, list(tensors)))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        raise UnsupportedError(
            "engine='fused' has first derivatives only; use engine='reference' for second ones"
        )


def _one_by_one(operator: Callable[..., list[Tensor]]) -> Callable[..., Any]:
    """The rule for vmap of an operator: it is called for every element of the batch."""

    def element(argument: Any, dim: Any, k: int) -> Any:
        if isinstance(argument, list):
            return [element(a, d, k) for a, d in zip(argument, dim)]
        return argument if dim is None else argument.select(dim, k)

    def rule(info: Any, dims: tuple[Any, ...], *arguments: Any) -> tuple[list[Tensor], list[int]]:
        results = [
            operator(*(element(a, dim, k) for a, dim in zip(arguments, dims)))
            for k in range(info.batch_size)
        ]
        stacked = [torch.stack(values) for values in zip(*results)]
        return stacked, [0] * len(stacked)

    return rule


run.register_vmap(_one_by_one(run))
_run_backward.register_vmap(_one_by_one(_run_backward))


# What torch's FlopCounterMode counts: what matrix products would do, two for each weight and step


def _dense_flops(steps: int, lengths: Any, shapes: Sequence[Any], inputs: int, rest: int) -> int:
    """2 T B weights; of the first input weights `inputs` times that, of all others `rest` times."""
    weights = [math.prod(n) for p in by_population(shapes) for n in (p.w_in, p.w_rec)]
    samples: int = lengths[0]
    return 2 * steps * samples * (inputs * weights[0] + rest * sum(weights[1:]))


@register_flop_formula(torch.ops.spikern.run)
def _(names: str, steps: int, *inputs: Any, **rest: Any) -> int:
    *_, lengths, shapes = inputs
    return _dense_flops(steps, lengths, shapes, 1, 1)


@register_flop_formula(torch.ops.spikern.run_backward)
def _(
    names: str,
    steps: int,
    wants_x: bool,
    wants_before: bool,
    shapes: Sequence[Any],
    **rest: Any,
) -> int:
    inputs, tensors = _split(shapes, _lengths_of_lists(names.count(",") + 1))[4:6]
    return _dense_flops(steps, inputs[-1], tensors, 1 + wants_x, 2)
