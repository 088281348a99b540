"""Counts equal, not close, to brute force at every step; vectors from the literature."""

from collections import Counter

import brute
import pytest
import torch
from engine_cases import dyadic_layer, events
from torch import nn
from torch.nn.utils import parametrize, prune

from spikern._utils.errors import InputError, UnsupportedError
from spikern.cost.counting import count
from spikern.cost.counts import Counts
from spikern.engines.codegen.operations import update_ops
from spikern.events import Events
from spikern.events.encoders import delta
from spikern.layers.baseline import Baseline
from spikern.layers.delays import Delay
from spikern.layers.network import Network, build
from spikern.layers.rnn import Readout, SpikingRNN
from spikern.layers.streaming import compile_stream
from spikern.neurons import LIF

LENGTHS = torch.tensor([9, 4, 1])


def sparsify(network):
    """A third of the weights become zero: absent synapses."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, value in network.named_parameters():
            if "weight" in name:
                value[torch.rand(value.shape, generator=generator) < 0.3] = 0.0


def merge(sums, name, tallies, spikes=None):
    """Add one sample's tallies (T,) to those of a layer."""
    steps = sums.setdefault(name, [Counter() for _ in range(int(LENGTHS.max()))])
    for t, tally in enumerate(tallies):
        steps[t].update(tally)
        if spikes is not None:
            steps[t]["spikes"] += int(sum(spikes[t]))


def brute_spiking(sums, module, names, signal, declared, kind="input"):
    for k, name in enumerate(names):
        p = module.params(k)
        signal, tallies = brute.spiking_layer(
            module.neuron.name,
            {f: v.tolist() for f, v in zip(p._fields, p)},
            getattr(module, f"weight_ih_l{k}").tolist(),
            getattr(module, f"weight_hh_l{k}").tolist() if module.recurrent else None,
            getattr(module, f"bias_l{k}").tolist(),
            signal,
            declared,
            kind,
            (
                *(getattr(module, f"weight_rt_l{k}").tolist(), module.awake),
                *(module.routing == "learned", module.sleep == "decaying"),
            )
            if module.experts > 1
            else None,
        )
        merge(sums, name, tallies, signal if module.neuron.spikes else None)
        declared = True
    return signal


def brute_standard(sums, rnn, signal, declared=False, table=None):
    kind = rnn.mode.split("_")[0]
    banks = None
    if table is not None:
        tallies = [Counter() for _ in signal]
        named = zip(signal, tallies)
        banks = [[*brute.awake_groups(*table, False, x, tally, declared)] for x, tally in named]
        merge(sums, "hidden 0", tallies)
    for k in range(rnn.num_layers):
        sides = []
        for suffix in ("", "_reverse") if rnn.bidirectional else ("",):
            get = lambda what: getattr(rnn, f"{what}_l{k}{suffix}")  # noqa: B023, E731
            bias = (get("bias_ih") + get("bias_hh")).tolist()
            if kind == "GRU":
                bias = [get("bias_ih").tolist(), get("bias_hh").tolist()]
            projection = get("weight_hr").tolist() if rnn.proj_size else None
            weights = get("weight_ih").tolist(), get("weight_hh").tolist()
            side, tallies = brute.standard_layer(
                kind, *weights, bias, signal, projection, bool(suffix), declared and k == 0, banks
            )
            merge(sums, f"hidden {k}{suffix.replace('_', ' ')}", tallies)
            sides.append(side)
        signal = [[value for side in sides for value in side[t]] for t in range(len(signal))]
    return signal


def brute_network(network, x, declared):
    """Brute-force tallies by layer and step, summed over the samples."""
    sums = {}
    body, head = network.body, network.readout
    for b, steps in enumerate(LENGTHS.tolist()):
        signal = x[:steps, b].tolist()
        if network.spiking:
            names = [f"hidden {k}" for k in range(body.num_layers)]
            signal = brute_spiking(sums, body, names, signal, declared)
            brute_spiking(sums, head, ["readout"], signal, True, "readout")
            width = head.hidden_size
        else:
            table = (body.rnn.weight_rt.tolist(), body.awake) if body.experts > 1 else None
            brute_standard(sums, body.rnn, signal, declared, table)
            width = head.in_features
            readout = [Counter() for _ in range(steps)]
            readout[-1]["mac readout"] = int(torch.count_nonzero(head.weight))
            merge(sums, "readout", readout)
        mean = [Counter(add=width if t else 0) for t in range(steps)]
        mean[-1]["mul"] = width
        merge(sums, "mean", mean)
    return without_zeros(sums)


