"""Axons that take time, fixed and learned: drawn, trained, counted, refused."""

import copy
import math

import numpy as np
import pytest
import torch
from engine_cases import LENGTHS, assert_as_reference, events, gradients, layer_with, leaves
from test_topologies import halfway, make
from torch.nn.utils.rnn import pack_padded_sequence

from spikern._utils.errors import InputError, UnsupportedError
from spikern.cost.counting import count
from spikern.data import load
from spikern.engines import fused, reference, triton
from spikern.engines import stream as stream_engine
from spikern.engines.codegen import delayed_kernels, spread_kernels, stream_kernels
from spikern.engines.population import Delays, check_shapes
from spikern.events.trains import Events
from spikern.layers.delays import Delay, LearnedDelay, narrow
from spikern.layers.description import describe, rebuild
from spikern.layers.network import Network, build
from spikern.layers.rnn import Readout, SpikingRNN
from spikern.layers.streaming import compile_stream
from spikern.neurons import LIF
from spikern.testing import dyadic
from spikern.train.loop import fit
from spikern.train.training import Training


@pytest.mark.parametrize(
    "settings", [dict(delay=5), dict(recurrent_delay=6), dict(delay=3, recurrent_delay=4)]
)
def test_while_delays_are_learned_both_engines_agree(settings):
    layer = halfway(layer_with(2, engine="fused", learn_delays=True, **settings))
    x = events(25, 3, 5)
    assert_as_reference(layer, x, LENGTHS)
    actual, _, _ = gradients(layer, x)
    raw = [name for name in actual if name.endswith(".raw")]
    assert len(raw) == 2 * len(settings)
    assert all(actual[name].any() for name in raw)
    # away from zero: the engines' sums of these gradients may be in another order
    kernel = next(m for m in layer.modules() if isinstance(m, LearnedDelay)).kernel()
    assert torch.equal(kernel * 8, (kernel * 8).round())


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
            fit(network, digits, training, 0, tmp_path / name, callbacks=[stop_after(epochs)])
        except KeyboardInterrupt:
            return trained(2, name)
        assert epochs == 2  # one epoch is broken off
        pairs = zip(network.modules(), drawn.modules(), strict=True)
        learned = [pair for pair in pairs if isinstance(pair[0], LearnedDelay)]
        assert len(learned) == (3 if "delay" in settings else 0)  # two layers and the readout
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


STEPS = torch.tensor([0, 3, 1, 7, 2])


def test_a_delay_shifts_every_channel():
    x = events(25, 3, 5)
    out, _ = Delay(STEPS)(x, lengths=LENGTHS)
    for b, n in enumerate(LENGTHS.tolist()):
        for f, steps in enumerate(STEPS.tolist()):
            right = torch.zeros(25)
            right[steps:n] = x[: max(n - steps, 0), b, f]
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
    arriving, _ = Delay(STEPS)(x, lengths=LENGTHS)
    counts = count(torch.nn.Sequential(Delay(STEPS), layer), x, LENGTHS, events=True)
    (one,) = counts.layers
    expected = count(layer, arriving, LENGTHS, events=True)
    assert [c.ops for c in one.connections] == [c.ops for c in expected.layers[0].connections]
    assert counts.ops.ac < count(layer, x, LENGTHS, events=True).ops.ac
    with pytest.raises(UnsupportedError, match="a Sequential cannot be streamed"):
        compile_stream(torch.nn.Sequential(Delay(STEPS), layer))


def learned(channels=4, longest=5, **settings):
    torch.manual_seed(3)
    return LearnedDelay(channels, longest, dtype=torch.float64, **settings)


@pytest.mark.parametrize("sigma", [0.0, 0.7, 3.0])
@pytest.mark.parametrize("shortest", [0, 1])
def test_the_gradient_of_a_delay_is_that_of_differences(sigma, shortest):
    """Gradients of positions, values and buffer, for the spread in use; none lies at a kink."""
    delay = learned(shortest=shortest)
    delay.sigma.fill_(sigma)
    x = torch.randn(9, 2, 4, dtype=torch.float64, requires_grad=True)
    buffer = torch.randn(5, 2, 4, dtype=torch.float64, requires_grad=True)

    def run(raw, x, buffer):
        return torch.func.functional_call(delay, {"raw": raw}, (x, buffer))

    assert torch.autograd.gradcheck(run, (delay.raw, x, buffer))


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
        return out, state.delay_buffer

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


