"""Every operation that is claimed to be supported, alone and in random programs."""

from collections import namedtuple
from dataclasses import replace

import fuzz
import pytest
import torch

from spikern.engines import fused, reference
from spikern.engines.codegen import emit, trace
from spikern.engines.population import Population
from spikern.layers.rnn import SpikingRNN
from spikern.neurons.constants import real
from spikern.neurons.lif import LIF
from spikern.neurons.model import NeuronModel
from spikern.neurons.surrogate import SURROGATES
from spikern.testing import difference, dyadic, gradient_difference, stream_agrees, with_engine

SEEDS = range(16)


@pytest.mark.parametrize("seed", SEEDS)
def test_engines_agree_on_random_steps(seed, plain_python):
    fuzz.check(seed)


@pytest.mark.parametrize(("operation", "fault"), [("sub", "{0} + {1}"), ("where", "{2}")])
def test_a_planted_fault_is_found(operation, fault, plain_python, monkeypatch):
    faulty = emit.OPERATIONS[operation]._replace(numba=fault)
    monkeypatch.setitem(emit.OPERATIONS, operation, faulty)
    with pytest.raises(AssertionError, match="is not the reference's"):
        list(map(fuzz.check, SEEDS))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 400))
def test_engines_agree_on_many_random_steps(seed, plain_python):
    fuzz.check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1000, 1200, 2400])
def test_engines_agree_on_random_steps_that_are_compiled(seed):
    fuzz.check(seed)


TEMPLATES = fuzz.EXACT + fuzz.DECISIONS + fuzz.OF_TRUTHS + fuzz.TRUTHS + fuzz.APPROXIMATE
FILLED = [t.format(x="x", y="y", b="(x > 0)", c="(y > x)", k=-0.5, l=2) for t in TEMPLATES]
SCOPE = fuzz.CAPTURED | {"torch": torch, "nothing": torch.tensor(0.0)}
OPERATIONS = [eval(f"lambda x, y: ({text}).float()", SCOPE) for text in FILLED]


def test_operations_at_zero_at_infinity_and_at_what_is_no_number(plain_python):
    """Every operation in a field of its own, so that values and gradients stay apart."""
    count = len(OPERATIONS)
    params = namedtuple("Params", "a")
    state = namedtuple("State", [f"{name}{k}" for name in "xy" for k in range(count)])

    def step(p, s, i, fire):
        operands = zip(OPERATIONS, s[:count], s[count:])
        return state(*(f(x, y) for f, x, y in operands), *s[count:]), i + p.a

    model = NeuronModel("Every", step, params, state, {"a": real("a", 0.0)}, "test", False)
    kinds = {op.kind for op in (*trace.forward(model).ops, *trace.adjoint(model).ops)}
    assert kinds == {*emit.OPERATIONS}
    x, y = torch.cartesian_prod(*2 * [torch.tensor(fuzz.SPECIAL)]).T
    none = torch.zeros(len(x))
    results = []
    for engine in (reference, fused):
        before = [v.clone().requires_grad_() for v in count * [x[None]] + count * [y[None]]]
        surrogate = SURROGATES["triangular"]()
        own = Population(model, surrogate, params(none), none[:, None], none, None)
        after = engine.run_stack([own], [state(*before)], torch.zeros(1, 1, 1)).states[0]
        gradients = torch.autograd.grad(
            sum(v.sum() for v in after), before, allow_unused=True, materialize_grads=True
        )
        results.append([after[:count], gradients[:count], gradients[count:]])
    what = "value", "gradient of x", "gradient of y"
    for name, expected, actual in zip(what, *results):
        for text, right, found in zip(FILLED, expected, actual):
            near = torch.isclose(found, right, rtol=1e-5, atol=1e-6, equal_nan=True)[0]
            case = [f"{a:g}, {b:g}" for a, b in zip(x[~near], y[~near])]
            assert near.all(), (name, text, case, found[0, ~near], right[0, ~near])


@pytest.mark.slow
def test_every_operation_is_compiled_forward_and_backward():
    """Kernels as numba compiles them, in fused and stream, with parameters and hoisted truths."""

    def step(p, s, i, fire):
        x, y = 1 / (1 + s.v * s.v) + 0.2, p.alpha_mem + 1.0
        total = sum(f(x, y) for f in OPERATIONS) + sum(f(p.v_th, y) for f in OPERATIONS)
        return LIF.step(p, s, i + 0.001 * total, fire)

    own = replace(LIF, name="Every", step=step)
    torch.manual_seed(0)
    layer = dyadic(SpikingRNN(own, 3, 8, engine="fused"))
    x = 8 * torch.randint(4, (10, 2, 3)).float()
    out, state = layer(x)
    assert out.any()
    assert difference(layer, x, [out], state) == ""
    assert gradient_difference(with_engine(layer, "reference"), layer, x) == ""
    stream_agrees(own)
