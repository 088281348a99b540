"""Feedback, dropout, both directions: on every engine, counted, saved, streamed or refused."""

import warnings

import numpy as np
import pytest
import torch
from engine_cases import assert_as_reference, events, gradients
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

from spikern._utils.errors import InputError, UnsupportedError
from spikern.cost.counting import count
from spikern.engines.dispatch import run_stack
from spikern.engines.population import existing_weights, merge_states
from spikern.engines.stream import load_stream
from spikern.interop.nir import to_nir
from spikern.interop.snntorch import to_snntorch
from spikern.layers.network import Network, build
from spikern.layers.recording import record
from spikern.layers.rnn import Readout, SpikingRNN
from spikern.layers.streaming import compile_stream
from spikern.neurons.surrogate import spike
from spikern.testing import dyadic, with_engine
from spikern.train.calibration import calibrate, firing_rates

LENGTHS = torch.tensor([25, 9, 1])


def layer_with(layers=3, hidden=9, neuron="ALIF", seed=0, **settings):
    """A lively stack whose sums are exact in any order."""
    torch.manual_seed(seed)
    layer = SpikingRNN(neuron, 5, hidden, layers, input_power=0.3, **settings)
    with torch.no_grad():
        for name, value in layer.named_parameters():
            if name.startswith("weight"):
                value.mul_(2)
    return dyadic(layer)


def loop(layer, x, lengths=None):
    """Feedback written out, layer by layer and step by step: the spikes of every layer."""
    count, model = layer.num_layers, layer.neuron
    states = [model.state(*fields) for fields in zip(*layer.zero_state(x.shape[1]))]
    outputs = [[] for _ in range(count)]
    for t in range(len(x)):
        before = [s.z for s in states]
        for k in range(count):
            below = x[t] if k == 0 else before[k - 1]
            i = functional.linear(below, getattr(layer, f"weight_ih_l{k}"))
            i = i + getattr(layer, f"bias_l{k}")
            if layer.skip and k:
                beyond = x[t] if k == 1 else before[k - 2]
                i = i + beyond @ getattr(layer, f"weight_sk_l{k}").T
            if layer.recurrent:
                w = existing_weights(
                    getattr(layer, f"weight_hh_l{k}"), getattr(layer, f"links_hh_l{k}")
                )
                i = i + before[k] @ w.T
            if k < count - 1:
                w = existing_weights(
                    getattr(layer, f"weight_fb_l{k}"), getattr(layer, f"links_fb_l{k}")
                )
                i = i + before[k + 1] @ w.T
            after, z = model.step(layer.params(k), states[k], i, spike(layer.surrogate))
            runs = torch.ones(x.shape[1], 1, dtype=torch.bool)
            if lengths is not None:
                runs = (t < lengths).unsqueeze(1)
            states[k] = model.state(*(torch.where(runs, n, s) for n, s in zip(after, states[k])))
            outputs[k].append(torch.where(runs, z, torch.zeros_like(z)))
    return [torch.stack(out) for out in outputs], layer.final_state(states)


SHAPES = [
    dict(layers=2, feedback=True),
    dict(layers=3, feedback=0.3),
    dict(layers=3, feedback=0.3, recurrent=0.4, neuron="LIF"),
    dict(layers=2, feedback="diagonal", recurrent=False),
    dict(layers=4, hidden=23, feedback=0.01, recurrent=0.01, seed=3),
    dict(layers=4, feedback=0.3, skip=True),
]


@pytest.mark.parametrize("engine", ["reference", "fused"])
@pytest.mark.parametrize("settings", SHAPES)
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_feedback_is_the_loop_written_out(settings, engine, lengths):
    layer, x = layer_with(engine=engine, **settings), events(25, 3, 5)
    outputs, after = layer.unroll(x, lengths=lengths)
    expected, final = loop(layer, x, lengths)
    assert all(out.any() for out in expected)
    for found, right in zip([*outputs, *after], [*expected, *final]):
        assert torch.equal(found, right)
    assert torch.equal(layer(x, lengths=lengths)[0], expected[-1])
    made = layer.run(x, lengths=lengths)
    for found, right in zip(made.spikes, expected):
        assert torch.equal(found, right.sum((0, 1)))


