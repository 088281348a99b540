"""Networks and inputs on which the engines are compared."""

import torch
from torch.nn import functional

from spikern.engines.codegen.trace import rounds_alike
from spikern.engines.population import existing_weights
from spikern.layers.rnn import Readout, SpikingRNN
from spikern.neurons import NEURONS
from spikern.neurons.surrogate import spike
from spikern.testing import difference, dyadic, with_engine

SPIKING = [name for name, model in NEURONS.items() if model.spikes]
LENGTHS = torch.tensor([25, 9, 1])


def dyadic_layer(name, features, hidden, layers=1, engine="fused", **settings):
    """A layer whose weights are multiples of 1/256, so that sums are exact in any order."""
    torch.manual_seed(7)
    model = NEURONS[name]
    if model.spikes:
        layer = SpikingRNN(name, features, hidden, layers, engine=engine, **settings)
    else:
        layer = Readout(features, hidden, model, num_layers=layers, engine=engine)
    with torch.no_grad():
        for key, value in layer.named_parameters():
            if key.startswith(("weight", "bias")):
                value.copy_((value * 512).round() / 256 + (0.5 if key.startswith("bias") else 0))
    return layer


def layer_with(layers=3, hidden=9, neuron="ALIF", seed=0, **settings):
    """A stack of which every layer fires, whose sums are exact in any order, after eval()."""
    torch.manual_seed(seed)
    layer = SpikingRNN(neuron, 5, hidden, layers, input_power=0.3, **settings)
    with torch.no_grad():
        for name, value in layer.named_parameters():
            if name.startswith("weight"):
                value.mul_(2)
    return dyadic(layer).eval()


def events(steps, batch, features, rate=0.3, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(steps, batch, features, generator=generator) < rate).float()


def alternating(layer, batch):
    """A state in which every other neuron has just fired."""
    state = layer.zero_state(batch)
    return state._replace(z=(torch.arange(state.z.numel()) % 2).to(state.z).view_as(state.z))


def parts(state):
    """The state of every layer, or that of all of them."""
    return [state] if hasattr(state, "_fields") else list(state)


def leaves(state):
    """The tensors of a state, in which a tuple has the state of every layer."""
    if isinstance(state, torch.Tensor):
        return [state]
    return [leaf for part in state for leaf in leaves(part)]


def mapped(function, state):
    """The state with a function applied to every tensor."""
    if isinstance(state, torch.Tensor):
        return function(state)
    parts = [mapped(function, part) for part in state]
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)


def assert_reference_gradients(layer, x, tolerance):
    """The layer's gradients are the reference engine's; returns both engines' outputs."""
    actual, out, _ = gradients(layer, x)
    expected, reference, _ = gradients(with_engine(layer, "reference"), x)
    assert_close_by_name(actual, expected, tolerance)
    return out, reference


def gradients(layer, x, lengths=None, state=None):
    """Loss gradients by name, of every parameter, the input and the initial state."""
    x = x.clone().requires_grad_()
    if state is None:
        state = layer.zero_state(x.shape[1])
    state = mapped(lambda field: field.clone().requires_grad_(), state)
    out, after = layer(x, state, lengths)
    generator = torch.Generator().manual_seed(3)
    values = [out, *leaves(after)]
    weights = [torch.randn(v.shape, generator=generator).to(v.device) for v in values]
    loss = sum((v * w).sum() for v, w in zip(values, weights))
    named = dict(layer.named_parameters()) | {"x": x} | {
        f"state {k}": v for k, v in enumerate(leaves(state))
    }  # fmt: skip
    values = torch.autograd.grad(loss, list(named.values()))
    return dict(zip(named, values)), out.detach(), after


def assert_close_by_name(actual, expected, tolerance=2e-5):
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        scale = value.abs().max().clamp(min=1e-6)
        assert not torch.isnan(actual[name]).any(), name
        assert (actual[name] - value).abs().max() <= tolerance * scale, name


def assert_as_reference(layer, x, lengths=None, state=None):
    """The layer's outputs, final state and gradients are the reference engine's.

    Bit for bit, or as spikern.testing has it for a step with an exponential or a root.
    """
    outputs, after = layer.unroll(x, state, lengths)
    assert not difference(layer, x, outputs, after, lengths, state)
    slow = with_engine(layer, "reference")
    actual, out, _ = gradients(layer, x, lengths, state)
    expected, out_reference, _ = gradients(slow, x, lengths, state)
    if all(map(rounds_alike, layer.neurons)):
        assert torch.equal(out, out_reference)
        assert_close_by_name(actual, expected)
    elif all(torch.equal(a, b) for a, b in zip(outputs, slow.unroll(x, state, lengths)[0])):
        # where spikes have legally parted the gradients are those of two networks; where not,
        # a runaway multiplies what last places differ by e^5 at most
        assert_close_by_name(actual, expected, 1e-3)
    return out


