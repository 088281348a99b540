"""The contract of layers: shapes, states, initial rates, errors at the boundary."""

import copy
import json
import math
import pickle
from collections import namedtuple
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import utils
from torch.nn.utils import prune
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from spikern import compile_stream, evaluate, fit
from spikern._utils.errors import InputError, UnsupportedError
from spikern.cost import count
from spikern.data import Task
from spikern.engines import derivation
from spikern.events import Events
from spikern.interop import export_c, onnx_step
from spikern.layers.baseline import Baseline
from spikern.layers.description import describe, rebuild
from spikern.layers.network import MODELS, Network, build, hidden_for_budget, last_step, mean_step
from spikern.layers.rnn import Readout, SpikingRNN
from spikern.layers.stacking import stack_layers
from spikern.neurons import LIF, NEURONS, SURROGATES
from spikern.neurons.constants import Constant, frequency
from spikern.neurons.model import NeuronModel
from spikern.neurons.resonator import RF
from spikern.neurons.surrogate import triangular
from spikern.train import Training
from spikern.train.calibration import calibrate, firing_rates


def test_layouts_agree():
    layer = SpikingRNN("ALIF", 3, 8, num_layers=2)
    x = 20 * torch.randn(20, 4, 3)
    out, state = layer(x)
    assert out[:, 0].any()
    twin = SpikingRNN("ALIF", 3, 8, num_layers=2, batch_first=True)
    twin.load_state_dict(layer.state_dict())
    assert torch.equal(twin(x.transpose(0, 1))[0], out.transpose(0, 1))
    alone, single = layer(x[:, 0])
    assert torch.equal(alone, layer(x[:, :1])[0][:, 0])
    assert single.v.shape == (2, 8)
    assert state.v.shape == (2, 4, 8)
    assert torch.equal(layer(x[10:, 0], layer(x[:10, 0])[1])[1].z, single.z)


def test_names_are_torch_s():
    layer = SpikingRNN("LIF", 3, 8)
    assert [*layer.state_dict()] == [
        "weight_ih_l0", "weight_hh_l0", "bias_l0", "raw_tau_mem_l0", "raw_v_th_l0"
    ]  # fmt: skip
    assert {n for n, _ in layer.named_parameters()} == {
        "weight_ih_l0", "weight_hh_l0", "bias_l0", "raw_tau_mem_l0"
    }  # fmt: skip


def test_deepcopy_and_pickle():
    layer, x = SpikingRNN("LIF", 3, 8), 20 * torch.randn(9, 2, 3)
    expected, _ = layer(x)
    assert expected.any()
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x)[0], expected)


