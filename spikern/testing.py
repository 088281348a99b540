"""The contract of a neuron: the laws that `check_neuron` checks, and how far engines must agree.

Weights that are multiples of 1/256 make the sums of a layer exact in any order. Then engines differ
only in how they round the operations of the neuron's own step. If each operation has one right
result, everything must be equal, bit for bit. If the step has an exponential, a root or the like,
which torch and a kernel may round differently in the last place, spikes may diverge, but the first
differing spike of a sample must have |u| < NEAR, and until then states may differ by ROUNDING.

`check_neuron(model)` raises ContractError naming the first law that is broken and the smallest
case that shows it. The same laws are tested for every neuron in NEURONS.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import Any

import torch
from torch import Tensor

from spikern._utils.choices import check_type
from spikern._utils.errors import InputError, SpikernError
from spikern._utils.seeds import seeded
from spikern.engines import derivation, reference
from spikern.engines.codegen import trace
from spikern.engines.codegen.operations import update_ops
from spikern.layers.recording import record
from spikern.layers.rnn import SpikingRNN
from spikern.layers.streaming import compile_stream
from spikern.neurons.model import NeuronModel, Params, State, check_step, zero_state
from spikern.neurons.surrogate import triangular

T, B, F, H = 12, 3, 4, 5
"""Steps, samples, features and neurons of the cases."""
CURRENTS = (1.0, 10.0, 100.0, 1000.0)
"""Currents under which a neuron must stay finite, in thresholds, the smallest first."""
SIGNS = (("constant", 1.0, 1.0), ("negative", -1.0, -1.0), ("alternating", 1.0, -1.0))
"""Names of these currents, and their signs at even and at odd steps."""
LONG = 256
"""Steps of such a current."""
NEAR = 1e-4
"""Distance to threshold below which engines may disagree on a spike."""
ROUNDING = 1e-4
"""Allowed rounding error (6e-8 per operation) before spikes diverge, relative to the maximum."""
SUMS = 1e-4
"""Allowed relative difference of float32 sums of some hundred terms in another order."""


class ContractError(SpikernError, AssertionError):
    """A neuron breaks a law of the contract."""


def check_neuron(model: NeuronModel) -> None:
    """Check a neuron against every law in LAWS; the first time, its kernels compile (seconds).

    Constants that have a value per neuron are those of H neurons here. What surrounds the call
    (no_grad, inference mode, autocast) is left out. Raises ContractError naming the first law that
    is broken, with a case.

    >>> from spikern.neurons import ALIF
    >>> check_neuron(ALIF)
    """
    check_type("model", model, NeuronModel)
    for constant in model.constants.values():
        if isinstance(constant.mean, tuple):
            values = tuple(islice(cycle(constant.mean), H))
            model = model.with_constant(constant.symbol, mean=values)
    with torch.inference_mode(False), torch.autocast("cpu", enabled=False):
        for law in LAWS:
            try:
                law(model)
            except InputError as error:
                raise ContractError(f"{model.name} makes no layer: {error}") from error


def _layer(model: NeuronModel, dtype: torch.dtype = torch.float64) -> SpikingRNN:
    """A layer whose surrogate is as wide as the threshold is far, as its weights are."""
    surrogate = triangular(width=_threshold(model))
    with seeded(0):
        return SpikingRNN(
            model, F, H, recurrent=model.spikes, surrogate=surrogate, engine="reference",
            input_power=0.05, dtype=dtype,
        )  # fmt: skip


def _threshold(model: NeuronModel) -> float:
    """The distance to threshold at rest, as a power of 2; 1 if it is less."""
    distances = [0.0]

    def fire(u: Tensor) -> Tensor:
        distances.append(float(u.abs().max()))
        return (u > 0).to(u.dtype)

    current = torch.zeros(1, H, dtype=torch.float64)
    model.step(_params(model), zero_state(model, (1, H), current), current, fire)
    return 2.0 ** math.ceil(math.log2(max(1.0, distances[-1])))


def _params(model: NeuronModel, dtype: torch.dtype = torch.float64) -> Params:
    """Return fresh constants of H neurons."""
    generator = torch.Generator().manual_seed(0)
    drawn = {
        field: constant.field(constant.draw(H, 1.0, generator), 1.0).to(dtype)
        for field, constant in model.constants.items()
    }
    return model.params(**drawn)


def _input() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(T, B, F, generator=generator, dtype=torch.float64)


def _require(holds: bool, model: NeuronModel, law: str, case: str) -> None:
    if not holds:
        raise ContractError(f"{model.name} breaks the law '{law}': {case}")


def _same(a: Tensor, b: Tensor) -> bool:
    """Whether two float64 sums are equal up to rounding in another order."""
    return torch.allclose(a, b, rtol=0.0, atol=1e-9)


def keeps_shape_and_dtype(model: NeuronModel) -> None:
    """State and output have the shape and dtype of the current; no argument is changed in place."""
    try:
        check_step(model, _params(model))
    except InputError as error:
        case = f"{model.name} breaks the law 'shape and dtype are kept, nothing is changed'"
        raise ContractError(f"{case}: {error}") from error


def calls_fire_once(model: NeuronModel) -> None:
    """Each neuron has one threshold: `step` calls `fire` exactly once."""
    if not model.spikes:
        return
    calls: list[Tensor] = []

    def fire(u: Tensor) -> Tensor:
        calls.append(u)
        return (u > 0).to(u.dtype)

    current = torch.ones(B, H, dtype=torch.float64)
    model.step(_params(model), zero_state(model, (B, H), current), current, fire)
    _require(len(calls) == 1, model, "step calls fire exactly once", f"{len(calls)} calls")


def stays_finite(model: NeuronModel) -> None:
    """Currents up to 1000 thresholds of any sign give no NaN and no infinity.

    In float32, each neuron alone, over 256 steps. The case names the smallest current and the
    first step that break the law.
    """
    params = _params(model, torch.float32)
    for size in (times * _threshold(model) for times in CURRENTS):
        for name, even, odd in SIGNS:
            state = zero_state(model, (1, H), params[0])
            for t in range(LONG):
                current = torch.full((1, H), size * (odd if t % 2 else even))
                state, out = model.step(params, state, current, lambda u: (u > 0).to(u.dtype))
                for field, value in [*zip(model.state._fields, state), ("output", out)]:
                    case = f"{field} is not at step {t} under a {name} current of {size:g}"
                    _require(bool(torch.isfinite(value).all()), model, "stays finite", case)


def emits_binary_spikes(model: NeuronModel) -> None:
    """The output of a spiking neuron is 0 or 1, and it is the z of its state."""
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
    """Two chunks, with the state handed over, give what the whole sequence gives."""
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
    """A sample alone gives the same as in a batch."""
    layer, x = _layer(model), _input()
    batch = layer(x)[0]
    for b in range(B):
        same = _same(layer(x[:, b : b + 1])[0], batch[:, b : b + 1])
        _require(same, model, "a sample alone is as in the batch", f"sample {b} of {B}")


def padding_changes_nothing(model: NeuronModel) -> None:
    """Padded samples with lengths give what unpadded ones give, and zeros past the length."""
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


def neurons_do_not_meet(model: NeuronModel) -> None:
    """In a step, what one neuron is given and was changes no other neuron."""
    params, generator = _params(model), torch.Generator().manual_seed(1)
    fields = [
        torch.rand(B, H, generator=generator, dtype=torch.float64) for _ in model.state._fields
    ]
    current = torch.rand(B, H, generator=generator, dtype=torch.float64)

    def others(first: float) -> list[Tensor]:
        """What a step gives the neurons beside the first, whose current and state are changed."""
        own = torch.ones(H, dtype=torch.float64)
        own[0] = first
        state = model.state(*(field * own for field in fields))
        after, out = model.step(params, state, current * own, lambda u: (u > 0).to(u.dtype))
        return [value[:, 1:] for value in (*after, out)]

    same = all(map(torch.equal, others(1.0), others(0.5)))
    case = "another current and state of neuron 0 change neurons 1 to 4"
    _require(same, model, "neurons do not meet in a step", case)


def neurons_are_exchangeable(model: NeuronModel) -> None:
    """Permuting the neurons permutes the output."""
    layer, x = _layer(model), _input()
    order = torch.tensor([3, 0, 4, 1, 2])
    other = _layer(model)
    with torch.no_grad():
        for name, value in layer.state_dict().items():
            rows = value[order]
            other.state_dict()[name].copy_(rows[:, order] if "weight_hh" in name else rows)
    same = _same(other(x)[0], layer(x)[0][..., order])
    _require(same, model, "permuted neurons permute the output", f"order {order.tolist()}")


def gradients_match_differences(model: NeuronModel) -> None:
    """With the surrogate's smooth primitive as `fire`, autograd equals finite differences."""
    layer = _layer(model)
    smooth = triangular(width=8.0 * _threshold(model)).primitive
    current = _input()[:4, :2].repeat(1, 1, 2)[..., :H].contiguous().requires_grad_()
    params = tuple(p.detach().clone().requires_grad_() for p in layer.params(0))
    weights = [layer.get_parameter("weight_hh_l0")] if model.spikes else []
    recurrent = [w.detach().clone().requires_grad_() for w in weights]
    state = zero_state(model, (2, H), layer.weight_ih_l0)

    def run(current: Tensor, *rest: Any) -> tuple[Tensor, ...]:
        constants = model.params(*rest[: len(params)])
        w_rec = rest[len(params)] if model.spikes else None
        out, final = reference.run(model, constants, state, current, w_rec, smooth)
        return (out, *final)

    inputs = (current, *params, *recurrent)
    names = ("the current", *model.params._fields, "weight_hh")

    def holds(*given: Tensor) -> bool:
        """Whether the gradients of those that require one are right."""
        return torch.autograd.gradcheck(run, given, eps=1e-6, atol=1e-5, raise_exception=False)

    if holds(*inputs):
        return
    alone = ([x if x is one else x.detach() for x in inputs] for one in inputs)
    wrong = [name for name, given in zip(names, alone) if not holds(*given)]
    case = (
        f"that of {', '.join(wrong)} over 4 steps, with a smooth fire in float64; a value that is "
        f"cut from the graph, as by .detach() at the reset, has no gradient"
    )
    _require(False, model, "gradients match finite differences", case)


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
    """The operations of one update can be counted in the graph of the step.

    A neuron without kernels is skipped: it has no such graph.
    """
    if not derivation.supports(model, _layer(model).surrogate):
        return
    ops = update_ops(model)
    _require(sum(ops.values()) > 0, model, "an update costs something", "no operation found")