def test_after_eval_a_learned_delay_is_a_fixed_one():
    delay, x = learned().eval(), events(25, 3, 4).double()
    assert torch.equal(delay.steps, delay.position.round().long())
    assert torch.equal(delay(x, lengths=LENGTHS)[0], delay.fixed()(x, lengths=LENGTHS)[0])
    assert isinstance(delay.fixed(), Delay)
    spread, buffer = delay.train()(x)
    assert not torch.equal(spread, delay.eval()(x)[0])
    assert buffer.shape == (5, 3, 4)


def test_a_delay_finds_where_its_target_is():
    """From positions drawn anywhere, as the spread narrows."""
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
    assert layer_with(2, delay=3, recurrent_delay=4).engine == "fused"
    assert SpikingRNN("LIF", 3, 6, recurrent_delay=4, dtype=torch.float64).engine == "reference"
    assert layer_with(2, recurrent_delay=4, learn_delays=True).train().engine == "fused"


def sent_before(layer, batch):
    """A state in which spikes are under way, and a half more every third time; nothing is in the
    first sample of several."""
    _, state = layer(events(25, batch, layer.input_size, seed=2))
    state = type(state)(*(field.detach() for field in state))
    half = (torch.arange(state.delay_buffer.numel()) % 3 == 0).float() / 2
    buffer = state.delay_buffer + half.view_as(state.delay_buffer)
    if batch > 1:
        buffer[:, 0] = 0.0
    return state._replace(delay_buffer=buffer)


@pytest.mark.parametrize(
    ("name", "steps", "batch", "hidden", "longest", "settings"),
    [
        ("LIF", 1, 1, 1, 2, {"layers": 1}),
        ("ALIF", 37, 5, 17, 4, {"layers": 2}),
        (
            "LIF",
            50,
            9,
            70,
            40,
            {"layers": 1, "delay": 5},
        ),  # longer than the steps between two states
        ("LIF", 12, 3, 65, 30, {"layers": 1, "recurrent": 0.3}),  # longer than the sequence
        ("LIF", 5, 1040, 3, 3, {"layers": 1}),  # more samples in a block than bits in a word
    ],
)
def test_recurrent_delays_in_kernels_are_the_references(
    name, steps, batch, hidden, longest, settings
):
    layer = layer_with(hidden=hidden, neuron=name, recurrent_delay=longest, **settings)
    x, lengths = events(steps, batch, 5), torch.arange(batch) % steps + 1
    out = assert_as_reference(layer, x, lengths)
    assert hidden == 1 or 0.005 < out.mean() < 0.6
    assert_as_reference(layer, x, lengths, sent_before(layer, batch))
    spread = halfway(
        layer_with(
            hidden=hidden, neuron=name, recurrent_delay=longest, learn_delays=True, **settings
        )
    )
    assert_as_reference(spread, x, lengths)
    assert_as_reference(spread, x, lengths, sent_before(spread, batch))


def test_what_is_under_way_has_the_gradient_of_its_arrival():
    layer = layer_with(1, recurrent_delay=6)
    steps = layer.delay_hh_l0.steps
    named, _, _ = gradients(layer, events(25, 3, 5), torch.tensor([2, 25, 25]))
    (gradient,) = (g for name, g in named.items() if g.shape == (6, 3, 9) and "state" in name)
    for k in range(6):
        arrives = (k + steps - 6 >= 0).expand(3, 9).clone()
        arrives[0] &= k + steps - 6 < 2  # of the sample with two steps
        # the buffer after the two steps has the last four of before, whose gradient this adds
        if k < 2:
            assert torch.equal(gradient[k, 0] != 0, arrives[0])
        assert not gradient[k, 1:][~arrives[1:]].any()
        assert gradient[k, 1:][arrives[1:]].any() == arrives[1:].any()


@pytest.mark.parametrize("recurrent", [[True, False], [False, True]])
def test_a_layer_without_recurrence_has_nothing_under_way(recurrent):
    layer, x = layer_with(2, recurrent=recurrent, recurrent_delay=3), events(25, 3, 5)
    whole, after = layer(x)
    assert after.delay_buffer.shape == (3, 3, 9)
    assert after.delay_buffer.any()
    first, state = layer(x[:11])
    assert torch.equal(torch.cat([first, layer(x[11:], state)[0]]), whole)


