"""What is derived from a step: operation counts by hand, and errors that name the line."""

import ast
import copy
import gc
import json
import math
import operator
import pickle
import sys
import weakref
from collections import deque, namedtuple
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
import torch
from engine_cases import assert_as_reference, events
from test_topologies import halfway
from torch import nn

from spikern._utils.errors import UnsupportedError
from spikern._utils.fingerprint import fingerprint
from spikern.engines import derivation, fused
from spikern.engines.codegen import (
    delayed_kernels,
    emit,
    expert_kernels,
    spread_kernels,
    storage,
    stream_kernels,
    trace,
)
from spikern.engines.codegen.operations import sleep_ops, update_ops
from spikern.engines.derivation import show_kernel
from spikern.layers.rnn import Readout, SpikingRNN
from spikern.layers.streaming import compile_stream
from spikern.neurons import NEURONS
from spikern.neurons.alif import ALIF
from spikern.neurons.constants import real
from spikern.neurons.eif import EIF
from spikern.neurons.li import LI
from spikern.neurons.lif import LIF
from spikern.neurons.lif_hard import HardLIF
from spikern.neurons.model import NeuronModel
from spikern.neurons.resonator import RF
from spikern.neurons.surrogate import SURROGATES, Surrogate
from spikern.testing import check_neuron, difference, dyadic, stream_agrees, with_engine


def test_operations_of_the_neurons_counted_by_hand():
    # LIF: alpha v, (1-alpha) i, v_th z; two sums and the distance to threshold; one threshold.
    assert update_ops(LIF) == {"mul": 3, "add": 3, "compare": 1}
    # ALIF: two products more for a, one for adapt_scale a; one sum for a, one for the threshold.
    assert update_ops(ALIF) == {"mul": 6, "add": 5, "compare": 1}
    assert update_ops(LI) == {"mul": 2, "add": 1}
    # HardLIF: beside LIF's without its reset, two products and 1 - z and a sum for what is kept.
    assert update_ops(HardLIF) == {"mul": 4, "add": 4, "compare": 1}
    # RF: 1 - z, its products with y and v, z v_th and a sum; y: two and two; v: two and one.
    assert update_ops(RF) == {"mul": 7, "add": 6, "compare": 1}
    # EIF: 1 - z and a product; - v_rh, / v_sharp, exp, times v_sharp; alpha v, + i, times
    # (1 - alpha), their sum; - v_th.
    assert update_ops(EIF) == {"mul": 4, "add": 5, "div": 1, "compare": 1, "exp": 1}


def test_operations_of_a_step_asleep_counted_by_hand():
    # ALIF: alpha v and alpha a; where it had fired, v_th z and (1 - alpha) z, and two sums.
    assert sleep_ops(ALIF, False) == {"mul": 2}
    assert sleep_ops(ALIF, True) == {"mul": 4, "add": 2}
    # SEAdLIF: alpha v, (1 - alpha) w, their difference; alpha w, a v, (1 - alpha) a v, a sum. It
    # resets in the step of the spike.
    for fired in (False, True):
        assert sleep_ops(NEURONS["SEAdLIF"], fired) == {"mul": 5, "add": 2}


def test_a_users_own_neuron_is_counted_from_its_equation():
    def step(p, s, i, fire):
        v = p.alpha_mem * s.v + torch.exp(-i) / 2 - (s.v - p.v_th) ** 2
        z = fire(torch.where(v > 0, v, -v))
        return LIF.state(v, z), z

    own = replace(LIF, name="own", step=step)
    assert update_ops(own) == {
        "mul": 2, "add": 3, "div": 1, "compare": 2, "exp": 1, "select": 1,
    }  # fmt: skip


@pytest.mark.parametrize("name", NEURONS)
def test_every_neuron_of_the_table_has_programs(name):
    model = NEURONS[name]
    assert trace.forward(model).ops
    assert set(trace.adjoint(model).outputs) >= {f"d_p_{f}" for f in model.params._fields}
    step = trace.step(model)
    assert storage.from_data(json.loads(json.dumps(storage.to_data(step)))) == step


@pytest.mark.parametrize(("kind", "truth"), [("not", False), ("lt", False), ("exp", True)])
def test_a_step_whose_types_contradict_themselves_is_refused(kind, truth):
    data = json.loads(json.dumps(storage.to_data(trace.step(LIF))))
    arguments = ["s_v"] * (2 if kind == "lt" else 1)
    with pytest.raises(ValueError, match="not the step of a neuron"):
        storage.from_data(data | {"ops": [*data["ops"], ["x_odd", kind, truth, *arguments]]})
    storage.from_data(data | {"ops": [*data["ops"], ["x_odd", kind, not truth, *arguments]]})


