"""NeuroBench 2.3.0 as an outside witness: equal where it is right, its fault named where not.

This project does not install it, because its requirements include torchaudio, which these tests do
not need: pip install --no-deps neurobench==2.3.0 and then pytest -m slow tests/test_neurobench.py
"""

from importlib import metadata

import pytest
import torch
from engine_cases import dyadic_layer, events
from torch import nn

from spikern._utils.errors import UnsupportedError
from spikern.cost.counting import count

pytestmark = pytest.mark.slow
WHERE = "pip install --no-deps neurobench==2.3.0"


@pytest.fixture
def measured():
    """Synaptic operations of calls of one layer, by NeuroBench: MACs, ACs, dense."""
    pytest.importorskip("neurobench", reason=f"NeuroBench is not installed: {WHERE}")
    if metadata.version("neurobench") != "2.3.0":
        pytest.skip(f"these facts are of NeuroBench 2.3.0: {WHERE}")
    from neurobench.metrics.workload.synaptic_operations import SynapticOperations
    from neurobench.models import TorchModel

    class Wrapped(nn.Module):
        def __init__(self, layer):
            super().__init__()
            self.layer = layer

        def forward(self, calls):
            return [self.layer(*call) for call in calls]

    def measure(layer, *calls):
        model = TorchModel(Wrapped(layer))
        model.register_hooks()
        metric = SynapticOperations()
        with torch.no_grad():
            model(calls)
            result = metric(model, None, (torch.zeros(1), None))
        model.cleanup_hooks()
        return result["Effective_MACs"], result["Effective_ACs"], result["Dense"]

    return measure


@torch.no_grad()
def test_where_it_is_right_spikes_over_weights(measured):
    """Input, recurrence and readout: accumulates over nonzero weights, and dense ones."""
    body, readout = dyadic_layer("ALIF", 6, 17), nn.Linear(17, 3)
    readout.weight[torch.rand(3, 17, generator=torch.Generator().manual_seed(0)) < 0.3] = 0.0
    x = events(20, 2, 6)
    connections = count(nn.Sequential(body, readout), x, events=True).connections
    z, _ = body(x)
    spikes = (x, torch.cat([z[:1] * 0, z[:-1]]), z)
    weights = (body.weight_ih_l0, body.weight_hh_l0, readout.weight)
    for c, arriving, weight in zip(connections, spikes, weights, strict=True):
        linear = nn.Linear(c.sources, c.targets)
        linear.weight.copy_(weight)
        assert measured(linear, *((step,) for step in arriving)) == (0, sum(c.ops), 40 * c.weights)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@torch.no_grad()
def test_where_it_is_right_cells_of_dense_input_and_state(measured, kind):
    """Called with their state and nothing zero: products of the gates included."""
    cell = getattr(nn, f"{kind}Cell")(25, 5)
    h = torch.full((1, 5), 0.5)
    _, _, dense = measured(cell, (torch.full((1, 25), 0.5), (h, h) if kind == "LSTM" else h))
    ops = count(getattr(nn, kind)(25, 5), torch.full((1, 1, 25), 0.5)).ops
    assert dense == ops.mac + ops.updates.get("mul", 0)


# Where it is wrong


@torch.no_grad()
def test_its_fault_spikes_are_guessed_from_values(measured):
    """An analog input that happens to be 0 or 1 makes a standard layer free of multiplications."""
    linear, x = nn.Linear(4, 3), torch.tensor([[1.0, 0.0, 1.0, 1.0]])
    assert measured(linear, (x,)) == (0, 9, 12)
    ours = count(linear, x.unsqueeze(0)).ops
    assert (ours.mac, ours.ac) == (12, 0)


@torch.no_grad()
def test_its_fault_an_lstm_of_events_never_multiplies(measured):
    """Only the input is looked at: the analog recurrence and gates are called accumulates too."""
    cell, x, h = nn.LSTMCell(4, 3), torch.ones(1, 4), torch.full((1, 3), 0.5)
    macs, acs, _ = measured(cell, (x, (h, h)))
    assert (macs, acs) == (0, 4 * 3 * (4 + 3) + 3 * 3)
    ours = count(nn.LSTM(4, 3), x.unsqueeze(0), events=True).ops
    assert (ours.mac, ours.ac) == (4 * 3 * (4 + 3), 0)


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
@torch.no_grad()
def test_its_fault_whole_layers_end_in_an_error(measured, kind):
    """It means to say that they are unsupported, and raises a string."""
    with pytest.raises(TypeError, match="must derive from BaseException"):
        measured(kind(4, 3), (torch.ones(5, 1, 4),))
    assert count(kind(4, 3), torch.ones(5, 1, 4)).ops.mac > 0


@torch.no_grad()
def test_its_fault_a_cell_without_a_state_counts_one_sample(measured):
    """The batch is taken for the tuple of input and state, and its first sample for the input."""
    cell, x = nn.RNNCell(4, 3), torch.full((2, 4), 0.5)
    assert measured(cell, (x,))[2] == 4 * 3
    assert measured(cell, (x, torch.full((2, 3), 0.5)))[2] == 2 * 3 * (4 + 3)


@torch.no_grad()
def test_its_fault_a_module_that_it_does_not_know_is_zero(measured):
    """Where ours is counted, or an error that names the module."""
    layer, x = dyadic_layer("LIF", 6, 17), events(20, 1, 6)
    assert measured(layer, (x,)) == (0, 0, 0)
    assert count(layer, x, events=True).ops.ac > 0
    with pytest.raises(UnsupportedError, match="Bilinear"):
        count(nn.Bilinear(6, 6, 2), x)