def brute_module(module, x, declared=False):
    """Brute-force tallies of a torch.nn.RNN, GRU or LSTM, and the first sample's output."""
    sums = {}
    outputs = [
        brute_standard(sums, module, x[:steps, b].tolist(), declared)
        for b, steps in enumerate(LENGTHS.tolist())
    ]
    return without_zeros(sums), outputs[0]


def by_step(counts):
    """Counted layers in the words of the brute force."""
    sums = {}
    for layer in counts.layers:
        sums[layer.name] = steps = []
        for t in range(len(layer.uses)):
            tally = Counter({kind: number[t] for kind, number in layer.arithmetic.items()})
            for c in layer.connections:
                tally[f"{'ac' if c.spiking else 'mac'} {c.kind}"] += c.ops[t]
            tally["spikes"] = layer.spikes[t]
            steps.append(tally)
    return without_zeros(sums)


def without_zeros(sums):
    return {name: [+tally for tally in steps] for name, steps in sums.items()}


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("declared", [False, True])
@pytest.mark.parametrize("model", ["LIF", "ALIF", "RNN", "GRU", "LSTM"])
@torch.no_grad()
def test_counts_equal_brute_force(model, declared, layers):
    assert_counts_are_brute(model, declared, layers, 5)


def assert_counts_are_brute(model, declared, layers, hidden, **settings):
    torch.manual_seed(2)
    network = build(model, 3, hidden, 2, "mean", num_layers=layers, **settings).double()
    sparsify(network)
    if network.spiking:
        for name, weight in network.body.named_parameters():
            if "weight" in name:
                weight.mul_(4)
    x = torch.randn(9, 3, 3, dtype=torch.float64)
    if declared:
        x = x.round().clamp(-1, 1)
    counts = count(network, x, LENGTHS, declared)
    expected = brute_network(network, x, declared)
    assert by_step(counts) == expected
    assert counts.ops.spikes == sum(t["spikes"] for steps in expected.values() for t in steps)
    assert counts.ops.spikes > 0 or not network.spiking
    assert counts.ops.dense > counts.ops.ac
    for layer in counts.layers:
        weights = sum(c.weights for c in layer.connections)
        assert layer.dense == tuple(weights * n for n in layer.uses)
    assert counts.inferences == 3


@pytest.mark.parametrize("declared", [False, True])
@pytest.mark.parametrize("routing", ["fixed", "learned"])
@pytest.mark.parametrize(
    ("experts", "awake", "sleep"), [(4, 2, "frozen"), (4, 2, "decaying"), (3, 3, "frozen")]
)
@torch.no_grad()
def test_experts_count_who_is_awake_and_the_choice(routing, declared, experts, awake, sleep):
    groups = {"experts": experts, "awake": awake, "routing": routing, "sleep": sleep}
    assert_counts_are_brute("ALIF", declared, 2, 12, **groups)


@pytest.mark.usefixtures("plain_python")
@torch.no_grad()
def test_a_sleep_that_no_step_ends_costs_nothing():
    network = build("LIF", 2, 8, 2, experts=2, awake=1, sleep="decaying")
    network.body.weight_rt_l0.copy_(torch.eye(2))
    x = torch.zeros(6, 1, 2)
    x[:5, 0, 0] = x[5, 0, 1] = 1.0  # the second group sleeps for five steps, then the first for one
    slept = dict.fromkeys(("mul", "add", "compare"), 0) | {"mul": 4 * 5}
    awake = {kind: 6 * 4 * n for kind, n in update_ops(LIF).items()}
    counted = count(network, x, events=True).layers[0].ops.updates
    assert counted == {kind: awake[kind] + slept[kind] for kind in awake}


@pytest.mark.parametrize("declared", [False, True])
@pytest.mark.parametrize("model", ["RNN", "GRU", "LSTM"])
@torch.no_grad()
def test_banks_count_those_that_the_input_names(model, declared):
    assert_counts_are_brute(model, declared, 2, 5, experts=4, awake=2)


SHAPES = [
    {"num_layers": 2, "bidirectional": True},
    {"num_layers": 3},
    {"num_layers": 2, "bidirectional": True, "bias": True, "batch_first": True},
]
PROJECTED = [{"proj_size": 2, "num_layers": 2, "bidirectional": True}, {"proj_size": 3}]