@pytest.mark.parametrize("engine", ["reference", "fused"])
@pytest.mark.parametrize("recurrent_delay", [1, 3])
@torch.no_grad()
def test_a_readout_has_recurrent_delays_of_its_own(engine, recurrent_delay):
    body = layer_with(1, recurrent_delay=recurrent_delay, engine=engine)
    readout = dyadic(
        Readout(9, [6, 3], ["LIF", "LI"], recurrent=[True, False], recurrent_delay=4, engine=engine)
    )
    network, x = Network(body, readout, "every_step"), events(25, 3, 5)
    logits, (inner, outer) = network(x)
    spikes, inside = body(x)
    expected, after = readout(spikes)
    assert torch.equal(logits, expected)
    assert all(map(torch.equal, leaves((inner, outer)), leaves((inside, after))))
    first, state = network(x[:11])
    assert torch.equal(torch.cat([first, network(x[11:], state)[0]]), logits)


def test_a_gradient_that_comes_with_that_of_what_is_under_way_stays_as_it_is():
    layer = layer_with(1, recurrent_delay=6)
    out, state = layer(events(25, 3, 5))
    given = torch.ones_like(out)
    torch.autograd.backward([out, state.delay_buffer], [given, torch.ones_like(given[:6])])
    assert torch.equal(given, torch.ones_like(out))


FAULTS = {
    "a spike arrives a step late": ("t * size + q, size)", "(t + 1) * size + q, size)"),
    "backward, what was sent is forgotten": (
        "send(bits, t * batch + low + q, delays, arriving, t * size + q, size)", "pass"
    ),
    "what was under way is lost": ("list_early(before", "list_early(0 * before"),
    "the first sample says what is under way": ("low, low + size)", "low, low + 1)"),
    "the first steps hear a later one": ("delays, t, b, rows", "delays, t - 1, b, rows"),
    "early values have another size": ("n, initial)\n", "n, None)\n"),
    "gradients come from the next step": (
        "(t - first_step) * size + q0, ahead", "(t - first_step + 1) * size + q0"
    ),
    "a segment hands on one step": ("in range(longest * size)", "in range(size)"),
    "segments lie in each other's place": ("base -= every", "pass"),
    "what was under way has no gradient": ("samples if delays[h]", "0 if delays[h]"),
    "it has one after the last step": (">= longest - k", "> longest - k"),
    "it has that of another value": ("(every + k - longest)", "(every + k - longest - 1)"),
    "weights get no gradient": ("add_to_rows(dw_rec, z_ends, to, times, di)", "pass"),
}  # fmt: skip


SPREAD_FAULTS = {
    "a spike arrives a step late": ("shares, t, batch", "shares, t - 1, batch"),
    "what was under way is lost": ("spread(before", "spread(0 * before"),
    "the first sample says what is under way": ("low, low + size)", "low, low + 1)"),
    "what arrives is a whole spike": ("rows, 0, 0, n, initial)", "rows, 0, 0, n, None)"),
    "weights get the gradient of whole spikes": ("e, rows, 0, 0, n, initial)", "e, rows, 0, 0, n)"),
    "shares get the gradient of a step later": ("bits, t + 1, batch", "bits, t, batch"),
    "shares of the first step get none": ("before, bits, 0, batch", "0 * before, bits, 0, batch"),
    "what arrives next has no gradient": ("shares, 1, da", "shares, 2, da"),
    "a segment hands on one step": ("longest * size - 1, -1, -1", "size - 1, -1, -1"),
    "a segment overwrites what it hands on": (
        "for e in range(longest * size - 1, -1, -1)", "for e in range(longest * size)"
    ),
    "what was under way has that of a step before": ("longest - k, da", "longest - k + 1, da"),
    "what arrives has no gradient of its own": ("da[later + q, h] = f32(0.0)", "pass"),
}  # fmt: skip


