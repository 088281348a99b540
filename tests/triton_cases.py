"""The kernels in Triton against the reference: on a GPU, or in Triton's interpreter on the CPU.

The interpreter is for a process in which TRITON_INTERPRET is set before Triton is imported, so
test_triton.py runs this file in one of its own. A step takes it some ten milliseconds.
"""

from collections import namedtuple
from dataclasses import replace

import pytest
import torch
from engine_cases import (
    alternating,
    assert_as_reference,
    assert_close_by_name,
    dyadic_layer,
    events,
    gradients,
    layer_with,
    with_engine,
)
from fuzz import SPECIAL
from test_fuzz import FILLED, OPERATIONS
from test_train import small

from spikern._utils.errors import UnsupportedError
from spikern.engines import reference, triton
from spikern.engines.codegen import cache, triton_kernels
from spikern.engines.population import Population
from spikern.layers.network import Network, build
from spikern.layers.rnn import SpikingRNN
from spikern.neurons import NEURONS
from spikern.neurons.constants import real
from spikern.neurons.lif import LIF
from spikern.neurons.model import NeuronModel
from spikern.neurons.surrogate import SURROGATES
from spikern.train.evaluation import evaluate
from spikern.train.loading import load_network
from spikern.train.loop import fit
from spikern.train.training import Training

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# numpy, which interprets, warns of what a GPU computes without a word
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def on_device(*values):
    return [v.to(DEVICE) for v in values]


def case(name="ALIF", steps=5, hidden=9, layers=1, **settings):
    layer = dyadic_layer(name, 6, hidden, layers, engine="triton", **settings)
    lengths = torch.tensor([steps, 1, steps - 1])
    return on_device(layer, events(steps, 3, 6), lengths)


def start(layer):
    return alternating(layer, 3) if layer.neuron.spikes else None


@pytest.mark.parametrize("name", NEURONS)
def test_every_neuron_has_the_references_bits_and_gradients(name, monkeypatch):
    """Lengths, a state in the middle, and two segments of which the second is shorter."""
    monkeypatch.setattr(triton, "EVERY", 2)
    layer, x, lengths = case(name, steps=3)
    assert_as_reference(layer, x, lengths, start(layer))


@pytest.mark.slow
@pytest.mark.parametrize("surrogate", SURROGATES)
def test_every_surrogate_has_the_references_gradients(surrogate):
    layer, x, _ = case("LIF", steps=3, surrogate=surrogate)
    assert_as_reference(layer, x, None, start(layer))


def wide(monkeypatch):
    """Programs of 16 neurons, so that a population of 40 takes three of them, and a launch per
    step."""
    monkeypatch.setattr(triton, "TILE", 16)
    monkeypatch.setattr(triton, "WIDEST", 16)
    monkeypatch.setattr(triton, "NARROW", 16)


def test_a_population_wider_than_a_program_runs_step_by_step(monkeypatch):
    wide(monkeypatch)
    monkeypatch.setattr(triton, "EVERY", 2)
    layer, x, lengths = case(hidden=40, steps=3)
    assert assert_as_reference(layer, x, lengths, start(layer))[1:].any()


TOPOLOGIES = {
    "feedback": {"layers": 2, "feedback": True},
    "a mask": {"recurrent": 0.2},
    "no recurrence": {"recurrent": False},
    "delays": {"delay": 2},
}


@pytest.mark.parametrize("settings", TOPOLOGIES.values(), ids=TOPOLOGIES)
def test_topologies_are_the_references(settings):
    layer = layer_with(**{"layers": 1} | settings, engine="triton")
    layer, x, lengths = on_device(layer, events(4, 3, 5), torch.tensor([4, 1, 3]))
    assert assert_as_reference(layer, x, lengths).any()


