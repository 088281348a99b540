"""What a step must do, against closed forms, an independent simulation and snnTorch."""

import copy
import math
import pickle
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import golden
import numpy as np
import pytest
import snntorch
import torch

from spikern._utils.errors import InputError
from spikern.engines import reference
from spikern.layers.init import impulse_response
from spikern.layers.rnn import SpikingRNN
from spikern.neurons import BRF, LI, NEURONS, RF, RefractoryLIF
from spikern.neurons.constants import Constant, between, decay, frequency, positive, real, steps
from spikern.neurons.lif import LIF, LIFParams, LIFState
from spikern.neurons.surrogate import SURROGATES, spike, triangular
from spikern.testing import LAWS, ContractError, check_neuron

FIRE = spike(triangular())


COMPILED = ("LIF", "ALIF", "BRF", "SEAdLIF", "LI")
"""The neurons whose kernels are compiled here, for seconds each; slow tests compile the others."""


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", NEURONS)
def test_contract(name, law, request):
    if name not in COMPILED:
        request.getfixturevalue("plain_python")
    law(NEURONS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NEURONS if name not in COMPILED])
def test_compiled_kernels_keep_the_contract(name):
    check_neuron(NEURONS[name])


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


AUTOCAST = partial(torch.autocast, "cpu", torch.bfloat16)


class Nothing(NamedTuple):
    pass


class Buffered(NamedTuple):
    v: torch.Tensor
    z: torch.Tensor
    delay_buffer: torch.Tensor


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant("t_ref", 5.0, kind="steps"), "t_ref is a number of steps, .* no gradien"),
        (lambda: RefractoryLIF.with_constant("t_ref", trainable=True), "has no gradient"),
        (lambda: between("share", 1.0, 0.0, math.inf), "bounds of share that are finite"),
        (lambda: between("share", 1.0, 2.0, 0.0), "the lower first, got 2.0 and 0.0"),
        (lambda: decay("index", 5.0), "a symbol is a word such as tau_mem, and none of self, ind"),
        (lambda: decay("tau.mem", 5.0), r"got 'tau\.mem'"),
        (lambda: decay("", 5.0), "got ''"),
        (lambda: replace(LI, state=Nothing), "the state of a neuron has a field at least"),
        (lambda: replace(LIF, state=Buffered), "delays of axons keep the field delay_buffer"),
        (lambda: SpikingRNN(LIF.with_constants(tau_mem=[5.0]), 3, 4), "has 1 values for 4 neuron"),
        (lambda: SpikingRNN(LIF.with_constants(tau_mem=5.0), 3, 4).set_constants(tau_mem=[5.0]),
         "has 1 values for 4 neurons"),
        (lambda: SpikingRNN(BRF.with_constants(omega=0.2), 3, 8, dt=8.0),
         "omega must stay below 0.125 at dt = 8, got 0.2"),
        (lambda: SpikingRNN(BRF.with_constant("omega", span=(0.1, 0.2)), 3, 8, dt=8.0),
         "omega must stay below 0.125 at dt = 8, got 0.1"),
        (lambda: SpikingRNN(at_rest(), 3, 4), "Resting rests exactly at its threshold"),
        (lambda: triangular(width=math.inf), "the width of a surrogate must be above 0 and finite"),
        (lambda: check_neuron("LIF"), "model must be NeuronModel, got str"),
    ],
)  # fmt: skip
def test_what_no_neuron_can_be_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def at_rest():
    constants = {"alpha_mem": decay("tau_mem", 20.0), "v_th": real("v_th", 0.0)}
    return replace(LIF, name="Resting", constants=constants)


def test_a_spread_that_leads_beyond_the_bound_is_named():
    omega = BRF.constants["omega"]
    drawn = [omega.value(omega.draw(128)).max() for _ in range(20)]
    assert 0.1 < min(drawn) < 0.125 < max(drawn)  # below 1 / 8 for some seeds, not for others
    with pytest.raises(
        InputError, match=r"omega must stay below 0\.125 at dt = 8, .* lower its mean"
    ):
        omega.draw(128 * 20, 8.0)


