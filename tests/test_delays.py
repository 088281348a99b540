"""Skip connections, axons that take time, fixed and learned: on every engine, counted, streamed."""

import copy
import pickle

import numpy as np
import pytest
import test_topologies
import torch
from engine_cases import assert_as_reference, events, gradients
from test_topologies import LENGTHS, make
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

from spikern._utils.errors import InputError, UnsupportedError
from spikern.cost.counting import count
from spikern.data import load
from spikern.engines import reference
from spikern.engines.population import existing_weights
from spikern.engines.stream import load_stream
from spikern.events.trains import Events
from spikern.layers.delays import Delay, LearnedDelay, narrow
from spikern.layers.network import Network, build
from spikern.layers.rnn import Readout, SpikingRNN
from spikern.layers.streaming import compile_stream
from spikern.neurons.surrogate import spike
from spikern.testing import dyadic, with_engine
from spikern.train.loop import Training, fit

SHAPES = [
    dict(layers=3, skip=True),
    dict(layers=2, skip=True, recurrent=False),
    dict(layers=3, delay=4),
    dict(layers=1, delay=30, neuron="LIF"),
    dict(layers=2, recurrent_delay=4),
    dict(layers=2, recurrent_delay=3, recurrent=0.4, neuron="LIF"),
    dict(layers=3, delay=3, recurrent_delay=6, skip=True),
    dict(layers=2, delay=5, recurrent_delay=3, learn_delays=True),
]


def layer_with(layers=3, **settings):
    """A stack whose sums are exact in any order, after eval()."""
    return test_topologies.layer_with(layers, **settings).eval()


def steps_of(layer, kind, k, size, none):
    """The delays of a layer's axons as they are written down, `none` if they take no time."""
    axons = getattr(layer, f"delay_{kind}_l{k}", None)
    return torch.full((size,), none) if axons is None else axons.steps


def loop(layer, x, lengths=None, more=0):
    """Every axon of every step written out: the spikes of all layers, and the final states."""
    batch = x.shape[1]
    heard, states = [x], []
    for k in range(layer.num_layers):
        given = torch.cat([heard[k], heard[k - 1]], 2) if layer.skip and k else heard[k]
        w_in = getattr(layer, f"weight_ih_l{k}")
        if layer.skip and k:
            w_in = torch.cat([w_in, getattr(layer, f"weight_sk_l{k}")], 1)
        below = steps_of(layer, "ih", k, given.shape[2], 0).tolist()
        own = [n + more for n in steps_of(layer, "hh", k, layer.hidden_size, 1).tolist()]
        state = layer.neuron.state(
            *(torch.zeros(batch, layer.hidden_size) for _ in layer.neuron.state._fields)
        )
        silent, out = torch.zeros(batch), []
        for t in range(len(x)):
            late = [given[t - n, :, f] if t >= n else silent for f, n in enumerate(below)]
            i = functional.linear(torch.stack(late, 1), w_in, getattr(layer, f"bias_l{k}"))
            if layer.recurrent:
                w = existing_weights(
                    getattr(layer, f"weight_hh_l{k}"), getattr(layer, f"links_hh_l{k}")
                )
                z = [out[t - n][:, j] if t >= n else silent for j, n in enumerate(own)]
                i = i + torch.stack(z, 1) @ w.T
            after, z = layer.neuron.step(layer.params(k), state, i, spike(layer.surrogate))
            runs = torch.ones(batch, 1, dtype=torch.bool)
            if lengths is not None:
                runs = (t < lengths).unsqueeze(1)
            state = type(state)(*(torch.where(runs, n, s) for n, s in zip(after, state)))
            out.append(torch.where(runs, z, torch.zeros_like(z)))
        heard.append(torch.stack(out))
        states.append(state)
    return heard[1:], layer.final_state(states)


@pytest.mark.parametrize("engine", ["reference", "fused"])
@pytest.mark.parametrize("settings", SHAPES)
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_a_layer_is_the_loop_written_out(settings, engine, lengths):
    layer, x = layer_with(engine=engine, **settings), events(25, 3, 5)
    outputs, after = layer.unroll(x, lengths=lengths)
    expected, final = loop(layer, x, lengths)
    assert all(out.any() for out in expected)
    for found, right in zip([*outputs, *after], [*expected, *final]):
        assert torch.equal(found, right)
    assert torch.equal(layer(x, lengths=lengths)[0], expected[-1])
    for found, right in zip(layer.run(x, lengths=lengths).spikes, expected):
        assert torch.equal(found, right.sum((0, 1)))
    if layer.recurrent:
        wrong, _ = loop(layer, x, lengths, more=1)
        assert not all(torch.equal(a, b) for a, b in zip(wrong, expected))