@pytest.mark.parametrize("settings", SHAPES)
def test_feedback_has_the_gradients_of_the_loop(settings):
    layer, x = layer_with(engine="fused", **settings), events(25, 3, 5)
    assert_as_reference(layer, x, LENGTHS)
    found, _, _ = gradients(layer, x)
    named = dict(layer.named_parameters())
    outputs, final = loop(layer, x)
    generator = torch.Generator().manual_seed(3)
    loss = sum((v * torch.randn(v.shape, generator=generator)).sum() for v in (outputs[-1], *final))
    for (name, _), right in zip(named.items(), torch.autograd.grad(loss, [*named.values()])):
        scale = right.abs().max().clamp(min=1e-6)
        # float32 sums of some hundred terms in another order
        assert (found[name] - right).abs().max() <= 2e-5 * scale, name
    assert all(found[name].any() for name in named if name.startswith("weight_fb"))


def test_few_links_stay_few():
    """Only a sparse block matrix is kept as links; they are its synapses, in order."""
    assert layer_with(4, 40, feedback=0.01, recurrent=0.01).populations()[0].synapses is None
    small = layer_with(40, 3, recurrent="diagonal", feedback="diagonal").populations()[0]
    assert len(small.synapses) == 40 * 3 + 39 * (3 + 9)
    source, target = small.synapses.unbind(1)
    assert ((source * 120 + target).diff() > 0).all()
    rest = small.w_rec.detach().clone()
    rest[target, source] = 0.0
    assert not rest.any()


def test_feedback_takes_a_step_both_ways():
    """A spike below arrives above one step later, and comes back one step after that."""
    layer = SpikingRNN("LIF", 1, 1, 2, bias=False, recurrent=False, feedback=True)
    with torch.no_grad():
        for name in ("weight_ih_l0", "weight_ih_l1", "weight_fb_l0"):
            layer.get_parameter(name).fill_(1e3)
    x = torch.zeros(6, 1, 1)
    x[0] = 1.0
    below, above = layer.unroll(x)[0]
    assert below.flatten().nonzero()[0] == 0
    assert above.flatten().nonzero()[0] == 1
    with torch.no_grad():
        layer.get_parameter("weight_fb_l0").fill_(-1e3)
    assert layer.unroll(x)[0][0][2] == 0


@pytest.mark.parametrize("settings", SHAPES)
def test_feedback_whole_is_chunked_and_single(settings):
    layer, x = layer_with(**settings), events(25, 3, 5)
    whole, final = layer(x)
    first, state = layer(x[:11])
    second, last = layer(x[11:], state)
    assert torch.equal(torch.cat([first, second]), whole)
    assert all(torch.equal(a, b) for a, b in zip(last, final))
    alone, single = layer(x[:, 1])
    assert torch.equal(alone, whole[:, 1])
    assert torch.equal(single.v, final.v[:, 1])


@pytest.mark.parametrize("settings", SHAPES)
def test_feedback_is_streamed(settings, tmp_path):
    layer, x = layer_with(**settings), events(25, 3, 5)
    out, after = layer(x, lengths=LENGTHS)
    stream = compile_stream(layer)
    stream.save(tmp_path / "stream")
    for each in (stream, load_stream(tmp_path / "stream")):
        result = each.run(x.numpy(), lengths=LENGTHS.numpy())
        assert result.out.shape == out.shape
        assert np.array_equal(result.out, out.detach().numpy())
        (fields,) = each.fields(result.state)
        for name, value in after._asdict().items():
            merged = torch.cat([*value], 1).detach().numpy()
            assert np.array_equal(fields[name], merged)
    state = stream.zero_state()
    steps = [stream.step(x[t, 0].numpy(), state).copy() for t in range(25)]
    assert np.array_equal(np.stack(steps), out[:, 0].detach().numpy())