def test_constants_beyond_their_bound_are_refused_when_a_layer_runs():
    layer = SpikingRNN("BRF", 3, 8)
    layer.raw_omega_l0.data.fill_(0.5)  # where a loop of one's own without keep_stable has led
    x = torch.randn(5, 4, 3)
    with pytest.raises(InputError, match=r"omega must stay below 1 at dt = 1, got 1\.6"):
        layer(x)
    layer.keep_stable()
    layer(x)


@pytest.mark.parametrize("inside", [torch.no_grad, torch.inference_mode, AUTOCAST])
def test_what_surrounds_the_check_of_a_neuron_is_left_out(inside):
    with inside():
        check_neuron(LIF)


def test_the_check_takes_values_of_any_number_of_neurons():
    check_neuron(LIF.with_constants(tau_mem=[5.0, 6.0, 7.0]))
    with pytest.raises(ContractError, match=r"RF makes no layer: .*stable"):
        check_neuron(RF.with_constants(omega=2.5))


@pytest.mark.parametrize("what", ["params", "state"])
def test_params_and_state_are_named_tuples(what):
    with pytest.raises(InputError, match=f"{what} must be a NamedTuple class, got <class 'dict'>"):
        replace(LIF, **{what: dict})


def test_constants_stay_within_their_bounds_and_reach_what_is_set():
    share = between("share", 1.5, 1.0, 3.0, spread=1.5)
    raw = share.draw(10_000, generator=torch.Generator().manual_seed(0))
    values = share.value(raw)
    assert 1.0 < values.min() < 1.1
    assert 2.9 < values.max() < 3.0
    assert values.median() == pytest.approx(1.5, abs=0.05)  # of 10,000 draws, 0.01 apart
    assert float(share.value(torch.tensor(-50.0))) == 1.0
    assert not steps("t_ref", 2.0).trainable
    for dt, n in ((0.1, 20), (0.3, 7), (5.0, 0)):
        assert float(steps("t_ref", 2.0).field(torch.tensor(2.0).log(), dt)) == n
    omega = frequency("omega", 0.5).field(torch.tensor(0.5).log(), 4.0)
    assert float(omega) == pytest.approx(2.0, abs=1e-6)  # float32's exp and log
    assert not real("v_reset", -1.0).violation(-5.0)


@pytest.mark.parametrize(
    ("name", "constants", "message"),
    [
        ("AdLIF", {"adapt_sub": 1.5}, "adapt_sub must be between 0 and 1, got 1.5"),
        ("TCLIF", {"beta_dend": 0.0}, "beta_dend must be between 0 and 1, got 0.0"),
        ("RF", {"omega": -1.0}, "omega must be above 0, got -1.0"),
        ("RefractoryLIF", {"t_ref": 0.0}, "t_ref must be above 0, got 0.0"),
    ],
)
def test_constants_out_of_bounds_are_refused(name, constants, message):
    with pytest.raises(InputError, match=message):
        NEURONS[name].with_constants(**constants)


def test_a_refractory_time_is_whole_steps_of_the_layer():
    layer = SpikingRNN("RefractoryLIF", 2, 4, dt=0.5)
    assert layer.params(0).n_ref.tolist() == [4.0] * 4
    assert "raw_t_ref_l0" not in dict(layer.named_parameters())


def test_constants_are_in_ms():
    layer = SpikingRNN(LIF.with_constants(tau_mem=10.0).frozen(), 2, 4, dt=2.0)
    assert layer.params(0).alpha_mem.mean().item() == pytest.approx(math.exp(-0.2), rel=0.1)


# Closed forms


def trajectory(name, current, **constants):
    """One neuron in float64 under the given currents: a list of its states."""
    model = NEURONS[name]
    params = model.params(
        **{f: torch.tensor([constants[f]], dtype=torch.float64) for f in model.params._fields}
    )
    state = model.state(*(torch.zeros(1, 1, dtype=torch.float64) for _ in model.state._fields))
    states = []
    for i in current:
        x = torch.full((1, 1, 1), i, dtype=torch.float64)
        _, state = reference.run(model, params, state, x, None, FIRE)
        states.append(model.state(*(float(field) for field in state)))
    return states