@pytest.mark.parametrize("settings", SHAPES[:-1])
def test_gradients_are_those_of_the_loop(settings):
    layer, x = layer_with(engine="fused", **settings), events(25, 3, 5)
    assert_as_reference(layer, x, LENGTHS)
    named = dict(layer.named_parameters())
    outputs, final = loop(layer, x)
    _, after = layer.unroll(x)
    generator = torch.Generator().manual_seed(3)
    weigh = [torch.randn(v.shape, generator=generator) for v in (outputs[-1], *after)]
    loss = sum((v * w).sum() for v, w in zip((outputs[-1], *final), weigh))
    if layer.delayed:
        # the line is the last inputs and outputs, whose gradient is not in the loop above
        state = type(after)(*(torch.zeros_like(f) for f in after))
        loss = loss + (layer(x, state)[1].line * weigh[-1]).sum()
    found, _, _ = gradients(layer, x)
    for (name, _), right in zip(named.items(), torch.autograd.grad(loss, [*named.values()])):
        scale = right.abs().max().clamp(min=1e-6)
        # float32 sums of some hundred terms in another order
        assert (found[name] - right).abs().max() <= 2e-5 * scale, name


def halfway(layer):
    """Every learned position in the middle, spread over four steps: shares that are dyadic."""
    for axons in layer.modules():
        if isinstance(axons, LearnedDelay):
            torch.nn.init.zeros_(axons.raw)
            axons.sigma.fill_(1.0)
    return layer.train()


@pytest.mark.parametrize(
    "settings", [dict(delay=5), dict(recurrent_delay=6), dict(delay=3, recurrent_delay=4)]
)
def test_while_delays_are_learned_both_engines_agree(settings):
    layer = halfway(layer_with(2, engine="fused", learn_delays=True, **settings))
    x = events(25, 3, 5)
    assert_as_reference(layer, x, LENGTHS)
    found, _, _ = gradients(layer, x)
    raw = [name for name in found if name.endswith(".raw")]
    assert len(raw) == 2 * len(settings)
    assert all(found[name].any() for name in raw)
    # away from zero: the engines' sums of these gradients may be in another order
    kernel = next(m for m in layer.modules() if isinstance(m, LearnedDelay)).kernel()
    assert torch.equal(kernel * 8, (kernel * 8).round())


@pytest.mark.parametrize("settings", SHAPES)
def test_whole_is_chunked_and_single(settings):
    layer, x = layer_with(**settings), events(25, 3, 5)
    for each in (layer, halfway(copy.deepcopy(layer))):
        whole, final = each(x)
        first, state = each(x[:2])
        state = pickle.loads(pickle.dumps(type(state)(*(f.detach() for f in state))))
        middle, state = each(x[2:11], tuple(state))
        last, after = each(x[11:], state)
        assert torch.equal(torch.cat([first, middle, last]), whole)
        assert all(torch.equal(a, b) for a, b in zip(after, final))
        alone, single = each(x[:, 1])
        assert torch.equal(alone, whole[:, 1])
        again, _ = each(x[:, 1], single)
        assert torch.equal(again, each(x, final)[0][:, 1])
        assert all(torch.equal(a, b[:, 1]) for a, b in zip(single, final))
        short, ends = each(x, lengths=LENGTHS)
        for b, n in enumerate(LENGTHS.tolist()):
            out, end = each(x[:n, b])
            assert torch.equal(short[:n, b], out)
            assert not short[n:, b].any()
            assert all(torch.equal(a[:, b], e) for a, e in zip(ends, end))
        packed, _ = each(pack_padded_sequence(x, LENGTHS))
        assert torch.equal(packed.data, pack_padded_sequence(short, LENGTHS).data)
        assert torch.equal(each(Events.from_dense(x))[0], whole)


