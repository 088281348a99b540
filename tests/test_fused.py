"""The fused engine against the reference, which defines what is right."""

import copy
import pickle
from dataclasses import replace

import pytest
import torch
from engine_cases import (
    SPIKING,
    alternating,
    assert_as_reference,
    assert_close_by_name,
    assert_reference_gradients,
    dyadic_layer,
    events,
    gradients,
    with_engine,
)

from spikern._utils.errors import InputError, UnsupportedError
from spikern.engines import arrays, derivation, fused, triton
from spikern.engines.population import Population
from spikern.engines.reference import run
from spikern.events.trains import Events
from spikern.layers.network import Network
from spikern.layers.rnn import SpikingRNN
from spikern.neurons import NEURONS
from spikern.neurons.alif import ALIF
from spikern.neurons.lif import LIF
from spikern.neurons.surrogate import SURROGATES

SIZES = [(1, 1, 1, 1), (9, 3, 4, 5), (37, 5, 7, 17), (40, 21, 20, 33)]


@pytest.mark.usefixtures("mostly_plain")
@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize(("steps", "batch", "features", "hidden"), SIZES)
def test_dyadic_weights_give_the_references_bits_and_gradients(
    name, steps, batch, features, hidden
):
    layer = dyadic_layer(name, features, hidden)
    out = assert_as_reference(layer, events(steps, batch, features))
    if steps > 30 and layer.neuron.spikes:
        assert 0.005 < out.mean() < 0.6