@pytest.mark.parametrize("engine", ["reference", "fused"])
def test_a_network_with_feedback_is_read_out_above(engine):
    body = layer_with(3, feedback=0.5, engine=engine)
    torch.manual_seed(1)
    network = Network(body, dyadic(Readout(9, 2, engine=engine)), "every_step")
    x = events(25, 3, 5)
    logits, (inner, outer) = network(x, None, LENGTHS)
    top, state = body(x, lengths=LENGTHS)
    expected, after = network.readout(top, lengths=LENGTHS)
    assert torch.equal(logits, expected)
    assert torch.equal(inner.v, state.v)
    assert torch.equal(outer.v, after.v)
    result = compile_stream(network).run(x.numpy(), lengths=LENGTHS.numpy())
    assert np.array_equal(result.out, logits.detach().numpy())


def test_feedback_is_counted_by_connection():
    layer, x = layer_with(3, feedback=0.3, recurrent=0.4), events(25, 3, 5)
    outputs, _ = layer.unroll(x, lengths=LENGTHS)
    counts = count(layer, x, LENGTHS, events=True)

    def crossed(values, weight, wait):
        total = 0
        for b, steps in enumerate(LENGTHS.tolist()):
            for t in range(wait, steps):
                fired = values[t - wait, b] != 0
                total += int((getattr(layer, weight)[:, fired] != 0).sum())
        return total

    for k, counted in enumerate(counts.layers):
        by_kind = {c.kind: sum(c.ops) for c in counted.connections}
        below = crossed(x, "weight_ih_l0", 0)
        assert by_kind["input"] == (crossed(outputs[k - 1], f"weight_ih_l{k}", 1) if k else below)
        assert by_kind["recurrent"] == crossed(outputs[k], f"weight_hh_l{k}", 1)
        if k < 2:
            assert by_kind["feedback"] == crossed(outputs[k + 1], f"weight_fb_l{k}", 1) > 0
            (c,) = (c for c in counted.connections if c.kind == "feedback")
            assert (c.source, c.synapses) == (f"hidden {k + 1}", round(0.3 * 81))
        else:
            assert "feedback" not in by_kind


@pytest.mark.parametrize(
    "settings", [dict(feedback=0.5), dict(delay=3, recurrent_delay=4, skip=True)]
)
def test_recorded_by_layer(settings):
    layer, x = layer_with(3, **settings), events(25, 3, 5)
    outputs, after = layer.unroll(x, lengths=LENGTHS)
    recording = record(layer, x, lengths=LENGTHS)
    assert len(recording.layers) == 3
    for k, (trace, out) in enumerate(zip(recording.layers, outputs)):
        assert torch.equal(trace.out, out)
        assert torch.equal(trace.state.v[24, 0], after.v[k, 0])
        assert torch.equal((trace.u > 0).float(), out)
    assert all(torch.equal(a, b) for a, b in zip(recording.state, after))


@pytest.mark.parametrize(
    "settings", [dict(num_layers=2, feedback=0.2), dict(num_layers=3, skip=True, delay=3)]
)
def test_a_fresh_network_is_calibrated(settings):
    torch.manual_seed(0)
    layer = SpikingRNN("LIF", 4, 64, **settings)
    for rate in calibrate(layer, torch.rand(100, 8, 4)):
        assert 0.04 < rate < 0.06


def test_a_share_is_exact():
    layer = SpikingRNN("LIF", 3, 10, 2, recurrent=0.25, feedback=0.5)
    assert len(layer.links_hh_l0) == 25
    assert len(layer.links_fb_l0) == 50
    assert not hasattr(layer, "weight_fb_l1")


@pytest.mark.parametrize("engine", ["reference", "fused"])
def test_dropout_is_that_of_lstm(engine):
    """Between layers, scaled, while training; the same numbers as torch draws."""
    layer, x = layer_with(3, dropout=0.5, engine=engine), events(25, 3, 5)
    plain = layer_with(3, engine=engine)
    assert torch.equal(layer.eval()(x)[0], plain(x)[0])
    singles = []
    for k in range(3):
        singles.append(SpikingRNN("ALIF", 9 if k else 5, 9, engine=engine))
        for name, value in singles[-1].state_dict().items():
            value.copy_(layer.state_dict()[name.replace("_l0", f"_l{k}")])
    layer.train()
    torch.manual_seed(4)
    outputs, _ = layer.unroll(x)
    torch.manual_seed(4)
    arriving = x
    for out, single in zip(outputs, singles):
        assert torch.equal(out, single(arriving)[0])
        arriving = functional.dropout(out, 0.5)
    torch.manual_seed(4)
    assert torch.equal(layer(x)[0], outputs[-1])
    assert not torch.equal(outputs[-1], plain(x)[0])