@pytest.mark.parametrize("enforce_sorted", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
def test_packed_sequences_go_in_and_out(enforce_sorted, batch_first):
    layer = SpikingRNN("ALIF", 3, 8, num_layers=2, batch_first=batch_first)
    lengths = torch.tensor([9, 7, 7, 1] if enforce_sorted else [7, 1, 9, 7])
    x = 20 * torch.randn(9, 4, 3)
    _, state = layer(torch.randn(4, 4, 3))
    x = x.transpose(0, 1) if batch_first else x
    expected, final = layer(x, state, lengths)
    assert expected.any()
    packed = pack_padded_sequence(x, lengths, batch_first, enforce_sorted)
    out, after = layer(packed, state)
    theirs, _ = torch.nn.LSTM(3, 8, 2, batch_first=batch_first)(packed)
    for name in ("batch_sizes", "sorted_indices", "unsorted_indices"):
        own, other = getattr(out, name), getattr(theirs, name)
        assert (own is other is None) or torch.equal(own, other)
    assert out.data.shape == theirs.data.shape
    assert torch.equal(pad_packed_sequence(out, batch_first)[0], expected)
    assert all(torch.equal(a, b) for a, b in zip(after, final))


def test_a_single_sample_with_its_length():
    layer, x = SpikingRNN("ALIF", 3, 8), 20 * torch.randn(9, 3)
    short, state = layer(x[:5])
    assert short.any()
    for length in (torch.tensor(5), torch.tensor([5])):
        out, after = layer(x, lengths=length)
        assert torch.equal(out[:5], short)
        assert not out[5:].any()
        assert torch.equal(after.v, state.v)


def test_a_state_may_be_a_plain_tuple():
    layer, x = SpikingRNN("ALIF", 3, 8), 20 * torch.randn(9, 2, 3)
    whole, _ = layer(x)
    assert whole[4:].any()
    _, state = layer(x[:4])
    assert torch.equal(layer(x[4:], tuple(state))[0], whole[4:])


def test_functional_call():
    """Weights from outside, with their gradients, as meta-learning and ensembles need."""
    layer, x = SpikingRNN("LIF", 3, 8, num_layers=2, recurrent=0.5), 20 * torch.randn(9, 2, 3)
    other = SpikingRNN("LIF", 3, 8, num_layers=2, recurrent=0.5)
    expected, _ = other(x)
    assert expected.any()
    out, _ = torch.func.functional_call(layer, other.state_dict(), (x,))
    assert torch.equal(out, expected)
    weights, buffers = dict(other.named_parameters()), dict(other.named_buffers())
    out, _ = torch.func.functional_call(layer, weights | buffers, (x,))
    gradients = torch.autograd.grad(out.sum(), list(weights.values()))
    own_gradients = torch.autograd.grad(expected.sum(), list(weights.values()))
    assert all(torch.equal(a, b) for a, b in zip(gradients, own_gradients))


def test_device_and_dtype():
    layer = SpikingRNN("LIF", 3, 8, dtype=torch.float64)
    assert layer.engine == "reference"
    assert {p.dtype for p in layer.parameters()} == {torch.float64}
    out, state = layer(torch.randn(9, 2, 3, dtype=torch.float64))
    assert out.dtype == state.v.dtype == torch.float64
    assert layer.float().engine == "fused"
    empty = SpikingRNN("LIF", 3, 8, 2, recurrent=0.5, feedback=0.5, device="meta")
    assert all(value.is_meta for value in empty.state_dict().values())
    other = SpikingRNN("LIF", 3, 8, 2, recurrent=0.5, feedback=0.5)
    empty.to_empty(device="cpu").load_state_dict(other.state_dict())
    x = 20 * torch.randn(9, 2, 3)
    expected, _ = other(x)
    assert expected.any()
    assert torch.equal(empty(x)[0], expected)


def test_compile_before_the_first_call(monkeypatch):
    monkeypatch.setattr(derivation, "_sources", {})  # as in a fresh process
    layer, x = SpikingRNN("LIF", 3, 8, 2, feedback=0.5), 20 * torch.randn(9, 2, 3)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    expected, _ = layer(x)
    assert expected.any()
    assert torch.equal(compiled(x)[0], expected)


def learn(rnn):
    """A training loop as it is written for torch.nn.LSTM: batch_first, packed, state carried."""
    torch.manual_seed(1)
    x, lengths = torch.randn(6, 12, 3), torch.tensor([12, 5, 9, 12, 1, 7])
    y = (x.sum((1, 2)) > 0).long()
    head = torch.nn.Linear(16, 2)
    optimizer = torch.optim.Adam([*rnn.parameters(), *head.parameters()], 1e-2)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        warm, state = rnn(x[:, :4])
        state = tuple(each.detach() for each in state)
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        out, state = rnn(packed, state)
        padded, padded_lengths = pad_packed_sequence(out, batch_first=True)
        assert torch.equal(padded_lengths, lengths)
        last = padded[torch.arange(6), lengths - 1]
        loss = torch.nn.functional.cross_entropy(head(last + warm.mean(1)), y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(rnn.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("layer", [torch.nn.LSTM, partial(SpikingRNN, "ALIF")])
def test_a_loop_written_for_lstm_runs_and_learns(layer):
    losses = learn(layer(3, 16, 2, True, batch_first=True, dropout=0.1))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("neuron", [name for name, model in NEURONS.items() if model.spikes])
@pytest.mark.parametrize(("features", "power"), [(1, 1.0), (40, 1.0), (140, 0.05), (700, 0.02)])
def test_a_fresh_network_fires_at_a_few_per_cent(neuron, features, power):
    layer = SpikingRNN(neuron, features, 128, 2, input_power=power, engine="reference")
    x = (
        torch.randn(200, 8, features)
        if power == 1
        else (torch.rand(200, 8, features) < power) + 0.0
    )
    low, high = sorted(firing_rates(layer.run(x).spikes, x))
    assert 0.005 < low <= high < 0.15


def test_calibration_meets_its_rate():
    layer = SpikingRNN("ALIF", 1, 64, num_layers=2)
    x = 5 + torch.rand(100, 16, 1)
    low, high = sorted(calibrate(layer, x, rate=0.05))
    assert 0.04 < low <= high < 0.06


def test_calibration_leaves_weights_that_change_no_rate():
    layer, x = SpikingRNN("LIF", 3, 16), torch.zeros(20, 4, 3)
    before, rates = layer.weight_ih_l0.detach().clone(), firing_rates(layer.run(x).spikes, x)
    assert calibrate(layer, x) == rates
    assert torch.equal(layer.weight_ih_l0, before)


def test_calibration_keeps_a_gain_beside_one_that_fires():
    """A rate that no gain meets: it ends just below or just above the least gain that fires."""
    reached = set()
    for weight in torch.linspace(0.1, 0.3, 8):
        layer = SpikingRNN("LIF", 1, 1, bias=False, recurrent=False)
        with torch.no_grad():
            layer.weight_ih_l0.fill_(weight)
        reached |= set(calibrate(layer, torch.ones(20, 1, 1), rate=0.01))
        assert layer.weight_ih_l0.item() > 2 * weight
    assert 0.0 in reached


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_baseline_lengths(kind):
    layer, x = Baseline(kind, 3, 5), torch.randn(9, 2, 3)
    out, state = layer(x, lengths=torch.tensor([9, 4]))
    alone, last = layer(x[:4, 1:])
    # torch may sum a batch of another size in another order
    torch.testing.assert_close(out[:4, 1:], alone, rtol=0, atol=1e-6)
    assert not out[4:, 1].any()
    h, h_alone = (state[0], last[0]) if kind == "LSTM" else (state, last)
    torch.testing.assert_close(h[:, 1:], h_alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_baseline_packs_only_where_a_sequence_is_short(kind, monkeypatch):
    def packs(*_, **__):
        raise AssertionError("packed")

    monkeypatch.setattr("spikern.layers.baseline.pack_padded_sequence", packs)
    layer, x = Baseline(kind, 3, 5).double(), torch.randn(9, 2, 3).double()
    assert torch.equal(layer(x, lengths=torch.tensor([9, 9]))[0], layer(x)[0])
    with pytest.raises(AssertionError, match="packed"):
        layer(x, lengths=torch.tensor([9, 8]))


def test_answers():
    x = torch.arange(6.0).reshape(3, 2, 1)
    lengths = torch.tensor([3, 2])
    assert mean_step(x, lengths).flatten().tolist() == [2.0, 2.0]
    assert last_step(x, lengths).flatten().tolist() == [4.0, 3.0]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("budget", [3_000, 10_000, 57_000])
def test_budget_is_met_within_five_per_cent(model, budget):
    hidden = hidden_for_budget(model, 12, 9, budget)
    assert build(model, 12, hidden, 9).parameter_count == pytest.approx(budget, rel=0.05)


@pytest.mark.parametrize("settings", [{}, {"recurrent": [True, False, True]}])
def test_a_budget_of_layers_that_differ_is_met(settings):
    model = ["ALIF", "LIF", "BRF"]
    hidden = hidden_for_budget(model, 12, 9, 30_000, **settings)
    count = [build(model, 12, h, 9, **settings).parameter_count for h in (hidden - 1, hidden)]
    assert count[1] == pytest.approx(30_000, rel=0.05)
    assert abs(count[1] - 30_000) <= abs(count[0] - 30_000)


def test_smooth_readout_is_linear_in_spikes():
    readout, z = Readout(4, 3, bias=False), (torch.rand(12, 2, 4) < 0.3) + 0.0
    # two float32 sums of the same terms
    torch.testing.assert_close(readout(2 * z)[0], 2 * readout(z)[0], rtol=1e-5, atol=1e-6)


LAYER = SpikingRNN("LIF", 3, 8)
BRFS = SpikingRNN("BRF", 3, 2, dt=2.0)
X = torch.randn(5, 2, 3)
NETWORK = build("LIF", 3, 8, 2)
STREAM = compile_stream(NETWORK)
NEGATIVE = replace(LIF, step=lambda p, s, i, fire: LIF.step(p, s, -i, fire))
THREE = Task("own", ("a", "b", "c"), 1.0, False, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LAYER(X[..., :2]), r"shape \(T, B, 3\), got \(5, 2, 2\)"),
        (lambda: LAYER(X[:0]), "empty input: 0 steps"),
        (lambda: LAYER(X.double()), "dtype torch.float32"),
        (lambda: LAYER(X * float("nan")), "NaN or infinite"),
        (lambda: LAYER(X, lengths=torch.tensor([5, 6])), r"lie in 1..5, got 5..6"),
        (lambda: LAYER(X, lengths=torch.tensor([5.0, 1.0])), "whole numbers"),
        (lambda: LAYER(X, LAYER(X[:, :1])[1]), r"must have shape \(1, 2, 8\), got \(1, 1, 8\)"),
        (lambda: LAYER(X, torch.zeros(1, 2, 8)), "state of type LIFState, got Tensor"),
        (lambda: LAYER(X, (X, X, X)), "state of type LIFState, got tuple; its fields are v, z"),
        (lambda: LAYER(X, (X, 1)), r"'v' must have shape \(1, 2, 8\), got \(5, 2, 3\)"),
        (
            lambda: LAYER(X, tuple(s.double() for s in LAYER.zero_state(2))),
            "dtype torch.float32, got torch.float64",
        ),
        (lambda: LAYER(X[:, 0], LAYER(X)[1]), r"must have shape \(1, 8\), got \(1, 2, 8\)"),
        (lambda: LAYER(pack_padded_sequence(X, [5, 2]), lengths=torch.ones(2)), "its own lengths"),
        (lambda: LAYER(pack_padded_sequence(X[..., :2], [5, 2])), r"\(T, B, 3\), got \(5, 2, 2\)"),
        (lambda: SpikingRNN("LIFF", 3, 8), "did you mean 'LIF'"),
        (lambda: SpikingRNN("LIF", 3, 0), "hidden_size must be at least 1"),
        (lambda: build("LIF", 3, 8, 0), "classes must be at least 1, got 0"),
        (lambda: build("LSTM", 3, 8, 0), "classes must be at least 1, got 0"),
        (lambda: build("LSTM", 3, 8, 2.5), "classes must be a whole number, got 2.5"),
        (lambda: build(NEGATIVE, 3, 8, 2), "another neuron LIF in NEURONS; give yours a name"),
        (lambda: build(replace(LIF, name="LSTM"), 3, 8, 2), "a neuron cannot be called LSTM"),
        (lambda: SpikingRNN("LIF", 3, 8.0), "hidden_size must be a whole number, got 8.0"),
        (lambda: SpikingRNN("LIF", True, 8), "input_size must be a whole number, got True"),
        (lambda: SpikingRNN("LIF", 3, 8, dt="1"), "dt must be a number, got '1'"),
        (lambda: SpikingRNN(LIF.step, 3, 8), "expected a NeuronModel, or a name"),
        (lambda: build(None, 3, 8, 2), "expected a NeuronModel, or a name"),
        (lambda: Baseline("GRU", 3, 8.0), "hidden_size must be a whole number, got 8.0"),
        (lambda: SpikingRNN("LIF", 3, 8, surrogate=SURROGATES["arctan"]), "call it, as in"),
        (lambda: SpikingRNN("LIF", 3, 8, surrogate=1.0), "expected a Surrogate, or a name"),
        (lambda: replace(triangular(), support=0), "the support of a surrogate must be above 0"),
        (lambda: replace(triangular(), support="a"), "support must be a number, got 'a'"),
        (lambda: replace(triangular(), derivative=1.0), "derivative must be a function, got 1.0"),
        (lambda: LAYER.set_constants(tau_mem="a"), "tau_mem must be one number, or one per neuron"),
        (lambda: LAYER.set_constants(tau_mem=None), "tau_mem must be one number, or one per neur"),
        (lambda: Constant("v_th", 1.0, kind="positive", below=2.0), "a constant made by frequency"),
        (lambda: frequency("omega", 0.1, below=float("nan")), "a bound above 0"),
        (lambda: frequency("omega", 0.1, below="a"), "a bound above 0"),
        (lambda: BRFS.set_constants(omega=[0.1, 0.5]), "omega must stay below 0.5 at dt = 2, got"),
        (lambda: setattr(NETWORK, "task", {"classes": 2}), "a task is that of a data set"),
        (lambda: setattr(NETWORK, "task", THREE), "expected a task of 2 classes, .* got 3"),
        (lambda: setattr(STREAM, "task", THREE), "expected a task of 2 classes, .* got 3"),
        (lambda: SpikingRNN("LIF", 3, 8, dt=0), "dt must be above 0"),
        (lambda: SpikingRNN("LI", 3, 8), "cannot be recurrent"),
        (lambda: SpikingRNN(RF.with_constants(omega=2.0), 3, 8), "RF is unstable"),
        (lambda: SpikingRNN("RF", 3, 8, dt=50.0), "a shorter dt"),
        (lambda: SpikingRNN("LIF", 3, 8, surrogate="triangle"), "did you mean 'triangular'"),
        (lambda: Baseline("lstm", 3, 8), "did you mean 'LSTM'"),
        (lambda: build("LSTM", 3, 8, 2, dt=2.0), "LSTM takes no dt"),
        (lambda: build(RF, 3, 8, 2, dropuot=0.1), "RF takes no dropuot"),
        (lambda: hidden_for_budget("LSTM", 3, 9, 10), "cannot come within 5% of 10 parameters"),
    ],
)
def test_bad_input_says_what_to_do(call, message):
    with pytest.raises(InputError, match=message):
        call()


def scaled(name, factor):
    """A neuron whose current is scaled, under a name."""

    def step(p, s, i, fire):
        return LIF.step(p, s, factor * i, fire)

    return replace(LIF, name=name, step=step)


def cosine(name, width):
    """A surrogate of one's own, of a width."""
    return replace(triangular(), name=name, derivative=lambda u: torch.cos(u * width))


def test_files_can_tell_the_neurons_and_surrogates_of_a_network():
    one, other = scaled("Mine", 1.0), scaled("Mine", 5.0)
    with pytest.raises(InputError, match="two different neurons are called Mine"):
        SpikingRNN([one, other], 3, [8, 8])
    with pytest.raises(InputError, match="two different neurons are called Mine"):
        Network(SpikingRNN(one, 3, 8), Readout(8, [4, 2], [other, "LI"]), "last")
    network = build([one, scaled("Other", 5.0)], 3, [8, 8], 2)
    with pytest.raises(InputError, match="two different neurons are called Mine"):
        rebuild(describe(network), network.state_dict(), neurons=[one, other])
    narrow, wide = cosine("mine", 1.0), cosine("mine", 2.0)
    with pytest.raises(InputError, match="two different surrogates are called mine"):
        SpikingRNN("LIF", 3, [8, 8], surrogate=[narrow, wide])
    layer = SpikingRNN("LIF", 3, [8, 8], surrogate=[narrow, triangular(0.5)])
    with pytest.raises(InputError, match="two different surrogates are called mine"):
        layer.surrogate = [narrow, wide]
    SpikingRNN("LIF", 3, [8, 8], surrogate=[triangular(0.5), triangular(2.0)])


@pytest.mark.parametrize(
    ("settings", "lost"),
    [
        ({"experts": 4, "awake": 2}, "weight_rt_l0"),
        ({"recurrent": 0.5}, "synapses_hh_l0"),
        ({"delay": 4}, "delay_ih_l0"),
    ],
)
def test_what_was_lost_on_the_meta_device_is_not_made_up(settings, lost):
    layer = SpikingRNN("LIF", 4, 8, device="meta", **settings).to_empty(device="cpu")
    with pytest.raises(UnsupportedError, match=f"{lost} were lost on the meta device"):
        layer.reset_parameters()
    layer.load_state_dict(SpikingRNN("LIF", 4, 8, **settings).state_dict())
    layer.reset_parameters()
    assert layer.is_fresh


def test_a_layer_of_the_meta_device_is_drawn_where_it_comes_to_be():
    layer = SpikingRNN("LIF", 4, 8, delay=3, learn_delays=True, device="meta")
    layer.to_empty(device="cpu").reset_parameters()
    assert float(layer.delay_ih_l0.sigma) == 1.5
    assert layer(torch.rand(9, 2, 4))[0].shape == (9, 2, 8)
    with torch.device("meta"):
        SpikingRNN("LIF", 3, 4, recurrent="diagonal")


def test_a_description_holds_numbers_that_json_can_hold():
    network = build("LIF", np.int64(3), np.int64(8), 2, num_layers=np.int64(2))
    assert json.loads(json.dumps(describe(network))) == describe(network)


def test_a_state_may_be_a_tuple_of_one():
    layer = Baseline("GRU", 3, 4)
    x = torch.randn(5, 2, 3)
    _, h = layer(x)
    assert torch.equal(layer(x, (h,))[0], layer(x, h)[0])


def test_events_pass_a_gradient_to_their_values():
    x = (torch.rand(20, 2, 3) < 0.4).float()
    layer = SpikingRNN("LIF", 3, 8)
    gradients = []
    for make in (Events.from_dense, lambda dense: dense):
        gain = torch.tensor(1.5, requires_grad=True)
        layer(make(gain * x))[0].sum().backward()
        gradients.append(gain.grad)
    # sums of the same terms in another order
    torch.testing.assert_close(*gradients)


NOT_FINITE = [
    ("LIF", "body.weight_ih_l0"),
    ("ALIF", "body.raw_tau_adapt_l1"),
    ("LIF", "body.raw_v_th_l0"),
    ("LIF", "readout.bias_l0"),
    ("GRU", "body.rnn.weight_hh_l1"),
    ("GRU", "readout.bias"),
]
Y = torch.tensor([0, 1])
USES = {
    "run": lambda n: n(X),
    "reference": lambda n: setattr(n.body, "engine_asked", "reference") or n(X),
    "predict": lambda n: n.predict([[[1.0, 2.0, 3.0]]]),
    "evaluate": lambda n: evaluate(n, [(X, Y)]),
    "fit": lambda n: fit(n, [(X, Y)], Training(epochs=1), validation=[(X, Y)]),
    "stream": lambda n: n if isinstance(n.body, Baseline) and n(X) else compile_stream(n),
    "ONNX": onnx_step,
    "C": lambda n: export_c(n, "never/written"),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(("model", "name"), NOT_FINITE)
def test_what_is_not_finite_in_a_network_is_named(model, name, use):
    """A neuron with a NaN never fires, and nothing else would say so."""
    network = build(model, 3, 8, 2, num_layers=2)
    network.task = Task("own", ("no", "yes"), 1.0, False, 3)
    network.state_dict()[name].view(-1)[-1] = float("nan")
    with pytest.raises(InputError, match=f"{name.split('.')[-1]} holds NaN or infinite values"):
        USES[use](network)


@pytest.mark.parametrize("model", MODELS)
def test_a_state_that_is_not_finite_is_refused(model):
    network = build(model, 3, 8, 2)
    state = network.body(X)[1]
    (state[0] if isinstance(state, tuple) else state)[0, 0, 0] = float("inf")
    with pytest.raises(InputError, match=r"state.* holds NaN or infinite"):
        network.body(X, state)


def test_a_network_is_built_of_a_neuron_or_its_name():
    networks = []
    for model in ("ALIF", NEURONS["ALIF"]):
        torch.manual_seed(0)
        networks.append(build(model, 3, 8, 2, readout=NEURONS["LI"].with_constants(tau_mem=5.0)))
    by_name, by_model = (network.state_dict() for network in networks)
    assert all(torch.equal(by_name[name], by_model[name]) for name in by_name)
    assert float(by_name["readout.raw_tau_mem_l0"].exp().mean()) == pytest.approx(5.0, rel=0.3)


@pytest.mark.parametrize("neuron", NEURONS)
def test_constants_are_read_as_they_are_set(neuron):
    """In their own units, one value or one per neuron; neither gradient nor training changes."""
    layer = SpikingRNN(neuron, 3, 4, 2, recurrent=False)
    trained = {name for name, value in layer.named_parameters() if value.requires_grad}
    shares = torch.tensor([0.95, 1.0, 1.05, 1.1])
    before = {symbol: value.detach() for symbol, value in layer.constants(1).items()}
    wanted = {symbol: value * shares for symbol, value in before.items()}
    layer.set_constants(1, **wanted)
    for symbol, value in layer.constants(1).items():
        # raw is a logarithm in float32
        torch.testing.assert_close(value.detach(), wanted[symbol], rtol=2e-6, atol=0)
        assert value.requires_grad == (f"raw_{symbol}_l1" in trained)
    assert {name for name, value in layer.named_parameters() if value.requires_grad} == trained
    symbol, value = next(iter(before.items()))
    torch.manual_seed(0)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    layer.set_constants(**{symbol: float(value[0])})
    assert torch.equal(torch.rand(1), drawn)
    for k in range(2):
        torch.testing.assert_close(layer.constants(k)[symbol].detach(), value[:1].expand(4))


def test_constants_are_checked():
    layer = SpikingRNN(["ALIF", "LIF"], 3, [4, 2])
    before = copy.deepcopy(layer.state_dict())
    for index, values, message in [
        (
            None,
            dict(tau_mem=5.0, tau_adapt=100.0),
            "LIF, population 1, has no constant 'tau_adapt'; .*population: 0 have it",
        ),
        (None, dict(layer=1), "ALIF, population 0, has no constant 'layer'; .* index= chooses a"),
        (0, dict(tau_mem=5.0, tau_adapt=-1.0), "tau_adapt must be above 0, got -1.0"),
        (1, dict(tau_mem=[1.0, 2.0, 3.0]), "tau_mem has 3 values for 2 neurons"),
        (0, dict(tau_mem=torch.ones(2, 2)), r"must be one value, or one per neuron, got \(2, 2\)"),
        (1, dict(v_th=float("nan")), "v_th must be above 0, got nan"),
        (2, dict(v_th=1.0), r"index must lie in 0\.\.1, got 2"),
    ]:
        with pytest.raises(InputError, match=message):
            layer.set_constants(index, **values)
    assert all(torch.equal(a, b) for a, b in zip(before.values(), layer.state_dict().values()))
    with pytest.raises(InputError, match=r"index must lie in 0\.\.1, got -1"):
        layer.constants(-1)
    with pytest.raises(InputError, match=r"give the index of a population, 0\.\.1"):
        layer.constants()


def test_a_readout_in_another_layout_is_refused():
    with pytest.raises(InputError, match="make its readout with batch_first=False"):
        Network(SpikingRNN("LIF", 3, 8), Readout(8, 2, batch_first=True), "mean")


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_pruned_baseline_computes_with_the_weights_of_the_moment(kind):
    network, x = build(kind, 3, 6, 2), torch.randn(9, 2, 3)
    prune.random_unstructured(network.body.rnn, "weight_hh_l0", 0.5)
    for _ in range(2):
        network(x)[0].sum().backward()
    with torch.no_grad():
        network.body.rnn.weight_hh_l0_orig.mul_(10)
    graph = onnx_step(network)
    found = network(x)[0]
    for part in (network.body.rnn, network.body):
        part(x)  # a call of its own computes the weights anew
        assert torch.equal(network(x)[0], found)
    assert onnx_step(network).SerializeToString() == graph.SerializeToString()


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("norm", [utils.weight_norm, utils.spectral_norm])
def test_a_normed_weight_is_that_of_the_moment(norm):
    network, x = build("LIF", 3, 8, 2, "mean"), 20 * torch.rand(20, 2, 3)
    norm(network.body, "weight_ih_l0").eval()
    network.eval()
    before = network(x)[0]
    changed = "weight_ih_l0_g" if norm is utils.weight_norm else "weight_ih_l0_orig"
    with torch.no_grad():
        network.body.get_parameter(changed).mul_(torch.linspace(0.2, 3.0, 8).unsqueeze(1))
    stream = compile_stream(network)
    found = network(x)[0]
    assert not torch.equal(found, before)
    network.body(x)
    assert torch.equal(network(x)[0], found)
    assert np.array_equal(stream.populations[0].w_in, network.body.weight_ih_l0.detach())


def test_layers_whose_weights_are_computed_are_not_stacked():
    layers = [SpikingRNN("LIF", 3, 8), SpikingRNN("LIF", 8, 5)]
    stack_layers(layers)
    with pytest.raises(InputError, match=r"expected layer 1 .* torch.float64"):
        stack_layers([layers[0], SpikingRNN("LIF", 8, 5).double()])
    prune.random_unstructured(layers[1], "weight_ih_l0", 0.5)
    with pytest.raises(InputError, match="layer 1 computes weights from others"):
        stack_layers(layers)


def test_surrogates_that_differ_are_refused_with_feedback_whenever_they_are_given():
    layer = SpikingRNN("LIF", 3, 6, num_layers=2, feedback=True)
    layer.surrogate = "arctan"
    with pytest.raises(InputError, match="one neuron and one surrogate, got LIF with triangular"):
        layer.surrogate = ["triangular", "arctan"]
    assert layer.surrogate.name == "arctan"


def test_numbers_of_numpy_are_numbers():
    mask = np.eye(6)
    layer = SpikingRNN("LIF", 3, 6, recurrent=mask, delay=np.int64(2))
    assert (len(layer.synapses_hh_l0), layer.delay) == (6, 2)
    assert type(layer.delay) is int
    assert SpikingRNN("LIF", 3, 6, recurrent=np.bool_(False)).recurrent is False
    for settings in ({"dt": math.inf}, {"input_power": math.inf}, {"dropout": "0.1"}):
        with pytest.raises(InputError, match=next(iter(settings))):
            SpikingRNN("LIF", 3, 6, num_layers=2, **settings)
    mask[0, 0] = np.nan
    with pytest.raises(InputError, match="mask must hold numbers or truth values, got NaN"):
        SpikingRNN("LIF", 3, 6, recurrent=mask)


def test_what_is_no_state_of_a_network_is_refused():
    network, x = build("LIF", 3, 6, 2), torch.rand(4, 2, 3)
    for state in ((1, 2, 3), 5, network(x)[1][0]):
        for call in (network, partial(count, network)):
            with pytest.raises(InputError, match="that of its body and that of its readout"):
                call(x, state=state)
    with pytest.raises(InputError, match="no answer 'first'"):
        network.run(x, answer="first")


def test_a_neuron_without_constants_is_refused():
    state = namedtuple("state", "v z")
    with pytest.raises(InputError, match="Bare: a neuron has a constant at least"):
        NeuronModel("Bare", LIF.step, namedtuple("params", ""), state, {}, "-")


def test_a_budget_without_recurrence_grows_linearly():
    hidden = hidden_for_budget("LIF", 1, 10, 2000, recurrent=False)
    assert abs(build("LIF", 1, hidden, 10, recurrent=False).parameter_count - 2000) <= 7


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_standard_network_takes_events_wherever_it_is_called(kind):
    x = (torch.rand(5, 2, 3) < 0.5).float()
    network = build(kind, 3, 4, 2)
    given = Events.from_dense(x)
    assert torch.equal(network.body(given)[0], network.body(x)[0])
    assert torch.equal(network.hidden(given)[0], network.hidden(x)[0])
    assert torch.equal(network(given)[0], network(x)[0])