@pytest.mark.parametrize(
    "settings",
    [*SHAPES, *test_topologies.SHAPES, dict(layers=2, bidirectional=True)],
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
def test_streamed(settings, tmp_path):
    layer, x = layer_with(**settings), events(25, 3, 5)
    out, after = layer(x, lengths=LENGTHS)
    stream = compile_stream(layer.train())
    stream.save(tmp_path / "stream")
    for each in (stream, load_stream(tmp_path / "stream")):
        result = each.run(x.numpy(), lengths=LENGTHS.numpy())
        assert np.array_equal(result.out, out.detach().numpy())
        for k, fields in enumerate(each.fields(result.state)):
            for name in layer.neuron.state._fields:
                assert np.array_equal(fields[name], getattr(after, name)[k].detach().numpy())
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


def crossed(values, weight, steps, lengths):
    """Weights that are not zero, of every event that arrives before a sample ends, one by one."""
    total = 0
    for b, end in enumerate(lengths.tolist()):
        for t in range(end):
            for f, late in enumerate(steps.tolist()):
                if t >= late and values[t - late, b, f] != 0:
                    total += int((weight[:, f] != 0).sum())
    return total


@pytest.mark.parametrize("settings", SHAPES)
def test_counted_by_connection(settings):
    layer, x = layer_with(**settings), events(25, 3, 5)
    outputs, _ = layer.unroll(x, lengths=LENGTHS)
    counts = count(layer, x, LENGTHS, events=True)
    heard = [x, *outputs]
    for k, counted in enumerate(counts.layers):
        by_kind = {c.kind: sum(c.ops) for c in counted.connections}
        skips = bool(layer.skip and k)
        width = heard[k].shape[2]
        beyond = heard[k - 1].shape[2] if skips else 0
        steps = steps_of(layer, "ih", k, width + beyond, 0)
        weights = dict(layer.named_parameters())
        into = crossed(heard[k], weights[f"weight_ih_l{k}"], steps[:width], LENGTHS)
        assert by_kind.pop("input") == into > 0
        if skips:
            into = crossed(heard[k - 1], weights[f"weight_sk_l{k}"], steps[width:], LENGTHS)
            assert by_kind.pop("skip") == into > 0
            (c,) = (c for c in counted.connections if c.kind == "skip")
            assert c.source == ("input" if k == 1 else f"hidden {k - 2}")
        if layer.recurrent:
            own = steps_of(layer, "hh", k, 9, 1)
            assert by_kind.pop("recurrent") == crossed(
                heard[k + 1], weights[f"weight_hh_l{k}"], own, LENGTHS
            )
        assert not by_kind


@torch.no_grad()
@pytest.mark.parametrize("settings", SHAPES)
def test_what_is_executed_is_what_is_counted(settings):
    if settings.get("recurrent") == 0.4:
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
def test_a_network_hears_its_axons_late(engine):
    """Body and readout, the readout's axons too; counted and streamed as one network."""
    torch.manual_seed(0)
    body = layer_with(2, delay=3, recurrent_delay=4, skip=True, engine=engine)
    readout = dyadic(Readout(9, 2, delay=3, engine=engine))
    network = Network(body, readout, "every_step")
    x = events(25, 3, 5)
    logits, (inner, outer) = network(x, None, LENGTHS)
    top, state = body(x, lengths=LENGTHS)
    late, line = readout.delay_ih_l0(top, lengths=LENGTHS)
    plain = Readout(9, 2, engine=engine)
    plain.load_state_dict(
        {k: v for k, v in readout.state_dict().items() if not k.startswith("delay")}
    )
    expected, after = plain(late, lengths=LENGTHS)
    assert torch.equal(logits, expected)
    assert torch.equal(inner.line, state.line)
    assert torch.equal(outer.v, after.v)
    assert torch.equal(outer.line[-len(line) :], line)
    first, carried = network(x[:11])
    second, _ = network(x[11:], carried)
    assert torch.equal(torch.cat([first, second]), network(x)[0])
    result = compile_stream(network).run(x.numpy(), lengths=LENGTHS.numpy())
    assert np.array_equal(result.out, logits.detach().numpy())
    counts = count(network, x, LENGTHS, events=True)
    steps = readout.delay_ih_l0.steps
    assert sum(counts["readout"].connections[0].ops) == crossed(
        top, readout.weight_ih_l0, steps, LENGTHS
    )


def test_build_gives_every_layer_its_axons():
    network = build("LIF", 5, 9, 2, num_layers=2, delay=6, recurrent_delay=3, learn_delays=True)
    names = [name for name, _ in network.named_parameters() if name.endswith(".raw")]
    assert names == [
        "body.delay_ih_l0.raw", "body.delay_hh_l0.raw", "body.delay_ih_l1.raw",
        "body.delay_hh_l1.raw", "readout.delay_ih_l0.raw",
    ]  # fmt: skip
    assert not build("LIF", 5, 9, 2, recurrent_delay=3).readout.delayed
    assert "delay=6, recurrent_delay=3, learn_delays=True" in repr(network.body)


def test_delays_are_drawn_over_their_whole_range():
    torch.manual_seed(0)
    layer = SpikingRNN("LIF", 300, 300, delay=3, recurrent_delay=4)
    assert layer.delay_ih_l0.steps.unique().tolist() == [0, 1, 2, 3]
    assert layer.delay_hh_l0.steps.unique().tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "settings", [dict(dropout=0.3), dict(skip=True, delay=4, learn_delays=True)]
)
def test_training_resumes_bit_for_bit(settings, tmp_path):
    """With dropout; and with delays that are learned, whose spread narrows."""
    digits = load("digits")

    def trained(epochs, name):
        torch.manual_seed(1)
        network = build("LIF", digits.input_size, 8, digits.classes, num_layers=2, **settings)
        drawn = copy.deepcopy(network)
        torch.manual_seed(epochs)  # whatever the global numbers are
        training = Training(epochs=2, batch_size=512)
        try:
            fit(network, digits, training, 0, tmp_path / name, stop_after(epochs))
        except KeyboardInterrupt:
            return trained(2, name)
        assert epochs == 2  # one epoch is broken off
        pairs = zip(network.modules(), drawn.modules(), strict=True)
        learned = [pair for pair in pairs if isinstance(pair[0], LearnedDelay)]
        assert len(learned) == 3  # two layers and the readout
        for each, other in learned:
            assert not torch.equal(each.raw, other.raw)
            assert each.sigma < other.sigma
        return network.state_dict()

    def stop_after(epochs):
        def report(epoch):
            if epoch.epoch == epochs < 2:
                raise KeyboardInterrupt

        return report

    whole, resumed = trained(2, "whole"), trained(1, "cut")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.parametrize("engine", ["reference", "fused"])