@pytest.mark.parametrize("name", SURROGATES)
def test_every_surrogate_has_programs(name):
    surrogate = SURROGATES[name]()
    assert trace.derivative(surrogate).outputs["d"]
    assert trace.primitive(surrogate).outputs["z"]


def test_an_unknown_operation_is_named_with_its_line():
    def step(p, s, i, fire):
        v = torch.cumsum(i, 0) + s.v
        z = fire(v)
        return LIF.state(v, z), z

    line = step.__code__.co_firstlineno + 1
    with pytest.raises(UnsupportedError, match=rf"aten\.cumsum.*line {line} of test_derive\.py"):
        update_ops(replace(LIF, name="summing", step=step))


def test_a_dimension_is_that_of_the_layer():
    """A step may name the neurons' dimension; what has no kernel is still named."""

    def step(p, s, i, fire):
        z = fire(i - 0.1 * torch.cumsum(s.z, dim=1))
        return LIF.state(i, z), z

    with pytest.raises(UnsupportedError, match=r"aten\.cumsum"):
        update_ops(replace(LIF, name="summing", step=step))


def test_what_depends_on_the_number_of_neurons_has_no_kernel():
    def step(p, s, i, fire):
        return LIF.step(p, s, i * 8 / i.shape[-1], fire)

    with pytest.warns(UserWarning, match="depends on the number of samples or of neurons"):
        assert SpikingRNN(replace(LIF, name="Shared", step=step), 3, 8).engine == "reference"


def test_a_derivative_may_be_a_number():
    flat = Surrogate("flat", lambda u: u, lambda u: 1.0, math.inf, "here")
    assert trace.derivative(flat).outputs == {"d": 1.0}


def test_functions_of_two_arguments_get_both(plain_python):
    def step(p, s, i, fire):
        v = 0.5 * s.v + torch.pow(p.alpha_mem, s.v.abs()) * i
        z = fire(v - p.v_th)
        return LIF.state(v, z), z

    two = replace(LIF, name="two", step=step)
    layer = SpikingRNN(two, 3, 4, engine="fused")
    x = torch.randn(9, 2, 3, generator=torch.Generator().manual_seed(0))
    outputs, after = layer.unroll(x)
    assert not difference(layer, x, outputs, after)


@pytest.mark.parametrize(
    ("name", "alike"), [("LIF", True), ("RefractoryLIF", True), ("EIF", False), ("BRF", False)]
)
def test_what_must_be_equal_bit_for_bit_is_told_by_the_operations(name, alike):
    assert trace.rounds_alike(NEURONS[name]) == alike


@pytest.mark.parametrize(
    ("exponent", "kinds"),
    [(3, {"mul": 2}), (0.5, {"sqrt": 1}), (0.3, {"exp": 1, "log": 1, "mul": 1})],
)
def test_a_power_is_counted_as_it_is_computed(exponent, kinds):
    def step(p, s, i, fire):
        return LI.state(i**exponent), i

    assert update_ops(replace(LI, name="power", step=step)) == kinds


def test_a_step_that_fires_twice_is_refused():
    def step(p, s, i, fire):
        z = fire(i) + fire(s.v)
        return LIF.state(i, z), z

    with pytest.raises(UnsupportedError, match="2 times"):
        update_ops(replace(LIF, name="twice", step=step))


def test_a_step_that_asks_for_a_value_runs_on_the_reference_engine():
    def step(p, s, i, fire):
        state, z = LIF.step(p, s, i, fire)
        if bool((state.v > 1e6).any()):
            raise ValueError("never")
        return state, z

    own = replace(LIF, name="Asking", step=step)
    with pytest.raises(UnsupportedError, match="Asking: cannot be traced"):
        update_ops(own)
    with pytest.warns(UserWarning, match="engine='auto' is the reference: Asking"):
        assert SpikingRNN(own, 3, 5).engine == "reference"


class Amplifier:
    """A gain that a step captures through an object."""

    def __init__(self, gain):
        self.gain = gain

    def step(self, p, s, i, fire):
        return LIF.step(p, s, self.gain * i, fire)


class Slotted:
    """The same without a dictionary of attributes."""

    __slots__ = "gain"

    def __init__(self, gain):
        self.gain = gain


class Settings:
    """A gain that a step captures through a class."""

    gain = 1.0


class Amplifying:
    """A gain that a step captures through a method, or a property, of an object without any."""

    def amplify(self, i):
        return self.factor() * i

    def factor(self):
        return Settings.gain

    @property
    def gain(self):
        return Settings.gain


