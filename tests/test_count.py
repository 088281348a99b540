"""Counts equal, not close, to brute force; vectors from the literature; energy tables."""

from collections import Counter

import brute
import pytest
import torch

from spikern import SpikernError, build
from spikern.ops import Ops, count, estimate, tables
from spikern.ops.count import dense_synaptic_ops, total
from spikern.ops.energy import read

LENGTHS = torch.tensor([9, 4, 1])


def sparsify(network):
    """A third of the weights become zero: absent synapses."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, value in network.named_parameters():
            if "weight" in name:
                value[torch.rand(value.shape, generator=generator) < 0.3] = 0.0


def tallied(network, x, events):
    """Brute-force tallies by layer, summed over the samples, and the spikes of all layers."""
    sums, spikes = {}, 0
    for b, steps in enumerate(LENGTHS.tolist()):
        signal = x[:steps, b].tolist()
        body, head = network.body, network.readout
        if network.spiking:
            layers = [(body, k, f"hidden {k}") for k in range(body.num_layers)]
            declared = events
            for module, k, name in [*layers, (head, 0, "readout")]:
                p = module.params(k)
                signal, tally = brute.spiking_layer(
                    module.neuron.name,
                    {f: v.tolist() for f, v in zip(p._fields, p)},
                    getattr(module, f"weight_ih_l{k}").tolist(),
                    getattr(module, f"weight_hh_l{k}").tolist() if module.recurrent else None,
                    getattr(module, f"bias_l{k}").tolist(),
                    signal,
                    declared,
                )
                declared = True
                if name != "readout":
                    spikes += int(sum(map(sum, signal)))
                sums[name] = sums.get(name, Counter()) + tally
            width, times = head.hidden_size, 0
        else:
            for k in range(body.num_layers):
                get = lambda what: getattr(body.rnn, f"{what}_l{k}")  # noqa: B023, E731
                bias = (get("bias_ih") + get("bias_hh")).tolist()
                if body.kind == "GRU":
                    bias = [get("bias_ih").tolist(), get("bias_hh").tolist()]
                signal, tally = brute.standard_layer(
                    body.kind, get("weight_ih").tolist(), get("weight_hh").tolist(), bias, signal
                )
                name = f"hidden {k}"
                sums[name] = sums.get(name, Counter()) + tally
            width, times = head.in_features, int(torch.count_nonzero(head.weight))
        mean = Counter({"add": width * (steps - 1), "mul": width, "mac": times})
        sums["readout"] = sums.get("readout", Counter()) + mean
    return sums, spikes, signal


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("events", [False, True])
@pytest.mark.parametrize("model", ["LIF", "ALIF", "RNN", "GRU", "LSTM"])
@torch.no_grad()
def test_counts_equal_brute_force(model, events, layers):
    torch.manual_seed(2)
    network = build(model, 3, 5, 2, "mean", num_layers=layers).double()
    sparsify(network)
    if network.spiking:
        for name, weight in network.body.named_parameters():
            if "weight" in name:
                weight.mul_(4)
    x = torch.randn(9, 3, 3, dtype=torch.float64)
    if events:
        x = x.round().clamp(-1, 1)
    counted = count(network, x, LENGTHS, events)
    expected, spikes, _ = tallied(network, x, events)
    assert [*counted] == [*expected]
    for name, ops in counted.items():
        found = Counter(ops.updates) + Counter({"ac": ops.ac, "mac": ops.mac})
        assert found == expected[name], name
    assert total(counted).spikes == spikes
    assert spikes > 0 or not network.spiking
    assert total(counted).dense > total(counted).ac


@torch.no_grad()
def test_the_brute_force_computes_the_same_network():
    """Else its counts would prove nothing."""
    torch.manual_seed(2)
    for kind in ("RNN", "GRU", "LSTM"):
        network = build(kind, 3, 5, 2, "mean").double()
        x = torch.randn(9, 3, 3, dtype=torch.float64)
        hidden = network.run(x, lengths=LENGTHS)[0].hidden[0]
        _, _, last = tallied(network, x, False)
        torch.testing.assert_close(hidden[:1, 2], torch.tensor(last, dtype=torch.float64))


def test_vectors_of_the_literature():
    """Dense synaptic operations as NeuroBench counts them, and two published networks."""
    assert dense_synaptic_ops("LSTM", 25, 5) == 615
    assert dense_synaptic_ops("GRU", 25, 5) == 465
    assert dense_synaptic_ops("RNN", 25, 5) == 150
    assert dense_synaptic_ops("spiking", 20, 5) * 10 == 1_000
    for inputs, expected in ((96, 4_900), (192, 9_700)):
        layers = dense_synaptic_ops("spiking", inputs, 50), dense_synaptic_ops("spiking", 50, 2)
        assert sum(layers) == expected


@torch.no_grad()
def test_dense_counts_hold_those_vectors():
    x = torch.ones(1, 1, 25)
    for kind, expected in (("LSTM", 615), ("GRU", 465), ("RNN", 150)):
        ops = count(build(kind, 25, 5, 2), x)["hidden 0"]
        assert ops.mac + ops.updates.get("mul", 0) == expected
    network = build("LIF", 20, 5, 2, recurrent=False)
    ops = count(network, torch.ones(10, 1, 20), events=True)["hidden 0"]
    assert (ops.ac, ops.dense) == (1_000, 1_000)


def test_energy_is_counts_times_prices():
    ops = Ops(ac=100, mac=10, updates={"mul": 3, "tanh": 2}, neuron_updates=4, spikes=1)
    fp32, int8, loihi = (tables()[n] for n in ("45nm_fp32", "45nm_int8", "loihi1"))
    assert estimate(ops, fp32) == pytest.approx(100 * 0.9 + 10 * 4.6 + 3 * 3.7 + 2 * 4.6)
    assert estimate(ops, int8) == pytest.approx(100 * 0.03 + 10 * 0.23 + 3 * 0.2 + 2 * 0.23)
    assert estimate(ops, loihi) is None
    events_only = Ops(ac=100, neuron_updates=4, spikes=1)
    assert estimate(events_only, loihi) == pytest.approx(2360 + 81 + 3 * 52 + 1.7)


GOOD = """title = "t"\nsource = "s"\nnot_modelled = "n"\nupdates = "by operation"\n[pj]\nac = 1\n"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace('source = "s"\n', ""), "lacks 'source'"),
        (GOOD.replace("ac = 1", "ac = -1"), "price of ac must be a number >= 0, got -1"),
        (GOOD.replace("by operation", "by magic"), "updates must be"),
        (GOOD + "mac =", "cannot read"),
    ],
)
def test_bad_tables_are_refused(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(SpikernError, match=message):
        read(path)


def test_unpriced_operations_have_no_estimate():
    assert estimate(Ops(updates={"erf": 1}), tables()["45nm_fp32"]) is None
