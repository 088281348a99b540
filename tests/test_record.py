"""A recording against the layer that it is of."""

import importlib
from dataclasses import replace

import pytest
import torch
from engine_cases import dyadic_layer, events
from torch.nn.utils import parametrizations

from spikern._utils.errors import InputError, UnsupportedError
from spikern.engines.codegen.trace import rounds_alike
from spikern.events.trains import Events
from spikern.layers.network import build
from spikern.layers.recording import record
from spikern.layers.rnn import Readout, SpikingRNN
from spikern.neurons import NEURONS
from spikern.testing import dyadic, with_engine

MODULE = importlib.import_module("spikern.layers.recording")


def assert_is_what_ran(layer, x, steps):
    """The state after every step is that of a run which ends there; dyadic, so bit for bit."""
    recording = record(layer, x)
    for t in range(steps):
        out, state = layer(x[: t + 1])
        assert torch.equal(recording.layers[-1].out[: t + 1], out)
        for k, trace in enumerate(recording.layers):
            for name, field in state._asdict().items():
                assert torch.equal(getattr(trace.state, name)[t], field[k]), (name, k, t)
    return recording


@pytest.mark.usefixtures("mostly_plain")
@pytest.mark.parametrize("engine", ["fused", "reference"])
@pytest.mark.parametrize("name", NEURONS)
def test_every_step_of_every_layer_is_what_ran(name, engine):
    # Only events in make exact sums: a second layer of readouts would be given potentials.
    layers = 2 if NEURONS[name].spikes else 1
    if engine == "fused" and not rounds_alike(NEURONS[name]):
        pytest.skip("an exponential or a root is rounded otherwise in a kernel")
    layer, x = dyadic_layer(name, 6, 9, layers, engine), events(20, 3, 6)
    recording = assert_is_what_ran(layer, x, 20)
    outputs, after = layer.unroll(x)
    for trace, out in zip(recording.layers, outputs):
        assert torch.equal(trace.out, out)
        assert not trace.out.requires_grad
    assert all(torch.equal(a, b) for a, b in zip(recording.state, after))


def test_a_neuron_of_one_s_own_is_recorded():
    own = replace(NEURONS["HardLIF"], name="own").with_constants(v_th=0.5)
    layer = dyadic(SpikingRNN(own, 6, 9, engine="reference"))
    recording = assert_is_what_ran(layer, events(20, 3, 6), 20)
    assert recording.layers[0].state.z.any()


@pytest.mark.parametrize("late", [True, False])
def test_a_recorder_that_is_a_step_late_is_caught(monkeypatch, late):
    """Else the comparison above would prove nothing."""
    right = MODULE._with_recording_step

    def planted(neuron, steps):
        recorded = right(neuron, steps)

        def step(p, s, i, fire):
            result = recorded.step(p, s, i, fire)
            steps.state[-1] = s if late else steps.state[-1]
            return result

        return MODULE.replace(neuron, step=step)

    monkeypatch.setattr(MODULE, "_with_recording_step", planted)
    layer, x = dyadic_layer("ALIF", 6, 9), events(20, 3, 6)
    if late:
        with pytest.raises(AssertionError, match="'v', 0, 0"):
            assert_is_what_ran(layer, x, 20)
    else:
        assert_is_what_ran(layer, x, 20)


def test_current_and_distance_to_threshold_are_those_of_the_equations():
    layer, x = dyadic_layer("ALIF", 6, 9), events(20, 3, 6)
    trace = record(layer, x).layers[0]
    before = torch.cat([torch.zeros(1, 3, 9), trace.state.z[:-1]])
    current = x @ layer.weight_ih_l0.T + layer.bias_l0 + before @ layer.weight_hh_l0.T
    assert torch.equal(trace.i, current)
    p = layer.params(0)
    assert torch.equal(trace.u, trace.state.v - (p.v_th + p.adapt_scale * trace.state.a))
    assert torch.equal(trace.state.z, (trace.u > 0).float())
    assert trace.state.z.any()


def fields(recording):
    """All that is recorded, of every layer."""
    return [field for t in recording.layers for field in (*t.state, t.i, t.u, t.out)]


def test_chunked_is_whole():
    layer, x = dyadic_layer("ALIF", 6, 9, layers=2), events(20, 3, 6)
    whole, first = record(layer, x), record(layer, x[:7])
    second = record(layer, x[7:], first.state)
    for a, b, c in zip(fields(first), fields(second), fields(whole)):
        assert torch.equal(torch.cat([a, b]), c)
    assert all(torch.equal(a, b) for a, b in zip(second.state, whole.state))


def test_lengths_cut_and_nothing_is_past_them():
    layer, x = dyadic_layer("ALIF", 6, 9, layers=2), events(20, 3, 6)
    lengths = torch.tensor([20, 1, 13])
    recording = record(layer, x, lengths=lengths)
    out, after = layer(x, lengths=lengths)
    assert torch.equal(recording.layers[-1].out, out)
    assert all(torch.equal(a, b) for a, b in zip(recording.state, after))
    for b, n in enumerate(lengths.tolist()):
        alone = record(layer, x[:n, b : b + 1])
        sample = recording._replace(layers=recording.sample(b))
        for a, c, w in zip(fields(alone), fields(sample), fields(recording)):
            assert c.shape == (n, 9)
            assert torch.equal(a[:, 0], c)
            assert not w[n:, b].any()


