"""snnTorch 1.0.0: imported and exported cells compute the same; what it does wrong is shown."""

import copy
import gc
import pickle
import weakref
from dataclasses import replace

import pytest
import torch
from torch import nn

from spikern import testing
from spikern._utils.errors import InputError, UnsupportedError
from spikern._utils.packages import require
from spikern.interop.snntorch import (
    NAMES,
    ONE_WAY,
    from_snntorch,
    layers_from_snntorch,
    to_snntorch,
)
from spikern.interop.snntorch_neurons import RECURRENT, RESETS, snntorch_neuron
from spikern.interop.snntorch_surrogates import surrogate_from_snntorch, surrogate_to_snntorch
from spikern.layers.rnn import SpikingRNN
from spikern.neurons.alif import ALIF
from spikern.neurons.lif import LIF
from spikern.neurons.surrogate import SURROGATES, Surrogate

snn = pytest.importorskip("snntorch")
surrogate = pytest.importorskip("snntorch.surrogate")
spikegen = pytest.importorskip("snntorch.spikegen")
functional = pytest.importorskip("snntorch.functional")

T, B, F, H = 220, 3, 6, 8
BETA, ALPHA = 0.9375, 0.5
LEGAL = 1e-4
"""A spike may differ first where the distance to threshold is smaller than this."""
CASES = [
    (*key, one_to_one) for key in RESETS for one_to_one in (False, True)
    if key[0] in RECURRENT or not one_to_one
]  # fmt: skip
IDS = ["-".join(map(str, case)) for case in CASES]


def make(kind, mechanism, delay, one_to_one=False, size=H, **settings):
    defaults = {
        "beta": BETA, "reset_mechanism": mechanism, "reset_delay": delay,
        "spike_grad": surrogate.fast_sigmoid(slope=5),
    }  # fmt: skip
    if kind in ("Synaptic", "RSynaptic"):
        defaults["alpha"] = ALPHA
    if kind in ("Lapicque", "Alpha"):
        del defaults["reset_delay"]
    if kind == "Alpha":
        defaults |= {"alpha": BETA, "beta": ALPHA}
    if kind == "Lapicque":  # the decay is BETA, the gain 1/2
        del defaults["beta"]
        defaults |= {"R": 8.0, "C": 2.0}
    if one_to_one:
        defaults |= {"all_to_all": False, "V": torch.linspace(-0.5, 0.75, size)}
    elif kind in RECURRENT:
        defaults["linear_features"] = size
    return getattr(snn, kind)(**defaults | settings)


def decays(kind, learn=False):
    """Random decays, one per neuron where the cell can have them."""
    if kind == "Lapicque":
        return {"R": 3.0, "C": 2.0, "time_step": 0.7}
    quick, slow = torch.rand(H) * 0.4 + 0.2, torch.rand(H) * 0.3 + 0.65
    if kind == "Alpha":
        return {"alpha": slow, "beta": quick, "learn_beta": learn}
    settings = {"beta": slow, "learn_beta": learn}
    if "Synaptic" in kind:
        settings |= {"alpha": quick, "learn_alpha": learn}
    return settings


def dyadic(*shape, low=-64, high=64):
    return torch.randint(low, high, shape) / 256


def pair(case, draw=dyadic, **settings):
    """A Linear and a cell after it, with weights from `draw`."""
    linear, cell = nn.Linear(F, H), make(*case, **settings)
    with torch.no_grad():
        for p in [*linear.parameters(), *getattr(cell, "recurrent", nn.Identity()).parameters()]:
            p.copy_(draw(*p.shape) if p.ndim == 2 else dyadic(*p.shape, low=-8, high=8))
    return linear, cell


def loop(linear, cell, x):
    """snnTorch as its documentation writes it: spikes, membranes, each (T, B, H)."""
    state = cell.reset_mem()
    state = list(state) if isinstance(state, tuple) else [state]
    spikes, membranes = [], []
    for now in x:
        spk, *state = cell(linear(now), *state)
        spikes.append(spk)
        membranes.append(state[-1])
        if type(cell).__name__ in RECURRENT:
            state = [spk, *state]
    return torch.stack(spikes), torch.stack(membranes)


