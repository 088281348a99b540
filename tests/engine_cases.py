"""Networks and inputs on which the engines are compared."""

import torch

from spikern.engines.codegen.trace import rounds_alike
from spikern.layers.rnn import Readout, SpikingRNN
from spikern.neurons import NEURONS
from spikern.testing import difference, with_engine

SPIKING = [name for name, model in NEURONS.items() if model.spikes]


def dyadic_layer(name, features, hidden, layers=1, engine="fused", surrogate="triangular"):
    """A layer whose weights are multiples of 1/256, so that sums are exact in any order."""
    torch.manual_seed(7)
    model = NEURONS[name]
    kind = SpikingRNN if model.spikes else Readout
    given = name if model.spikes else model
    if kind is Readout:
        layer = Readout(features, hidden, given, num_layers=layers, engine=engine)
    else:
        layer = SpikingRNN(given, features, hidden, layers, engine=engine, surrogate=surrogate)
    with torch.no_grad():
        for key, value in layer.named_parameters():
            if key.startswith(("weight", "bias")):
                value.copy_((value * 512).round() / 256 + (0.5 if key.startswith("bias") else 0))
    return layer


def events(steps, batch, features, rate=0.3, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(steps, batch, features, generator=generator) < rate).float()


def gradients(layer, x, lengths=None, state=None):
    """Loss gradients by name, of every parameter, the input and the initial state."""
    x = x.clone().requires_grad_()
    if state is None:
        state = layer.zero_state(x.shape[1])
    state = type(state)(*(f.clone().requires_grad_() for f in state))
    out, after = layer(x, state, lengths)
    generator = torch.Generator().manual_seed(3)
    weigh = [torch.randn(v.shape, generator=generator) for v in (out, *after)]
    loss = sum((v * w).sum() for v, w in zip((out, *after), weigh))
    named = dict(layer.named_parameters()) | {"x": x} | {
        f"state.{k}": v for k, v in state._asdict().items()
    }  # fmt: skip
    found = torch.autograd.grad(loss, list(named.values()))
    return dict(zip(named, found)), out.detach(), after


def assert_close_by_name(found, expected, tolerance=2e-5):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        scale = value.abs().max().clamp(min=1e-6)
        assert not torch.isnan(found[name]).any(), name
        assert (found[name] - value).abs().max() <= tolerance * scale, name


def assert_as_reference(layer, x, lengths=None, state=None):
    """The layer's outputs, final state and gradients are the reference engine's.

    Bit for bit, or as spikern.testing has it for a step with an exponential or a root.
    """
    outputs, after = layer.unroll(x, state, lengths)
    assert not difference(layer, x, outputs, after, lengths, state)
    slow = with_engine(layer, "reference")
    found, out, _ = gradients(layer, x, lengths, state)
    expected, out_reference, _ = gradients(slow, x, lengths, state)
    if rounds_alike(layer.neuron):
        assert torch.equal(out, out_reference)
        assert_close_by_name(found, expected)
    elif all(torch.equal(a, b) for a, b in zip(outputs, slow.unroll(x, state, lengths)[0])):
        # where spikes have legally parted the gradients are those of two networks; where not,
        # a runaway multiplies what last places differ by e^5 at most
        assert_close_by_name(found, expected, 1e-3)
    return out