GAIN = 1.0


def global_step(p, s, i, fire):
    return LIF.step(p, s, GAIN * i, fire)


def capture(kind, monkeypatch):
    """A neuron whose step captures a gain, and how to set that gain."""
    amplifier, slotted, module = Amplifier(1.0), Slotted(1.0), ModuleType("spikern_settings")
    gain = module.gain = 1.0
    monkeypatch.setitem(sys.modules, module.__name__, module)
    amplifying, chosen, queue = Amplifying(), {1.0}, deque([1.0])

    def closed(p, s, i, fire):
        return LIF.step(p, s, gain * i, fire)

    def of(holder):
        return lambda p, s, i, fire: LIF.step(p, s, holder.gain * i, fire)

    def importing(p, s, i, fire):
        from spikern_settings import gain

        return LIF.step(p, s, gain * i, fire)

    def set_closed(value):
        nonlocal gain
        gain = value

    def set_chosen(value):
        chosen.clear()
        chosen.add(value)

    def set_class(value):
        monkeypatch.setattr(Settings, "gain", value)

    step, set_gain = {
        "a method's object": (amplifier.step, lambda value: setattr(amplifier, "gain", value)),
        "a global": (global_step, lambda value: monkeypatch.setitem(globals(), "GAIN", value)),
        "a closure": (closed, set_closed),
        "slots": (of(slotted), lambda value: setattr(slotted, "gain", value)),
        "a class": (of(Settings), set_class),
        "a property": (of(amplifying), set_class),
        "methods of a class": (
            lambda p, s, i, fire: LIF.step(p, s, amplifying.amplify(i), fire),
            set_class,
        ),
        "a set": (lambda p, s, i, fire: LIF.step(p, s, max(chosen) * i, fire), set_chosen),
        "a queue": (
            lambda p, s, i, fire: LIF.step(p, s, queue[0] * i, fire),
            lambda value: operator.setitem(queue, 0, value),
        ),
        "an import": (importing, lambda value: setattr(module, "gain", value)),
        "a module": (of(module), lambda value: setattr(module, "gain", value)),
    }[kind]
    return replace(LIF, name="Amplified", step=step), set_gain


CAPTURED = [
    *("a method's object", "a global", "a closure", "slots", "a class", "a module", "a property"),
    *("methods of a class", "a set", "a queue", "an import"),
]


@pytest.mark.parametrize("kind", CAPTURED)
def test_a_kernel_follows_the_values_that_a_step_captures(kind, plain_python, monkeypatch):
    """A value that changes after the first call changes the spikes, as in the reference."""
    neuron, set_gain = capture(kind, monkeypatch)
    torch.manual_seed(0)
    layer = dyadic(SpikingRNN(neuron, 3, 8, engine="fused"))
    x = torch.randint(4, (20, 4, 3)).float()
    spikes = {}
    for gain in (1.0, 3.0, 0.0):
        set_gain(gain)
        out, state = layer(x)
        assert difference(layer, x, [out], state) == ""
        spikes[gain] = int(out.sum())
    assert spikes[3.0] > spikes[1.0] > spikes[0.0]


def scaled(gain):
    return replace(LIF, name="Scaled", step=lambda p, s, i, fire: LIF.step(p, s, gain * i, fire))


def test_zeros_of_two_signs_are_two_and_nan_is_one():
    assert fingerprint(0.0) != fingerprint(-0.0)
    assert fingerprint(math.nan) == fingerprint(float("nan"))
    half = torch.tensor([1.0], dtype=torch.bfloat16)
    assert fingerprint(half) == fingerprint(half.clone()) != fingerprint(half.float())
    assert fingerprint(torch.eye(2).to_sparse()) == fingerprint(torch.eye(2))


def test_a_number_of_numpy_is_told_by_its_value():
    gains = [*np.float32([1, 1, 2])]
    assert len({fingerprint(scaled(gain).step) for gain in gains}) == 2


def test_what_a_kernel_captured_lives_as_long_as_the_kernel(plain_python):
    """Another object with its identity would be taken for it."""
    gain = Twice()
    found = weakref.ref(gain)
    derivation.kernel_name(scaled(gain), SURROGATES["triangular"]())
    del gain
    gc.collect()
    assert found() is not None


class Twice:
    """A factor that is no number."""

    def __mul__(self, other):
        return 2.0 * other