@pytest.mark.parametrize("engine", [fused, triton], ids=["fused", "triton"])
def test_a_readout_below_another_population_is_refused(engine, monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    layers = [dyadic_layer(name, 5, 5) for name in ("LI", "LIF")]
    populations = [layer.populations()[0] for layer in layers]
    states = [p.model.state(*torch.zeros(len(p.model.state._fields), 1, 5)) for p in populations]
    with pytest.raises(UnsupportedError, match="does not spike as the last of a stack"):
        engine.run_stack(populations, states, torch.ones(3, 1, 5))


@pytest.mark.usefixtures("mostly_plain")
@pytest.mark.parametrize("name", NEURONS)
def test_lengths_stacks_and_states_in_the_middle(name):
    layer = dyadic_layer(name, 6, 17, layers=2)
    x = events(40, 5, 6)
    lengths = torch.tensor([40, 1, 17, 16, 33])
    _, state = layer(events(9, 5, 6, seed=2))
    state = type(state)(*(f.detach() for f in state))
    assert_as_reference(layer, x, lengths, state)


@pytest.mark.usefixtures("mostly_plain")
@pytest.mark.parametrize("name", NEURONS)
def test_chunked_is_whole_and_a_sample_alone_is_the_sample_in_its_batch(name):
    layer = dyadic_layer(name, 6, 17)
    x = events(40, 5, 6)
    whole, final = layer(x)
    first, state = layer(x[:13])
    second, after = layer(x[13:], state)
    assert torch.equal(torch.cat([first, second]), whole)
    assert all(torch.equal(a, b) for a, b in zip(final, after))
    alone, _ = layer(x[:, 2:3])
    assert torch.equal(alone, whole[:, 2:3])


@pytest.mark.usefixtures("plain_python")
@pytest.mark.parametrize("name", SPIKING)
def test_smooth_neurons_have_the_references_gradients(name):
    surrogate = SURROGATES["triangular"]()
    layer = dyadic_layer(name, 5, 9)
    x = events(20, 3, 5)
    model, lengths = layer.neuron, torch.tensor([20, 7, 19])
    shared = [p.detach().requires_grad_() for p in layer.params(0)]
    weights = [layer.weight_ih_l0, layer.bias_l0, layer.weight_hh_l0]
    state = [torch.full((3, 9), 0.25, requires_grad=True) for _ in model.state._fields]
    w_in, bias, w_rec = weights
    current = torch.nn.functional.linear(x, w_in, bias)
    params, before = model.params(*shared), model.state(*state)
    slow = run(model, params, before, current, w_rec, surrogate.primitive, lengths)
    population = Population(model, surrogate, params, w_in, bias, w_rec)
    result = fused.run_stack([population], [before], x, lengths, smooth=True)
    fast = result.out, result.states[0]
    torch.testing.assert_close(result.spikes[0], result.out.sum((0, 1)))
    results = []
    for out, after in (slow, fast):
        loss = (out * out).sum() + sum((f * f).sum() for f in after)
        values = torch.autograd.grad(loss, [*shared, *weights, *state])
        results.append({str(k): value for k, value in enumerate(values)})
    torch.testing.assert_close(slow[0], fast[0])
    assert_close_by_name(results[1], results[0], 1e-4)


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_every_surrogate_has_the_references_gradients(surrogate, request):
    if surrogate != "triangular":  # one is compiled, for seconds
        request.getfixturevalue("plain_python")
    layer = dyadic_layer("LIF", 6, 17, surrogate=surrogate)
    assert_reference_gradients(layer, events(30, 4, 6), 1e-4)


@pytest.mark.parametrize("recurrent", ["diagonal", 0.03, 0.3, torch.eye(33).roll(1, 0)])
def test_sparse_recurrence_is_the_references_and_stays_sparse(recurrent):
    layer = dyadic_layer("ALIF", 6, 33, recurrent=recurrent)
    absent = torch.ones(33, 33, dtype=torch.bool)
    source, target = layer.synapses_hh_l0.unbind(1)
    absent[target, source] = False
    assert not layer.weight_hh_l0[absent].any()
    assert layer.weight_hh_l0[~absent].any()
    with torch.no_grad():
        layer.weight_hh_l0[absent] = 1.0  # a synapse that does not exist carries nothing
    x, lengths = events(40, 5, 6), torch.tensor([40, 1, 17, 16, 33])
    out = assert_as_reference(layer, x, lengths, alternating(layer, 5))
    assert 0.01 < out.mean() < 0.5
    gradient = gradients(layer, x, lengths)[0]["weight_hh_l0"]
    assert not gradient[absent].any()
    assert gradient[~absent].any()


def test_recurrence_that_means_nothing_is_refused():
    for wrong, message in ((1.5, "share between 0 and 1"), (torch.zeros(5, 5), "leaves synapses")):
        with pytest.raises(InputError, match=message):
            SpikingRNN("LIF", 3, 5, recurrent=wrong)


@pytest.mark.parametrize("engine", ["fused", "reference"])
def test_events_are_the_tensor_that_they_list(engine):
    layer = dyadic_layer("ALIF", 70, 17, engine=engine)
    x = events(20, 5, 70, rate=0.05)
    x[3, 2, 40] = -1.0
    listed = Events.from_dense(x)
    dense, after = layer(x)
    out, after_events = layer(listed)
    assert torch.equal(out, dense)
    assert all(torch.equal(a, b) for a, b in zip(after, after_events))
    weights = torch.randn(dense.shape, generator=torch.Generator().manual_seed(0))
    parameters = list(layer.parameters())
    expected = torch.autograd.grad((dense * weights).sum(), parameters)
    actual = torch.autograd.grad((out * weights).sum(), parameters)
    assert all(torch.equal(a, b) for a, b in zip(actual, expected))


def test_a_network_as_one_stack_is_its_layers_one_after_the_other():
    """Outputs, spikes of every neuron, and the gradients of a loss that reads both."""
    body, readout = dyadic_layer("ALIF", 6, 17, layers=2), dyadic_layer("LI", 17, 3)
    x, lengths = events(40, 5, 6), torch.tensor([40, 1, 17, 16, 33])
    results = []
    for engine in ("fused", "reference"):
        network = Network(with_engine(body, engine), with_engine(readout, engine), "every_step")
        activity, (inner, outer) = network.run(x, None, lengths)
        hidden = network.hidden(x, lengths)
        for spikes, z in zip(activity.spikes, hidden, strict=True):
            assert torch.equal(spikes, z.sum((0, 1)))
            assert spikes.any()
        weights = torch.randn(activity.logits.shape, generator=torch.Generator().manual_seed(0))
        loss = (activity.logits * weights).sum() + sum(n.square().sum() for n in activity.spikes)
        parameters = dict(network.named_parameters())
        named = dict(zip(parameters, torch.autograd.grad(loss, [*parameters.values()])))
        results.append((named, activity.logits, *inner, *outer))
    (actual, *values), (expected, *reference) = results
    assert all(torch.equal(a, b) for a, b in zip(values, reference, strict=True))
    assert_close_by_name(actual, expected)


def test_a_wide_analog_input_is_multiplied_as_a_matrix_with_the_same_result():
    layer = SpikingRNN("LIF", 40, 17, engine="fused")
    x = torch.randn(30, 4, 40, generator=torch.Generator().manual_seed(0))
    assert arrays.list_events(x) is None
    out, reference = assert_reference_gradients(layer, x, 1e-4)
    assert out.any()
    assert torch.equal(out, reference)


def test_random_weights_part_from_the_reference_only_at_threshold():
    layer = SpikingRNN("ALIF", 20, 64, engine="fused")
    x = events(100, 8, 20)
    out, _ = layer(x)
    reference, _ = with_engine(layer, "reference")(x)
    assert 0.005 < out.mean() < 0.5
    differing = (out != reference).any(2)
    for sample in range(8):
        steps = differing[:, sample].nonzero()
        if len(steps) == 0:
            continue
        t = int(steps[0])
        _, before = with_engine(layer, "reference")(x[: t + 1, sample : sample + 1])
        p = layer.params(0)
        u = before.v[0] - (p.v_th + p.adapt_scale * before.a[0])
        wrong = out[t, sample] != reference[t, sample]
        assert (u[0][wrong].abs() < 1e-4).all()


@pytest.mark.parametrize(
    ("batch", "weights", "blocks"),
    [
        (1, 10, 1),
        (8, 10, 1),
        (9, 10, 2),
        (64, 10, 8),
        (1000, 10, 16),
        (64, 10**9, 2),
        (3, 10**9, 1),
    ],
)
def test_blocks_are_few_where_weights_are_many_but_two_threads_have_work(batch, weights, blocks):
    edges = arrays.block_edges(batch, weights)
    assert (len(edges), edges[0], edges[-1]) == (blocks + 1, 0, batch)


def test_the_number_of_threads_changes_nothing():
    layer = dyadic_layer("ALIF", 6, 33)
    with torch.no_grad():
        layer.weight_ih_l0.add_(0.001 * torch.randn(33, 6))
    x = events(30, 11, 6)
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(gradients(layer, x))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert torch.equal(results[0][1], other[1])
        assert all(torch.equal(v, other[0][k]) for k, v in results[0][0].items())


def test_what_buffers_held_before_never_shows(monkeypatch):
    layer = dyadic_layer("ALIF", 6, 17, layers=2)
    x, lengths = events(20, 5, 6), torch.tensor([20, 3, 16, 17, 1])
    expected, out, after = gradients(layer, x, lengths)
    kinds = set()

    def poisoned(*shape, dtype=torch.float32):
        kinds.add(dtype)
        fill = float("nan") if dtype.is_floating_point else -1
        return torch.full(shape, fill, dtype=dtype)

    monkeypatch.setattr(arrays, "allocate", poisoned)
    monkeypatch.setattr(fused, "allocate", poisoned)
    actual, again, after_again = gradients(layer, x, lengths)
    assert kinds == {torch.float32, torch.int32, torch.int64}
    assert torch.equal(out, again)
    assert all(torch.equal(a, b) for a, b in zip(after, after_again))
    assert all(torch.equal(v, actual[k]) for k, v in expected.items())


def test_the_operator_keeps_torchs_contract():
    layer = dyadic_layer("LIF", 6, 17)
    name = derivation.kernel_name(layer.neuron, layer.surrogate)
    x = events(9, 3, 6).requires_grad_()
    layer(x)
    (population,) = layer.populations()
    state = layer.neuron.state(*torch.zeros(2, 3, 17))
    tensors = [t.detach() for t in fused.population_tensors(population, state)]
    tensors = [t.requires_grad_() if t.is_floating_point() else t for t in tensors]
    none = torch.empty(0)
    arguments = (x, none.long(), none.int(), none, torch.full((3,), 9), tensors)
    torch.library.opcheck(torch.ops.spikern.run.default, (name, 9, *arguments))


def test_compile_takes_the_layer_whole():
    torch._dynamo.reset()
    layer = dyadic_layer("LIF", 6, 17)
    x = events(9, 3, 6)
    expected, _ = layer(x)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    actual, _ = compiled(x)
    assert torch.equal(actual, expected)
    actual.sum().backward()
    assert layer.weight_hh_l0.grad is not None


def test_copies_and_pickles_run():
    layer = dyadic_layer("ALIF", 6, 17)
    x = events(9, 3, 6)
    out, _ = layer(x)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x)[0], out)