def test_dropout_is_counted_and_streamed_as_it_is_used():
    layer, x = layer_with(2, dropout=0.5), events(25, 3, 5)
    with pytest.raises(UnsupportedError, match=r"after eval\(\)"):
        count(layer, x, events=True)
    out = layer.eval()(x)[0]
    assert count(layer, x, events=True).ops == count(layer_with(2), x, events=True).ops
    assert np.array_equal(compile_stream(layer.train()).run(x.numpy()).out, out.detach().numpy())


def test_dropout_in_a_network_and_its_readout():
    network = build("LIF", 5, 9, 2, "every_step", num_layers=2, dropout=0.9, dt=1.0)
    x = events(25, 3, 5)
    torch.manual_seed(1)
    first = network(x)[0]
    assert not torch.equal(network(x)[0], first)
    torch.manual_seed(1)
    assert torch.equal(network(x)[0], first)
    network.eval()
    assert torch.equal(network(x)[0], network(x)[0])


def test_calibration_is_without_dropout():
    torch.manual_seed(0)
    layer, x = SpikingRNN("LIF", 4, 64, 2, dropout=0.9), torch.rand(100, 8, 4)
    assert calibrate(layer, x)[1] == pytest.approx(0.05, abs=0.01)
    assert layer.training
    assert firing_rates(layer.eval().run(x).spikes, x)[1] == pytest.approx(0.05, abs=0.01)


def both(engine="fused", **settings):
    return layer_with(2, bidirectional=True, engine=engine, **settings)


@pytest.mark.parametrize("engine", ["reference", "fused"])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_both_directions_are_two_layers(engine, lengths):
    """Each side is a layer of its own, the second one on every sample turned round."""
    layer, x = both(engine), events(25, 3, 5)
    outputs, after = layer.unroll(x, lengths=lengths)
    until = torch.full((3,), 25) if lengths is None else lengths
    arriving, k = x, 0
    for out in outputs:
        for side, suffix in enumerate(("", "_reverse")):
            single = SpikingRNN("ALIF", arriving.shape[2], 9, engine=engine)
            for name in single.state_dict():
                single.state_dict()[name].copy_(layer.state_dict()[f"{name[:-1]}{k // 2}{suffix}"])
            half = out[..., 9 * side : 9 * side + 9]
            for b, n in enumerate(until.tolist()):
                own = arriving[:n, b : b + 1]
                expected, state = single(own.flip(0) if side else own)
                assert torch.equal(half[:n, b : b + 1], expected.flip(0) if side else expected)
                assert not half[n:, b].any()
                assert torch.equal(after.v[k, b], state.v[0, 0])
            k += 1
        arriving = out
    assert torch.equal(layer(x, lengths=lengths)[0], outputs[-1])