def kernels_agree(learn_delays):
    """Axons of different length, some longer than the steps between two states."""
    layer = layer_with(1, 5, recurrent_delay=20, learn_delays=learn_delays)
    if learn_delays:
        halfway(layer)
        layer.delay_hh_l0.sigma.fill_(0.0)  # shares of a half, or one step at either end
        layer.delay_hh_l0.raw.data[:2] = torch.tensor([-40.0, 40.0])
    else:
        layer.delay_hh_l0.steps.copy_(torch.tensor([1, 2, 7, 19, 20]))
    x, lengths = events(40, 2, 5), torch.tensor([40, 30])
    assert_as_reference(layer, x, lengths, sent_before(layer, 2))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_rejected(fault, plain_python):
    plain_python(delayed_kernels, *FAULTS[fault])
    with pytest.raises(AssertionError):
        kernels_agree(learn_delays=False)


@pytest.mark.parametrize("fault", SPREAD_FAULTS)
def test_a_planted_fault_of_the_spread_is_rejected(fault, plain_python):
    plain_python(spread_kernels, *SPREAD_FAULTS[fault])
    with pytest.raises(AssertionError):
        kernels_agree(learn_delays=True)


@pytest.mark.parametrize("learn_delays", [False, True])
def test_without_a_fault_the_gate_passes(learn_delays, plain_python):
    kernels_agree(learn_delays)


STREAM_FAULTS = {
    "an input is late by a step": ("if sent < newest", "if sent <= newest"),
    "an input is not kept": ("buffer0[newest, f] = now", "pass"),
    "a ring has no end": ("sent + L0 if sent < 0 else sent, f", "max(sent, 0), f"),
    "a ring of spikes has no end": ("sent + L1 if sent < 0 else sent, F1", "max(sent, 0), F1"),
    "spikes are not kept": ("buffer1[newest, F1 + h] = S1", "S1[0, h] = S1"),
    "a spike arrives a step later": ("arriving1[end,", "arriving1[(end + 1) % L1,"),
    "a spike arrives again": ("arriving1[newest, c] = 0", "pass"),
    "an early spike arrives again": ("if t + delay >= early1", "if True"),
    "what was sent before is forgotten": ("or buffer1[:, F1 :].any()", ""),
    "a ring of arrivals has no end": ("else newest + delay - L1", "else 0"),
    "spikes reach the next sample": (
        "arriving1[:] = 0", "arriving1[:] = arriving1 if b > low else 0"
    ),
    "late spikes are not counted": ("own1 = i1 - others", "own1 = 0"),
    "a ring is not turned": ("turn(buffer1, min(steps, lengths[b]))", "pass"),
    "it is turned past a sample's end": ("(buffer1, min(steps, lengths[b]))", "(buffer1, steps)"),
    "spikes are counted as inputs": ("i1 - own1", "i1"),
    "a layer skips itself": ("H0 - plan[0, OUTPUTS]", "H0 - plan[0, OUTPUTS] - 1"),
}  # fmt: skip


@pytest.fixture
def one_block(monkeypatch):
    """All samples are advanced in one call, one after the other."""
    monkeypatch.setattr(stream_engine, "BLOCKS", 1)


