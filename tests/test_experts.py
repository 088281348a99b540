"""Groups of neurons, of which the input wakes a few: the meaning, the engines, training, counts."""

import copy
import math
from itertools import product

import numpy as np
import pytest
import torch
from engine_cases import (
    SPIKING,
    alternating,
    assert_as_reference,
    assert_close_by_name,
    dyadic_layer,
    events,
    gradients,
)
from torch.nn import functional

from spikern._utils import tensor_file
from spikern._utils.errors import DataError, InputError, UnsupportedError
from spikern.cost.counting import count
from spikern.data import load
from spikern.engines import triton
from spikern.engines.codegen import decaying_kernels, expert_kernels, stream_kernels
from spikern.engines.experts import SLEEPS, Router, Routing, imbalance, route, working
from spikern.engines.reference import run
from spikern.engines.stream_loading import load_stream
from spikern.events import Events
from spikern.interop import export_c, onnx_graph, onnx_step, to_nir, to_snntorch
from spikern.layers.baseline import Baseline
from spikern.layers.description import describe, rebuild
from spikern.layers.network import Network, build, hidden_for_budget
from spikern.layers.recording import record
from spikern.layers.rnn import Readout, SpikingRNN
from spikern.layers.stacking import stack_layers
from spikern.layers.streaming import compile_stream
from spikern.neurons.surrogate import spike
from spikern.studies.trainings import Architecture, TrainingJob, prepare
from spikern.testing import with_engine
from spikern.train import Training, fit

ROUTINGS = ["fixed", "learned"]
NEURONS = [name for name in SPIKING if name != "EIF"]
"""EIF runs away where it falls asleep above its threshold, which only a spike ends."""
CASES = [
    *((name, routing, "frozen") for name in NEURONS for routing in ROUTINGS),
    *((name, "learned" if name == "ALIF" else "fixed", "decaying") for name in NEURONS),
]
LENGTHS = torch.tensor([25, 9, 1])


@pytest.fixture
def all_but_alif_plain(request):
    """Kernels of ALIF compiled; of the others plain Python, which takes no seconds each."""
    if request.node.callspec.params["name"] != "ALIF":
        request.getfixturevalue("plain_python")


def layer_of(name="ALIF", features=7, hidden=24, experts=4, awake=2, routing="fixed", **settings):
    """A layer that fires, whose sums of weights are exact in any order."""
    groups = {"experts": experts, "awake": awake, "routing": routing}
    return dyadic_layer(name, features, hidden, **groups, **settings)


def few_events(steps, batch, features, seed=1):
    """Steps with none, one or several events."""
    return events(steps, batch, features, 0.15, seed)


def awake_groups(layer, x):
    """The groups that x (F,) wakes and their gains, from the words of the documentation."""
    weight = layer.weight_rt_l0.detach()
    if layer.routing == "fixed":
        votes = [sum(float(w) for w, v in zip(row, x) if v != 0) for row in weight]
    else:
        votes = (weight @ x).tolist()
    best = sorted(range(layer.experts), key=lambda g: (-votes[g], g))[: layer.awake]
    if layer.routing == "fixed":
        return {g: 1.0 for g in best if votes[g] > 0}
    total = sum(math.exp(votes[g] - votes[best[0]]) for g in best)
    return {g: layer.awake * math.exp(votes[g] - votes[best[0]]) / total for g in best}


