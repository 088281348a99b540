"""Memory traffic equal to that of a simulator that tallies every read and write as it does it."""

from collections import Counter

import pytest
import torch
from engine_cases import dyadic_layer, events
from torch import nn

from spikern._utils.errors import InputError
from spikern.cost.counting import count
from spikern.cost.estimates import energy
from spikern.cost.lemaire import lemaire, spiking, standard
from spikern.cost.memory import BOUNDS, Array, index_bits, memory_pj, traffic
from spikern.cost.prices import tables
from spikern.layers.delays import Delay, LearnedDelay
from spikern.layers.network import Network
from spikern.layers.rnn import SpikingRNN

BITS = {"weight_bits": 8, "state_bits": 16}


def network(sparse, **groups):
    """LIF and its readout with few zero weights, or with few others."""
    body, readout = dyadic_layer("LIF", 6, 18, **groups), dyadic_layer("LI", 18, 3)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in [*body.named_parameters(), *readout.named_parameters()]:
            if "weight" in name:
                weight[weight == 0] = 1 / 256
                weight[0, 0] = 0.0
                if sparse:
                    weight *= torch.rand(weight.shape, generator=generator) < 0.2
                    weight[1, 1] = 1.0
    return Network(body, readout, "every_step")


def moved(traffic):
    """Values read and written, by kind."""
    values = Counter()
    for array in traffic.arrays:
        values[array.kind] += array.reads + array.writes
    return values


def simulate(net, x, modify):
    """Every read and write of the network over x (T, B, F), one value at a time, by kind."""
    hidden = net.hidden(x)[0]
    tally = Counter()
    layers = [
        (net.body, x, hidden, {"v": 1}, 3),  # alpha, 1 - alpha, threshold
        (net.readout, hidden, None, {"v": 1}, 2),
    ]
    for module, arriving, own, states, constants in layers:
        for b in range(x.shape[1]):
            for t in range(x.shape[0]):
                awake = awake_neurons(module, arriving[t, b])
                sources = [(module.weight_ih_l0, arriving[t, b])]
                if own is not None:
                    before = own[t - 1, b] if t else torch.zeros_like(own[0, b])
                    sources.append((module.weight_hh_l0, before))
                for weight, spikes in sources:
                    tally += scatter(weight, spikes, modify, awake)
                if module.experts > 1:
                    tally += scatter(module.weight_rt_l0, arriving[t, b], modify)
                for n in awake:
                    tally["states"] += 2 * len(states)
                    tally["constants"] += constants
                    tally["biases"] += 1
                    if own is not None:
                        tally["states"] += 2  # whether it fired last
                        tally["queue"] += int(own[t, b, n])
    return tally