def connections(layer, k):
    """Kind, source, existing weights and delays in steps of every connection to layer k.

    Source 0 is the input and source k + 1 is layer k.
    """

    def weights(kind):
        synapses = getattr(layer, f"synapses_{kind}_l{k}", None)
        return existing_weights(getattr(layer, f"weight_{kind}_l{k}"), synapses)

    def delays(kind, default):
        axons = getattr(layer, f"delay_{kind}_l{k}", None)
        return default if axons is None else axons.steps.tolist()

    skips, step = layer.skip and k > 0, int(layer.feedback)
    below = [step if k > 0 else 0] * weights("ih").shape[1]
    beyond = [step if k > 1 else 0] * (weights("sk").shape[1] if skips else 0)
    into = delays("ih", below + beyond)
    arriving = [("input", k, weights("ih"), into[: len(below)])]
    if skips:
        arriving.append(("skip", k - 1, weights("sk"), into[len(below) :]))
    if hasattr(layer, f"weight_hh_l{k}"):
        own = weights("hh")
        arriving.append(("recurrent", k + 1, own, delays("hh", [1] * len(own))))
    if hasattr(layer, f"weight_fb_l{k}"):
        above = weights("fb")
        arriving.append(("feedback", k + 2, above, [1] * above.shape[1]))
    return arriving


def written_out(layer, x, lengths=None, more=0):
    """Every axon of every step on its own: the spikes of all layers, and the final states with what
    is under way.

    Recurrent delays are `more` steps longer than the layer's.
    """
    batch, silent = x.shape[1], torch.zeros(x.shape[1])
    states = [
        model.state(*(torch.zeros(batch, width) for _ in model.state._fields))
        for model, width in zip(layer.neurons, layer.hidden_sizes)
    ]
    sources = [x, *([] for _ in states)]
    into = [connections(layer, k) for k in range(layer.num_layers)]
    for t in range(len(x)):
        runs = torch.ones(batch, 1, dtype=torch.bool)
        if lengths is not None:
            runs = (t < lengths).unsqueeze(1)
        for k, state in enumerate(states):
            i = getattr(layer, f"bias_l{k}")
            for kind, source, weight, delays in into[k]:
                values, longer = sources[source], more if kind == "recurrent" else 0
                arriving = [
                    values[t - n - longer][:, f] if t >= n + longer else silent
                    for f, n in enumerate(delays)
                ]
                i = i + functional.linear(torch.stack(arriving, 1), weight)
            fire = spike(layer.surrogates[k])
            after, z = layer.neurons[k].step(layer.params(k), state, i, fire)
            states[k] = type(state)(*(torch.where(runs, n, s) for n, s in zip(after, state)))
            sources[k + 1].append(torch.where(runs, z, torch.zeros_like(z)))
    ends = [len(x)] * batch if lengths is None else lengths.tolist()
    takes_long = {"recurrent": layer.recurrent_delay > 1, "input": layer.delay, "skip": layer.delay}
    longest = max(layer.delay, layer.recurrent_delay) if layer.delayed else 0
    buffers = []
    for k in range(layer.num_layers):
        sent = [sources[source] for kind, source, *_ in into[k] if takes_long.get(kind)]
        if sent:
            lines = [
                torch.stack([*torch.zeros(longest, *line[0].shape), *line])[end : end + longest, b]
                for b, end in enumerate(ends)
                for line in [torch.cat([torch.stack(list(values)) for values in sent], 2)]
            ]
            buffers.append(torch.stack(lines, 1))
    outputs = [torch.stack(out) for out in sources[1:]]
    return outputs, layer.final_state(states, buffers)


def crossed(values, weight, delays, lengths):
    """Weights that are not zero, of every event that arrives before a sample ends, one by one."""
    total = 0
    for b, end in enumerate(lengths.tolist()):
        for t in range(end):
            for f, delay in enumerate(delays):
                if t >= delay and values[t - delay, b, f] != 0:
                    total += int((weight[:, f] != 0).sum())
    return total