def stream_agrees():
    layer = layer_with(2, delay=3, recurrent_delay=4, skip=True)
    for name, steps in layer.named_buffers():
        steps.copy_(torch.arange(len(steps)) // 2 % 4 + ("hh" in name))
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            weight.mul_(4 if name.startswith("weight") else 1)
    x, stream = events(25, 3, 5), compile_stream(layer)
    state, buffer, done = None, None, 0
    ends = torch.tensor([[11, 9, 11], [14, 3, 8]])
    for half, lengths in zip((slice(0, 11), slice(11, 25)), ends):
        out, state = layer(x[half], state, lengths)
        result = stream.run(x[half].numpy(), buffer, lengths.numpy())
        buffer = result.state
        np.testing.assert_array_equal(result.out, out.detach())
        done += result.additions
    np.testing.assert_array_equal(
        np.concatenate([f["delay_buffer"] for f in stream.fields(buffer)], 2).swapaxes(0, 1),
        state.delay_buffer.detach(),
    )
    counts = count(layer, x[:11], ends[0], events=True)
    spiking = [[layer.synaptic(True, *kinds) for kinds in (("input", "skip"), ("recurrent",))]
               for layer in counts.layers]  # fmt: skip
    first = stream.run(x[:11].numpy(), None, ends[0].numpy()).additions
    assert [[sum(each) for each in pair] for pair in spiking] == first.tolist()


@pytest.mark.usefixtures("one_block")
@pytest.mark.parametrize("fault", STREAM_FAULTS)
def test_a_planted_fault_of_the_stream_is_rejected(fault, plain_python):
    plain_python(stream_kernels, *STREAM_FAULTS[fault])
    with pytest.raises(AssertionError):
        stream_agrees()


@pytest.mark.usefixtures("one_block")
def test_without_a_fault_the_stream_passes(plain_python):
    stream_agrees()


def test_what_the_engines_cannot_delay_is_refused(monkeypatch):
    layer, x = layer_with(1, 4, "LIF", recurrent_delay=3), events(6, 2, 5)
    (population,), state = layer.populations(), LIF.state(*torch.zeros(2, 2, 4))

    def run(engine, steps, **settings):
        under_way = Delays(torch.tensor(steps), torch.zeros(3, 2, 4))
        own = population._replace(delays=under_way)
        return engine.run_stack([own], [state], x, **settings)

    with pytest.raises(InputError, match=r"recurrent delays of 1 to 3 steps, .* got 1 to 4"):
        run(fused, [1, 2, 3, 4])
    with pytest.raises(InputError, match=r"recurrent delays of 1 to 3 steps, .* got 0 to 3"):
        run(fused, [1, 2, 3, 0])
    with pytest.raises(UnsupportedError, match="no kernels for smooth firing"):
        run(fused, [1, 2, 3, 3], smooth=True)
    monkeypatch.setattr(triton, "_takes", lambda weight: True)
    with pytest.raises(UnsupportedError, match="'triton' has no recurrent delays"):
        run(triton, [1, 2, 3, 3])
    with pytest.raises(InputError, match="a recurrent spike takes a step at least"):
        LearnedDelay(9, longest=3).under_way(torch.zeros(3, 2, 9))
    with pytest.raises(InputError, match=r"a delay for each neuron, got delays of shape \(3,\)"):
        check_shapes([population._replace(delays=Delays(torch.ones(3), x))], x)


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
        (lambda: Delay(torch.tensor([1.0])), InputError, "whole numbers from 0 up"),
        (lambda: Delay(torch.tensor([1, -1])), InputError, "whole numbers from 0 up"),
        (lambda: Delay(STEPS)(events(4, 2, 3)), InputError, r"\(T, B, 5\), got \(4, 2, 3\)"),
        (
            lambda: Delay(STEPS)(events(4, 2, 5), torch.zeros(6, 2, 5)),
            InputError,
            r"shape \(7, 2, 5\) of torch.float32, got",
        ),
        (lambda: LearnedDelay(3, 2, 2), InputError, "0 <= shortest < longest"),
        (lambda: LearnedDelay(0, 2), InputError, "at least one channel"),
        (
            lambda: LearnedDelay(3, 2, width=-1.0),
            InputError,
            "of 0 steps or more, finite, got -1.0",
        ),
        (lambda: LearnedDelay(3, 2)(events(4, 2, 5)), InputError, r"\(T, B, 3\), got"),
        (
            state_of(delay_buffer=torch.zeros(2, 2, 5)),
            InputError,
            r"'delay_buffer' must have shape \(3, 2, 5\)",
        ),
        (state_of(v=torch.zeros(3, 2, 9)), InputError, r"'v' must have shape \(1, 2, 9\)"),
        (
            lambda: layer_with(1, delay=3)(events(4, 2, 5), layer_with(1).zero_state(2)),
            InputError,
            "its fields are v, a, z, delay_buffer",
        ),
        (lambda: build("LSTM", 3, 4, 2, delay=2), InputError, "LSTM takes no delay"),
    ],
)
def test_what_means_nothing_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.filterwarnings("ignore")  # of dynamo itself
@pytest.mark.parametrize("engine", ["fused", "reference"])
@pytest.mark.parametrize(
    "settings",
    [
        {"delay": 3},
        {"recurrent_delay": 3},
        {"recurrent_delay": 3, "learn_delays": True},
        {"delay": 3, "learn_delays": True},
    ],
)
def test_a_layer_with_delays_is_compiled_with_its_state(engine, settings):
    torch._dynamo.reset()
    layer, x = SpikingRNN("LIF", 3, 6, engine=engine, **settings), 20 * torch.rand(9, 2, 3)
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    out, state = compiled(x)
    assert torch.equal(out, layer(x)[0])
    assert out.any()
    assert torch.equal(compiled(x, state)[0], layer(x, layer(x)[1])[0])