def test_a_readout_has_no_threshold():
    layer = dyadic_layer("LI", 6, 4)
    assert isinstance(layer, Readout)
    trace = record(layer, events(20, 3, 6)).layers[0]
    assert trace.u is None
    assert trace.state._fields == ("v",)
    assert torch.equal(trace.out, trace.state.v)
    assert record(layer, events(20, 3, 6)).sample(1)[0].u is None


def test_traces_have_time_first_in_every_layout():
    layer, x = dyadic_layer("LIF", 6, 9), events(20, 3, 6)
    expected = record(layer, x).layers[0].state.v
    alone = record(layer, x[:, 1])
    assert torch.equal(alone.layers[0].state.v, expected[:, 1:2])
    assert alone.state.v.shape == (1, 9)
    layer.batch_first = True
    assert torch.equal(record(layer, x.transpose(0, 1)).layers[0].state.v, expected)


def test_events_are_recorded_as_the_dense_input_that_they_stand_for():
    layer, x = dyadic_layer("LIF", 6, 9), events(20, 3, 6)
    for a, b in zip(fields(record(layer, Events.from_dense(x))), fields(record(layer, x))):
        assert torch.equal(a, b)


@pytest.mark.parametrize("norm", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_a_parametrized_layer_is_recorded(norm):
    layer = SpikingRNN("LIF", 3, 8).eval()
    norm(layer, "weight_hh_l0")
    x = torch.randn(9, 2, 3)
    (trace,) = record(layer, x).layers
    assert torch.equal(trace.state.z, layer(x)[0])


def test_nothing_is_left_behind():
    layer, x = dyadic_layer("ALIF", 6, 9, engine="fused"), events(20, 3, 6)
    x.requires_grad_()
    before = dict(vars(layer))
    weights = {k: v.clone() for k, v in layer.state_dict().items()}
    record(layer, x)
    assert vars(layer) == before
    assert layer.neuron is NEURONS["ALIF"]
    assert layer.engine == "fused"
    assert all(torch.equal(weights[k], v) for k, v in layer.state_dict().items())
    layer(x)[0].sum().backward()
    assert x.grad is not None


def test_random_weights_differ_by_no_more_than_rounding():
    layer, x = SpikingRNN("ALIF", 6, 32, engine="fused"), torch.randn(50, 4, 6)
    trace = record(layer, x).layers[0]
    assert torch.equal(trace.out, with_engine(layer, "reference")(x)[0])
    differs = (trace.out != layer(x)[0]).nonzero()
    if len(differs):  # the first may only differ where the threshold is nearer than rounding
        t, b, n = differs[0].tolist()
        assert trace.u[t, b, n].abs() < 1e-4


LAYER = SpikingRNN("LIF", 3, 8)
X = torch.randn(5, 2, 3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: record(LAYER, X[..., :2]), InputError, r"shape \(T, B, 3\), got \(5, 2, 2\)"),
        (lambda: record(LAYER, X[:0]), InputError, "empty input: 0 steps"),
        (lambda: record(LAYER, X * float("nan")), InputError, "NaN or infinite"),
        (lambda: record(LAYER, X, lengths=torch.tensor([5, 6])), InputError, "lie in 1..5"),
        (lambda: record(LAYER, X, torch.zeros(1, 2, 8)), InputError, "type LIFState, got Tensor"),
        (lambda: record(build("LIF", 3, 8, 2), X), UnsupportedError, "record first its body"),
        (lambda: record(build("GRU", 3, 8, 2).body, X), UnsupportedError, "got Baseline"),
    ],
)
def test_bad_input_says_what_to_do(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_packed_sequence_brings_its_lengths():
    layer = SpikingRNN("LIF", 2, 4)
    x = torch.nn.utils.rnn.pack_sequence([torch.ones(6, 2), torch.ones(3, 2)])
    recording = record(layer, x)
    assert recording.lengths.tolist() == [6, 3]
    assert not recording.layers[0].state.v[3:, 1].any()
    assert recording.sample(1)[0].i.shape == (3, 4)


def test_experts_behind_dropout_are_not_recorded_in_training():
    layer = SpikingRNN("LIF", 4, [8, 8], experts=4, dropout=0.5)
    x = (torch.rand(20, 2, 4) < 0.5).float()
    with pytest.raises(UnsupportedError, match="record after eval"):
        record(layer, x)
    assert len(record(layer.eval(), x).layers) == 2


def test_experts_of_double_precision_take_events():
    layer = SpikingRNN("LIF", 4, 8, experts=2, dtype=torch.float64)
    x = (torch.rand(20, 2, 4) < 0.5).float()
    traces = record(layer, Events.from_dense(x)).layers[0]
    assert torch.equal(traces.i, record(layer, x.double()).layers[0].i)