def impulse(n):
    return [1.0] + [0.0] * (n - 1)


def spike_times(states):
    return [t for t, s in enumerate(states) if s.z]


OFF = 1e200
"""A threshold that is never reached."""


def test_a_leak_is_exponential():
    """v_n = (1 - alpha) alpha^n after a unit of charge."""
    alpha = math.exp(-1 / 20)
    for n, state in enumerate(trajectory("LI", impulse(40), alpha_mem=alpha)):
        # 40 float64 products in a row
        assert state.v == pytest.approx((1 - alpha) * math.exp(-n / 20), rel=1e-13)


@pytest.mark.parametrize(
    ("name", "constants"),
    [
        ("LI", {"alpha_mem": 0.9}),
        ("CubaLIF", {"alpha_syn": 0.7, "alpha_mem": 0.9, "v_th": OFF}),
    ],
)
def test_a_constant_current_settles_at_that_current(name, constants):
    assert trajectory(name, [0.75] * 400, **constants)[-1].v == pytest.approx(0.75, abs=1e-12)


@pytest.mark.parametrize(("tau", "i"), [(5.0, 1.5), (20.0, 1.2), (20.0, 3.0)])
def test_first_spike_time(tau, i):
    """v_t = i (1 - alpha^t) first exceeds v_th = 1 at t = ceil(-tau ln(1 - 1/i))."""
    states = trajectory("LIF", [i] * 200, alpha_mem=math.exp(-1 / tau), v_th=1.0)
    assert spike_times(states)[0] + 1 == math.ceil(-tau * math.log(1 - 1 / i))


def test_fires_strictly_above_threshold():
    """alpha = 0 makes v = i: at i = v_th exactly there is no spike."""
    states = trajectory("LIF", [1.0, 1.0 + 2**-20], alpha_mem=0.0, v_th=1.0)
    assert [s.z for s in states] == [0.0, 1.0]


@pytest.mark.parametrize(("tau", "i", "n_ref"), [(20.0, 1.5, 0), (20.0, 1.2, 3), (5.0, 3.0, 1)])
def test_a_hard_reset_makes_spikes_regular(tau, i, n_ref):
    """From rest v_t = i (1 - alpha^t), so a period is ceil(-tau ln(1 - 1/i)) steps, and n_ref."""
    alpha = math.exp(-1 / tau)
    rise = math.ceil(-tau * math.log(1 - 1 / i))
    refractory = trajectory("RefractoryLIF", [i] * 200, alpha_mem=alpha, v_th=1.0, n_ref=n_ref)
    times = spike_times(refractory)
    assert times[0] == rise - 1
    assert {b - a for a, b in pairwise(times)} == {rise + n_ref}
    hard = trajectory("HardLIF", [i] * 200, alpha_mem=alpha, v_th=1.0, v_reset=0.0)
    times = spike_times(hard)
    assert {b - a for a, b in pairwise(times)} == {rise}
    if n_ref == 0:
        assert [s.v for s in hard] == [s.v for s in refractory]


@pytest.mark.parametrize(
    ("name", "constants", "after"),
    [("LIF", {}, 0.5 * 2.0 - 1.0), ("HardLIF", {"v_reset": -0.5}, 0.5 * -0.5)],
)
def test_a_reset_comes_with_the_next_update(name, constants, after):
    states = trajectory(name, [4.0, 0.0], alpha_mem=0.5, v_th=1.0, **constants)
    assert [s.v for s in states] == [2.0, after]
    assert states[0].z == 1.0


def test_a_synaptic_current_makes_a_double_exponential():
    """v_n = (1-s)(1-m) (m^{n+1} - s^{n+1}) / (m - s) after a unit of charge."""
    s, m = 0.7, 0.9
    states = trajectory("CubaLIF", impulse(40), alpha_syn=s, alpha_mem=m, v_th=OFF)
    for n, state in enumerate(states):
        expected = (1 - s) * (1 - m) * (m ** (n + 1) - s ** (n + 1)) / (m - s)
        assert state.v == pytest.approx(expected, abs=1e-15)