def test_both_directions_are_named_as_in_torch():
    ours, theirs = both(), torch.nn.LSTM(5, 9, 2, bidirectional=True)
    for name, value in theirs.named_parameters():
        if name.startswith("weight"):
            assert ours.get_parameter(name).shape == (value.shape[0] // 4, value.shape[1])
    x = events(25, 3, 5)
    (out, state), (expected, (h, _)) = ours(x), theirs(x)
    assert (out.shape, state.z.shape) == (expected.shape, h.shape)


@pytest.mark.parametrize(
    "settings", [dict(layers=3, dropout=0.5), dict(layers=2, bidirectional=True)]
)
def test_both_engines_have_one_gradient(settings):
    layer, x = layer_with(engine="fused", **settings), events(25, 3, 5)
    results = []
    for each in (layer, with_engine(layer, "reference")):
        torch.manual_seed(4)
        results.append(gradients(each, x, LENGTHS)[0])
    for name, right in results[1].items():
        # float32 sums of some hundred terms in another order
        torch.testing.assert_close(results[0][name], right, rtol=0, atol=1e-4, msg=name)


def test_both_directions_are_counted():
    layer, x = both(), events(25, 3, 5)
    (below, _), _ = layer.unroll(x, lengths=LENGTHS)
    counts = count(layer, x, LENGTHS, events=True)
    names = ["hidden 0", "hidden 0 reverse", "hidden 1", "hidden 1 reverse"]
    assert [c.name for c in counts.layers] == names
    for side, name in enumerate(names[:2]):
        own = below[..., 9 * side : 9 * side + 9]
        fan_out = (getattr(layer, f"weight_hh_l0{'_reverse' * side}") != 0).sum(0)
        arriving = [
            own[1:n, b] if side else own[: n - 1, b] for b, n in enumerate(LENGTHS.tolist())
        ]
        (counted,) = (c for c in counts[name].connections if c.kind == "recurrent")
        assert sum(counted.ops) == sum(int((z * fan_out).sum()) for z in arriving) > 0
    fan_out = (layer.weight_ih_l1_reverse != 0).sum(0)
    upper = counts["hidden 1 reverse"].connections[0]
    assert sum(upper.ops) == int((below * fan_out).sum())


def test_both_directions_in_a_network():
    network = build("LIF", 5, 9, 2, "mean", num_layers=2, bidirectional=True)
    x = events(25, 3, 5)
    logits, state = network(x, None, LENGTHS)
    assert logits.shape == (3, 2)
    assert state[0].v.shape == (4, 3, 9)
    assert count(network, x, LENGTHS, events=True)["readout"].connections[0].sources == 18
    packed = pack_padded_sequence(x, LENGTHS)
    out, _ = network.body(packed)
    expected, _ = network.body(x, lengths=LENGTHS)
    assert torch.equal(out.data, pack_padded_sequence(expected, LENGTHS).data)


def make(**settings):
    return lambda: SpikingRNN("LIF", 3, 8, **settings)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (make(feedback=True), InputError, "give num_layers > 1"),
        (make(num_layers=2, feedback=1.5), InputError, "feedback must be True, False"),
        (make(num_layers=2, feedback=0.0), InputError, "feedback must be True, False"),
        (make(num_layers=2, feedback=True, dropout=0.1), InputError, "dropout needs layers"),
        (make(num_layers=2, feedback=True, bidirectional=True), InputError, "bidirectional needs"),
        (make(skip=True), InputError, "skip leads past a layer"),
        (make(num_layers=2, dropout=1.0), InputError, "at least 0 and below 1, got 1.0"),
        (make(num_layers=2, recurrent=2.0), InputError, "recurrent must be True, False"),
        (
            lambda: SpikingRNN("LI", 3, 8, 2, recurrent=False, feedback=True),
            InputError,
            "LI never fires, so it cannot be fed back",
        ),
        (lambda: compile_stream(both()), UnsupportedError, "bidirectional=False"),
        (lambda: record(both(), events(5, 1, 5)), UnsupportedError, "backward in time"),
    ],
)
def test_what_does_not_go_together_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    "settings",
    [
        dict(feedback=True),
        dict(bidirectional=True),
        dict(skip=True),
        dict(delay=2),
        dict(recurrent_delay=2),
    ],
)
def test_other_libraries_are_refused_what_they_cannot_say(settings):
    layer = SpikingRNN("HardLIF", 3, 8, 2, **settings)
    pytest.importorskip("nir")
    with pytest.raises(UnsupportedError, match="not written to NIR"):
        to_nir(layer)
    pytest.importorskip("snntorch")
    with pytest.raises(UnsupportedError, match="one after the other"):
        to_snntorch(SpikingRNN("LIF", 3, 8, 2, **settings))


def test_dropout_with_one_layer_warns():
    with pytest.warns(UserWarning, match="there is only one"):
        SpikingRNN("LIF", 3, 8, dropout=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SpikingRNN("LIF", 3, 8, 2, dropout=0.5)


def test_merging_can_fail():
    """The loop above tells blocks that are swapped from blocks that are not."""
    layer, x = layer_with(2, feedback=True), events(25, 3, 5)
    population = layer.populations()[0]
    swapped = population._replace(w_rec=population.w_rec.roll(9, 1))
    states = [merge_states(layer.initial_states(None, x.shape[1])[0])]
    wrong = run_stack("reference", [swapped], states, x).out
    right = torch.cat(loop(layer, x)[0], -1)
    assert not torch.equal(wrong, right)