simulate = torch.no_grad()(loop)


@torch.no_grad()
def stepwise(layer, x):
    """Ours, with the membrane after every step."""
    state, spikes, membranes = None, [], []
    for t in range(len(x)):
        z, state = layer(x[t : t + 1], state)
        spikes.append(z[0])
        membranes.append(state.v[0])
    return torch.stack(spikes), torch.stack(membranes)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_bit_equal_with_dyadic_weights(case):
    """Every neuron receives the input or the recurrence: the order of a sum cannot matter.

    0.9375 v is rounded at every step, so this is equality of the operations, in their order.
    """
    torch.manual_seed(1)
    low = -160 if case[1] == "none" else -96  # without a reset inhibition must bound v
    linear, cell = pair(case, lambda *shape: dyadic(*shape, low=low, high=low + 320))
    if case[0] in RECURRENT and not case[3]:
        with torch.no_grad():
            linear.weight[H // 2 :] = 0.0
            linear.bias[H // 2 :] = 0.0
            cell.recurrent.weight[: H // 2] = 0.0
            cell.recurrent.bias[: H // 2] = 0.0
    x = (torch.rand(T, B, F) < 0.3).float()
    spikes, membranes = simulate(linear, cell, x)
    layer = from_snntorch(linear, cell, engine="reference")
    z, v = stepwise(layer, x)
    assert 0.02 < spikes.mean() < 0.95
    assert spikes[-20:].any()
    assert torch.equal(z, spikes)
    assert torch.equal(v, membranes)


@pytest.mark.parametrize(
    ("case", "mutant"),
    [
        (("RLeaky", "subtract", True), ("RLeaky", "subtract", False)),
        (("RLeaky", "zero", True), ("Leaky", "zero", True)),
        (("Leaky", "zero", False), ("Leaky", "zero", True)),
        (("RSynaptic", "zero", True), ("RSynaptic", "none", True)),
    ],
)
def test_another_reset_is_seen(case, mutant):
    """Planted: the comparisons of this file tell the neurons apart."""
    torch.manual_seed(1)
    linear, cell = pair(case, lambda *shape: dyadic(*shape, low=-96, high=224))
    x = (torch.rand(T, B, F) < 0.3).float()
    _, membranes = simulate(linear, cell, x)
    layer = from_snntorch(linear, cell, engine="reference")
    # far beyond the rounding of sums in another order
    assert (stepwise(layer, x)[1] - membranes).abs().max() < 1e-3
    layer.neurons = (snntorch_neuron(*mutant),)
    assert (stepwise(layer, x)[1] - membranes).abs().max() > 0.1


@pytest.mark.parametrize("engine", ["reference", "fused"])
def test_bit_equal_when_nothing_is_rounded(engine):
    """beta = 1 keeps every number a multiple of 1/256, dense recurrence and biases and all."""
    torch.manual_seed(2)
    linear, cell = pair(("RLeaky", "subtract", True), beta=1.0)
    x = (torch.rand(T, B, F) < 0.3).float()
    spikes, membranes = simulate(linear, cell, x)
    layer = from_snntorch(linear, cell, engine=engine)
    z, v = stepwise(layer, x)
    whole, state = layer(x)
    assert 0.02 < spikes.mean() < 0.95
    assert torch.equal(z, spikes)
    assert torch.equal(v, membranes)
    assert torch.equal(whole, spikes)
    assert torch.equal(state.v[0], membranes[-1])


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_equal_up_to_the_first_legal_divergence(case):
    torch.manual_seed(3)
    threshold = torch.rand(H) + 0.5
    settings = decays(case[0]) | {"threshold": threshold}
    linear, cell = pair(case, lambda *shape: 0.7 * torch.randn(shape), **settings)
    x = torch.randn(T, B, F)
    spikes, membranes = simulate(linear, cell, x)
    z, v = stepwise(from_snntorch(linear, cell, engine="reference"), x)
    assert 0.01 < spikes.mean() < 0.99
    for b in range(B):
        differing = (z[:, b] != spikes[:, b]).any(1).nonzero()
        first = int(differing[0]) if len(differing) else T
        # float32 sums in another order: a few ulp of numbers below 64, forgotten at rate beta
        torch.testing.assert_close(v[:first, b], membranes[:first, b], rtol=0, atol=1e-4)
        if first < T:
            where = z[first, b] != spikes[first, b]
            assert ((v[first, b] - threshold)[where].abs() < LEGAL).all()


@pytest.mark.usefixtures("plain_python")
@pytest.mark.parametrize("engine", ["reference", "fused"])
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_gradients(case, engine):
    """By name, against snnTorch's autograd, every number learned."""
    torch.manual_seed(4)
    kind, _, _, one_to_one = case
    numbers = decays(kind, True) | {"threshold": torch.rand(H) + 0.75, "learn_threshold": True}
    linear, cell = pair(case, lambda *shape: 0.4 * torch.randn(shape), **numbers)
    layer = from_snntorch(linear, cell, engine=engine)
    x, target = torch.randn(30, B, F), torch.randn(30, B, H)
    spikes, _ = loop(linear, cell, x)
    z, _ = layer(x)
    assert torch.equal(z, spikes)
    (spikes * target).sum().backward()
    (z * target).sum().backward()
    pairs = {"weight_ih_l0": linear.weight, "bias_l0": linear.bias} | {
        f"raw_{field}_l0": theirs
        for field in layer.neuron.params._fields
        if (theirs := getattr(cell, NAMES.get(field, "C"))).requires_grad
    }
    if kind in RECURRENT and not one_to_one:
        pairs["weight_hh_l0"] = cell.recurrent.weight
        assert torch.allclose(cell.recurrent.bias.grad, linear.bias.grad)
    assert set(pairs) == {name for name, _ in layer.named_parameters()}
    for name, theirs in pairs.items():
        ours = layer.get_parameter(name).grad
        lost = name == "raw_w_self_l0" and case[:2] == ("RLeaky", "zero") and case[2]
        assert bool(theirs.grad.any()) != lost  # a neuron's own spike comes when all is lost
        # sums of 90 float32 products, through 30 steps of recurrence, in another order
        torch.testing.assert_close(ours, theirs.grad, rtol=2e-4, atol=2e-4, msg=name)


@pytest.mark.usefixtures("plain_python")
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_the_neurons_keep_the_contract(case):
    """All of it, but where snnTorch cuts the gradient, its gradient is no derivative."""
    model = snntorch_neuron(*case)
    cut = case[1] != "none" and case[2]
    for law in testing.LAWS:
        if cut and law is testing.gradients_match_differences:
            with pytest.raises(testing.ContractError, match="finite differences"):
                law(model)
        else:
            law(model)


def test_layers_pickle_and_copy():
    torch.manual_seed(5)
    layer = from_snntorch(nn.Linear(F, H), make("RLeaky", "zero", True), engine="reference")
    x = torch.randn(20, B, F)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x)[0], layer(x)[0])
        assert type(to_snntorch(twin)[1]) is snn.RLeaky


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_there_and_back(case):
    torch.manual_seed(6)
    one_way = case[0] in ONE_WAY
    settings = {} if one_way else decays(case[0], learn=True)
    linear, cell = pair(case, torch.randn, **settings)
    layer = from_snntorch(linear, cell)
    if one_way:
        with pytest.raises(UnsupportedError, match=f"computes snnTorch {case[0]} .*no Lapicque"):
            to_snntorch(layer)
        return
    linear_2, cell_2 = to_snntorch(layer)
    x = torch.randn(40, B, F)
    spikes, membranes = simulate(linear, cell, x)
    spikes_2, membranes_2 = simulate(linear_2, cell_2, x)
    assert type(cell_2) is type(cell)
    assert torch.equal(spikes_2, spikes)
    # two biases have become one: the rounding of a sum
    torch.testing.assert_close(membranes_2, membranes, rtol=0, atol=1e-4)
    again = from_snntorch(linear_2, cell_2)
    assert again.neuron.name == layer.neuron.name
    assert (again.surrogate.name, again.surrogate.settings) == ("fast_sigmoid", (5.0, 1.0))
    for name, value in layer.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    assert [n for n, _ in again.named_parameters()] == [n for n, _ in layer.named_parameters()]


@pytest.mark.parametrize("recurrent", [True, False])
def test_our_lif_goes_there(recurrent):
    torch.manual_seed(7)
    layer = SpikingRNN("LIF", F, H, num_layers=2, recurrent=recurrent, engine="reference")
    x = 3 * torch.randn(T, B, F)
    with torch.no_grad():
        ours, _ = layer.unroll(x)
        z = x
        for k in range(2):
            z, _ = loop(*to_snntorch(layer, k), z)
            assert 0.005 < ours[k].mean() < 0.5
            assert torch.equal(z, ours[k])


def test_a_network_in_pairs():
    torch.manual_seed(8)
    net = nn.Sequential(
        nn.Linear(F, H, bias=False), make("RLeaky", "zero", False), nn.Linear(H, 4),
        make("Leaky", "subtract", True, size=4),
    )  # fmt: skip
    layers = layers_from_snntorch(net, engine="reference")
    x = 2 * torch.randn(50, B, F)
    with torch.no_grad():
        z, _ = loop(net[2], net[3], loop(net[0], net[1], x)[0])
        ours = layers[1](layers[0](x)[0])[0]
    assert z.any()
    assert torch.equal(ours, z)
    with pytest.raises(UnsupportedError, match="Linear, cell, Linear, cell"):
        layers_from_snntorch(list(net)[:3])
    with pytest.raises(UnsupportedError, match="got nothing"):
        layers_from_snntorch([])


def test_frozen_stays_frozen():
    cell = make("RLeaky", "subtract", True, learn_recurrent=False)
    layer = from_snntorch(nn.Linear(F, H), cell)
    assert not layer.get_parameter("weight_hh_l0").requires_grad
    assert layer.get_parameter("bias_l0").requires_grad
    assert not to_snntorch(layer)[1].recurrent.weight.requires_grad
    cell = make("Leaky", "subtract", True, learn_beta=True)
    cell.beta.requires_grad_(False)
    names = {name for name, _ in from_snntorch(nn.Linear(F, H), cell).named_parameters()}
    assert names == {"weight_ih_l0", "bias_l0"}


@pytest.mark.parametrize(
    ("kind", "settings", "named"),
    [
        ("Leaky", {"inhibition": True}, "inhibition"),
        ("Leaky", {"state_quant": lambda x: x}, "state_quant"),
        ("Leaky", {"surrogate_disable": True}, "surrogate_disable"),
        ("Leaky", {"graded_spikes_factor": 0.5}, "graded_spikes_factor"),
        ("Leaky", {"learn_graded_spikes_factor": True}, "graded_spikes_factor"),
        ("Leaky", {"threshold": 0.0}, "threshold"),
        ("Lapicque", {"beta": 0.5, "R": False, "C": False, "learn_beta": True}, "learn_beta"),
        ("Lapicque", {"R": 1.0, "C": 0.5}, "time_step > R C"),
        ("Alpha", {"reset_mechanism": "subtract"}, "reset_mechanism='subtract'"),
        ("Leaky", {"beta": torch.rand(3)}, "beta of shape"),
        ("Leaky", {"learn_beta": True}, "learn_beta"),
        ("Leaky", {"learn_threshold": True}, "learn_threshold"),
        ("RSynaptic", {"learn_alpha": True}, "learn_alpha"),
        ("RSynaptic", {"reset_delay": False}, "reset_delay=False"),
        ("RLeaky", {"all_to_all": False, "linear_features": None, "V": 0.5}, "learn_recurrent"),
        (
            "RLeaky",
            {"linear_features": None, "conv2d_channels": 2, "kernel_size": 3},
            "kernel_size",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Inhibition is an unstable feature")
def test_what_has_no_equal_is_refused_by_name(kind, settings, named):
    cell = make(kind, "subtract", settings.pop("reset_delay", True), **settings)
    with pytest.raises(UnsupportedError, match=named):
        from_snntorch(nn.Linear(F, H), cell)


def test_other_modules_are_refused():
    with pytest.raises(UnsupportedError, match="SLSTM has no equal here"):
        from_snntorch(nn.Linear(F, H), snn.SLSTM(F, H))
    with pytest.raises(UnsupportedError, match=r"expected an nn\.Linear .* got Conv1d"):
        from_snntorch(nn.Conv1d(1, 1, 1), snn.Leaky(beta=0.5))
    with pytest.raises(InputError, match="linear_features=4"):
        from_snntorch(nn.Linear(F, H), snn.RLeaky(beta=0.5, linear_features=4))
    with pytest.raises(UnsupportedError, match="no cell that computes ALIF"):
        to_snntorch(SpikingRNN(ALIF, F, H))
    with pytest.raises(UnsupportedError, match="no cell that computes snnTorch Leaky"):
        to_snntorch(SpikingRNN(snntorch_neuron("Leaky", "zero"), F, H, recurrent=True))
    with pytest.raises(InputError, match=r"index must lie in 0\.\.0"):
        to_snntorch(SpikingRNN(LIF, F, H), 1)
    with pytest.raises(UnsupportedError, match=r"pip install 'spikern\[snntorch\]'"):
        require("snntorch_that_is_not_there", "snntorch")


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("fast_sigmoid", surrogate.fast_sigmoid()),
        ("fast_sigmoid", surrogate.fast_sigmoid(slope=3)),
        ("arctan", surrogate.atan()),
        ("arctan", surrogate.atan(alpha=0.7)),
        ("sigmoid", surrogate.sigmoid(slope=4)),
        ("straight_through", surrogate.straight_through_estimator()),
    ],
)
def test_surrogates_have_the_same_derivative(name, theirs):
    ours = surrogate_from_snntorch(theirs)
    assert ours.name == name
    u = torch.linspace(-3, 3, 601)
    for one in (theirs, surrogate_to_snntorch(ours)):
        at = u.clone().requires_grad_()
        one(at).sum().backward()
        # the same function, rounded a few times in float32
        torch.testing.assert_close(ours.derivative(u), at.grad, rtol=1e-5, atol=1e-9)


def test_the_default_surrogate_is_recognised():
    assert from_snntorch(nn.Linear(F, H), snn.Leaky(beta=0.5)).surrogate.settings == (2.0, 1.0)


@pytest.mark.parametrize("name", SURROGATES)
def test_every_surrogate_of_ours_goes_there_and_back(name):
    ours = SURROGATES[name](scale=0.5)
    theirs = surrogate_to_snntorch(ours)
    u = torch.linspace(-2, 2, 101, requires_grad=True)
    theirs(u).sum().backward()
    assert torch.equal(u.grad, ours.derivative(u.detach()))
    assert surrogate_from_snntorch(theirs) is ours


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("triangular", surrogate.triangular()),
        ("heaviside", surrogate.heaviside()),
        ("spike_rate_escape", surrogate.spike_rate_escape()),
        ("SSO", surrogate.SSO()),
        ("LSO", surrogate.LSO()),
        ("SFS", surrogate.SFS()),
        ("custom_surrogate", surrogate.custom_surrogate(lambda u, grad, z: grad)),
        ("lambda", lambda u: u),
    ],
)
def test_other_surrogates_are_refused_by_name(name, theirs):
    with pytest.raises(UnsupportedError, match=name):
        surrogate_from_snntorch(theirs)


@pytest.mark.parametrize(
    "loss",
    [
        functional.ce_rate_loss(),
        functional.ce_count_loss(),
        functional.mse_count_loss(correct_rate=0.8, incorrect_rate=0.2),
        functional.ce_temporal_loss(),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_its_losses_take_our_spikes(loss):
    torch.manual_seed(9)
    linear, cell = nn.Linear(F, 4), make("RLeaky", "subtract", True, size=4)
    layer = from_snntorch(linear, cell)
    x, targets = spikegen.rate(torch.rand(B, F), num_steps=40), torch.tensor([0, 3, 1])
    assert x.shape == (40, B, F)
    z, _ = layer(x)
    spikes, _ = loop(linear, cell, x)
    ours, theirs = loss(z, targets), loss(spikes, targets)
    assert torch.equal(ours, theirs)
    ours.backward()
    theirs.backward()
    # float32 sums in another order
    torch.testing.assert_close(layer.weight_ih_l0.grad, linear.weight.grad, rtol=1e-3, atol=1e-5)
    assert functional.accuracy_rate(z, targets) == functional.accuracy_rate(spikes, targets)


@pytest.mark.parametrize(
    "x",
    [
        spikegen.latency(torch.rand(B, F), num_steps=20, threshold=0.01),
        spikegen.delta(torch.rand(20, B, F), threshold=0.3, off_spike=True),
    ],
    ids=["latency", "delta"],
)
def test_its_encoders_feed_our_layers(x):
    out, _ = SpikingRNN("LIF", F, H, engine="reference")(x)
    assert out.shape == (20, B, H)


# The faults that docs/from_snntorch.md lists, one test each.


def test_fault_state_is_hidden_in_the_module():
    """Without a call of reset_mem the second sequence starts where the first one ended."""
    torch.manual_seed(10)
    cell = snn.Leaky(beta=0.9, init_hidden=True, output=True)
    x = torch.rand(10, B, H)
    first = torch.stack([cell(now)[1] for now in x])
    second = torch.stack([cell(now)[1] for now in x])
    assert not torch.equal(first, second)


def test_fault_a_state_of_the_wrong_shape_is_silently_zero():
    cell, x = snn.Leaky(beta=0.5), torch.zeros(B, H)
    assert cell(x, torch.ones(B, H))[1].any()
    assert not cell(x, torch.ones(B + 1, H))[1].any()
    layer = from_snntorch(nn.Linear(F, H), cell, engine="reference")
    with pytest.raises(InputError, match="must have shape"):
        layer(torch.zeros(5, B, F), layer.zero_state(B + 1))


def test_fault_every_neuron_is_kept_for_ever():
    cell = snn.Leaky(beta=0.5)
    watch = weakref.ref(cell)
    del cell
    gc.collect()
    assert watch() is not None
    assert watch() in snn.SpikingNeuron.instances


def test_fault_reset_hidden_forgets_the_spikes_of_rsynaptic():
    cell = make("RSynaptic", "subtract", True, init_hidden=True)
    cell(torch.full((B, H), 9.0))
    snn.RSynaptic.reset_hidden()
    assert not cell.mem.any()
    assert cell.spk.all()
    cell.reset_mem()
    assert not cell.spk.any()


def test_fault_rsynaptic_ignores_reset_delay():
    x = torch.full((B, H), 3.0)
    with torch.no_grad():
        delayed = make("RSynaptic", "zero", True, all_to_all=False, linear_features=None)
        now = make("RSynaptic", "zero", False, all_to_all=False, linear_features=None)
        state_1 = state_2 = [torch.zeros(B, H)] * 3
        for _ in range(5):
            state_1, state_2 = delayed(x, *state_1), now(x, *state_2)
            assert all(torch.equal(a, b) for a, b in zip(state_1, state_2))
        with pytest.raises(TypeError, match=r"unsupported operand .* 'NoneType' and 'Tensor'"):
            now(x)


def test_fault_zero_means_two_things():
    """After a spike Leaky keeps the current of the step, RLeaky loses it."""
    x = torch.full((1, 1), 3.0)
    plain = snn.Leaky(beta=0.5, reset_mechanism="zero")
    recurrent = snn.RLeaky(beta=0.5, reset_mechanism="zero", all_to_all=False, V=0.0)
    _, mem = plain(x, torch.zeros(1, 1))
    _, mem = plain(x, mem)
    spk, mem_r = recurrent(x, torch.zeros(1, 1), torch.zeros(1, 1))
    _, mem_r = recurrent(x, spk, mem_r)
    assert (mem.item(), mem_r.item()) == (3.0, 0.0)


def test_fault_the_gradient_of_the_reset_depends_on_its_delay():
    """Cut if it waits, not if it comes at once: d mem_2 / d input_1, beta = 1."""
    slopes = []
    for delay in (True, False):
        cell = snn.Leaky(
            beta=1.0, reset_delay=delay, spike_grad=surrogate.straight_through_estimator()
        )
        x = torch.full((1, 1), 2.0, requires_grad=True)
        _, mem = cell(x, torch.zeros(1, 1))
        _, mem = cell(torch.zeros(1, 1), mem)
        slopes.append(torch.autograd.grad(mem.sum(), x)[0].item())
    assert slopes == [1.0, 0.0]


def test_fault_triangular_is_no_triangle():
    u = torch.tensor([-0.5, -0.1, 0.1, 0.5], requires_grad=True)
    surrogate.triangular(threshold=1)(u).sum().backward()
    assert u.grad.tolist() == [1.0, 1.0, -1.0, -1.0]


def test_fault_sigmoid_is_nan_far_below_threshold():
    """exp overflows float32 above 88; ours is written with exp(-|x|)."""
    u = torch.tensor([-4.0], requires_grad=True)
    theirs = surrogate.sigmoid(slope=25)
    theirs(u).backward()
    assert u.grad.isnan().all()
    assert surrogate_from_snntorch(theirs).derivative(torch.tensor([-4.0])).isfinite().all()


def test_fault_lso_raises():
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'variance'"):
        surrogate.LSO()(torch.zeros(1))


def test_fault_spike_rate_escape_peaks_a_unit_above_threshold():
    u = torch.tensor([0.0, 1.0, 2.0], requires_grad=True)
    surrogate.spike_rate_escape()(u).sum().backward()
    assert u.grad.argmax() == 1


def test_fault_no_float64():
    """Its spikes are always float32, which a float64 recurrent Linear does not take."""
    cell = make("RLeaky", "subtract", True).double()
    x = torch.rand(B, H, dtype=torch.float64)
    spk, mem = cell(x, torch.zeros_like(x), torch.zeros_like(x))
    assert spk.dtype == torch.float32
    with pytest.raises(RuntimeError, match="dtype"):
        cell(x, spk, mem)


def test_a_neuron_is_named_by_its_settings():
    assert snntorch_neuron("Leaky").name == "snnTorch Leaky subtract"
    with pytest.raises(UnsupportedError, match="snnTorch has no Leaky"):
        snntorch_neuron("Leaky", one_to_one=True)


def test_what_is_written_beside_the_synapses_is_not_exported():
    layer = SpikingRNN("LIF", F, 30, recurrent=0.2)
    with torch.no_grad():
        layer.weight_hh_l0.fill_(0.1)
    with pytest.warns(UserWarning, match="for each synapse that the layer lacks"):
        _, cell = to_snntorch(layer)
    assert cell.recurrent.weight.count_nonzero() == len(layer.synapses_hh_l0)


def test_a_constant_that_is_frozen_here_is_frozen_there():
    layer = SpikingRNN("LIF", 3, 8)
    assert isinstance(to_snntorch(layer)[1].beta, nn.Parameter)
    layer.raw_tau_mem_l0.requires_grad_(False)
    assert not isinstance(to_snntorch(layer)[1].beta, nn.Parameter)
    with pytest.raises(InputError, match="layer must be SpikingRNN, got Linear"):
        to_snntorch(nn.Linear(2, 3))


def test_a_surrogate_of_ones_own_is_not_taken_for_its_namesake():
    built_in = SURROGATES["arctan"]()
    steep = replace(built_in, derivative=lambda u: torch.full_like(u, 7.0))
    named = Surrogate("sigmoid", torch.sigmoid, lambda u: torch.full_like(u, 7.0), 1.0, "mine")
    for surrogate in (steep, named):
        u = torch.zeros(3, requires_grad=True)
        surrogate_to_snntorch(surrogate)(u).sum().backward()
        assert u.grad.tolist() == [7.0] * 3


def test_a_reset_that_was_set_later_is_not_believed():
    snn = require("snntorch", "snntorch")
    cell = snn.Leaky(beta=0.9)
    cell.reset_mechanism = "zero"
    with pytest.raises(UnsupportedError, match="which was set after it was made"):
        from_snntorch(nn.Linear(3, H), cell)