def _case(model: NeuronModel) -> tuple[SpikingRNN, Tensor, Tensor]:
    """Return a layer whose sums are exact in any order, events as its input, and lengths."""
    layer = dyadic(_layer(model, torch.float32))
    if layer.bias:
        with torch.no_grad():
            layer.get_parameter("bias_l0").add_(0.5 * _threshold(model))
    generator = torch.Generator().manual_seed(1)
    x = (torch.rand(2 * T, B, F, generator=generator) < 0.3).float()
    return layer, x, torch.tensor([2 * T, 17, 1])


def fused_agrees(model: NeuronModel) -> None:
    """The fused engine agrees with the reference engine in spikes, states and gradients.

    The run starts from a state that is not zero. A neuron without kernels is skipped:
    engine="auto" runs it on the reference engine.
    """
    law = "the fused engine agrees with the reference"
    layer, x, lengths = _case(model)
    if not derivation.supports(model, layer.surrogate):
        return
    _, start = layer(x[:5])
    state = model.state(*(field.detach() for field in start))
    other = with_engine(layer, "fused")
    outputs, after = other.unroll(x, state, lengths)
    case = difference(layer, x, outputs, after, lengths, state)
    _require(not case, model, law, case)
    case = gradient_difference(layer, other, x, lengths, state)
    _require(not case, model, law, case)