def awake_neurons(module, x):
    """The neurons that x wakes; all if there are no groups."""
    if module.experts == 1:
        return list(range(module.hidden_size))
    votes = (module.weight_rt_l0 @ x).tolist()
    best = sorted(range(module.experts), key=lambda g: (-votes[g], g))[: module.awake]
    groups = {g for g in best if votes[g] > 0}
    members = module.hidden_size // module.experts
    return [n for n in range(module.hidden_size) if n // members in groups]


def scatter(weight, spikes, modify, awake=None):
    """The reads and writes of one step's spikes through weight (H, F) to targets awake."""
    tally = Counter()
    bits = BITS["weight_bits"]
    targets, sources = weight.shape
    zeros = int((weight == 0).sum())
    with_lists = (weight.numel() - zeros) * (bits + index_bits(targets))
    with_lists += (sources + 1) * index_bits(weight.numel() - zeros + 1)
    listed = with_lists < weight.numel() * bits
    for source, spike in enumerate(spikes.tolist()):
        if not spike:
            continue
        tally["queue"] += 1
        tally["addressing"] += 1
        if listed:
            tally["indices"] += 2  # where its row begins and ends
        for target in range(targets) if awake is None else awake:
            if listed and weight[target, source] == 0:
                continue
            tally["weights"] += 1
            tally["indices"] += int(listed)
            if modify:
                tally["states"] += 2
                tally["addressing"] += 1
    return tally


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("bound", BOUNDS)
@torch.no_grad()
def test_traffic_equals_brute_force(bound, sparse):
    assert_traffic_is_brute(network(sparse), bound, sparse)


@pytest.mark.usefixtures("plain_python")
@pytest.mark.parametrize("bound", BOUNDS)
@torch.no_grad()
def test_experts_move_what_is_awake_in_whole_arrays(bound):
    net = network(False, experts=6, awake=2)
    assert_traffic_is_brute(net, bound, True)  # the table is a list of who is named
    arrays = traffic(count(net, events(12, 2, 6), events=True), bound, **BITS).arrays
    stored = {(a.kind, a.stored) for a in arrays if a.layer == "hidden 0"}
    assert {("weights", 18 * 18), ("weights", 2 * 6), ("states", 18)} <= stored


@pytest.mark.usefixtures("plain_python")
@torch.no_grad()
def test_what_is_delayed_waits_in_longer_arrays():
    """Spikes and analog values; one queue serves all ways that a layer's spikes go."""
    body = dyadic_layer("LIF", 6, 18, delay=3, recurrent_delay=5)
    before, after = LearnedDelay(6, longest=4).eval(), Delay(torch.arange(18) // 9)
    net = nn.Sequential(before, body, after, SpikingRNN("LIF", 18, 4))
    back, to_above = int(body.delay_hh_l0.steps.max()), 1 + 1
    assert back > to_above
    body.delay_ih_l0 = LearnedDelay(6, longest=3).eval()
    for learned in (before, body.delay_ih_l0):
        learned.raw.fill_(0.0)
    to_body = 1 + 2 + 2  # as long as they are, not as they might be
    for x, kind in ((events(12, 2, 6), "queue"), (torch.rand(12, 2, 6), "values")):
        result = traffic(count(net, x, events=kind == "queue"), "registers", **BITS)
        arrays = [(a.layer, a.kind, a.stored) for a in result.arrays]
        assert [each for each in arrays if each[1] in ("queue", "values")][:4] == [
            ("1 hidden 0", "queue", 18 * back),
            ("1 hidden 0", kind, 6 * to_body),
            ("1 hidden 0", "queue", 18 * back),
            ("3 hidden 0", "queue", 18 * to_above),
        ]


def assert_traffic_is_brute(net, bound, sparse):
    x = events(12, 2, 6)
    result = traffic(count(net, x, events=True), bound, **BITS)
    expected = simulate(net, x, modify=bound != "registers")
    assert moved(result) | {"addressing": result.addressing} == +expected
    # lists of indices only where they are shorter than the zeros that they leave out
    assert ("indices" in moved(result)) == sparse


@torch.no_grad()
def test_the_traffic_of_a_standard_network():
    """LSTM of 5 units over 3 values: its cell is carried, its output written, all else read."""
    counts = count(nn.Sequential(nn.LSTM(3, 5), nn.Linear(5, 2)), torch.ones(4, 2, 3))
    for bound in BOUNDS:
        result = traffic(counts, bound, **BITS)
        assert {kind: values / 8 for kind, values in moved(result).items()} == {
            "weights": 4 * 5 * (3 + 5) + 5 * 2,
            "states": 2 * 5,
            "biases": 4 * 5 + 2,
            "values": 3 + 5 + 5 + 5 + 2,  # input, recurrence, readout in; output, logits out
        }
        assert result.addressing == 0


@torch.no_grad()
def test_a_pruned_standard_network_reads_indices():
    module = nn.Linear(64, 64)
    module.weight[torch.rand(64, 64, generator=torch.Generator().manual_seed(0)) < 0.9] = 0.0
    left = int(torch.count_nonzero(module.weight))
    values = moved(traffic(count(module, torch.ones(1, 1, 64)), "registers", **BITS))
    assert (values["weights"], values["indices"]) == (left, left + 65)


def test_the_price_of_an_access_follows_the_size_of_its_array():
    sram = tables()["45nm_int8"].sram
    assert [sram.price(n) for n in (8192, 32768, 1048576)] == [10.0, 20.0, 100.0]
    assert sram.price(1) == 10.0
    assert sram.price(1048577) is None
    prices = [sram.price(2**k) for k in range(13, 21)]
    assert prices == sorted(prices)
    # the geometric mean of two sizes costs the geometric mean of their prices; rounding only
    assert sram.price((8192 * 32768) ** 0.5) == pytest.approx(200**0.5, rel=1e-12)


def test_consecutive_values_share_an_access_and_scattered_ones_do_not():
    table = tables()["45nm_int8"]
    row = Array("hidden", "weights", 100, 8, 64)
    assert memory_pj([row], table) == {"weights": 8 * 10.0}
    assert memory_pj([row._replace(scattered=True)], table) == {"weights": 64 * 10.0}
    assert memory_pj([row._replace(scattered=True, bits=128)], table) == {"weights": 128 * 10.0}
    assert memory_pj([row], table, dram=True) == {"weights": 8 * 1300.0}
    states = row._replace(kind="states")
    assert memory_pj([states], table, dram=True) == {"states": 8 * 10.0}


def test_an_array_that_no_memory_holds_has_no_price():
    table = tables()["45nm_int8"]
    large = Array("hidden", "weights", 2**20 + 1, 8, 64)
    assert memory_pj([large], table) is None
    assert memory_pj([large], table, dram=True) is not None
    assert memory_pj([large], tables()["loihi1"], dram=True) is None


@torch.no_grad()
def test_the_bounds_enclose_in_order():
    counts = count(network(False), events(12, 2, 6), events=True)
    for table in tables().values():
        operations = energy(counts, table, "operations")
        low, high = (energy(counts, table, bound) for bound in BOUNDS)
        if table.sram is None:
            assert low is high is None
        else:
            assert operations.pj < low.pj < high.pj


def test_an_unknown_bound_is_refused():
    counts = count(nn.Linear(3, 2), torch.ones(1, 1, 3))
    with pytest.raises(InputError, match="did you mean 'registers'"):
        traffic(counts, "register", **BITS)


# Lemaire et al. 2022


def test_lemaires_formulas():
    """As in the authors' code, by hand: 10 spikes in, 4 out, 20 to 5 neurons, 8 steps."""
    assert spiking(10, 4, 5, 8) == {
        "macs": 8 * 5, "accumulates": 10 * 5 + 8 * 5 + 4, "inputs": 10, "weights": 50, "biases": 40,
        "potentials": 90, "outputs": 4, "addressing": 50,
    }  # fmt: skip
    ann = standard(20, 5, 1)
    assert (ann["macs"], ann["weights"], ann["potentials"]) == (100, 100, 0)


@torch.no_grad()
def test_lemaires_model_of_a_counted_network():
    net = network(False)
    x = events(12, 2, 6)
    counts = count(net, x, events=True)
    hidden, readout = counts.layers
    arriving = int(x.sum()) + sum(hidden.spikes) - hidden.spikes[-1]
    assert lemaire(hidden) == spiking(arriving, sum(hidden.spikes), 18, 24)
    assert lemaire(readout) == spiking(sum(hidden.spikes), 0, 3, 24)
    ann = count(nn.RNN(6, 18), x)
    assert lemaire(ann.layers[0]) == standard(24, 18, 24)
    by_hand = standard(24, 18, 24)
    operations = by_hand["macs"] * 3.2 + by_hand["accumulates"] * 0.1
    accesses = sum(by_hand[kind] for kind in ("weights", "biases", "inputs", "outputs"))
    result = energy(ann, tables()["45nm_int32"], "lemaire 2022")
    # every array is below 8 KB: 10 pJ an access; two inferences; rounding only
    assert result.pj == pytest.approx((operations + accesses * 10.0) / 2, rel=1e-12)
    assert energy(ann, tables()["loihi1"], "lemaire 2022") is None
