"""What is derived from a step: operation counts by hand, and errors that name the line."""

from dataclasses import replace

import pytest
import torch

from spikern._utils.errors import UnsupportedError
from spikern.engines.codegen import trace
from spikern.engines.codegen.operations import update_ops
from spikern.layers.rnn import SpikingRNN
from spikern.neurons import NEURONS
from spikern.neurons.alif import ALIF
from spikern.neurons.eif import EIF
from spikern.neurons.li import LI
from spikern.neurons.lif import LIF
from spikern.neurons.lif_hard import HardLIF
from spikern.neurons.resonator import RF
from spikern.neurons.surrogate import SURROGATES
from spikern.testing import difference


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
    assert SpikingRNN(own, 3, 5).engine == "reference"