def written_out(layer, x, lengths):
    """The outputs (T, B, H) and the final state, one sample, step and group at a time."""
    steps, batch, _ = x.shape
    members = layer.hidden_size // layer.experts
    out = torch.zeros(steps, batch, layer.hidden_size)
    p, fire, finals = layer.params(0), spike(layer.surrogate), []
    for b in range(batch):
        state = layer.neuron.state(*(f[0, b].clone() for f in layer.zero_state(batch)))
        for t in range(int(lengths[b])):
            raw = layer.weight_ih_l0 @ x[t, b] + layer.weight_hh_l0 @ state.z + layer.bias_l0
            z = torch.zeros(layer.hidden_size)
            fields = {name: value.clone() for name, value in state._asdict().items()}
            slept = torch.ones(layer.hidden_size, dtype=torch.bool)
            for group, gain in awake_groups(layer, x[t, b]).items():
                own = slice(group * members, (group + 1) * members)
                after, z[own] = layer.neuron.step(
                    type(p)(*(c[own] for c in p)),
                    type(state)(*(f[own] for f in state)),
                    gain * raw[own],
                    fire,
                )
                for name, value in after._asdict().items():
                    fields[name][own] = value
                slept[own] = False
            if layer.sleep == "decaying":
                rest, _ = layer.neuron.step(p, state, torch.zeros_like(raw), torch.zeros_like)
                for name, value in rest._asdict().items():
                    fields[name][slept] = value[slept]
            state = type(state)(**fields | {"z": z})
            out[t, b] = z
        finals.append(state)
    return out, type(state)(*(torch.stack(fields)[None] for fields in zip(*finals)))


@torch.no_grad()
@pytest.mark.parametrize(("name", "routing", "sleep"), CASES)
def test_a_layer_does_what_its_words_say(name, routing, sleep):
    layer = layer_of(name, routing=routing, sleep=sleep, engine="reference")
    x = few_events(25, 3, 7)
    out, after = layer(x, lengths=LENGTHS)
    expected, last = written_out(layer, x, LENGTHS)
    assert 0.003 < out.mean() < 0.5
    # learned gains are exponentials, which math and torch may round differently
    assert (out != expected).float().mean() <= (0.0 if routing == "fixed" else 0.01)
    for a, b in zip(after, last):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


def test_groups_are_named_by_votes_and_the_first_of_equals():
    table = torch.tensor([[1.0, 0, 0, 1], [0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 1, 0]])
    x = torch.tensor(
        [[0.0, 0, 0, 0], [0, -3, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 1, 1, 1]]
    )
    gain, _ = route(Router(table, 2, False), x[:, None])
    awake = [gain[t, 0].nonzero().flatten().tolist() for t in range(len(x))]
    assert awake == [[], [1, 3], [0, 2], [0, 1], [0, 1], [1, 3]]
    assert set(gain.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("engine", "sleep"), [("reference", "frozen"), ("fused", "frozen"), ("fused", "decaying")]
)
@pytest.mark.parametrize("name", SPIKING)
def test_with_all_groups_awake_a_layer_is_a_dense_one(name, engine, sleep, all_but_alif_plain):
    """On an input with an event at every step, without which all groups sleep."""
    x = events(40, 5, 6)
    x[..., 0] = 1.0
    torch.manual_seed(3)
    layer = SpikingRNN(name, 6, 32, experts=4, awake=4, sleep=sleep, engine=engine)
    dense = SpikingRNN(name, 6, 32, engine=engine)
    shared = {k: v for k, v in layer.state_dict().items() if not k.startswith("weight_rt")}
    dense.load_state_dict(shared)
    (out, after), (expected, last) = layer(x), dense(x)
    assert expected.any()
    assert torch.equal(out, expected)
    assert all(torch.equal(a, b) for a, b in zip(after, last))


@pytest.mark.parametrize("engine", ["reference", "fused"])
@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize("sleep", SLEEPS)
def test_chunked_is_whole_padding_changes_nothing_and_samples_are_alone(routing, engine, sleep):
    layer = layer_of(routing=routing, layers=2, engine=engine, sleep=sleep)
    x = few_events(25, 3, 7)
    whole, final = layer(x)
    first, state = layer(x[:11])
    second, after = layer(x[11:], state)
    assert whole.any()
    assert torch.equal(torch.cat([first, second]), whole)
    assert all(torch.equal(a, b) for a, b in zip(final, after))
    assert torch.equal(layer(Events.from_dense(x))[0], whole)
    padded, last = layer(x, lengths=LENGTHS)
    for b, steps in enumerate(LENGTHS.tolist()):
        alone, own = layer(x[:steps, b : b + 1])
        assert torch.equal(alone[:, 0], padded[:steps, b])
        assert not padded[steps:, b].any()
        assert all(torch.equal(f[:, b], g[:, 0]) for f, g in zip(last, own))