def stream_agrees(model: NeuronModel) -> None:
    """The stream engine agrees with the reference engine in spikes and states.

    A neuron without kernels is skipped: it cannot be streamed.
    """
    layer, x, lengths = _case(model)
    if not derivation.supports(model, layer.surrogate):
        return
    stream = compile_stream(layer)
    result = stream.run(x.numpy(), lengths=lengths.numpy())
    fields = stream.fields(result.state)[0]
    after = model.state(**{name: torch.from_numpy(v)[None] for name, v in fields.items()})
    case = difference(layer, x, [torch.from_numpy(result.out)], after, lengths)
    _require(not case, model, "the stream engine agrees with the reference", case)


LAWS: tuple[Callable[[NeuronModel], None], ...] = (
    keeps_shape_and_dtype,
    calls_fire_once,
    stays_finite,
    emits_binary_spikes,
    is_causal,
    chunked_is_whole,
    samples_are_independent,
    padding_changes_nothing,
    neurons_do_not_meet,
    neurons_are_exchangeable,
    gradients_match_differences,
    trains,
    can_be_counted,
    fused_agrees,
    stream_agrees,
)


def dyadic(layer: SpikingRNN) -> SpikingRNN:
    """Round the weights and biases of a layer to multiples of 1/256, in place; return the layer.

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
    """Return a copy of the layer that runs on another engine."""
    other = copy.deepcopy(layer)
    other.engine_asked = engine
    return other


def difference(
    layer: SpikingRNN,
    x: Tensor,
    outputs: Sequence[Tensor],
    after: State,
    lengths: Tensor | None = None,
    state: State = None,
) -> str:
    """Compare an engine's outputs, one (T, B, H) per layer, and final state with the reference.

    Returns what differs from the reference engine's run on x, lengths and state; empty if they
    agree.
    """
    recording = record(layer, x, state, lengths)
    expected = [run.out for run in recording.layers]
    names = [f"output {k}" for k in range(len(expected))]
    final = _named(recording.state)
    pairs = [*zip(names, outputs, expected), *((n, _named(after)[n], v) for n, v in final.items())]
    if all(map(trace.rounds_alike, layer.neurons)):
        return _first(_unequal, pairs)
    spiking = [
        (run.u, found != run.out)
        for run, found in zip(recording.layers, outputs)
        if run.u is not None
    ]
    for b in range(x.shape[1]):
        steps = [differs[:, b].any(1).nonzero() for _, differs in spiking]
        if first := [(int(t[0]), k) for k, t in enumerate(steps) if len(t)]:
            t, k = min(first)
            distance, differs = spiking[k]
            u = float(distance[t, b][differs[t, b]].abs().max())
            if not u < NEAR:  # NaN is not near
                return f"sample {b} diverges at step {t}, where u = {u:.2g}"
    return "" if any(differs.any() for _, differs in spiking) else _first(_far, pairs)


def gradient_difference(
    layer: SpikingRNN,
    other: SpikingRNN,
    x: Tensor,
    lengths: Tensor | None = None,
    state: State = None,
) -> str:
    """Compare the gradients of one layer on two engines.

    Returns the first parameter whose gradient differs; empty if none does. In the loss, every
    value of outputs and final state has its own weight. Where spikes have legally diverged, these
    are two networks, and their gradients need not agree.
    """
    runs = []
    for network in (layer, other):
        outputs, after = network.unroll(x, state, lengths)
        values = (outputs[-1], *_named(after).values())
        generator = torch.Generator().manual_seed(2)
        weights = [torch.randn(v.shape, generator=generator).to(v.device) for v in values]
        loss = sum(((v * w).sum() for v, w in zip(values, weights)), torch.zeros(()))
        parameters = dict(network.named_parameters())
        gradients = torch.autograd.grad(loss, list(parameters.values()))
        runs.append((outputs, dict(zip(parameters, gradients))))
    (first, expected), (second, actual) = runs
    if not all(map(torch.equal, first, second)):
        return ""
    for name, value in expected.items():
        gap = float((value - actual[name]).abs().max())
        if not gap <= SUMS * float(value.abs().max().clamp(min=1e-6)):  # NaN is far
            return f"the gradient of {name} differs by {gap:.2g}"
    return ""


def _unequal(name: str, actual: Tensor, expected: Tensor) -> str:
    if torch.equal(actual, expected):
        return ""
    count = int((actual != expected).sum())
    return f"{count} of {expected.numel()} values of {name} differ"


def _far(name: str, actual: Tensor, expected: Tensor) -> str:
    scale = float(expected.abs().max().clamp(min=1.0))
    gap = float((actual - expected).abs().max())
    return "" if gap <= ROUNDING * scale else f"{name} differs by {gap:.2g}"


def _named(state: State) -> dict[str, Tensor]:
    """The fields of a state, or of the states of all layers, by name."""
    if hasattr(state, "_fields"):
        return dict(zip(state._fields, state))
    return {f"{n} of layer {k}": v for k, own in enumerate(state) for n, v in _named(own).items()}


def _first(compare: Callable[..., str], pairs: Sequence[tuple[str, Tensor, Tensor]]) -> str:
    """The first difference of values by name."""
    return next((text for n, a, b in pairs if (text := compare(n, a.detach(), b))), "")
