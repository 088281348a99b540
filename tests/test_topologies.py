"""Skip connections, feedback, dropout, both directions: on every engine, counted, streamed."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from engine_cases import (
    LENGTHS,
    assert_as_reference,
    connections,
    crossed,
    events,
    gradients,
    layer_with,
    leaves,
    mapped,
    parts,
    written_out,
)
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

from spikern._utils.errors import InputError, UnsupportedError
from spikern.cost.counting import count
from spikern.engines import population
from spikern.engines.dispatch import run_stack
from spikern.engines.population import merge_states
from spikern.engines.stream_loading import load_stream
from spikern.events.trains import Events
from spikern.interop.nir import to_nir
from spikern.interop.snntorch import to_snntorch
from spikern.layers.delays import Delay, LearnedDelay
from spikern.layers.network import Network, build
from spikern.layers.recording import record
from spikern.layers.rnn import Readout, SpikingRNN
from spikern.layers.stacking import stack_layers
from spikern.layers.streaming import compile_stream
from spikern.neurons import LIF
from spikern.testing import dyadic, with_engine
from spikern.train.calibration import calibrate, firing_rates

FEEDBACK = [
    dict(layers=2, feedback=True),
    dict(layers=3, feedback=0.3),
    dict(layers=3, feedback=0.3, recurrent=0.4, neuron="LIF"),
    dict(layers=2, feedback="diagonal", recurrent=False),
    dict(layers=4, hidden=23, feedback=0.01, recurrent=0.01, seed=3),
    dict(layers=4, feedback=0.3, skip=True),
]
FORWARD = [
    dict(layers=3, skip=True),
    dict(layers=2, skip=True, recurrent=False),
    dict(layers=3, delay=4),
    dict(layers=1, delay=30, neuron="LIF"),
    dict(layers=2, recurrent_delay=4),
    dict(layers=2, recurrent_delay=3, recurrent=0.4, neuron="LIF"),
    dict(layers=3, delay=3, recurrent_delay=6, skip=True),
    dict(layers=2, delay=5, recurrent_delay=3, learn_delays=True),
]

MIXED = [
    dict(neuron=["ALIF", "LIF"], hidden=[9, 6], layers=None),
    dict(neuron=["LIF", "ALIF", "LIF"], hidden=[7, 9, 4], recurrent=[0.4, False, True], skip=True),
    dict(neuron=["ALIF", "LIF"], recurrent=[True, "diagonal"], surrogate=["triangular", "boxcar"]),
    dict(
        neuron=["ALIF", "LIF"], hidden=[9, 6], delay=3, recurrent=[False, True], recurrent_delay=4
    ),
    dict(hidden=[9, 6, 4], feedback=[0.5, False], recurrent=[True, 0.5, False], skip=True),
]
"""Layers that differ in neuron, width, surrogate or recurrence."""
SHAPES = FEEDBACK + FORWARD + [{"layers": None, "seed": 3, **settings} for settings in MIXED]


def halfway(layer):
    """Every learned position in the middle, spread over four steps: shares that are dyadic."""
    for axons in layer.modules():
        if isinstance(axons, LearnedDelay):
            torch.nn.init.zeros_(axons.raw)
            axons.sigma.fill_(1.0)
    return layer.train()


@pytest.mark.parametrize("engine", ["reference", "fused"])
@pytest.mark.parametrize("settings", SHAPES)
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_a_layer_is_the_loop_written_out(settings, engine, lengths):
    layer, x = layer_with(engine=engine, **settings), events(25, 3, 5)
    outputs, after = layer.unroll(x, lengths=lengths)
    expected, final = written_out(layer, x, lengths)
    assert all(out.any() for out in expected)
    for actual, right in [(outputs, expected), *zip(parts(after), parts(final))]:
        assert len(actual) == len(right)
        assert all(map(torch.equal, actual, right))
    assert torch.equal(layer(x, lengths=lengths)[0], expected[-1])
    for actual, right in zip(layer.run(x, lengths=lengths).spikes, expected):
        assert torch.equal(actual, right.sum((0, 1)))
    if layer.recurrent:
        wrong, _ = written_out(layer, x, lengths, more=1)
        assert not all(torch.equal(a, b) for a, b in zip(wrong, expected))


@pytest.mark.parametrize("settings", [s for s in SHAPES if not s.get("learn_delays")])
def test_gradients_are_those_of_the_loop(settings, request):
    if "surrogate" in settings:  # of which no other test has kernels
        request.getfixturevalue("plain_python")
    layer, x = layer_with(engine="fused", **settings), events(25, 3, 5)
    assert_as_reference(layer, x, LENGTHS)
    named = dict(layer.named_parameters())
    outputs, final = written_out(layer, x)
    generator = torch.Generator().manual_seed(3)
    values = [outputs[-1], *(field for own in parts(final) for field in own)]
    loss = sum((v * torch.randn(v.shape, generator=generator)).sum() for v in values)
    actual, _, _ = gradients(layer, x)
    for (name, _), right in zip(named.items(), torch.autograd.grad(loss, [*named.values()])):
        scale = right.abs().max().clamp(min=1e-6)
        # float32 sums of some hundred terms in another order
        assert (actual[name] - right).abs().max() <= 2e-5 * scale, name
    assert all(actual[name].any() for name in named if name.startswith("weight_fb"))


@pytest.mark.parametrize("settings", SHAPES)
def test_whole_is_chunked_and_single(settings):
    layer, x = layer_with(**settings), events(25, 3, 5)
    for each in (layer, halfway(copy.deepcopy(layer))):
        whole, final = each(x)
        first, state = each(x[:2])
        state = pickle.loads(pickle.dumps(mapped(torch.Tensor.detach, state)))
        middle, state = each(x[2:11], tuple(state))
        last, after = each(x[11:], state)
        assert torch.equal(torch.cat([first, middle, last]), whole)
        assert all(torch.equal(a, b) for a, b in zip(leaves(after), leaves(final)))
        alone, single = each(x[:, 1])
        assert torch.equal(alone, whole[:, 1])
        again, _ = each(x[:, 1], single)
        assert torch.equal(again, each(x, final)[0][:, 1])
        assert all(torch.equal(a, b[:, 1]) for a, b in zip(leaves(single), leaves(final)))
        short, ends = each(x, lengths=LENGTHS)
        for b, n in enumerate(LENGTHS.tolist()):
            out, end = each(x[:n, b])
            assert torch.equal(short[:n, b], out)
            assert not short[n:, b].any()
            assert all(torch.equal(a[:, b], e) for a, e in zip(leaves(ends), leaves(end)))
        packed, _ = each(pack_padded_sequence(x, LENGTHS))
        assert torch.equal(packed.data, pack_padded_sequence(short, LENGTHS).data)
        assert torch.equal(each(Events.from_dense(x))[0], whole)


@pytest.mark.parametrize(
    "settings",
    [*SHAPES, dict(layers=2, bidirectional=True), dict(MIXED[0], layers=None, bidirectional=True)],
)
def test_a_state_dict_is_the_whole_layer(settings):
    x = events(25, 3, 5)
    layer, other = layer_with(**settings), layer_with(**settings | {"seed": 5})
    assert not torch.equal(other(x)[0], layer(x)[0])
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(x)[0], layer(x)[0])
    others = ("layers", "hidden", "neuron", "seed")
    settings = {k: v for k, v in settings.items() if k not in others}
    empty = SpikingRNN(
        layer.neuron, 5, layer.hidden_size, layer.num_layers, device="meta", **settings
    )
    assert all(value.is_meta for value in empty.state_dict().values())
    empty.to_empty(device="cpu").eval().load_state_dict(layer.state_dict())
    assert torch.equal(empty(x)[0], layer(x)[0])


@pytest.mark.parametrize("settings", SHAPES)
def test_streamed(settings, tmp_path, request):
    if SHAPES.index(settings) != 8:  # one compiled, for seconds, the others in plain Python
        request.getfixturevalue("plain_python")
    layer, x = layer_with(**settings), events(25, 3, 5)
    out, after = layer(x, lengths=LENGTHS)
    stream = compile_stream(layer.train())
    stream.save(tmp_path / "stream")
    for each in (stream, load_stream(tmp_path / "stream")):
        result = each.run(x.numpy(), lengths=LENGTHS.numpy())
        assert np.array_equal(result.out, out.detach().numpy())
        populations = each.fields(result.state)
        assert len(populations) == (1 if layer.feedback else layer.num_layers)
        for name in {name for own in populations for name in own} - {"delay_buffer"}:
            fields = np.concatenate([own[name] for own in populations if name in own], 1)
            rows = [row for own in parts(after) for row in getattr(own, name, ())]
            assert np.array_equal(fields, torch.cat(rows, 1).detach().numpy())
        first = each.run(x[:11].numpy())
        second = each.run(x[11:].numpy(), first.state)
        whole = each.run(x.numpy())
        assert np.array_equal(np.concatenate([first.out, second.out]), whole.out)
        assert np.array_equal(second.state, whole.state)
        assert np.array_equal(first.additions + second.additions, whole.additions)
    state = stream.zero_state()
    steps = [stream.step(x[t, 0].numpy(), state).copy() for t in range(25)]
    assert np.array_equal(np.stack(steps), out[:, 0].detach().numpy())
    with pytest.raises(InputError, match=r"expected input of shape \(T, B, 5\)"):
        stream.run(x[..., :4].numpy())


@pytest.mark.parametrize("settings", SHAPES)
def test_counted_by_connection(settings):
    layer, x = layer_with(**settings), events(25, 3, 5)
    outputs, _ = layer.unroll(x, lengths=LENGTHS)
    sources = [x, *outputs]
    for k, counted in enumerate(count(layer, x, LENGTHS, events=True).layers):
        by_kind = {c.kind: c for c in counted.connections}
        for kind, source, weight, delays in connections(layer, k):
            c = by_kind.pop(kind)
            assert sum(c.ops) == crossed(sources[source], weight, delays, LENGTHS) > 0
            assert c.source == ("input" if source == 0 else f"hidden {source - 1}")
            assert c.synapses == int((weight != 0).sum())
        assert not by_kind


@torch.no_grad()
@pytest.mark.usefixtures("plain_python")
@pytest.mark.parametrize("settings", [*FORWARD, *SHAPES[-3:-1]])
def test_what_is_executed_is_what_is_counted(settings, monkeypatch):
    monkeypatch.setattr(population, "SPARSE", 0.0)  # every recurrence is stored as rows
    if settings.get("recurrent") in (0.4, [True, "diagonal"]):
        settings = settings | {"recurrent": True}  # rows with zeros are executed with their zeros
    layer, x = layer_with(**settings), events(25, 3, 5)
    for value in layer.parameters():
        if value.ndim == 2:
            value[value == 0] = 1 / 256  # a synapse of weight zero is executed and not counted
    executed = compile_stream(layer).run(x.numpy(), lengths=LENGTHS.numpy()).additions
    counts = count(layer, x, LENGTHS, events=True)
    for one, (into, recurrent) in zip(counts.layers, executed.tolist()):
        assert sum(one.synaptic(True, "input", "skip")) == into
        assert sum(one.synaptic(True, "recurrent")) == recurrent


@pytest.mark.parametrize("engine", ["reference", "fused"])
@pytest.mark.parametrize(
    ("settings", "delay"),
    [
        (dict(layers=3, feedback=0.5), 0),
        (dict(layers=2, recurrent_delay=4, skip=True, delay=3), 3),
        *((settings, 0) for settings in SHAPES[-5:-2]),
        (SHAPES[-2], 2),
        (SHAPES[-1], 0),
    ],
)
def test_a_network_reads_the_top_layer(settings, delay, engine, request):
    """Body and readout, each with its delays; counted and streamed as one network."""
    if engine == "reference" or not settings.get("delay"):  # one is compiled, for seconds
        request.getfixturevalue("plain_python")
    body = layer_with(**settings, engine=engine)
    torch.manual_seed(1)
    width = body.output_size
    readout = dyadic(Readout(width, 2, delay=delay, engine=engine))
    network = Network(body, readout, "every_step")
    x = events(25, 3, 5)
    logits, (inner, outer) = network(x, None, LENGTHS)
    top, state = body(x, lengths=LENGTHS)
    arriving, steps = top, [0] * width
    if delay:
        arriving, line = readout.delay_ih_l0(top, lengths=LENGTHS)
        assert torch.equal(outer.delay_buffer[-len(line) :], line)
        steps = readout.delay_ih_l0.steps.tolist()
    plain = Readout(width, 2, engine=engine)
    weights = {k: v for k, v in readout.state_dict().items() if not k.startswith("delay")}
    plain.load_state_dict(weights)
    expected, after = plain(arriving, lengths=LENGTHS)
    assert torch.equal(logits, expected)
    assert all(map(torch.equal, leaves(inner), leaves(state)))
    assert torch.equal(outer.v, after.v)
    first, carried = network(x[:11])
    second, _ = network(x[11:], carried)
    assert torch.equal(torch.cat([first, second]), network(x)[0])
    result = compile_stream(network).run(x.numpy(), lengths=LENGTHS.numpy())
    assert np.array_equal(result.out, logits.detach().numpy())
    (counted,) = count(network, x, LENGTHS, events=True)["readout"].connections
    assert sum(counted.ops) == crossed(top, readout.weight_ih_l0, steps, LENGTHS)


def test_the_first_of_two_readouts_reads_the_top_of_layers_with_feedback(plain_python):
    readout = dyadic(Readout(9, [4, 2], num_layers=2))
    network = Network(layer_with(2, feedback=True), readout, "every_step")
    x = events(25, 3, 5)
    stream = compile_stream(network)
    assert [c.outputs for c in stream.connections] == [9, 4, 2]
    # potentials are not dyadic, so sums of them have an order
    np.testing.assert_allclose(stream.run(x.numpy()).out, network(x)[0].detach(), rtol=1e-5)


def test_sparse_recurrence_stays_sparse():
    """Only a sparse block matrix is kept as a list of its synapses, in order."""
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


@pytest.mark.parametrize(
    "settings",
    [dict(feedback=0.5), dict(delay=3, recurrent_delay=4, skip=True), SHAPES[-4], SHAPES[-1]],
)
def test_recorded_by_layer(settings):
    layer, x = layer_with(**{"layers": 3} | settings), events(25, 3, 5)
    outputs, after = layer.unroll(x, lengths=LENGTHS)
    recording = record(layer, x, lengths=LENGTHS)
    assert len(recording.layers) == 3
    rows = [row for own in parts(after) for row in own.v]
    for trace, out, row in zip(recording.layers, outputs, rows, strict=True):
        assert torch.equal(trace.out, out)
        assert torch.equal(trace.state.v[24, 0], row[0])
        assert torch.equal((trace.u > 0).float(), out)
    assert all(map(torch.equal, leaves(recording.state), leaves(after)))


def test_a_layer_that_never_fires_may_lie_between():
    """It is recorded, counted, calibrated past, and its output is multiplied."""
    layer = SpikingRNN(["LIF", "LI", "LIF"], 5, [40, 6, 20], recurrent=False)
    x = events(50, 8, 5)
    assert all(0.04 < rate < 0.06 for rate in calibrate(layer, x))
    first, second, third = record(layer, x).layers
    assert second.u is None
    for spiking in (first, third):
        assert torch.equal((spiking.u > 0).float(), spiking.out)
    ops = [c.connections[0].spiking for c in count(layer, x, events=True).layers]
    assert ops == [True, True, False]


@pytest.mark.parametrize(
    "settings",
    [
        dict(num_layers=2, feedback=0.2),
        dict(num_layers=3, skip=True, delay=3),
        dict(neuron=["LIF", "ALIF"], hidden_size=[64, 48], recurrent=[True, False]),
    ],
)
def test_a_fresh_network_is_calibrated(settings):
    layer = SpikingRNN(**{"neuron": "LIF", "input_size": 4, "hidden_size": 64} | settings)
    for rate in calibrate(layer, torch.rand(100, 8, 4)):
        assert 0.04 < rate < 0.06


def test_a_share_is_exact():
    layer = SpikingRNN("LIF", 3, 10, 2, recurrent=0.25, feedback=0.5)
    assert len(layer.synapses_hh_l0) == 25
    assert len(layer.synapses_fb_l0) == 50
    assert not hasattr(layer, "weight_fb_l1")


def copied(single, layer, k=0, suffix=""):
    """A layer of its own with the parameters of layer k of a stack."""
    for name, value in single.state_dict().items():
        value.copy_(layer.state_dict()[name.replace("_l0", f"_l{k}{suffix}")])
    return single


@pytest.mark.parametrize("engine", ["reference", "fused"])
@pytest.mark.parametrize("skip", [False, True])
def test_dropout_is_that_of_lstm(skip, engine):
    """Between layers, scaled, while training; the same numbers as torch draws."""
    layer, x = layer_with(3, skip=skip, dropout=0.5, engine=engine), events(25, 3, 5)
    plain = layer_with(3, skip=skip, engine=engine)
    assert torch.equal(layer(x)[0], plain(x)[0])
    layer.train()
    torch.manual_seed(4)
    outputs, _ = layer.unroll(x)
    singles = [SpikingRNN("ALIF", 9 if k else 5, 9, engine=engine) for k in range(3)]
    torch.manual_seed(4)
    inputs = [x]
    for k, (out, single) in enumerate(zip(outputs, singles)):
        copied(single, layer, k)
        arriving = inputs[k]
        if skip and k:
            arriving = torch.cat([arriving, inputs[k - 1]], 2)
            weight = torch.cat([single.weight_ih_l0, getattr(layer, f"weight_sk_l{k}")], 1)
            single.input_size, single.weight_ih_l0 = arriving.shape[2], torch.nn.Parameter(weight)
        assert torch.equal(out, single(arriving)[0])
        inputs.append(functional.dropout(out, 0.5))
    torch.manual_seed(4)
    assert torch.equal(layer(x)[0], outputs[-1])
    assert not torch.equal(outputs[-1], plain(x)[0])


def test_dropout_is_counted_and_streamed_as_it_is_used():
    layer, x = layer_with(2, dropout=0.5).train(), events(25, 3, 5)
    with pytest.raises(UnsupportedError, match=r"after eval\(\)"):
        count(layer, x, events=True)
    out = layer.eval()(x)[0]
    assert count(layer, x, events=True).ops == count(layer_with(2), x, events=True).ops
    assert np.array_equal(compile_stream(layer.train()).run(x.numpy()).out, out.detach().numpy())


def test_dropout_in_a_network_and_its_readout():
    network = build("LIF", 5, 90, 2, "every_step", num_layers=2, dropout=0.9, dt=1.0)
    x = events(25, 3, 5)
    torch.manual_seed(1)
    first = network(x)[0]
    assert first.any()
    assert not torch.equal(network(x)[0], first)
    torch.manual_seed(1)
    assert torch.equal(network(x)[0], first)
    network.eval()
    assert torch.equal(network(x)[0], network(x)[0])


def test_calibration_is_without_dropout():
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
            copied(single, layer, k // 2, suffix)
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
    layer, x = layer_with(engine="fused", **settings).train(), events(25, 3, 5)
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


@pytest.mark.parametrize("engine", ["reference", "fused"])
def test_skip_in_both_directions_reads_both(engine):
    """With the weights from the layer below at zero, the top layer is one on the input alone."""
    layer, x = layer_with(2, skip=True, bidirectional=True, engine=engine), events(25, 3, 5)
    torch.nn.init.zeros_(layer.weight_ih_l1)
    torch.nn.init.zeros_(layer.weight_ih_l1_reverse)
    single = layer_with(1, bidirectional=True, engine=engine)
    for name, value in single.state_dict().items():
        source = name.replace("_l0", "_l1").replace("weight_ih", "weight_sk")
        value.copy_(layer.state_dict()[source])
    out, _ = layer(x, lengths=LENGTHS)
    assert torch.equal(out, single(x, lengths=LENGTHS)[0])
    assert out.any()
    counts = count(layer, x, LENGTHS, events=True)
    for name in ("l1", "l1_reverse"):
        (c,) = (
            c
            for c in counts[f"hidden {name[1:].replace('_', ' ')}"].connections
            if c.kind == "skip"
        )
        assert sum(c.ops) == crossed(x, getattr(layer, f"weight_sk_{name}"), [0] * 5, LENGTHS)


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


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (lambda layer: layer.zero_state(3)[0], "states of 2 layers, got ALIFState of 3"),
        (lambda layer: layer.zero_state(3)[::-1], "expected a state of type ALIFState, got LIF"),
        (lambda layer: layer.zero_state(3)[:1], "states of 2 layers, got tuple of 1"),
        (lambda layer: layer.zero_state(2), r"must have shape \(1, 3, 9\), got \(1, 2, 9\)"),
    ],
)
def test_a_wrong_state_of_layers_that_differ_is_refused(state, message):
    layer = layer_with(**SHAPES[-5])
    with pytest.raises(InputError, match=message):
        layer(events(5, 3, 5), state(layer))


def make(neuron="LIF", hidden_size=8, **settings):
    return lambda: SpikingRNN(neuron, 3, hidden_size, **settings)


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
        (
            make(["ALIF", "LIF"], num_layers=3),
            InputError,
            "one value per layer, got num_layers 3, neuron of 2 values",
        ),
        (
            make(hidden_size=[8, 4, 2], surrogate=["arctan", "boxcar"]),
            InputError,
            "got hidden_size of 3 values, surrogate of 2 values",
        ),
        (make(hidden_size=[]), InputError, "num_layers must be at least 1"),
        (make(hidden_size=[8, 0]), InputError, "hidden_size must be at least 1, got 0"),
        (
            make(["ALIF", "LIF"], feedback=True),
            InputError,
            "one neuron and one surrogate, got ALIF with triangular, LIF with triangular",
        ),
        (make(hidden_size=[8, 4], feedback="diagonal"), InputError, "of layers of one width, got"),
        (make(hidden_size=[8, 4, 2], feedback=[True]), InputError, "but the last, 2, got 1"),
        (make(hidden_size=[8, 4], recurrent=torch.eye(8)), InputError, r"of shape \(4, 4\)"),
        (lambda: build(["LIF", "GRU"], 3, 8, 2), InputError, "got LIF, GRU and hidden_size=8"),
        (lambda: build("GRU", 3, [8, 4], 2), InputError, r"got GRU and hidden_size=\[8, 4\]"),
        (lambda: build(["LIF", "LIFF"], 3, 8, 2), InputError, "did you mean 'LIF'"),
        (
            lambda: Network(nn.Sequential(SpikingRNN("LIF", 3, 8)), Readout(8, 2), "last"),
            InputError,
            "SpikingRNN or a Baseline with a Readout or a torch.nn.Linear, got Sequential with",
        ),
        (
            lambda: Network(SpikingRNN("LIF", 3, 8), nn.Sequential(nn.Linear(8, 2)), "last"),
            InputError,
            "got SpikingRNN with Sequential; several layers are one SpikingRNN",
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
    right = torch.cat(written_out(layer, x)[0], -1)
    assert not torch.equal(wrong, right)


def counted_parts(model, x, cut, **settings):
    """Operations by step of a whole sequence, and of two parts, the second from a state."""
    first, second = x[:cut], x[cut:]
    state = model(first)[1]
    counts = count(model, x, **settings), count(model, first, **settings)
    parts = [*counts, count(model, second, **settings, state=state)]
    return [
        [
            (what, each)
            for layer in part.layers
            for what, each in [
                *((f"{layer.name} {c.kind}", c.ops) for c in layer.connections),
                *((f"{layer.name} {op}", n) for op, n in layer.arithmetic.items()),
                (f"{layer.name} spikes", layer.spikes),
            ]
        ]
        for part in parts
    ]


@pytest.mark.parametrize(
    "model",
    [
        *(lambda s=s: layer_with(**s) for s in SHAPES),
        lambda: build(["ALIF", "LIF"], 5, [9, 6], 2, "every_step", feedback=False),
        lambda: build("LIF", 5, 9, 2, "every_step", delay=3),
        lambda: build("GRU", 5, 9, 2, "every_step"),
        lambda: nn.LSTM(5, 9),
    ],
)
def test_parts_count_as_the_whole(model):
    whole, first, second = counted_parts(model().eval(), events(25, 3, 5), 11, events=True)
    assert [(name, a + b) for (name, a), (_, b) in zip(first, second)] == whole


def test_a_count_from_a_state_is_of_its_modules():
    x, chain = events(25, 3, 5), nn.Sequential(Delay(torch.tensor([0, 3, 1, 2, 4])), nn.RNN(5, 4))
    late, buffer = chain[0](x[:11])
    state = [buffer, chain[1](late)[1]]
    whole, first = count(chain, x), count(chain, x[:11])
    second = count(chain, x[11:], state=state)
    assert first.ops.mac + second.ops.mac == whole.ops.mac
    with pytest.raises(InputError, match="expected the states of 2 modules, got 1"):
        count(chain, x, state=[None])
    with pytest.raises(InputError, match="a Linear has no state, got int"):
        count(nn.Linear(5, 2), x, state=3)
    with pytest.raises(InputError, match="expected a state of type LIFState, got int"):
        count(SpikingRNN("LIF", 5, 4), x, state=3)


@torch.no_grad()
def test_layers_are_stacked():
    """The stack computes and trains what the layers do one after the other."""
    layers = [
        SpikingRNN("ALIF", 5, 9, recurrent=0.4, input_power=0.3),
        SpikingRNN(["LIF", LIF.frozen()], 9, [7, 6], recurrent="diagonal", bias=False),
        SpikingRNN("LIF", 6, 4, recurrent=False, surrogate="boxcar"),
    ]
    layers[2].weight_ih_l0.requires_grad_(False)
    for layer in layers:
        dyadic(layer).weight_ih_l0.mul_(4)
    stack = stack_layers(layers)
    z = x = events(25, 3, 5)
    outputs, _ = stack.unroll(x)
    for layer, last in zip(layers, (0, 2, 3)):
        z, _ = layer(z)
        assert z.any()
        assert torch.equal(outputs[last], z)
    assert [s.name for s in stack.surrogates] == ["triangular"] * 3 + ["boxcar"]
    trained = {name for name, p in stack.named_parameters() if p.requires_grad}
    assert {"weight_ih_l2", "weight_hh_l1", "raw_tau_mem_l1", "bias_l3"} < trained
    assert trained.isdisjoint({"weight_ih_l3", "raw_tau_mem_l2", "bias_l1", "bias_l2"})
    assert not torch.equal(stack.weight_ih_l0.mul_(2), layers[0].weight_ih_l0)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "one or more layers, got none"),
        (
            [SpikingRNN("LIF", 3, 8), SpikingRNN("LIF", 7, 8)],
            r"layer 1 with .* \(8, 1.0, .* got \(7, 1.0,",
        ),
        (
            [SpikingRNN("LIF", 3, 8), SpikingRNN("LIF", 8, 8, dt=2.0)],
            r"of \(8, 1.0, .* got \(8, 2.0,",
        ),
        *(
            ([SpikingRNN("LIF", 3, 8, **delays)], "only chains of dense layers .*; layer 0 is")
            for delays in ({"delay": 2}, {"recurrent_delay": 2})
        ),
    ],
)
def test_what_is_no_chain_is_not_stacked(layers, message):
    with pytest.raises(InputError, match=message):
        stack_layers(layers)


@pytest.mark.parametrize("engine", ["fused", "reference"])
def test_arrays_that_do_not_fit_are_refused_before_a_kernel_reads_them(engine):
    x = torch.rand(5, 2, 3)
    body = SpikingRNN("LIF", 3, 16, engine=engine)
    for name, shape in (("weight_ih_l0", (16, 2)), ("weight_hh_l0", (8, 8)), ("bias_l0", (4,))):
        layer = copy.deepcopy(body)
        setattr(layer, name, torch.nn.Parameter(torch.zeros(shape)))
        with pytest.raises(InputError, match=f"expected {name[:-3]} as .*, got"):
            layer(x)
    with pytest.raises(InputError, match="the body has 16 outputs, and the readout takes 8"):
        Network(body, Readout(8, 4, engine=engine), "last")
    network = Network(body, Readout(16, 4, engine=engine), "last")
    network.readout = Readout(8, 4, engine=engine)
    with pytest.raises(InputError, match=r"expected weight_ih as \(4, 16\), got \(4, 8\)"):
        network(x)
