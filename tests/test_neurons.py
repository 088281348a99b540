"""What a step must do, against an independent simulation and snnTorch; surrogate gradients."""

import copy
import math
import pickle
from dataclasses import replace

import golden
import numpy as np
import pytest
import snntorch
import torch

from spikern._utils.errors import InputError
from spikern.engines import reference
from spikern.layers.init import impulse_response
from spikern.layers.rnn import SpikingRNN
from spikern.neurons import NEURONS
from spikern.neurons.constants import between, decay, positive, real
from spikern.neurons.lif import LIF, LIFParams, LIFState
from spikern.neurons.surrogate import SURROGATES, spike, triangular
from spikern.testing import LAWS

FIRE = spike(triangular())


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", NEURONS)
def test_contract(name, law):
    law(NEURONS[name])


@pytest.mark.parametrize(
    ("constant", "message"),
    [
        (0.9, r"'alpha_mem' needs a constant such as positive\('alpha_mem', 1.0\), got 0.9"),
        (decay("tau_mem", 0.0), "tau_mem must be above 0, got 0"),
        (between("share", 2.0, 0.0, 1.0), "share must be between 0 and 1, got 2"),
        (real("shift", math.nan), "shift must be finite, got nan"),
        (positive("v_th", 1.0), "a symbol of its own: v_th, v_th"),
    ],
)
def test_a_constant_that_cannot_be_drawn_is_refused(constant, message):
    with pytest.raises(InputError, match=message):
        replace(LIF, constants={**LIF.constants, "alpha_mem": constant})


@pytest.mark.parametrize("what", ["params", "state"])
def test_params_and_state_are_named_tuples(what):
    with pytest.raises(InputError, match=f"{what} must be a NamedTuple class, got <class 'dict'>"):
        replace(LIF, **{what: dict})


def test_recurrence_takes_one_step():
    w_rec = torch.tensor([[0.0, 0.0], [8.0, 0.0]])
    current = torch.tensor([[4.0, 0.0], [0.0, 0.0]]).reshape(2, 1, 2)
    params, state = LIFParams(torch.tensor(0.5), torch.tensor(1.0)), LIFState(*torch.zeros(2, 1, 2))
    out, _ = reference.run(LIF, params, state, current, w_rec, FIRE)
    assert out[:, 0].tolist() == [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize("name", NEURONS)
def test_against_an_independent_simulation(name):
    """Every spike is the same, and every state up to float64's rounding, 80 steps long."""
    model, size, steps = NEURONS[name], 7, 80
    rng = np.random.default_rng(3)
    torch.manual_seed(0)
    drawn = {f: c.field(c.draw(size).double(), 1.0) for f, c in model.constants.items()}
    params = model.params(**drawn)
    gain = impulse_response(model, params).gain.numpy()
    x = (0.3 + rng.normal(size=(steps, size))) * 1.5 / gain
    w = rng.normal(size=(size, size)) * 0.5 / gain[:, None] if model.spikes else None
    constants = [{f: float(v[n]) for f, v in drawn.items()} for n in range(size)]
    expected_states = golden.run(name, constants, x, w)
    state = model.state(*(torch.zeros(1, size).double() for _ in model.state._fields))
    w_rec = None if w is None else torch.from_numpy(w)
    fired = 0.0
    for t in range(steps):
        current = torch.from_numpy(x[t]).reshape(1, 1, size)
        out, state = reference.run(model, params, state, current, w_rec, FIRE)
        for field, value in state._asdict().items():
            expected = np.array([each[field] for each in expected_states[t]])
            if field == "z":
                assert np.array_equal(value[0].numpy(), expected), t
            else:
                # each step rounds at 1e-16; resets and leaks keep that from growing 1e6 times
                np.testing.assert_allclose(value[0].numpy(), expected, rtol=1e-10, atol=1e-10)
                assert np.isfinite(expected).all()  # NaN would be equal to NaN here
        fired += float(out.mean()) / steps
    assert not model.spikes or 0.02 < fired < 0.5


@torch.no_grad()
def test_lif_against_snntorch():
    """snnTorch's RLeaky: v = beta v + i + w z - v_th z, so our current is theirs / (1 - beta)."""
    torch.manual_seed(0)
    size, steps, beta = 6, 80, 0.5
    theirs = snntorch.RLeaky(
        beta=beta, linear_features=size, reset_mechanism="subtract", reset_delay=True
    )
    w = torch.randint(-64, 64, (size, size)) / 256
    theirs.recurrent.weight.copy_(w)
    theirs.recurrent.bias.zero_()
    x = torch.randint(-128, 384, (steps, 2, size)) / 256
    spk, mem = theirs.init_rleaky()
    expected = []
    for current in x:
        spk, mem = theirs(current, spk, mem)
        expected.append(spk)
    params = LIFParams(torch.full((size,), beta), torch.ones(size))
    state = LIFState(torch.zeros(2, size), torch.zeros(2, size))
    scale = 1 / (1 - beta)
    out, _ = reference.run(LIF, params, state, scale * x, scale * w, FIRE)
    assert 0.01 < float(out.mean()) < 0.9
    assert torch.equal(out, torch.stack(expected))


def test_constants_are_in_ms():
    layer = SpikingRNN(LIF.with_constants(tau_mem=10.0).frozen(), 2, 4, dt=2.0)
    assert layer.params(0).alpha_mem.mean().item() == pytest.approx(math.exp(-0.2), rel=0.1)


# Surrogate gradients


@pytest.mark.parametrize("name", SURROGATES)
def test_derivative_is_that_of_the_primitive(name):
    surrogate = SURROGATES[name]()
    # an even number of points avoids the kinks at 0 and at the edges of the support
    u = torch.linspace(-3, 3, 1000, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(surrogate.primitive(u).sum(), u)
    # float64 rounding of the two formulas
    torch.testing.assert_close(slope, surrogate.derivative(u), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", SURROGATES)
def test_support_is_where_the_derivative_is_nonzero(name):
    surrogate = SURROGATES[name]()
    if math.isinf(surrogate.support):
        assert surrogate.derivative(torch.tensor([3.0])).item() != 0
    else:
        edge = torch.tensor([0.99, 1.01]) * surrogate.support
        inside, outside = surrogate.derivative(edge).tolist()
        assert inside > 0
        assert outside == 0


@pytest.mark.parametrize("name", SURROGATES)
def test_spike_has_the_derivative(name):
    surrogate = SURROGATES[name]()
    u = torch.linspace(-2, 2, 101, requires_grad=True)
    z = spike(surrogate)(u)
    z.sum().backward()
    assert torch.equal(z, (u > 0).float())
    assert torch.equal(u.grad, surrogate.derivative(u.detach()))


@pytest.mark.parametrize("name", SURROGATES)
def test_copies_and_pickles(name):
    surrogate = SURROGATES[name]()
    for twin in (copy.deepcopy(surrogate), pickle.loads(pickle.dumps(surrogate))):
        assert (twin.name, twin.settings) == (surrogate.name, surrogate.settings)


def test_bad_settings():
    with pytest.raises(InputError, match="width must be above 0"):
        SURROGATES["triangular"](width=0.0)