@pytest.mark.parametrize(
    ("name", "blocks"),
    [("ALIF", 1)]
    + [
        pytest.param(name, blocks, marks=pytest.mark.slow)
        for name, blocks in [("ALIF", 3), ("LIF", 1), ("LIF", 3), ("CubaLIF", 1), ("CubaLIF", 3)]
    ],
)
def test_given_one_current_any_weights_give_the_bits_of_the_cpus_kernels(name, blocks, monkeypatch):
    if blocks > 1:
        wide(monkeypatch)
    torch.manual_seed(3)
    fast = SpikingRNN(name, 40, 40, engine="fused", bias=False)
    with torch.no_grad():
        fast.weight_ih_l0.copy_(torch.eye(40))  # a product with it is exact
        fast.weight_hh_l0.mul_(5)
    x = 8 * torch.randn(12, 2, 40) + 2
    expected, before = fast(x)
    with torch.no_grad():
        layer, x = on_device(with_engine(fast, "triton"), x)
        out, after = layer(x)
    assert 0.02 < expected.mean() < 0.5
    assert torch.equal(out.cpu(), expected)
    assert all(torch.equal(a.cpu(), b) for a, b in zip(after, before))


@pytest.mark.slow
def test_smooth_neurons_have_the_references_gradients():
    surrogate, model = SURROGATES["triangular"](), NEURONS["ALIF"]
    layer, x, lengths = case()
    results = []
    for engine in ("reference", "triton"):
        params = model.params(*(p.detach().requires_grad_() for p in layer.params(0)))
        state = model.state(
            *(x.new_full((3, 9), 0.25, requires_grad=True) for _ in model.state._fields)
        )
        w_in, bias, w_rec = layer.weight_ih_l0, layer.bias_l0, layer.weight_hh_l0
        if engine == "reference":
            current = torch.nn.functional.linear(x, w_in, bias)
            out, after = reference.run(
                model, params, state, current, w_rec, surrogate.primitive, lengths
            )
        else:
            population = Population(model, surrogate, params, w_in, bias, w_rec)
            result = triton.run_stack([population], [state], x, lengths, smooth=True)
            out, after = result.out, result.states[0]
        loss = (out * out).sum() + sum((f * f).sum() for f in after)
        wanted = [*params, *state, w_in, bias, w_rec]
        named = zip(map(str, range(len(wanted))), torch.autograd.grad(loss, wanted))
        results.append((out.detach(), dict(named)))
    (slow, expected), (fast, actual) = results
    torch.testing.assert_close(fast, slow)
    assert_close_by_name(actual, expected, 1e-4)


@pytest.mark.slow
def test_a_network_as_one_stack_with_a_loss_of_its_rates():
    body, x, lengths = case(layers=2, steps=6)
    readout = dyadic_layer("LI", 9, 3, engine="triton").to(DEVICE)
    results = []
    for engine in ("triton", "reference"):
        network = Network(with_engine(body, engine), with_engine(readout, engine), "every_step")
        activity, _ = network.run(x, None, lengths)
        loss = activity.logits.square().sum() + sum(n.square().sum() for n in activity.spikes)
        parameters = dict(network.named_parameters())
        found = torch.autograd.grad(loss, [*parameters.values()])
        results.append((activity, dict(zip(parameters, found))))
    (activity, actual), (other, expected) = results
    assert torch.equal(activity.logits, other.logits)
    assert all(map(torch.equal, activity.spikes, other.spikes))
    assert_close_by_name(actual, expected)


@pytest.mark.slow
def test_operations_at_zero_at_infinity_and_at_what_is_no_number():
    """As in test_fuzz.py, without the remainder, which Triton lacks."""
    chosen = [k for k, text in enumerate(FILLED) if "fmod" not in text]
    count = len(chosen)
    params = namedtuple("Params", "a")
    state = namedtuple("State", [f"{name}{k}" for name in "xy" for k in range(count)])

    def step(p, s, i, fire):
        operands = zip(chosen, s[:count], s[count:])
        return state(*(OPERATIONS[k](x, y) for k, x, y in operands), *s[count:]), i + p.a

    model = NeuronModel("Every", step, params, state, {"a": real("a", 0.0)}, "test", False)
    values = torch.tensor([*SPECIAL, 0.3, -0.3, 2.5, -2.5, 0.01, -7.3, 30.0, -30.0])
    x, y = torch.cartesian_prod(values, values).T.to(DEVICE)
    none = torch.zeros_like(x)
    results = []
    for engine in (reference, triton):
        before = [v.clone().requires_grad_() for v in count * [x[None]] + count * [y[None]]]
        own = Population(model, SURROGATES["triangular"](), params(none), none[:, None], none, None)
        after = engine.run_stack([own], [state(*before)], x.new_zeros(1, 1, 1)).states[0]
        found = torch.autograd.grad(
            sum(v.sum() for v in after), before, allow_unused=True, materialize_grads=True
        )
        results.append([after[:count], found[:count], found[count:]])
    for what, *both in zip(("value", "gradient of x", "gradient of y"), *results):
        for k, right, found in zip(chosen, *both):
            near = torch.isclose(found, right, rtol=1e-5, atol=1e-6, equal_nan=True)[0]
            assert near.all(), (what, FILLED[k], x[~near], y[~near], found[0, ~near])


