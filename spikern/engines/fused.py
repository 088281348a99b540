"""The fused engine: training whose work follows spikes, in kernels derived from the neuron.

Same meaning as the reference engine, float32 on the CPU. Forward, a unit that fired adds its row
of weights; backward, a neuron farther from threshold than the surrogate reaches costs no
recurrent product, and a weight's gradient is touched only when its source fired. A whole stack is
one operator: inside it spikes are one bit a neuron and step and are never made dense. Kept for
the backward pass are these bits and the state every EVERY steps; what lies between is run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from spikern.engines import cache, kernel, operator
from spikern.engines.rows import HEAD, LISTING
from spikern.engines.stack import Input, Outcome, Population, is_linked, recurrence
from spikern.events import Events
from spikern.surrogate import SURROGATES, Surrogate
from spikern.types import NeuronModel, State, UnsupportedError

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
    found = operator.run(",".join(names), steps, *given, lengths.to(torch.int64), tensors)
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
        _sources[key] = kernel.source(model, surrogate, smooth)
    return _sources[key]


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def kernel_name(model: NeuronModel, surrogate: Surrogate, smooth: bool = False) -> str:
    """The name of the neuron's kernels, which are loaded if they were not."""
    return str(_load(_source(model, surrogate, smooth)))


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _load(text: str) -> str:
    cache.load(text)
    return cache.name_of(text)