def test_skip_with_dropout_hears_what_is_left(engine):
    layer, x = layer_with(3, skip=True, dropout=0.5, engine=engine).train(), events(25, 3, 5)
    torch.manual_seed(4)
    outputs, _ = layer.unroll(x)
    singles = [layer_with(1, engine=engine) for _ in outputs]
    torch.manual_seed(4)
    heard = [x]
    for k, (out, single) in enumerate(zip(outputs, singles)):
        given = torch.cat([heard[k], heard[k - 1]], 2) if k else x
        weight = getattr(layer, f"weight_ih_l{k}")
        if k:
            weight = torch.cat([weight, getattr(layer, f"weight_sk_l{k}")], 1)
        single.input_size, single.weight_ih_l0 = given.shape[2], torch.nn.Parameter(weight)
        for name, value in single.state_dict().items():
            if not name.startswith("weight_ih"):
                value.copy_(layer.state_dict()[name.replace("_l0", f"_l{k}")])
        assert torch.equal(out, single(given)[0])
        heard.append(functional.dropout(out, 0.5))


@pytest.mark.parametrize("engine", ["reference", "fused"])
def test_skip_in_both_directions_hears_both(engine):
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
    every = torch.zeros(5, dtype=torch.int64)
    for name in ("l1", "l1_reverse"):
        (c,) = (
            c
            for c in counts[f"hidden {name[1:].replace('_', ' ')}"].connections
            if c.kind == "skip"
        )
        assert sum(c.ops) == crossed(x, getattr(layer, f"weight_sk_{name}"), every, LENGTHS)


STEPS = torch.tensor([0, 3, 1, 7, 2])


def test_a_delay_shifts_every_channel():
    x = events(25, 3, 5)
    out, _ = Delay(STEPS)(x, lengths=LENGTHS)
    for b, n in enumerate(LENGTHS.tolist()):
        for f, late in enumerate(STEPS.tolist()):
            right = torch.zeros(25)
            right[late:n] = x[: max(n - late, 0), b, f]
            assert torch.equal(out[:, b, f], right)