@pytest.mark.parametrize(
    ("settings", "training"),
    [
        ({"recurrent_delay": 3}, False),
        ({"recurrent_delay": 3, "learn_delays": True}, False),
        ({"delay": 3, "learn_delays": True}, True),
    ],
)
def test_a_layer_with_delays_is_exported(settings, training):
    layer = SpikingRNN("LIF", 3, 6, engine="reference", **settings).train(training)
    x = 20 * torch.rand(9, 2, 3)
    exported = torch.export.export(layer, (x,)).module()
    assert torch.equal(exported(x)[0], layer(x)[0])


@pytest.mark.parametrize("engine", ["fused", "reference"])
def test_layers_whose_input_delays_are_learned_are_an_ensemble(engine):
    layers = [SpikingRNN("LIF", 3, 6, delay=3, learn_delays=True, engine=engine) for _ in range(2)]
    x = 20 * torch.rand(9, 2, 3)
    numbers, buffers = torch.func.stack_module_state(layers)

    def run(numbers, buffers):
        return torch.func.functional_call(layers[0], (numbers, buffers), (x,))[0]

    for out, layer in zip(torch.vmap(run)(numbers, buffers), layers):
        assert torch.equal(out, layer(x)[0])


@pytest.mark.parametrize(("name", "steps"), [("ih", 9), ("ih", -1), ("hh", 0), ("hh", 4)])
def test_delays_of_ones_own_stay_within_the_layers(name, steps):
    layer = SpikingRNN("LIF", 3, 6, delay=3, recurrent_delay=3)
    getattr(layer, f"delay_{name}_l0").steps[0] = steps
    for call in (layer, compile_stream):
        with pytest.raises(InputError, match=f"delay_{name}_l0.steps must lie in"):
            call(torch.rand(4, 2, 3) if call is layer else layer)


@pytest.mark.parametrize(
    ("axons", "described"),
    [
        (LearnedDelay(6, 8, 1), True),
        (LearnedDelay(6, 5, 1), False),
        (LearnedDelay(6, 8, 2), False),
        (LearnedDelay(6, 8, 1, width=1.0), False),
        (Delay(torch.arange(1, 7)), False),
    ],
)
def test_delays_that_a_file_would_change_are_refused(axons, described):
    network = build("LIF", 3, 6, 2, recurrent_delay=8, learn_delays=True)
    network.body.delay_hh_l0 = axons
    if described:
        assert describe(rebuild(describe(network), network.state_dict())) == describe(network)
    else:
        with pytest.raises(InputError, match=r"describes learned delays of 1\.\.8 steps"):
            describe(network)


@pytest.mark.filterwarnings("ignore")  # of dynamo itself
def test_too_long_a_range_is_refused_where_values_are_not_known():
    layer = SpikingRNN("LIF", 3, 6, recurrent_delay=3, learn_delays=True)
    layer.delay_hh_l0 = LearnedDelay(6, 9, 1)
    torch._dynamo.reset()
    with pytest.raises(Exception, match=r"must lie in 1..3, the longest delay of the layer"):
        torch.compile(layer, backend="eager")(torch.rand(4, 2, 3))
    with pytest.raises(InputError, match=r"must lie in 1..3, the longest delay of the layer"):
        torch.func.functional_call(layer, dict(layer.named_parameters()), (torch.rand(4, 2, 3),))


def test_learned_delays_of_ones_own_stay_within_the_layers():
    layer = SpikingRNN("LIF", 3, 6, recurrent_delay=3)
    for axons in (LearnedDelay(6, longest=4, shortest=1), LearnedDelay(6, longest=3)):
        layer.delay_hh_l0 = axons
        for call in (layer, compile_stream):
            with pytest.raises(InputError, match=r"delay_hh_l0.steps must lie in 1\.\.3"):
                call(torch.rand(4, 2, 3) if call is layer else layer)