def test_adaptation_settles_where_its_equations_say():
    """AdLIF: w = a v / (1 - beta), v = i - w. SE-adLIF: w = a v, v = i - w."""
    common = {"alpha_mem": 0.9, "alpha_adapt": 0.97, "adapt_spike": 1.0, "v_th": OFF}
    v = trajectory("AdLIF", [1.0] * 2000, adapt_sub=0.2, **common)[-1].v
    assert v == pytest.approx(1 / (1 + 0.2 / 0.03), abs=1e-12)
    v = trajectory("SEAdLIF", [1.0] * 2000, adapt_sub=20.0, **common)[-1].v
    assert v == pytest.approx(1 / 21, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "limit", "unstable"),
    [
        ("AdLIF", -0.03, -1),  # a = -(1 - beta): below
        ("SEAdLIF", 1.9 * 1.97 / (0.1 * 0.03), 1),  # (1+alpha)(1+beta)/((1-alpha)(1-beta)): above
    ],
)
def test_stability_ends_where_it_should(name, limit, unstable):
    common = {"alpha_mem": 0.9, "alpha_adapt": 0.97, "adapt_spike": 1.0, "v_th": OFF}
    for side in (-1, 1):
        coupling = limit * (1 + 0.02 * side * (1 if limit > 0 else -1))
        states = trajectory(name, impulse(4000), adapt_sub=coupling, **common)
        grows = abs(states[3999].v) > abs(states[1999].v)
        assert grows == (side == unstable)


def test_a_resonator_oscillates_at_its_frequency():
    """v_n = omega alpha^n sin((n+1) phi) / sin phi with sin(phi/2) = omega / (2 sqrt(alpha))."""
    alpha, omega = 0.98, 0.3
    phi = 2 * math.asin(omega / (2 * math.sqrt(alpha)))
    states = trajectory("RF", impulse(200), alpha_mem=alpha, omega=omega, v_th=OFF)
    for n, state in enumerate(states):
        expected = omega * alpha**n * math.sin((n + 1) * phi) / math.sin(phi)
        assert state.v == pytest.approx(expected, abs=1e-13)


def test_a_resonator_tends_to_the_continuous_one():
    """dz/dt = (b + i omega) z: Im z = exp(b t) sin(omega t) after a kick of 1, as dt goes to 0."""
    tau, omega, time = 50.0, 0.2, 30.0
    exact = math.exp(-time / tau) * math.sin(omega * time)
    far = []
    for dt in (0.1, 0.05, 0.025):
        n = round(time / dt)
        p = {"alpha_mem": math.exp(-dt / tau), "omega": omega * dt, "v_th": OFF}
        far.append(abs(trajectory("RF", impulse(n), **p)[-1].v - exact))
    assert far[0] > 1.9 * far[1] > 3.6 * far[2]  # the error is halved with the step


def test_a_resonator_responds_to_its_own_frequency_only():
    def spikes(period):
        x = [0.045 * math.sin(2 * math.pi * t / period) for t in range(600)]
        states = trajectory("RF", x, alpha_mem=0.985, omega=2 * math.pi / 60, v_th=1.0)
        return len(spike_times(states))

    assert spikes(60) > 5
    assert spikes(30) == spikes(120) == 0


def test_a_spike_leaves_a_resonator_at_the_top():
    states = trajectory("RF", [40.0, 0.0], alpha_mem=0.5, omega=0.125, v_th=1.0)
    assert states[0].z == 1.0
    assert (states[1].y, states[1].v) == (-0.125, 0.5 - 0.125**2)


@pytest.mark.parametrize("alpha", [1.0, 0.99])
def test_a_balanced_resonator_neither_grows_nor_shrinks_but_by_its_damping(alpha):
    """v_n + i y_n = (g + i omega)^n, of modulus 1 without damping."""
    omega = 0.3
    fixed = {"alpha_ref": 0.9, "q_damp": 0.01, "v_th": OFF}
    states = trajectory("BRF", impulse(500), alpha_mem=alpha, omega=omega, **fixed)
    g = complex(math.sqrt(1 - omega**2) - (1 - alpha), omega)
    assert (abs(g) == pytest.approx(1.0, abs=1e-15)) == (alpha == 1.0)
    for n in (0, 1, 100, 499):
        assert complex(states[n].v, states[n].y) == pytest.approx(g**n, abs=1e-12)