@pytest.mark.parametrize(
    ("kind", "shape"),
    [(kind, shape) for kind in (nn.RNN, nn.GRU, nn.LSTM) for shape in SHAPES]
    + [(nn.LSTM, shape) for shape in PROJECTED],
)
@torch.no_grad()
def test_every_layer_direction_and_projection_equals_brute_force(kind, shape):
    torch.manual_seed(3)
    module = kind(3, 4, **shape).double()
    sparsify(module)
    x = torch.randn(9, 3, 3, dtype=torch.float64)
    expected, signal = brute_module(module, x)
    own = x.transpose(0, 1) if module.batch_first else x
    out = module(own)[0].transpose(0, 1) if module.batch_first else module(own)[0]
    # else the counts would prove nothing; float64 sums in another order: a few times 1e-16
    torch.testing.assert_close(out[:, 0], torch.tensor(signal, dtype=torch.float64))
    assert by_step(count(module, x, LENGTHS)) == expected


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
@torch.no_grad()
def test_a_standard_network_accumulates_events_in_its_first_layer_alone(kind):
    module = kind(3, 4, num_layers=2, bidirectional=True).double()
    sparsify(module)
    x = torch.randn(9, 3, 3, dtype=torch.float64).round().clamp(-1, 1)
    counts = count(module, x, LENGTHS, events=True)
    assert by_step(counts) == brute_module(module, x, declared=True)[0]
    dense = count(module, x, LENGTHS)
    assert dense.ops.mac > counts.ops.mac
    assert dense.ops.ac == 0 < counts.ops.ac


@torch.no_grad()
def test_a_relu_network_compares_instead():
    counts = count(nn.RNN(3, 4, nonlinearity="relu"), torch.ones(5, 2, 3))
    assert counts["hidden 0"].arithmetic == {"compare": (8,) * 5}


@torch.no_grad()
def test_the_encoder_equals_brute_force():
    x = torch.randn(9, 3, 2).cumsum(0)
    sent = delta(x, 0.5)
    sums = {}
    for b, steps in enumerate(LENGTHS.tolist()):
        by_hand, tallies = brute.delta(x[:steps, b].tolist(), 0.5)
        assert by_hand == sent[:steps, b].tolist()
        merge(sums, "encoder", tallies)
    counts = count(SpikingRNN("LIF", 2, 3), sent, LENGTHS, events=True, encoder="delta")
    assert by_step(counts)["encoder"] == without_zeros(sums)["encoder"]
    assert counts["encoder"].ops.neuron_updates == 0


@pytest.mark.parametrize("name", ["LIF", "ALIF"])
@torch.no_grad()
def test_counts_equal_the_additions_that_the_stream_engine_executed(name):
    """With dense weights, for the engine adds zero weights too."""
    body, readout = dyadic_layer(name, 6, 17, 2), dyadic_layer("LI", 17, 3)
    for weight in [*body.parameters(), *readout.parameters()]:
        weight[weight == 0] = 1 / 256
    network = Network(body, readout, "every_step")
    x, lengths = events(30, 4, 6), torch.tensor([30, 7, 30, 1])
    executed = compile_stream(network).run(x.numpy(), lengths=lengths.numpy()).additions
    counts = count(network, x, lengths, events=True)
    for layer, (into, recurrent) in zip(counts.layers, executed.tolist()):
        assert sum(layer.synaptic(True, "input", "readout")) == into
        assert sum(layer.synaptic(True, "recurrent")) == recurrent
    assert counts.ops.ac == executed.sum() > 0


@torch.no_grad()
def test_vectors_of_the_literature():
    """Dense synaptic operations as NeuroBench counts them."""
    x = torch.ones(1, 1, 25)
    for kind, expected in (("LSTM", 615), ("GRU", 465), ("RNN", 150)):
        ops = count(build(kind, 25, 5, 2), x)["hidden 0"].ops
        assert ops.mac + ops.updates.get("mul", 0) == expected
    ops = count(SpikingRNN("LIF", 20, 5, recurrent=False), torch.ones(10, 1, 20), events=True).ops
    assert (ops.ac, ops.dense) == (1_000, 1_000)


@pytest.mark.parametrize(
    ("inputs", "hidden", "layers", "classes", "recurrent", "steps", "dense"),
    [
        (96, 50, 1, 2, False, 1, 4_900),  # primate reaching, one animal and the other
        (192, 50, 1, 2, False, 1, 9_700),
        (20, 256, 3, 35, False, 200, 29_030_400),  # speech commands: 145,152 synapses, 200 steps
        (20, 1024, 2, 200, True, 1, 3_371_008),  # MSWC, recurrent, as its public code is shaped
        (40, 1024, 2, 200, True, 1, 3_391_488),  # the value handed on for it: 40 inputs give it
    ],
)
@torch.no_grad()
def test_networks_of_the_literature(inputs, hidden, layers, classes, recurrent, steps, dense):
    body = SpikingRNN("LIF", inputs, hidden, layers, recurrent=recurrent)
    network = Network(body, Readout(hidden, classes), "last")
    assert count(network, torch.zeros(steps, 1, inputs), events=True).ops.dense == dense