@pytest.mark.parametrize(
    "changed",
    [lambda v: torch.round(v, decimals=2), lambda v: torch.rsub(v, 1.0, alpha=2.5)],
)
def test_an_argument_that_a_kernel_does_not_know_is_refused(changed):
    def step(p, s, i, fire):
        state, z = LIF.step(p, s, i, fire)
        return state._replace(v=changed(state.v)), z

    with pytest.raises(UnsupportedError, match="has no scalar form"):
        update_ops(replace(LIF, name="Rounded", step=step))


def test_a_captured_tensor_that_is_trained_needs_the_reference():
    gain = nn.Parameter(torch.tensor(1.5))
    with pytest.warns(UserWarning, match="made outside `step` that is trained"):
        final = SpikingRNN(scaled(gain), 3, 5)(torch.ones(4, 2, 3))[1]
    final.v.sum().backward()
    assert gain.grad is not None


def test_a_surrogate_of_ones_own_has_kernels_of_its_own(plain_python):
    """A derivative that is replaced is the one that trains, whatever the surrogate's name."""
    built_in = SURROGATES["triangular"]()
    mine = replace(built_in, derivative=doubled)
    gradients = []
    for surrogate in (built_in, mine):
        torch.manual_seed(0)
        layer = SpikingRNN("LIF", 3, 8, surrogate=surrogate, engine="fused", recurrent=False)
        layer(3 * torch.ones(2, 1, 3))[0].sum().backward()
        gradients.append(layer.bias_l0.grad)
    assert gradients[0].any()
    assert not torch.equal(*gradients)


def doubled(u):
    return 2 * SURROGATES["triangular"]().derivative(u)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_surrogate_survives_copies_as_itself(again):
    for name, make in SURROGATES.items():
        assert again(make()).key == make().key, name
    if again is copy.deepcopy:
        mine = replace(SURROGATES["triangular"](), derivative=doubled)
    else:  # functions at the top of a module can be pickled
        mine = replace(SURROGATES["triangular"](), derivative=doubled, primitive=doubled)
    assert again(mine).derivative is doubled


