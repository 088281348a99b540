"""The contract of layers: shapes, states, initial rates, errors at the boundary."""

import copy
import pickle

import pytest
import torch

from spikern import NEURONS, RF, Baseline, InputError, Readout, SpikingRNN, build, calibrate
from spikern.init import firing_rates
from spikern.network import MODELS, hidden_for_budget, last_step, mean_step


def test_layouts_agree():
    torch.manual_seed(0)
    layer = SpikingRNN("ALIF", 3, 8, num_layers=2)
    x = torch.randn(20, 4, 3)
    out, state = layer(x)
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
    layer, x = SpikingRNN("LIF", 3, 8), torch.randn(9, 2, 3)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x)[0], layer(x)[0])


@pytest.mark.parametrize("neuron", [name for name, model in NEURONS.items() if model.spikes])
@pytest.mark.parametrize(("features", "power"), [(1, 1.0), (40, 1.0), (140, 0.05), (700, 0.02)])
def test_a_fresh_network_fires_at_a_few_per_cent(neuron, features, power):
    torch.manual_seed(0)
    layer = SpikingRNN(neuron, features, 128, num_layers=2, input_power=power)
    x = (
        torch.randn(200, 8, features)
        if power == 1
        else (torch.rand(200, 8, features) < power) + 0.0
    )
    for rate in firing_rates(layer.run(x).spikes, x):
        assert 0.005 < rate < 0.15


def test_calibration_meets_its_rate():
    torch.manual_seed(0)
    layer = SpikingRNN("ALIF", 1, 64, num_layers=2)
    x = 5 + torch.rand(100, 16, 1)
    for rate in calibrate(layer, x, rate=0.05):
        assert 0.04 < rate < 0.06


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_baseline_lengths(kind):
    torch.manual_seed(0)
    layer, x = Baseline(kind, 3, 5), torch.randn(9, 2, 3)
    out, state = layer(x, lengths=torch.tensor([9, 4]))
    alone, last = layer(x[:4, 1:])
    # torch may sum a batch of another size in another order
    torch.testing.assert_close(out[:4, 1:], alone, rtol=0, atol=1e-6)
    assert not out[4:, 1].any()
    h, h_alone = (state[0], last[0]) if kind == "LSTM" else (state, last)
    torch.testing.assert_close(h[:, 1:], h_alone, rtol=0, atol=1e-6)


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


def test_smooth_readout_is_linear_in_spikes():
    readout, z = Readout(4, 3, bias=False), (torch.rand(12, 2, 4) < 0.3) + 0.0
    # two float32 sums of the same terms
    torch.testing.assert_close(readout(2 * z)[0], 2 * readout(z)[0], rtol=1e-5, atol=1e-6)


LAYER = SpikingRNN("LIF", 3, 8)
X = torch.randn(5, 2, 3)


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
        (lambda: SpikingRNN("LIFF", 3, 8), "did you mean 'LIF'"),
        (lambda: SpikingRNN("LIF", 3, 0), "hidden_size must be at least 1"),
        (lambda: SpikingRNN("LIF", 3, 8, dt=0), "dt must be above 0"),
        (lambda: SpikingRNN("LI", 3, 8), "cannot be recurrent"),
        (lambda: SpikingRNN(RF.with_constants(omega=2.0), 3, 8), "RF is unstable"),
        (lambda: SpikingRNN("RF", 3, 8, dt=50.0), "a shorter dt"),
        (lambda: SpikingRNN("LIF", 3, 8, surrogate="triangle"), "did you mean 'triangular'"),
        (lambda: Baseline("lstm", 3, 8), "did you mean 'LSTM'"),
        (lambda: build("LSTM", 3, 8, 2, dt=2.0), "LSTM takes no dt"),
        (lambda: hidden_for_budget("LSTM", 3, 9, 10), "cannot come within 5% of 10 parameters"),
    ],
)
def test_bad_input_says_what_to_do(call, message):
    with pytest.raises(InputError, match=message):
        call()
