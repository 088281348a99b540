"""What can be said of the neurons with pen and paper: rests, periods, frequencies, stability."""

import math
from itertools import pairwise

import pytest
import torch

from spikern._utils.errors import InputError
from spikern.engines import reference
from spikern.layers.rnn import SpikingRNN
from spikern.neurons import NEURONS
from spikern.neurons.constants import between, frequency, real, steps


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
        _, state = reference.run(model, params, state, x, None, lambda u: (u > 0).to(u.dtype))
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
        late, later = abs(states[1999].v), abs(states[3999].v)
        assert (later > late) == (side == unstable)


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


def test_constants_stay_within_their_bounds_and_reach_what_is_set():
    share = between("share", 1.5, 1.0, 3.0, spread=1.5)
    raw = share.draw(10_000, torch.Generator().manual_seed(0))
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
    assert not real("v_reset", -1.0).permits(-5.0)


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