def test_the_table_is_balanced_seeded_and_kept(tmp_path):
    torch.manual_seed(5)
    layer = SpikingRNN("LIF", 65, 40, experts=10, awake=3)
    table = layer.weight_rt_l0
    assert table.shape == (10, 65)
    assert (table.sum(0) == 3).all()
    assert table.sum(1).max() - table.sum(1).min() <= 1
    assert "weight_rt_l0" in layer.state_dict()
    assert "weight_rt_l0" not in dict(layer.named_parameters())
    torch.manual_seed(5)
    assert torch.equal(SpikingRNN("LIF", 65, 40, experts=10, awake=3).weight_rt_l0, table)
    assert not torch.equal(SpikingRNN("LIF", 65, 40, experts=10, awake=3).weight_rt_l0, table)


@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize("sleep", SLEEPS)
def test_a_network_is_described_and_rebuilt(routing, sleep):
    groups = {"experts": 4, "awake": 2, "routing": routing, "sleep": sleep}
    network = build("ALIF", 7, 24, 3, num_layers=2, **groups)
    again = rebuild(describe(network), network.state_dict())
    x = few_events(20, 2, 7)
    assert torch.equal(network(x)[0], again(x)[0])
    assert "experts" not in describe(build("ALIF", 7, 24, 3))["body"]
    lacking = {k: v for k, v in network.state_dict().items() if "weight_rt_l1" not in k}
    with pytest.raises(DataError, match="weight_rt_l1"):
        rebuild(describe(network), lacking)


@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize("sleep", SLEEPS)
def test_gradients_match_finite_differences(routing, sleep):
    """Also that of the router, where the order of the scores does not change."""
    torch.manual_seed(2)
    layer = layer_of(features=5, hidden=6, experts=3, routing=routing).double()
    x = torch.randn(6, 2, 5, dtype=torch.float64)
    model, params, table = layer.neuron, layer.params(0), layer.weight_rt_l0
    state = model.state(*torch.full((3, 2, 6), 0.25, dtype=torch.float64))

    def compute(x, w_in, w_rec, bias, weight=table):
        gain, _ = route(Router(weight, 2, routing == "learned"), x)
        current = functional.linear(x, w_in, bias)
        fire, gain = layer.surrogate.primitive, gain.repeat_interleave(2, 2)
        settings = {"lengths": torch.tensor([6, 4]), "decaying": sleep == "decaying"}
        out, after = run(model, params, state, current, w_rec, fire, gain=gain, **settings)
        return out, *after

    weights = [layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_l0]
    weights += [table] if routing == "learned" else []
    inputs = [v.detach().requires_grad_() for v in (x, *weights)]
    assert torch.autograd.gradcheck(compute, inputs)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"awake": 5}, InputError, r"awake must lie in 1\.\.4"),
        ({"awake": 0}, InputError, r"awake must lie in 1\.\.4"),
        ({"experts": 2.0}, InputError, "experts must be a whole number"),
        ({"experts": 5}, InputError, r"hidden_size must be a multiple of experts=5, .* got 24"),
        ({"routing": "lerned"}, InputError, "did you mean 'learned'"),
        ({"sleep": "decay"}, InputError, "did you mean 'decaying'"),
        ({"routing": "learned", "awake": 1}, InputError, "awake=2 or more"),
        ({"delay": 2}, UnsupportedError, "delays"),
        ({"recurrent_delay": 2}, UnsupportedError, "delays"),
        ({"recurrent": 0.5}, UnsupportedError, "a recurrence of some synapses"),
        ({"recurrent": "diagonal"}, UnsupportedError, "a recurrence of some synapses"),
        ({"num_layers": 2, "feedback": True}, UnsupportedError, "feedback"),
        ({"num_layers": 2, "skip": True}, UnsupportedError, "skip"),
        ({"bidirectional": True}, UnsupportedError, "bidirectional"),
    ],
)
def test_what_groups_cannot_be_is_refused(settings, error, message):
    with pytest.raises(error, match=message):
        SpikingRNN("ALIF", 7, 24, **{"experts": 4, "awake": 2} | settings)