@pytest.mark.parametrize("steps", [STEPS, torch.zeros(5, dtype=torch.int32)])
def test_a_delay_whole_chunked_and_in_every_layout(steps):
    delay, x = Delay(steps), events(25, 3, 5)
    whole, final = delay(x)
    first, buffer = delay(x[:4], lengths=torch.tensor([4, 4, 4]))
    second, last = delay(x[4:], buffer)
    assert torch.equal(torch.cat([first, second]), whole)
    assert torch.equal(last, final)
    alone, single = delay(x[:, 1])
    assert torch.equal(alone, whole[:, 1])
    assert torch.equal(single, final[:, 1])
    assert torch.equal(Delay(steps, batch_first=True)(x.transpose(0, 1))[0].transpose(0, 1), whole)
    assert torch.equal(delay(Events.from_dense(x))[0], whole)
    short, buffer = delay(x, lengths=LENGTHS)
    for b, n in enumerate(LENGTHS.tolist()):
        assert torch.equal(buffer[:, b], delay(x[:n, b])[1])
    packed, _ = delay(pack_padded_sequence(x, LENGTHS))
    assert torch.equal(packed.data, pack_padded_sequence(short, LENGTHS).data)


def test_a_delay_is_counted_as_what_arrives():
    layer, x = layer_with(1), events(25, 3, 5)
    late, _ = Delay(STEPS)(x, lengths=LENGTHS)
    counts = count(torch.nn.Sequential(Delay(STEPS), layer), x, LENGTHS, events=True)
    (one,) = counts.layers
    expected = count(layer, late, LENGTHS, events=True)
    assert [c.ops for c in one.connections] == [c.ops for c in expected.layers[0].connections]
    assert counts.ops.ac < count(layer, x, LENGTHS, events=True).ops.ac
    with pytest.raises(UnsupportedError, match="a Sequential cannot be streamed"):
        compile_stream(torch.nn.Sequential(Delay(STEPS), layer))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Delay(torch.tensor([1.0])), "whole numbers from 0 up"),
        (lambda: Delay(torch.tensor([1, -1])), "whole numbers from 0 up"),
        (lambda: Delay(STEPS)(events(4, 2, 3)), r"\(T, B, 5\), got \(4, 2, 3\)"),
        (lambda: Delay(STEPS)(events(4, 2, 5), torch.zeros(6, 2, 5)), r"shape \(7, 2, 5\), got"),
    ],
)
def test_a_delay_that_means_nothing_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


def learned(channels=4, longest=5, **settings):
    torch.manual_seed(3)
    return LearnedDelay(channels, longest, dtype=torch.float64, **settings)


@pytest.mark.parametrize("sigma", [0.0, 0.7, 3.0])
@pytest.mark.parametrize("shortest", [0, 1])
def test_the_gradient_of_a_delay_is_that_of_differences(sigma, shortest):
    """Of positions, values and line, for the spread that is used; none lies at a kink."""
    delay = learned(shortest=shortest)
    delay.sigma.fill_(sigma)
    x = torch.randn(9, 2, 4, dtype=torch.float64, requires_grad=True)
    line = torch.randn(5, 2, 4, dtype=torch.float64, requires_grad=True)

    def run(raw, x, line):
        return torch.func.functional_call(delay, {"raw": raw}, (x, line))

    assert torch.autograd.gradcheck(run, (delay.raw, x, line))


@pytest.mark.parametrize(
    "settings", [dict(delay=4), dict(recurrent_delay=4), dict(delay=3, recurrent_delay=3)]
)
def test_the_gradient_through_a_network_is_that_of_differences(settings, monkeypatch):
    """Firing is smooth here, so that differences mean something."""
    monkeypatch.setattr(reference, "spike", lambda surrogate: surrogate.primitive)
    torch.manual_seed(1)
    layer = SpikingRNN(
        "LIF", 3, 4, 2, learn_delays=True, dtype=torch.float64, surrogate="sigmoid", **settings
    )
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    named = dict(layer.named_parameters())
    names = [name for name in named if name.endswith(".raw") or name.startswith("weight")]

    def run(*values):
        out, state = torch.func.functional_call(layer, dict(zip(names, values)), (x,))
        return out, state.line

    assert torch.autograd.gradcheck(run, [named[name] for name in names])


@pytest.mark.parametrize("sigma", [0.0, 0.5, 4.0])
def test_a_value_is_spread_by_the_triangle_and_kept_whole(sigma):
    delay = learned(longest=6, shortest=1)
    delay.sigma.fill_(sigma)
    kernel, position = delay.kernel(), delay.position
    for f, p in enumerate(position.tolist()):
        away = [max(1 - abs(d - p) / (1 + sigma), 0.0) for d in range(1, 7)]
        right = torch.tensor(away, dtype=torch.float64) / sum(away)
        torch.testing.assert_close(kernel[:, f], right)
    impulse = torch.zeros(8, 1, 4, dtype=torch.float64)
    impulse[0] = 1.0
    out, _ = delay(impulse)
    assert torch.equal(out[1:7, 0], kernel)
    assert not out[0].any()
    assert not out[7:].any()
    if sigma == 0:
        delays = torch.arange(1, 7, dtype=torch.float64).unsqueeze(1)
        torch.testing.assert_close((kernel * delays).sum(0), position)
    assert delay.earliest == 1 + int(kernel.detach().any(1).nonzero()[0])


