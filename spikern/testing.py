"""The contract suite: laws that every neuron must keep, and the agreement of the engines.

Weights that are multiples of 1/256 make the sums of a layer exact in any order. Then the engines
differ only in how they round the operations of the neuron's own step. If each of those has one
right result, everything must be equal, bit for bit. If the step has an exponential, a root or the
like, which torch and a kernel may round differently in the last place, spikes may part, but a
sample's first differing spike only where |u| < NEAR, and states only by ROUNDING until then.

`check_neuron(model)` raises ContractError naming the first law that is broken and the smallest
case that shows it. The same suite runs in the tests for every neuron of the table.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from spikern._utils.errors import InputError, SpikernError
from spikern.engines import fused, reference
from spikern.engines.codegen import trace
from spikern.engines.codegen.operations import update_ops
from spikern.layers.rnn import SpikingRNN
from spikern.layers.streaming import compile_stream
from spikern.neurons.model import NeuronModel, Params, State, check_step, zero_state
from spikern.neurons.surrogate import triangular

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


T, B, F, H = 12, 3, 4, 5
CURRENTS = (1.0, 10.0, 100.0, 1000.0)
"""Drives under which a neuron must stay finite, in thresholds, the smallest first."""
DRIVES = (("constant", 1.0, 1.0), ("negative", -1.0, -1.0), ("alternating", 1.0, -1.0))
"""Their names, and their signs at even and at odd steps."""
LONG = 256
"""Steps of such a drive."""


class ContractError(SpikernError, AssertionError):
    """A neuron breaks a law of the contract."""


def check_neuron(model: NeuronModel) -> None:
    """Check a neuron against every law below; the first time, its kernels are compiled (seconds).

    >>> from spikern.neurons import ALIF
    >>> check_neuron(ALIF)
    """
    for law in LAWS:
        law(model)


def _layer(model: NeuronModel, dtype: torch.dtype = torch.float64) -> SpikingRNN:
    torch.manual_seed(0)
    return SpikingRNN(
        model, F, H, recurrent=model.spikes, engine="reference", input_power=0.05, dtype=dtype
    )


def _params(model: NeuronModel, dtype: torch.dtype = torch.float64) -> Params:
    """Fresh constants of H neurons."""
    generator = torch.Generator().manual_seed(0)
    drawn = {
        field: constant.field(constant.draw(H, generator), 1.0).to(dtype)
        for field, constant in model.constants.items()
    }
    return model.params(**drawn)


def _input(dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(T, B, F, generator=generator, dtype=dtype)


def _require(held: bool, model: NeuronModel, law: str, case: str) -> None:
    if not held:
        raise ContractError(f"{model.name} breaks the law '{law}': {case}")


def _same(a: Tensor, b: Tensor) -> bool:
    """Equal up to the rounding of float64 sums taken in another order."""
    return torch.allclose(a, b, rtol=0.0, atol=1e-9)


def keeps_form(model: NeuronModel) -> None:
    """A step gives state and output in the shape and dtype of the current, and changes neither."""
    try:
        check_step(model, _params(model))
    except InputError as error:
        case = f"{model.name} breaks the law 'shape and dtype are kept, nothing is changed'"
        raise ContractError(f"{case}: {error}") from error


def asks_fire_once(model: NeuronModel) -> None:
    """One threshold a neuron: `step` calls `fire` exactly once."""
    if not model.spikes:
        return
    seen: list[Tensor] = []

    def fire(u: Tensor) -> Tensor:
        seen.append(u)
        return (u > 0).to(u.dtype)

    current = torch.ones(B, H, dtype=torch.float64)
    model.step(_params(model), zero_state(model, (B, H), current), current, fire)
    _require(len(seen) == 1, model, "step asks fire exactly once", f"it asked {len(seen)} times")


def stays_finite(model: NeuronModel) -> None:
    """A current of up to 1000, of either sign or of both in turn, brings no NaN and no infinity.

    In float32, each neuron alone, over 256 steps; what breaks it is shown with the smallest
    current and the first step.
    """
    params = _params(model, torch.float32)
    for size in CURRENTS:
        for name, even, odd in DRIVES:
            state = zero_state(model, (1, H), params[0])
            for t in range(LONG):
                current = torch.full((1, H), size * (odd if t % 2 else even))
                state, out = model.step(params, state, current, lambda u: (u > 0).to(u.dtype))
                for field, value in [*zip(model.state._fields, state), ("output", out)]:
                    case = f"{field} is not at step {t} under a {name} current of {size:g}"
                    _require(bool(torch.isfinite(value).all()), model, "stays finite", case)


def emits_binary_spikes(model: NeuronModel) -> None:
    """A spiking neuron's output is 0 or 1 and is the z of its state."""
    if not model.spikes:
        return
    out, state = _layer(model)(20.0 * _input())
    binary = bool(((out == 0) | (out == 1)).all())
    _require(binary, model, "spikes are 0 or 1", f"values {out.unique().tolist()[:4]}")
    fields = ", ".join(model.state._fields)
    case = f"z differs from it; return what fire gave as both, the state as ({fields})"
    _require(torch.equal(state.z[0], out[-1]), model, "z is the last output", case)