def test_who_cannot_use_groups_says_so():
    with pytest.raises(UnsupportedError, match="never fires"):
        Readout(7, 24, experts=4)
    with pytest.raises(InputError, match=r"chains of dense layers .* experts=4, awake=2"):
        stack_layers([layer_of()])


@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize("sleep", SLEEPS)
def test_a_recording_shows_what_sleeps(routing, sleep):
    layer = layer_of(routing=routing, layers=2, sleep=sleep)
    x = few_events(25, 3, 7)
    outputs, after = layer.unroll(x, lengths=LENGTHS)
    recording = record(layer, x, lengths=LENGTHS)
    for k, (trace, out) in enumerate(zip(recording.layers, outputs)):
        assert torch.equal(trace.out, out)
        assert torch.equal(trace.u > 0, out > 0)
        for b, steps in enumerate(LENGTHS.tolist()):
            for t in range(steps):
                layer_after = layer(x[: t + 1, b : b + 1])[1]
                assert torch.equal(trace.state.v[t, b], layer_after.v[k, 0])
    assert all(torch.equal(a, b) for a, b in zip(recording.state, after))


def test_a_budget_is_met_by_groups_of_one_size():
    settings = {"experts": 8, "awake": 2, "routing": "learned"}
    hidden = hidden_for_budget("ALIF", 65, 65, 100_000, **settings)
    assert hidden % 8 == 0
    count = build("ALIF", 65, hidden, 65, **settings).parameter_count
    assert abs(count - 100_000) < 5_000


# The fused engine


@pytest.mark.parametrize(("name", "routing", "sleep"), CASES)
def test_fused_has_the_references_bits_and_gradients(name, routing, sleep, all_but_alif_plain):
    layer = layer_of(name, routing=routing, sleep=sleep)
    x, lengths = few_events(40, 5, 7), torch.tensor([40, 1, 17, 16, 33])
    out = assert_as_reference(layer, x, lengths, alternating(layer, 5))
    assert out.any()


@pytest.mark.parametrize(
    ("experts", "awake", "hidden", "features"),
    [(2, 1, 6, 3), (3, 2, 51, 70), (8, 2, 8, 5), (4, 4, 20, 4)],
)
@pytest.mark.parametrize(("layers", "sleep"), [(1, "frozen"), (2, "frozen"), (2, "decaying")])
def test_groups_of_any_number_and_size(experts, awake, hidden, features, layers, sleep):
    routing = "learned" if awake > 1 else "fixed"
    groups = {"experts": experts, "awake": awake, "routing": routing, "sleep": sleep}
    layer = layer_of("ALIF", features, hidden, layers=layers, **groups)
    assert_as_reference(layer, events(40, 9, features, 0.2))


def test_groups_without_recurrence_on_an_analog_input():
    layer = layer_of("ALIF", 20, routing="learned", recurrent=False)
    x = torch.randn(20, 3, 20, generator=torch.Generator().manual_seed(0)).mul(8).round() / 16
    assert assert_as_reference(layer, x).any()


def test_a_network_of_groups_is_one_stack_with_its_readout():
    body, readout = layer_of(routing="learned", layers=2), dyadic_layer("LI", 24, 3)
    wide = dyadic_layer("LI", 24, 70)
    x = few_events(25, 3, 7)
    for head in (readout, wide):
        results = []
        for engine in ("fused", "reference"):
            network = Network(with_engine(body, engine), with_engine(head, engine), "every_step")
            activity, _ = network.run(x, None, LENGTHS)
            weights = torch.randn(activity.logits.shape, generator=torch.Generator().manual_seed(0))
            loss = (activity.logits * weights).sum()
            loss = loss + sum(n.square().sum() for n in activity.spikes)
            loss = loss + sum(imbalance(routing) for routing in activity.routings)
            parameters = dict(network.named_parameters())
            values = torch.autograd.grad(loss, [*parameters.values()])
            results.append((dict(zip(parameters, values)), activity.logits))
        (actual, logits), (expected, reference) = results
        assert torch.equal(logits, reference)
        assert_close_by_name(actual, expected)