def test_after_eval_a_learned_delay_is_a_fixed_one():
    delay, x = learned().eval(), events(25, 3, 4).double()
    assert torch.equal(delay.steps, delay.position.round().long())
    assert torch.equal(delay(x, lengths=LENGTHS)[0], delay.fixed()(x, lengths=LENGTHS)[0])
    assert isinstance(delay.fixed(), Delay)
    assert delay.earliest == int(delay.steps.min())
    spread, line = delay.train()(x)
    assert not torch.equal(spread, delay.eval()(x)[0])
    assert line.shape == (5, 3, 4)


def test_a_delay_finds_where_its_target_is():
    """From positions drawn anywhere, as the spread narrows."""
    torch.manual_seed(0)
    target, delay = torch.tensor([0, 2, 5, 7, 8]), LearnedDelay(5, 8)
    x = events(200, 4, 5, rate=0.1)
    wanted, _ = Delay(target)(x)
    optimizer = torch.optim.Adam(delay.parameters(), 0.1)
    for k in range(200):
        narrow(delay, k / 200)
        loss = (delay(x)[0] - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.equal(delay.steps, target)


def test_a_learned_delay_in_a_sequential_is_counted_after_eval():
    layer, x = layer_with(1), events(25, 3, 5)
    model = torch.nn.Sequential(LearnedDelay(5, 6), layer)
    with pytest.raises(UnsupportedError, match=r"after eval\(\)"):
        count(model, x, LENGTHS, events=True)
    counts = count(model.eval(), x, LENGTHS, events=True)
    fixed = count(torch.nn.Sequential(model[0].fixed(), layer), x, LENGTHS, events=True)
    assert counts.ops == fixed.ops
    learning = layer_with(1, delay=3, learn_delays=True).train()
    with pytest.raises(UnsupportedError, match=r"after eval\(\)"):
        count(learning, x, events=True)


def test_auto_is_the_faster_engine():
    assert layer_with(2, delay=3, skip=True).engine == "fused"
    layer, x = layer_with(2, delay=3, recurrent_delay=4), events(25, 3, 5)
    assert layer.engine == "reference"
    assert torch.equal(with_engine(layer, "fused")(x)[0], layer(x)[0])


def state_of(**changes):
    layer = layer_with(1, delay=3)
    state = layer.zero_state(2)
    return lambda: layer(events(4, 2, 5), state._replace(**changes))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (make(delay=-1), InputError, "delay must be the longest delay in whole steps, 0 or more"),
        (make(delay=1.5), InputError, "delay must be the longest delay in whole steps"),
        (make(delay=True), InputError, "delay must be the longest delay in whole steps"),
        (make(recurrent_delay=0), InputError, "whole steps, 1 or more, got 0"),
        (make(recurrent_delay=2, recurrent=False), InputError, "give recurrent=True"),
        (make(learn_delays=True), InputError, "no delay to learn"),
        (make(num_layers=2, delay=2, feedback=True), UnsupportedError, "not built with feedback"),
        (make(delay=2, bidirectional=True), UnsupportedError, "not built with bidirectional"),
        (lambda: LearnedDelay(3, 2, 2), InputError, "0 <= shortest < longest"),
        (lambda: LearnedDelay(0, 2), InputError, "at least one channel"),
        (lambda: LearnedDelay(3, 2, width=-1.0), InputError, "width must not be negative"),
        (lambda: LearnedDelay(3, 2)(events(4, 2, 5)), InputError, r"\(T, B, 3\), got"),
        (state_of(line=torch.zeros(2, 2, 5)), InputError, r"'line' must have shape \(3, 2, 5\)"),
        (state_of(v=torch.zeros(3, 2, 9)), InputError, r"'v' must have shape \(1, 2, 9\)"),
        (
            lambda: layer_with(1, delay=3)(events(4, 2, 5), layer_with(1).zero_state(2)),
            InputError,
            "its fields are v, a, z, line",
        ),
        (lambda: build("LSTM", 3, 4, 2, delay=2), InputError, "LSTM takes no delay"),
    ],
)
def test_what_means_nothing_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
