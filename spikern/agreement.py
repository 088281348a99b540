"""Whether the engines agree on a layer: what must be equal, what may differ, and where.

Weights that are multiples of 1/256 make the sums of a layer exact in any order. Then the engines
differ only in how they round the operations of the neuron's own step. If each of those has one
right result, everything must be equal, bit for bit. If the step has an exponential, a root or the
like, which torch and a kernel may round differently in the last place, spikes may part, but a
sample's first differing spike only where |u| < NEAR, and states only by ROUNDING until then.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from spikern.engines import trace
from spikern.layers import SpikingRNN
from spikern.types import State

NEAR = 1e-4
"""How near to threshold a neuron must be for engines to disagree on its spike."""
ROUNDING = 1e-4
"""What last places (6e-8 each) may add up to, relative to the largest value, before spikes part."""

SUMS = 1e-4
"""How far float32 sums of some hundred terms, taken in another order, may lie apart, relatively."""


def dyadic(layer: SpikingRNN) -> SpikingRNN:
    """The layer with its weights and biases rounded to multiples of 1/256, in place.

    >>> _ = torch.manual_seed(0)
    >>> weight = 256 * dyadic(SpikingRNN("LIF", 3, 8)).weight_ih_l0
    >>> torch.equal(weight, weight.round())
    True
    """
    with torch.no_grad():
        for name, value in layer.named_parameters():
            if name.startswith(("weight", "bias")):
                value.copy_((value * 256).round() / 256)
    return layer


def with_engine(layer: SpikingRNN, engine: str) -> SpikingRNN:
    """The same layer on another engine."""
    twin = copy.deepcopy(layer)
    twin.engine_asked = engine
    return twin


def difference(
    layer: SpikingRNN,
    x: Tensor,
    outputs: Sequence[Tensor],
    after: State,
    lengths: Tensor | None = None,
    state: State = None,
) -> str:
    """How an engine's outputs, one (T, B, H) a layer, and final state are wrong; empty if not.

    What is right is what the reference engine makes of the layer, x, lengths and state.
    """
    expected, distances, final = watch(layer, x, lengths, state)
    found = torch.stack([o.detach() for o in outputs])
    if trace.rounds_alike(layer.neuron):
        return _unequal("output", found, expected) or _unequal_state(after, final)
    if not layer.neuron.spikes:
        return _far("output", found, expected) or _far_state(after, final)
    parted = found != expected
    for b in range(x.shape[1]):
        steps = parted[:, :, b].any(0).any(1).nonzero()
        if len(steps):
            t = int(steps[0])
            k = int(parted[:, t, b].any(1).nonzero()[0])
            u = float(distances[k, t, b][parted[k, t, b]].abs().max())
            if u >= NEAR:
                return f"sample {b} parts at step {t}, where u = {u:.2g}"
    return "" if parted.any() else _far_state(after, final)


def gradient_difference(
    layer: SpikingRNN,
    twin: SpikingRNN,
    x: Tensor,
    lengths: Tensor | None = None,
    state: State = None,
) -> str:
    """Which parameter's gradient differs between two engines of one layer; empty if none does.

    Every value of outputs and final state has its own weight in the loss. Where spikes have
    legally parted, these are two networks, and their gradients have no reason to agree.
    """
    results = []
    for each in (layer, twin):
        outputs, after = each.unroll(x, state, lengths)
        values = (outputs[-1], *after)
        generator = torch.Generator().manual_seed(2)
        weights = [torch.randn(v.shape, generator=generator) for v in values]
        loss = sum(((v * w).sum() for v, w in zip(values, weights)), torch.zeros(()))
        named = dict(each.named_parameters())
        gradients = torch.autograd.grad(loss, list(named.values()))
        results.append((torch.stack(outputs), dict(zip(named, gradients))))
    (ours, right), (theirs, found) = results
    if not torch.equal(ours, theirs):
        return ""
    for name, value in right.items():
        far = float((value - found[name]).abs().max())
        if far > SUMS * float(value.abs().max().clamp(min=1e-6)):
            return f"the gradient of {name} differs by {far:.2g}"
    return ""


def watch(
    layer: SpikingRNN, x: Tensor, lengths: Tensor | None = None, state: State = None
) -> tuple[Tensor, Tensor, State]:
    """The reference engine's outputs and distances to threshold, (L, T, B, H), and its state."""
    asked: list[Tensor] = []
    twin = with_engine(layer, "reference")
    own = layer.neuron

    def step(p: Any, s: Any, i: Tensor, fire: Any) -> tuple[Any, Tensor]:
        def seen(u: Tensor) -> Tensor:
            asked.append(u)
            return fire(u)  # type: ignore[no-any-return]

        return own.step(p, s, i, seen)

    twin.neuron = replace(own, step=step)
    with torch.no_grad():
        outputs, after = twin.unroll(x, state, lengths)
    expected = torch.stack(outputs)
    if layer.feedback:
        asked = [u for one in zip(*(a.chunk(layer.num_layers, -1) for a in asked)) for u in one]
    distances = torch.stack(asked).reshape(expected.shape) if asked else torch.empty(0)
    return expected, distances, after


def _unequal(what: str, found: Tensor, expected: Tensor) -> str:
    if torch.equal(found, expected):
        return ""
    count = int((found != expected).sum())
    return f"{count} of {expected.numel()} values of {what} differ"


def _far(what: str, found: Tensor, expected: Tensor) -> str:
    scale = float(expected.abs().max().clamp(min=1.0))
    far = float((found - expected).abs().max())
    return "" if far <= ROUNDING * scale else f"{what} differs by {far:.2g}"


def _unequal_state(found: State, expected: State) -> str:
    pairs = zip(expected._fields, found, expected)
    return next((s for n, a, b in pairs if (s := _unequal(n, a.detach(), b))), "")


def _far_state(found: State, expected: State) -> str:
    pairs = zip(expected._fields, found, expected)
    return next((s for n, a, b in pairs if (s := _far(n, a.detach(), b))), "")