def test_only_weights_between_a_source_that_fired_and_a_target_awake_get_a_gradient():
    layer = layer_of()
    x = torch.zeros(6, 1, 7)
    x[:, 0, 2] = 1.0  # one feature, so that the same two groups are awake
    awake = layer.weight_rt_l0[:, 2].repeat_interleave(6) > 0
    gradient = gradients(layer, x)[0]
    assert gradient["weight_ih_l0"][awake, 2].all()
    assert not gradient["weight_ih_l0"][~awake].any()
    assert not gradient["weight_hh_l0"][~awake].any()
    assert gradient["weight_hh_l0"][awake].any()


def test_compile_takes_a_layer_of_experts_whole():
    torch._dynamo.reset()
    layer, x = layer_of(routing="learned"), few_events(9, 3, 7)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    out, expected = compiled(x)[0], layer(x)[0]
    assert torch.equal(out, expected)
    out.sum().backward()
    assert layer.weight_rt_l0.grad is not None


def fused_agrees(sleep):
    for routing in ROUTINGS:
        layer = layer_of("ALIF", 4, 6, 3, 2, routing, sleep=sleep)
        x, lengths = few_events(20, 3, 4), torch.tensor([20, 7, 18])
        assert_as_reference(layer, x, lengths, alternating(layer, 3))


FAULTS = {
    "sleepers keep their spikes": ("            S_z[q, h] = f32(0.0)\n", ""),
    "a gain is left out": ("gate * acc[group, h - own]", "acc[group, h - own]"),
    "the gradient of the gain is left out": (
        "d_gains[t * batch + b, group] = product(di, u, raw, u)",
        "d_gains[t * batch + b, group] = f32(0.0)",
    ),
    "the gradient is not scaled": ("di[u, j] *= gate", "pass"),
    "sleepers get gradients of their spikes": ("G_z[q, h] = f32(0.0)", "pass"),
    "spikes reach who sleeps": ("if gains[after, group] != f32(0.0)", "if True"),
    "spikes of the wrong group": ("n, w_rec, group * hidden, di", "n, w_rec, 0, di"),
    "weights of the wrong group": ("last, amounts, group * fan_in)", "last, amounts, 0)"),
    "a segment does not hand on": (
        "di[group * span + every * size + q, j] = di[group * span + q, j]", "pass"
    ),
}  # fmt: skip