def test_a_balanced_resonator_is_refractory_for_a_while():
    """After a spike the threshold stands at 1 + 0.9^k, and no reset moves v."""
    p = {"alpha_mem": 1.0, "alpha_ref": 0.9, "omega": 0.0, "q_damp": 0.0, "v_th": 1.0}
    states = trajectory("BRF", [1.5] + [0.0] * 20, **p)
    assert all(s.v == 1.5 for s in states)
    assert spike_times(states)[:2] == [0, 8]  # 0.9^6 > 1/2 > 0.9^7, which is q eight steps later
    assert [s.q for s in states[1:4]] == pytest.approx([1.0, 0.9, 0.81])


@pytest.mark.parametrize(("excess", "fires"), [(-1e-3, False), (1e-3, True)])
def test_an_exponential_neuron_fires_above_its_rheobase(excess, fires):
    """v = i + s exp((v - r) / s) has no solution once i exceeds r - s."""
    p = {"alpha_mem": 0.95, "v_rh": 0.5, "v_sharp": 0.1, "v_th": 1.0}
    states = trajectory("EIF", [0.5 - 0.1 + excess] * 3000, **p)
    assert bool(spike_times(states)) == fires


def test_two_compartments_keep_their_charge():
    """v_n = beta_dend sin((n+1) phi) / sin phi with sin(phi/2) = sqrt(beta_soma beta_dend) / 2."""
    soma, dend = 0.4, 0.6
    phi = 2 * math.asin(math.sqrt(soma * dend) / 2)
    p = {"beta_soma": soma, "beta_dend": dend, "reset_dend": 0.5}
    for n, state in enumerate(trajectory("TCLIF", impulse(500), v_th=OFF, **p)):
        expected = dend * math.sin((n + 1) * phi) / math.sin(phi)
        assert state.v == pytest.approx(expected, abs=1e-12)


# Independent simulations


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
    with pytest.raises(InputError, match="width of a surrogate must be above 0"):
        SURROGATES["triangular"](width=0.0)


def test_a_mean_takes_the_place_of_a_span():
    spanned = NEURONS["BRF"].with_constant("omega", span=(0.15, 0.5))
    layer = SpikingRNN(spanned.with_constants(omega=[0.1, 0.2, 0.3]), 2, 3)
    assert layer.constants()["omega"].tolist() == pytest.approx([0.1, 0.2, 0.3])  # of its logarithm
    both = spanned.with_constant("omega", mean=0.3, span=(0.2, 0.4)).constants["omega"]
    assert both.span == (0.2, 0.4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "decays"}, "no kind of constant 'decays'; did you mean 'decay'"),
        ({"spread": math.nan}, "expected the spread of tau_mem as 0 or more and finite, got nan"),
        ({"spread": -1.0}, "expected the spread of tau_mem as 0 or more and finite, got -1.0"),
        ({"spread": "a"}, "the spread of tau_mem must be a number, got 'a'"),
        ({"span": (1.0,)}, r"expected the span of tau_mem as two numbers, got \(1.0,\)"),
        ({"span": 2.0}, "expected the span of tau_mem as two numbers, got 2.0"),
    ],
)
def test_an_impossible_constant_is_refused_at_once(changes, message):
    with pytest.raises(InputError, match=message):
        LIF.with_constant("tau_mem", **changes)


def test_numbers_of_numpy_make_a_constant():
    made = decay("tau", np.float32(5.0), spread=np.float32(0.5))
    assert made == decay("tau", 5.0, spread=0.5)
    spanned = NEURONS["BRF"].with_constant("omega", span=np.array([0.25, 0.5]))
    assert spanned.constants["omega"].span == (0.25, 0.5)