@torch.no_grad()
def test_the_formulas_of_tclif():
    """Per step, m inputs and n units: LSTM 4 (mn + nn), RNN mn + nn, GRU 3 (mn + nn)."""
    m, n, steps = 7, 11, 3
    x = torch.ones(steps, 1, m)
    for kind, gates in (("RNN", 1), ("GRU", 3), ("LSTM", 4)):
        assert count(Baseline(kind, m, n), x).ops.mac == steps * gates * (m * n + n * n)
    layer = dyadic_layer("LIF", m, n)
    for weight in layer.parameters():
        weight[weight == 0] = 1 / 256
    z = events(40, 1, m)
    counts = count(layer, z, events=True)
    arriving, spikes = int(z.sum()), counts.ops.spikes
    last = counts["hidden 0"].spikes[-1]  # these have no step to arrive at
    assert counts.synaptic_events()["input"] == arriving * n  # mn rate_in
    assert counts.synaptic_events()["recurrent"] == (spikes - last) * n  # nn rate


@torch.no_grad()
def test_spikes_are_declared_and_never_guessed_from_values():
    body = dyadic_layer("LIF", 4, 5)
    x = events(12, 2, 4)
    stack = count(nn.Sequential(body, nn.Linear(5, 3)), x)
    readout = stack["1 readout"].ops
    assert (readout.ac, readout.mac) == (stack["0 hidden 0"].ops.spikes * 3, 0)
    binary = nn.Linear(4, 3)
    assert count(binary, x).ops.mac == 12 * 2 * 4 * 3  # zeros and ones, but not declared as events
    assert count(binary, x, events=True).ops.ac == int(x.sum()) * 3
    mean = count(Network(body, nn.Linear(5, 3), "mean"), x)
    assert mean["readout"].ops.mac == 2 * 5 * 3  # a mean of spikes is no spike
    last = count(Network(body, nn.Linear(5, 3), "last"), x)
    assert last["readout"].ops.ac == 3 * last["hidden 0"].spikes[-1]


@torch.no_grad()
def test_a_stack_of_known_modules():
    stack = nn.Sequential(nn.Linear(4, 6), nn.GRU(6, 5, bidirectional=True), nn.Linear(10, 3))
    counts = count(stack, torch.ones(7, 2, 4))
    names = [layer.name for layer in counts.layers]
    assert names == ["0 linear", "1 hidden 0", "1 hidden 0 reverse", "2 readout"]
    macs = {k: n // 14 for k, n in counts.multiply_accumulates().items()}
    assert macs["input"] == 24 + 2 * 3 * 30
    assert macs["recurrent"] == 2 * 3 * 25
    assert macs["readout"] == 30


class Homemade(nn.Module):
    """Not known to the counter."""


class Renamed(nn.LSTM):
    """May do anything in its forward."""


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (Homemade(), "Homemade"),
        (Renamed(4, 4), "Renamed"),
        (nn.LSTMCell(4, 4), "LSTMCell"),
        (nn.Sequential(nn.Linear(4, 4), nn.ReLU()), "1 ReLU"),
    ],
)
def test_an_unknown_module_is_an_error_that_names_it(model, name):
    with pytest.raises(UnsupportedError, match=f"module {name};"):
        count(model, torch.ones(3, 1, 4))


def test_an_unknown_connection_is_an_error_that_names_it():
    layer = SpikingRNN("LIF", 4, 5)
    layer.weight_fb_l0 = nn.Parameter(torch.ones(5, 5))
    with pytest.raises(UnsupportedError, match="weight_fb_l0"):
        count(layer, torch.ones(3, 1, 4))


@pytest.mark.parametrize(
    ("x", "settings", "message"),
    [
        (torch.ones(3, 4), {}, "shape"),
        (torch.ones(0, 1, 4), {}, "none of them 0"),
        (torch.ones(3, 0, 4), {}, "none of them 0"),
        (torch.full((3, 1, 4), float("nan")), {}, "NaN"),
        (torch.ones(3, 1, 5), {}, "T, B, 4"),
        (torch.ones(3, 1, 4).double(), {}, "dtype"),
        (torch.ones(3, 1, 4), {"lengths": torch.tensor([4])}, "1..3"),
        (torch.full((3, 1, 4), 0.5), {"events": True}, "-1, 0 or 1"),
        (torch.ones(3, 1, 4), {"encoder": "delta"}, "events=True"),
        (torch.ones(3, 1, 4), {"events": True, "encoder": "delte"}, "did you mean 'delta'"),
    ],
)
@pytest.mark.parametrize("model", [SpikingRNN("LIF", 4, 5), nn.LSTM(4, 5), nn.Linear(4, 5)])
def test_bad_input_is_refused(model, x, settings, message):
    with pytest.raises(InputError, match=message):
        count(model, x, **settings)