WHOLE = {
    "int": lambda p, s: s.v.int(),
    "long, of a truth value": lambda p, s: (s.v > 0).long(),
    "half": lambda p, s: s.v.half(),
    "double": lambda p, s: s.v.double(),
    "integers to choose from": lambda p, s: torch.where(s.v > 0, 1, 0),
    "a truth value twice": lambda p, s: (s.v > 0) * 2,
    "a view of the bits": lambda p, s: s.v.view(torch.int32),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_type_that_kernels_lack_is_refused_by_name_and_line(kind):
    def step(p, s, i, fire):
        kept = (s.v > p.v_th).float()  # a cast that kernels have
        return LIF.step(p, s._replace(v=s.v - 0 * kept), i + WHOLE[kind](p, s), fire)

    line = WHOLE[kind].__code__.co_firstlineno
    own = replace(LIF, name="Typed", step=step)
    expected = rf"Typed.* aten\.\w+\.\w+ \(line {line} of test_derive\.py\) gives torch\.\w+, and"
    with pytest.raises(UnsupportedError, match=expected):
        update_ops(own)
    if kind == "int":
        with pytest.warns(UserWarning, match=rf"engine='auto' is the reference: {expected}"):
            check_neuron(own)  # it keeps the laws that need no kernel


def test_a_constant_in_double_precision_is_refused():
    """A comparison with it would be made in double precision."""
    tenth = torch.tensor([0.1], dtype=torch.float64)

    def step(p, s, i, fire):
        return LIF.step(p, s, torch.where(s.v > tenth, i, 0.0), fire)

    with pytest.raises(UnsupportedError, match="float64"):
        trace.forward(replace(LIF, name="Tenth", step=step))


def test_a_function_that_numba_lacks_is_named_before_a_kernel_is_compiled(monkeypatch):
    def step(p, s, i, fire):
        return LIF.step(p, s, i + torch.tanh(s.v), fire)

    own = replace(LIF, name="Lacking", step=step)
    lacking = emit.OPERATIONS["tanh"]._replace(numba="np.heaviside({0})")
    monkeypatch.setitem(emit.OPERATIONS, "tanh", lacking)
    with pytest.raises(UnsupportedError, match=r"no np\.heaviside.* operation tanh"):
        SpikingRNN(own, 3, 5, engine="fused")(torch.ones(2, 1, 3))
    with pytest.warns(UserWarning, match=r"engine='auto' is the reference: .*np\.heaviside"):
        assert SpikingRNN(own, 3, 5).engine == "reference"


def test_fields_may_have_every_name_that_a_kernel_uses(plain_python):
    steps = [trace.step(LIF), trace.step(LI)]
    text = show_kernel(LIF) + show_kernel(LI)
    text += stream_kernels.source(steps, [False, False], [(0,), (0, 1)])
    gradient = trace.gradient(LIF, SURROGATES["triangular"]())
    for form in (delayed_kernels, spread_kernels, expert_kernels):
        text += form.source(steps[0], gradient)
    nodes = list(ast.walk(ast.parse(text)))
    names = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    names |= {n.arg for n in nodes if isinstance(n, ast.arg)} | {"lambda_", "np", "τ"}
    names = sorted(names - {"z"})
    assert {"S_v", "rows", "np", "out", "answer"} <= set(names)
    for spikes in (True, False):
        params = namedtuple("Params", names[::8])
        state = namedtuple("State", [*names, "z"])

        def step(p, s, i, fire, state=state, spikes=spikes):
            total = i + 0.25 * sum(p) * s.y - s[0] * s.z + s.out * s.lambda_
            z = fire(total - 1) if spikes else total
            return state(*s[1:-1], total, z), z  # every field takes the value of the next one

        constants = {name: real(name, 0.1, 0.1, trainable=True) for name in params._fields}
        own = NeuronModel('"""\n@body\\', step, params, state, constants, "test", spikes)
        case = (own, 3, 2) if spikes else (3, 2, own)
        torch.manual_seed(0)
        layer = dyadic((SpikingRNN if spikes else Readout)(*case, engine="fused"))
        assert_as_reference(layer, 4 * events(5, 1, 3))
        stream_agrees(own)
        if spikes:
            for learn_delays in (False, True):
                delays = {"delay": 2, "recurrent_delay": 3, "learn_delays": learn_delays}
                layer = halfway(dyadic(SpikingRNN(own, 3, 2, engine="fused", **delays)))
                x = 4 * events(5, 1, 3)
                assert_as_reference(layer, x)
                followed = compile_stream(layer.eval()).run(x.numpy())
                np.testing.assert_array_equal(followed.out, layer(x)[0].detach())


def test_guards_types_and_powers_are_those_of_torch():
    """From v = 0, where an unguarded division is no number: kernels as numba compiles them."""

    def step(p, s, i, fire):
        zero, one = torch.zeros_like(s.v), torch.ones_like(s.v)
        parts = (
            torch.where(s.v != 0, torch.tanh(s.v) / s.v, one),
            torch.where(s.v != 0, torch.reciprocal(s.v), zero),
            torch.where(s.v != 0, torch.log(s.v.abs()), zero),
            torch.sqrt(s.v.abs()),
            torch.fmod(s.v, 0.3),
            s.v.abs() ** 1.5,
            s.v.abs() ** p.alpha_mem,
            torch.clamp(s.v, -p.v_th, p.v_th),
            ((p.v_th > 0.5) & (s.v > 0)).float(),
            torch.where(p.v_th > 0.5, s.v > 0, s.v < -1) * s.v,
        )
        return LIF.step(p, s, i + 0.01 * sum(parts), fire)

    torch.manual_seed(0)
    layer = dyadic(SpikingRNN(replace(LIF, name="Guarded", step=step), 3, 8, engine="fused"))
    x = 8 * torch.randint(4, (10, 2, 3)).float()
    out, state = layer(x)
    assert out.any()
    assert difference(layer, x, [out], state) == ""
    out.sum().backward()
    reference = with_engine(layer, "reference")
    reference.zero_grad()
    reference(x)[0].sum().backward()
    for (name, parameter), other in zip(layer.named_parameters(), reference.parameters()):
        assert parameter.grad.isfinite().all(), name
        # The engines add a neuron's gradients over steps in another order.
        assert torch.allclose(parameter.grad, other.grad, 1e-4, 1e-4), name


def test_a_constant_without_influence_has_a_gradient_of_zero(monkeypatch):
    """The compiler may not drop the zeros that are written to memory and not read again."""
    params, state = namedtuple("Params", "a"), namedtuple("State", "v")

    def step(p, s, i, fire):
        return state(i + 0.5 * s.v), i + torch.ceil(p.a)

    def poisoned(*shape, dtype=torch.float32):
        return torch.full(shape, -(10**6), dtype=dtype)

    monkeypatch.setattr(fused, "allocate", poisoned)
    constants = {"a": real("a", 0.5, trainable=True)}
    own = NeuronModel("Idle", step, params, state, constants, "test", False)
    layer = Readout(3, 4, own, engine="fused")
    out, _ = layer(torch.ones(2, 1, 3))
    out.sum().backward()
    assert not layer.raw_a_l0.grad.any()