@pytest.mark.slow
def test_kernels_run_without_a_folder(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPIKERN_CACHE", str(tmp_path / "file" / "kernels"))
    monkeypatch.setattr(cache, "_modules", {})
    layer, x, _ = case("LI", steps=2)
    assert_as_reference(layer, x)
    assert "the kernel cache cannot be used" in capsys.readouterr().err


def test_an_operation_that_triton_lacks_is_named():
    def step(p, s, i, fire):
        return LIF.step(p, s, torch.fmod(i, 0.3), fire)

    layer = SpikingRNN(replace(LIF, name="Rest", step=step), 3, 4, engine="triton").to(DEVICE)
    with pytest.raises(UnsupportedError, match="'fmod' has no form in Triton"):
        layer(torch.ones(2, 1, 3, device=DEVICE))


def test_transforms_are_refused():
    layer, x, _ = case("LI", steps=2)
    with pytest.raises(UnsupportedError, match="has no transforms"):
        torch.func.grad(lambda x: layer(x)[0].sum())(x)


@pytest.mark.slow
def test_the_operator_keeps_torchs_contract_and_compile_takes_the_layer_whole():
    layer, x, lengths = case("LIF", steps=3)
    expected, out, _ = gradients(layer, x)
    (population,) = layer.populations()
    name = triton._kernel_name(population.model, population.surrogate, False)
    tensors = [
        torch.randn(3, 3, 9), population.w_rec, torch.stack(population.params), torch.zeros(2, 3, 9)
    ]  # fmt: skip
    tensors = [t.detach().to(DEVICE).requires_grad_() for t in tensors]
    torch.library.opcheck(torch.ops.spikern.run_triton.default, (name, 2, *tensors, lengths))
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    actual, again, _ = gradients(compiled, x, None, layer.zero_state(3))
    assert torch.equal(again, out)
    assert_close_by_name({k.removeprefix("_orig_mod."): v for k, v in actual.items()}, expected)


@pytest.mark.slow
def test_a_training_is_resumed_where_the_network_is(tmp_path):
    data = small(16, steps=3).thinned(4)
    training = Training(epochs=2, batch_size=4)
    states = []
    for ends in ((2,), (1, 2)):  # at once, and in two runs
        path = tmp_path / f"{ends}.safetensors"
        for end in ends:
            torch.manual_seed(0)
            network = build("ALIF", data.input_size, 5, data.classes, engine="triton")
            callback = lambda epoch, end=end: epoch.epoch == end  # noqa: E731
            fit(network, data, training, 0, path, device=DEVICE, callbacks=[callback])
        assert {p.device.type for p in network.parameters()} == {DEVICE}
        states.append(network.state_dict())
    assert all(map(torch.equal, *(state.values() for state in states)))
    on_cpu = load_network(path)
    assert on_cpu.body.engine_asked == "triton"
    for part in (on_cpu.body, on_cpu.readout):
        part.engine_asked = "fused"
    accuracies = [evaluate(n, data.test).accuracy for n in (network, on_cpu)]
    assert accuracies[0] == accuracies[1]


FAULTS = {
    "one entry of a list for all": ("(listed + slot * HP + q)", "(listed + slot * HP)"),
    "a recurrence without values": ("i += z_j *", "i +="),
    "a gradient past the end": ("exists & (t < length)", "exists"),
    "a sum that is not carried over": (" + tl.load(to, mask=h < H, other=0.0)", ""),
    "no recurrent gradient": ("g_n_z += pulled", "pass"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault, monkeypatch, plain_python):
    plain_python(triton_kernels, *FAULTS[fault])
    monkeypatch.setattr(triton, "EVERY", 3)
    layer, x, lengths = case()
    state = start(layer)
    with pytest.raises(AssertionError):
        assert_as_reference(layer, x, lengths, state._replace(z=state.z / 2))