def test_what_fused_cannot_run_is_refused_and_auto_says_what_it_chose():
    layer = SpikingRNN("LIF", 3, 5, engine="fused", dtype=torch.float64)
    with pytest.raises(UnsupportedError, match="engine='reference'"):
        layer(torch.zeros(2, 1, 3, dtype=torch.float64))
    assert "engine=reference (auto)" in repr(SpikingRNN("LIF", 3, 5, dtype=torch.float64))
    assert "engine=fused (auto)" in repr(SpikingRNN("LIF", 3, 5))

    def step(p, s, i, fire):
        v = torch.cumsum(i, -1) + s.v
        z = fire(v - p.v_th)
        return LIF.state(v, z), z

    summing = replace(LIF, name="summing", step=step)
    with pytest.warns(UserWarning, match="engine='auto' is the reference: summing: .*cumsum"):
        assert SpikingRNN(summing, 3, 5).engine == "reference"
    with pytest.raises(UnsupportedError, match="cumsum"):
        SpikingRNN(summing, 3, 5, engine="fused")(torch.zeros(2, 1, 3))


def test_a_users_own_neuron_gets_a_kernel():
    def step(p, s, i, fire):
        a = p.alpha_adapt * s.a + (1 - p.alpha_adapt) * s.z * torch.sigmoid(s.v)
        v = torch.where(s.z > 0, torch.zeros_like(s.v), p.alpha_mem * s.v) + torch.tanh(i) * 0.5
        z = fire(v - p.v_th * (1 + p.adapt_scale * a**2) / 2)
        return ALIF.state(v.clamp(-3, 3), a, z), z

    own = replace(ALIF, name="own", step=step)
    torch.manual_seed(0)
    layer = SpikingRNN(own, 6, 17, engine="fused")
    with torch.no_grad():
        layer.weight_ih_l0.mul_(8)
    out, reference = assert_reference_gradients(layer, events(30, 4, 6), 1e-3)
    assert out.mean() > 0.01
    assert torch.equal(out, reference)