FAULTS_OF_DECAY = {
    "sleepers fire": ("z = z if gate != f32(0.0) else f32(0.0)", "pass"),
    "sleepers hear": (
        "gate * acc[group, h - own] if gate != f32(0.0) else f32(0.0)", "acc[group, h - own]"
    ),
    "sleepers get gradients of their spikes": ("d = d if gate != f32(0.0) else f32(0.0)", "pass"),
    "sleepers get gradients of their currents": ("di[u, j] *= gate", "pass"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_rejected(fault, plain_python):
    plain_python(expert_kernels, *FAULTS[fault])
    with pytest.raises(AssertionError):
        fused_agrees("frozen")


@pytest.mark.parametrize("fault", FAULTS_OF_DECAY)
def test_a_planted_fault_of_decay_is_rejected(fault, plain_python):
    plain_python(decaying_kernels, *FAULTS_OF_DECAY[fault])
    with pytest.raises(AssertionError):
        fused_agrees("decaying")


@pytest.mark.parametrize("sleep", SLEEPS)
def test_without_a_fault_the_gate_passes(sleep, plain_python):
    fused_agrees(sleep)


# The stream


@pytest.mark.parametrize("sleep", SLEEPS)
def test_a_stream_of_a_table_has_the_references_bits_by_parts_and_steps(sleep, plain_python):
    body, readout = layer_of(layers=2, sleep=sleep), dyadic_layer("LI", 24, 3)
    network = Network(body, readout, "every_step")
    x = few_events(30, 4, 7)
    lengths = torch.tensor([30, 7, 30, 1])
    expected = Network(with_engine(body, "reference"), with_engine(readout, "reference"), "last")
    stream = compile_stream(network)
    whole = stream.run(x.numpy())
    assert np.array_equal(whole.out, expected.run(x, answer="every_step")[0].logits.detach())
    first = stream.run(x[:11].numpy())
    second = stream.run(x[11:].numpy(), first.state)
    assert np.array_equal(np.concatenate([first.out, second.out]), whole.out)
    for b in range(4):
        state = stream.zero_state()
        steps = [stream.step(x[t, b].numpy(), state).copy() for t in range(30)]
        assert np.array_equal(np.stack(steps), whole.out[:, b])
        assert np.array_equal(state[0], whole.state[b])
    executed = stream.run(x.numpy(), lengths=lengths.numpy()).additions
    with torch.no_grad():
        for weight in network.parameters():
            weight[weight == 0] = 1 / 256
        executed = compile_stream(network).run(x.numpy(), lengths=lengths.numpy()).additions
        counts = count(network, x, lengths, events=True)
    for layer, (into, recurrent) in zip(counts.layers, executed.tolist()):
        assert sum(layer.synaptic(True, "input", "readout")) == into > 0
        assert sum(layer.synaptic(True, "recurrent")) == recurrent


@pytest.mark.parametrize(("name", "routing", "sleep"), CASES)
def test_a_stream_follows_the_reference(name, routing, sleep, all_but_alif_plain):
    layer = layer_of(name, hidden=20, routing=routing, sleep=sleep)
    x = few_events(40, 3, 7)
    stream = compile_stream(layer)
    result = stream.run(x.numpy())
    out, after = layer(x)
    assert out.any()
    assert np.array_equal(result.out, out.detach())
    for name, field in stream.fields(result.state)[0].items():
        # a learned gain has an exponential, which torch may round differently
        np.testing.assert_allclose(field, getattr(after, name)[0].detach(), rtol=0, atol=1e-5)


STREAM_FAULTS = {
    "sleepers keep their spikes": ("S0[2, h] = f32(0.0)", "pass"),
    "a gain is left out": ("gate * acc0[g, h - g * m0]", "acc0[g, h - g * m0]"),
    "nobody decays": (" and plan[0, DECAYING] == 0", ""),
    "all decay": (" and plan[0, DECAYING] == 0", " and False"),
    "sleepers fire": ("z = z if gate != f32(0.0) else f32(0.0)", "pass"),
    "spikes of the wrong group": ("n0, None, g * H0)", "n0, None, 0)"),
    "a table is scored": ("if plan[0, LEARNED]:", "if True:"),
}


@pytest.mark.parametrize("fault", STREAM_FAULTS)
def test_a_fault_in_a_stream_is_rejected(fault, plain_python):
    def follows():
        # CubaLIF has a current that decays, by which it would fire asleep
        for name, (routing, sleep) in product(("ALIF", "CubaLIF"), product(ROUTINGS, SLEEPS)):
            layer = layer_of(name, routing=routing, sleep=sleep, engine="reference")
            x = few_events(25, 3, 7)
            x[:9] *= -1.0  # a vote counts whatever the sign
            expected, after = layer(x)
            stream = compile_stream(layer)
            result = stream.run(x.numpy())
            np.testing.assert_array_equal(result.out, expected.detach())
            np.testing.assert_allclose(
                stream.fields(result.state)[0]["v"], after.v[0].detach(), rtol=0, atol=1e-5
            )  # a learned gain has an exponential

    follows()
    plain_python(stream_kernels, *STREAM_FAULTS[fault])
    with pytest.raises(AssertionError):
        follows()


@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize("sleep", SLEEPS)
def test_a_file_brings_the_stream_back_or_says_what_is_wrong(
    routing, sleep, tmp_path, plain_python
):
    network = build("ALIF", 7, 24, 3, experts=4, awake=2, routing=routing, sleep=sleep)
    stream, path = compile_stream(network), tmp_path / "net.safetensors"
    stream.save(path)
    x = few_events(30, 2, 7).numpy()
    again = load_stream(path)
    assert np.array_equal(again.run(x).out, stream.run(x).out)
    router = copy.copy(again).populations[0].router
    assert (router.awake, router.decaying) == (2, sleep == "decaying")
    arrays, head = tensor_file.read(path)
    for change, message in [
        ({"routings": "[[5, 0], [0, 0]]"}, "5 of 4 groups cannot be awake"),
        ({"routings": "[[2, 0]]"}, "do not fit the routings"),
        ({"routings": None}, "a router of which its file says nothing"),
        ({"decaying": "[0, 1]"}, r"populations \[1\] have no groups that could decay"),
    ]:
        changed = {k: v for k, v in (head | change).items() if v is not None}
        tensor_file.write(path, arrays, changed)
        with pytest.raises(DataError, match=message):
            load_stream(path)


def test_what_is_made_of_a_stream_refuses_experts(tmp_path, plain_python):
    network = build("LIF", 7, 24, 3, experts=4, awake=2)
    with pytest.raises(UnsupportedError, match="experts, which are not written as C"):
        export_c(network, tmp_path / "c")
    with pytest.raises(UnsupportedError, match="experts has no ONNX step"):
        onnx_step(network)
    with pytest.raises(UnsupportedError, match="layer of experts is not written to NIR"):
        to_nir(network.body)
    with pytest.raises(UnsupportedError, match="snnTorch has no experts"):
        to_snntorch(network.body)
    gain = torch.ones(3, 1, 4)
    with pytest.raises(UnsupportedError, match="'triton' has no experts"):
        triton.run_stack(network.body.populations(), [], torch.ones(3, 1, 7), gain=gain)


# Banks of recurrent weights


@torch.no_grad()
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_banks_that_are_all_named_are_torchs_layer_of_their_sum(kind):
    banked, plain = Baseline(kind, 5, 8, 2, experts=3, awake=3), Baseline(kind, 5, 8, 2)
    for name, value in plain.rnn.named_parameters():
        own = getattr(banked.rnn, name)
        value.copy_(own.view(3, *value.shape).sum(0) if "weight_hh" in name else own)
    x = torch.randn(25, 3, 5)
    (out, after), (expected, last) = banked(x, None, LENGTHS), plain(x, None, LENGTHS)
    # float32 sums of some terms in another order, carried on for 25 steps
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(after, last, rtol=0, atol=1e-5)
    first, state = banked(x[:11])
    second, _ = banked(x[11:], state)
    assert torch.equal(torch.cat([first, second]), banked(x)[0])


def test_only_banks_that_an_event_names_get_a_gradient():
    network = build("GRU", 5, 8, 2, "mean", experts=4, awake=2)
    assert network.body.rnn.bias_hh_l0.shape == (24,)
    x = torch.zeros(6, 2, 5)
    x[..., 3] = 1.0
    network(x)[0].sum().backward()
    gradient = network.body.rnn.weight_hh_l0.grad.view(4, -1)
    assert torch.equal(gradient.any(1), network.body.rnn.weight_rt[:, 3] > 0)
    again = rebuild(describe(network), network.state_dict())
    assert torch.equal(again(x)[0], network(x)[0])


def test_what_is_not_built_of_banks_is_refused(tmp_path):
    with pytest.raises(InputError, match="GRU takes no routing"):
        build("GRU", 5, 8, 2, experts=4, awake=2, routing="learned")
    with pytest.raises(InputError, match=r"awake must lie in 1\.\.4"):
        build("GRU", 5, 8, 2, experts=4, awake=9)
    network = build("GRU", 5, 8, 2, experts=4, awake=2)
    for convert in (onnx_graph, onnx_step, lambda each: export_c(each, tmp_path / "c")):
        with pytest.raises(UnsupportedError, match=r"GRU and LSTM .*without experts"):
            convert(network)


# Learning


def test_a_router_is_summed_over_valid_steps_alone():
    torch.manual_seed(1)
    layer = layer_of(routing="learned", layers=2)
    x = few_events(25, 3, 7)
    _, _, _, _, routings = layer.run(x, lengths=LENGTHS)
    hidden = layer.unroll(x, lengths=LENGTHS)[0]
    for k, (arriving, routing) in enumerate(zip((x, hidden[0]), routings, strict=True)):
        scores = functional.linear(arriving, getattr(layer, f"weight_rt_l{k}"))
        valid = torch.arange(25)[:, None] < LENGTHS
        best = torch.argsort(scores, dim=-1, descending=True, stable=True)[..., :2]
        times = functional.one_hot(best, 4).sum(2)[valid].sum(0)
        assert torch.equal(routing.awake, times.float())
        torch.testing.assert_close(routing.probability, scores.softmax(-1)[valid].sum(0))


def test_the_balance_is_one_where_groups_are_equal_and_its_gradient_evens_them():
    even, odd = torch.full((4,), 10.0), torch.tensor([20.0, 20.0, 0.0, 0.0])
    assert imbalance(Routing(even, even)) == imbalance(Routing(odd, even)) == 1.0
    assert imbalance(Routing(odd, odd)) == 2.0
    scores = torch.zeros(4, requires_grad=True)
    imbalance(Routing(odd, 10 * scores.softmax(0))).backward()
    assert (scores.grad[:2] > 0).all()
    assert (scores.grad[2:] < 0).all()
    assert working(even) == pytest.approx(4)
    assert working(odd) == pytest.approx(2)


def short(routing, **training):
    """A quick training on digits: its loss and weights afterwards."""
    torch.manual_seed(0)
    data = load("digits").thinned(40)
    network = build("ALIF", data.input_size, 16, data.classes, experts=4, awake=2, routing=routing)
    history = fit(network, data, Training(epochs=1, batch_size=20, **training), bar=False)
    return history.epochs[0].loss, network.body.weight_rt_l0.detach()


def test_a_training_adds_the_balance_of_learned_routers():
    loss, router = short("learned", balance_penalty=0.0)
    more, balanced = short("learned", balance_penalty=1.0)
    assert more > loss + 0.9  # 1 at least for one router
    assert not torch.equal(router, balanced)
    assert short("fixed", balance_penalty=1.0)[0] == short("fixed", balance_penalty=0.0)[0]


def test_a_router_that_collapses_is_named_with_its_layer():
    data = load("digits").thinned(40)
    torch.manual_seed(0)
    settings = {"experts": 8, "awake": 2, "routing": "learned"}
    network = build("ALIF", data.input_size, 16, data.classes, **settings)
    with torch.no_grad():
        network.body.weight_rt_l0.zero_()  # of equals the first are awake
    frozen = Training(epochs=1, learning_rate=1e-9, balance_penalty=0.0)
    with pytest.warns(UserWarning, match=r"layer 0 has collapsed in epoch 1: 2\.\d of 8 groups"):
        fit(network, data, frozen, bar=False)


@pytest.mark.parametrize(
    ("model", "routing"), [("LIF", "fixed"), ("LIF", "learned"), ("GRU", "fixed")]
)
def test_a_job_of_a_study_has_experts_within_its_budget(model, routing):
    structure = Architecture(experts=4, awake=2, routing=routing)
    job = TrainingJob("digits", model, 0, Training(), 3_000, architecture=structure, sequences=8)
    network, _ = prepare(job)
    assert (network.body.experts, network.body.awake) == (4, 2)
    assert abs(network.parameter_count - 3_000) < 150