def is_causal(model: NeuronModel) -> None:
    """The future never changes the past."""
    layer, x = _layer(model), _input()
    changed = x.clone()
    changed[T // 2 :] += 10.0
    before, after = layer(x)[0], layer(changed)[0]
    same = torch.equal(before[: T // 2], after[: T // 2])
    _require(same, model, "the future never changes the past", f"input changed from step {T // 2}")


def chunked_is_whole(model: NeuronModel) -> None:
    """Two chunks with the state carried over equal the whole run."""
    layer, x = _layer(model), _input()
    whole, final = layer(x)
    first, state = layer(x[:5])
    second, last = layer(x[5:], state)
    _require(
        _same(torch.cat([first, second]), whole), model, "chunked is whole", "outputs, cut at 5"
    )
    for name, a, b in zip(model.state._fields, last, final):
        _require(_same(a, b), model, "chunked is whole", f"final {name}, cut at step 5")


def samples_are_independent(model: NeuronModel) -> None:
    """A sample alone gives what it gives in a batch."""
    layer, x = _layer(model), _input()
    batch = layer(x)[0]
    for b in range(B):
        same = _same(layer(x[:, b : b + 1])[0], batch[:, b : b + 1])
        _require(same, model, "a sample alone is as in the batch", f"sample {b} of {B}")


def padding_changes_nothing(model: NeuronModel) -> None:
    """Padded samples with lengths equal unpadded ones; past the length the output is zero."""
    law = "padding changes nothing"
    layer, x = _layer(model), _input()
    lengths = torch.tensor([T, 5, 1])
    padded, final = layer(x, lengths=lengths)
    for b, n in enumerate(lengths.tolist()):
        alone, state = layer(x[:n, b : b + 1])
        _require(_same(alone, padded[:n, b : b + 1]), model, law, f"output at length {n}")
        _require(not padded[n:, b].any(), model, law, f"output past length {n}")
        for name, a, c in zip(model.state._fields, state, final):
            _require(_same(a[:, 0], c[:, b]), model, law, f"{name} at length {n}")


def neurons_are_exchangeable(model: NeuronModel) -> None:
    """Permuting the neurons permutes the output."""
    layer, x = _layer(model), _input()
    order = torch.tensor([3, 0, 4, 1, 2])
    other = _layer(model)
    with torch.no_grad():
        for name, value in layer.state_dict().items():
            mixed = value[order]
            other.state_dict()[name].copy_(mixed[:, order] if "weight_hh" in name else mixed)
    same = _same(other(x)[0], layer(x)[0][..., order])
    _require(same, model, "permuted neurons permute the output", f"order {order.tolist()}")


def gradients_match_differences(model: NeuronModel) -> None:
    """With the surrogate's smooth primitive as `fire`, autograd equals finite differences."""
    layer = _layer(model)
    smooth = triangular(width=8.0).primitive
    current = _input()[:4, :2].repeat(1, 1, 2)[..., :H].contiguous().requires_grad_()
    params = tuple(p.detach().clone().requires_grad_() for p in layer.params(0))
    w_rec = (
        layer.get_parameter("weight_hh_l0").detach().clone().requires_grad_()
        if model.spikes
        else None
    )
    state = zero_state(model, (2, H), layer.weight_ih_l0)

    def run(current: Tensor, *rest: Any) -> tuple[Tensor, ...]:
        constants = model.params(*rest[: len(params)])
        w = rest[len(params)] if model.spikes else None
        out, final = reference.run(model, constants, state, current, w, smooth)
        return (out, *final)

    inputs = (current, *params, *(() if w_rec is None else (w_rec,)))
    held = torch.autograd.gradcheck(run, inputs, eps=1e-6, atol=1e-5, raise_exception=False)
    _require(held, model, "gradients match finite differences", "4 steps, smooth fire, float64")


def trains(model: NeuronModel) -> None:
    """A gradient reaches the weights and every trainable constant, and it is finite."""
    layer, x = _layer(model), _input()
    out, _ = layer(4.0 * x)
    out.square().sum().backward()
    for name, parameter in layer.named_parameters():
        gradient = parameter.grad
        reached = gradient is not None and bool(torch.isfinite(gradient).all())
        if gradient is not None and name.startswith("weight_ih"):
            reached = reached and bool(gradient.any())
        _require(reached, model, "gradients reach all parameters", f"{name} has {gradient}")


def can_be_counted(model: NeuronModel) -> None:
    """The operations of one update can be read off the step's graph."""
    counted = update_ops(model)
    _require(sum(counted.values()) > 0, model, "an update costs something", "no operation found")


def _case(model: NeuronModel) -> tuple[SpikingRNN, Tensor, Tensor]:
    """A layer whose sums are exact in any order, events to feed it, and lengths."""
    layer = dyadic(_layer(model, torch.float32))
    if layer.bias:
        with torch.no_grad():
            layer.get_parameter("bias_l0").add_(0.5)
    generator = torch.Generator().manual_seed(1)
    x = (torch.rand(2 * T, B, F, generator=generator) < 0.3).float()
    return layer, x, torch.tensor([2 * T, 17, 1])


def fused_agrees(model: NeuronModel) -> None:
    """The fused engine's spikes, states and gradients are those of the reference engine.

    As `spikern.testing` has it, from a state in the middle of a run. A neuron for which no
    kernel can be derived is passed over: engine="auto" runs it on the reference engine.
    """
    law = "the fused engine agrees with the reference"
    layer, x, lengths = _case(model)
    if not fused.supports(model, layer.surrogate):
        return
    _, middle = layer(x[:5])
    state = model.state(*(field.detach() for field in middle))
    twin = with_engine(layer, "fused")
    outputs, after = twin.unroll(x, state, lengths)
    case = difference(layer, x, outputs, after, lengths, state)
    _require(not case, model, law, case)
    case = gradient_difference(layer, twin, x, lengths, state)
    _require(not case, model, law, case)


def stream_agrees(model: NeuronModel) -> None:
    """The stream engine's spikes and states are those of the reference engine.

    As `spikern.testing` has it. A neuron for which no kernel can be derived is passed over: it
    cannot be streamed.
    """
    layer, x, lengths = _case(model)
    if not fused.supports(model, layer.surrogate):
        return
    stream = compile_stream(layer)
    result = stream.run(x.numpy(), lengths=lengths.numpy())
    fields = stream.fields(result.state)[0]
    after = model.state(**{name: torch.from_numpy(v)[None] for name, v in fields.items()})
    case = difference(layer, x, [torch.from_numpy(result.out)], after, lengths)
    _require(not case, model, "the stream engine agrees with the reference", case)


LAWS: tuple[Callable[[NeuronModel], None], ...] = (
    keeps_form,
    asks_fire_once,
    stays_finite,
    emits_binary_spikes,
    is_causal,
    chunked_is_whole,
    samples_are_independent,
    padding_changes_nothing,
    neurons_are_exchangeable,
    gradients_match_differences,
    trains,
    can_be_counted,
    fused_agrees,
    stream_agrees,
)