def test_what_delays_are_now_says_whether_they_spread():
    """Learned ones in a layer made without, and fixed ones in a layer that learned them."""
    x = events(9, 2, 5)
    made = {learned: layer_with(1, recurrent_delay=3, learn_delays=learned) for learned in (0, 1)}
    given, kept = made[0].delay_hh_l0, made[1].delay_hh_l0
    made[0].delay_hh_l0, made[1].delay_hh_l0 = kept, given
    with pytest.raises(UnsupportedError, match=r"after eval\(\)"):
        count(made[0].train(), x, events=True)
    assert count(made[1].train(), x, events=True).ops == count(made[1].eval(), x, events=True).ops


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_learned_delay_stays_in_its_range_in_half_precision(dtype):
    """Where it has no number for the end of the range."""
    delay = LearnedDelay(2, longest=2051, width=0.0, dtype=dtype)
    delay.raw.data[:] = torch.tensor([9.0, -9.0])
    assert delay.steps.tolist() == [2051, 0]
    x = torch.zeros(2052, 1, 2, dtype=dtype)
    x[0] = 1.0
    for training in (True, False):
        out, _ = delay.train(training)(x)
        assert (out[0, 0, 1] > 0.5, out[2051, 0, 0] > 0.5, out.dtype) == (True, True, dtype)


def test_delays_that_no_memory_holds_are_refused():
    for settings in ({"delay": 10**9}, {"recurrent_delay": 10**9}):
        with pytest.raises(InputError, match=r"up to 1,000,000,000 steps on \d axons keep"):
            SpikingRNN("LIF", 3, 6, **settings)
    # one buffer holds the axons of the input and the neurons' own, each for the longest of all
    with pytest.raises(InputError, match="up to 33,554,432 steps on 9 axons keep"):
        SpikingRNN("LIF", 3, 6, delay=1, recurrent_delay=2**25)


def test_a_learned_delay_alone_checks_its_positions():
    delay = LearnedDelay(2, longest=4)
    delay.raw.data[0] = math.nan
    for training in (True, False):
        with pytest.raises(InputError, match="raw holds NaN"):
            delay.train(training)(torch.zeros(5, 1, 2))
    with pytest.raises(InputError, match="whole numbers from 0 up"):
        Delay(torch.tensor([1j]))


@pytest.mark.parametrize("steps", [torch.zeros(2, dtype=torch.int64), torch.zeros(3)])
def test_delays_of_ones_own_are_one_whole_number_a_channel(steps):
    layer = SpikingRNN("LIF", 3, 8, delay=3)
    layer.delay_ih_l0.steps = steps
    with pytest.raises(InputError, match=r"delay_ih_l0\.steps must be 3 whole numbers"):
        layer(torch.zeros(5, 1, 3))


def test_a_delay_refuses_a_buffer_that_is_not_finite_or_of_another_type():
    delay, x = Delay(torch.tensor([1, 2])), torch.rand(4, 3, 2)
    _, buffer = delay(x)
    with pytest.raises(InputError, match="the buffer holds NaN"):
        delay(x, buffer * torch.nan)
    with pytest.raises(InputError, match=r"of torch.float32, got .* of torch.float64"):
        delay(x, buffer.double())
    with pytest.raises(InputError, match="the buffer that an earlier call returned, got list"):
        delay(x, [1.0])
    with pytest.raises(InputError, match="steps as a tensor, got list"):
        Delay([1, 2])
    with pytest.raises(InputError, match="of 0 steps or more, finite, got inf"):
        LearnedDelay(2, longest=3, width=torch.inf)


def test_a_learned_delay_is_counted_from_its_own_buffer():
    delay = LearnedDelay(2, longest=8).eval()
    x = (torch.rand(6, 3, 2) < 0.5).float()
    both = torch.nn.Sequential(delay, torch.nn.Linear(2, 4))
    whole = count(both, torch.cat([x, x]), events=True).ops.ac
    _, buffer = delay(x)
    parts = [count(both, x, events=True, state=state).ops.ac for state in (None, [buffer, None])]
    assert whole == sum(parts) > 0


@pytest.mark.parametrize("inputs", [1, 2])
def test_delays_that_are_all_zero_are_streamed(inputs):
    """As they may be drawn, or learned."""
    layer = dyadic(SpikingRNN("LIF", inputs, 6, delay=3))
    layer.delay_ih_l0.steps.zero_()
    x = events(9, 2, inputs)
    stream = compile_stream(layer)
    result = stream.run(x.numpy())
    assert torch.equal(torch.from_numpy(result.out), layer(x)[0])
    state = stream.zero_state()
    stepped = [stream.step(row, state).copy() for row in x[:, 0].numpy()]
    assert torch.equal(torch.from_numpy(np.stack(stepped)), layer(x)[0][:, 0])