class Masked(nn.Module):
    def forward(self, weight):
        return weight * (torch.arange(weight.numel()).reshape(weight.shape) % 3 == 0)


@pytest.mark.parametrize("how", ["pruning", "parametrization"])
@torch.no_grad()
def test_masked_weights_are_no_synapses(how):
    layer = dyadic_layer("LIF", 4, 6)
    layer.weight_hh_l0.fill_(1 / 256)
    if how == "pruning":
        prune.random_unstructured(layer, "weight_hh_l0", 24)
    else:
        parametrize.register_parametrization(layer, "weight_hh_l0", Masked())
    x = events(20, 2, 4)
    recurrent = count(layer, x, events=True)["hidden 0"].connections[1]
    assert (recurrent.synapses, recurrent.weights) == (12, 36)
    z = torch.cat([torch.zeros(1, 2, 6), layer(x)[0][:-1]])
    fan_out = torch.count_nonzero(layer.weight_hh_l0, dim=0)
    assert recurrent.arrivals == tuple(z.sum((1, 2)).int().tolist())
    assert recurrent.ops == tuple((z.sum(1) * fan_out).sum(1).int().tolist())


@pytest.mark.parametrize("kind", ["LIF", "GRU", "LSTM"])
@torch.no_grad()
def test_pruned_weights_are_counted_as_they_are_now(kind):
    network, other = build(kind, 4, 8, 3), build(kind, 4, 8, 3)
    for each, share in ((network, 0.2), (other, 0.8)):
        body = each.body if kind == "LIF" else each.body.rnn
        prune.random_unstructured(body, "weight_hh_l0", share)
        if kind != "LIF":
            prune.random_unstructured(each.readout, "weight", share)
    x = torch.ones(7, 2, 4)
    before = count(network, x).ops
    network.load_state_dict(other.state_dict())
    assert count(network, x).ops == count(other, x).ops != before


@torch.no_grad()
def test_an_axon_delays_time_whatever_its_layout():
    x, lengths = events(12, 3, 4), [12, 5, 9]
    layer = SpikingRNN("LIF", 4, 8)
    first, second = (
        count(nn.Sequential(Delay(torch.tensor([0, 2, 5, 3]), batch_first), layer), x, lengths)
        for batch_first in (False, True)
    )
    assert first == second


def test_what_was_never_run_has_no_counts():
    with pytest.raises(InputError, match="nothing was run"):
        Counts(0, ())
    assert not hasattr(SpikingRNN("LIF", 4, 5), "counts")


@torch.no_grad()
def test_batches_add_up_to_the_whole():
    network = build("LIF", 3, 5, 2, "mean")
    x = torch.randn(9, 3, 3)
    whole = count(network, x, LENGTHS)
    first = count(network, x[:, :1], LENGTHS[:1])
    rest = count(network, x[:4, 1:], LENGTHS[1:])
    assert first + rest == whole
    with pytest.raises(InputError, match="same network"):
        whole + count(nn.Linear(3, 2), x)
    with pytest.raises(InputError, match="'hidden 7'"):
        whole["hidden 7"]


@torch.no_grad()
def test_weights_where_there_is_no_synapse_are_not_counted():
    """The engines leave them out, whatever is written there."""
    layer = SpikingRNN("LIF", 4, 20, recurrent=0.1)
    nn.init.normal_(layer.weight_hh_l0)
    _, recurrent = count(layer, events(10, 2, 4), events=True)["hidden 0"].connections
    assert recurrent.synapses == 40


def test_events_are_counted_as_events():
    x = Events.from_dense(events(9, 2, 3))
    with pytest.raises(InputError, match="expected events=True with Events"):
        count(SpikingRNN("LIF", 3, 4), x)


def test_a_network_that_cannot_fire_has_no_highest_rate():
    with pytest.raises(InputError, match="nothing in this network can fire"):
        _ = count(nn.LSTM(25, 5), torch.zeros(1, 1, 25)).highest_rate


def test_a_network_inside_of_another_module_is_named():
    with pytest.raises(UnsupportedError, match="Network inside of another, since it gives answers"):
        count(nn.Sequential(build("LIF", 3, 4, 2)), torch.zeros(2, 1, 3))
