"""What a step must do, against closed forms, an independent simulation and snnTorch."""

import math
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
from spikern.neurons.li import LI, LIParams, LIState
from spikern.neurons.lif import LIF, LIFParams, LIFState
from spikern.neurons.surrogate import spike, triangular
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


def lif(alpha, v_th=1.0, size=1):
    return LIFParams(torch.full((size,), alpha).double(), torch.full((size,), v_th).double())


def zeros(kind, batch=1, size=1):
    return kind(*(torch.zeros(batch, size, dtype=torch.float64) for _ in kind._fields))


def test_leak_is_exponential():
    start = LIState(torch.ones(1, 1, dtype=torch.float64))
    params = LIParams(torch.tensor([math.exp(-1 / 20)], dtype=torch.float64))
    current = torch.zeros(40, 1, 1, dtype=torch.float64)
    out, _ = reference.run(LI, params, start, current, None, FIRE)
    expected = torch.exp(-torch.arange(1, 41, dtype=torch.float64) / 20)
    # 40 float64 products in a row
    torch.testing.assert_close(out[:, 0, 0], expected, rtol=1e-13, atol=0)


def test_constant_current_settles_at_that_current():
    current = torch.full((400, 1, 1), 0.75, dtype=torch.float64)
    params = LIParams(torch.tensor([0.9], dtype=torch.float64))
    _, state = reference.run(LI, params, zeros(LIState), current, None, FIRE)
    assert state.v.item() == pytest.approx(0.75, abs=1e-12)


@pytest.mark.parametrize(("tau", "i"), [(5.0, 1.5), (20.0, 1.2), (20.0, 3.0)])
def test_first_spike_time(tau, i):
    """v_t = i (1 - alpha^t) first exceeds v_th = 1 at t = ceil(-tau ln(1 - 1/i))."""
    current = torch.full((200, 1, 1), i, dtype=torch.float64)
    out, _ = reference.run(LIF, lif(math.exp(-1 / tau)), zeros(LIFState), current, None, FIRE)
    assert int(out[:, 0, 0].argmax()) + 1 == math.ceil(-tau * math.log(1 - 1 / i))


def test_fires_strictly_above_threshold():
    """alpha = 0 makes v = i: at i = v_th exactly there is no spike."""
    current = torch.tensor([1.0, 1.0 + 2**-20], dtype=torch.float64).reshape(2, 1, 1)
    out, _ = reference.run(LIF, lif(0.0), zeros(LIFState), current, None, FIRE)
    assert out.flatten().tolist() == [0.0, 1.0]


def test_reset_comes_with_the_next_update():
    current = torch.tensor([4.0, 0.0], dtype=torch.float64).reshape(2, 1, 1)
    params = lif(0.5)
    out, state = reference.run(LIF, params, zeros(LIFState), current[:1], None, FIRE)
    assert (state.v.item(), out.item()) == (2.0, 1.0)
    _, state = reference.run(LIF, params, state, current[1:], None, FIRE)
    assert state.v.item() == 0.5 * 2.0 - 1.0


def test_recurrence_takes_one_step():
    w_rec = torch.tensor([[0.0, 0.0], [8.0, 0.0]], dtype=torch.float64)
    current = torch.tensor([[4.0, 0.0], [0.0, 0.0]], dtype=torch.float64).reshape(2, 1, 2)
    out, _ = reference.run(LIF, lif(0.5, size=2), zeros(LIFState, 1, 2), current, w_rec, FIRE)
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
    seen = golden.run(name, constants, x, w)
    state = zeros(model.state, 1, size)
    w_rec = None if w is None else torch.from_numpy(w)
    fired = 0.0
    for t in range(steps):
        current = torch.from_numpy(x[t]).reshape(1, 1, size)
        out, state = reference.run(model, params, state, current, w_rec, FIRE)
        for field, value in state._asdict().items():
            expected = np.array([each[field] for each in seen[t]])
            if field == "z":
                assert np.array_equal(value[0].numpy(), expected), t
            else:
                # each step rounds at 1e-16; resets and leaks keep that from growing 1e6 times
                np.testing.assert_allclose(value[0].numpy(), expected, rtol=1e-10, atol=1e-10)
                assert np.isfinite(expected).all()  # NaN would be equal to NaN here
        fired += float(out.mean()) / steps
    assert not model.spikes or 0.02 < fired < 0.5


def test_every_neuron_has_an_independent_simulation():
    assert golden.GOLDEN.keys() == NEURONS.keys()


def test_lif_against_snntorch():
    """snnTorch's RLeaky: v = beta v + i + w z - v_th z, so our current is theirs / (1 - beta)."""
    torch.manual_seed(0)
    size, steps, beta = 6, 80, 0.5
    theirs = snntorch.RLeaky(
        beta=beta, linear_features=size, reset_mechanism="subtract", reset_delay=True
    )
    w = torch.randint(-64, 64, (size, size)) / 256
    with torch.no_grad():
        theirs.recurrent.weight.copy_(w)
        theirs.recurrent.bias.zero_()
    x = torch.randint(-128, 384, (steps, 2, size)) / 256
    spk, mem = theirs.init_rleaky()
    expected = []
    with torch.no_grad():
        for t in range(steps):
            spk, mem = theirs(x[t], spk, mem)
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
