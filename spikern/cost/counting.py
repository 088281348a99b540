"""Exact counts of the operations of a forward pass, from what happened in it.

    ac               accumulates: spikes (or input events) that arrived x their nonzero synapses
    mac              multiply-accumulates: analog values x their nonzero synapses
    updates          the rest of each step by kind (mul, add, compare, exp, tanh, sigmoid, ...),
                     for a spiking neuron read off the graph of its own step function
    neuron_updates   neurons x steps;  spikes: how many of these fired
    dense            synapses x steps, what a dense simulation would do

All integers, by layer and by step, summed over the samples given, over the steps that exist.
Whether a value is a spike is declared by the layer or data set that made it, never guessed from
the value. A spike of a sample's last step has no step to arrive at and causes no recurrent
operation. Accumulators start from the bias, which is therefore free, for all models alike.

What an encoder of analog signals as events does, beside the network that it feeds.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from spikern._utils.choices import check_choice
from spikern._utils.errors import InputError, UnsupportedError
from spikern.cost.counts import Counts, Layer, Storage
from spikern.cost.spiking import spiking_layers
from spikern.cost.standard import linear_layer, recurrent_layers
from spikern.cost.synapses import Signal, check_events, counted, last_steps
from spikern.events import valid_steps
from spikern.layers.arguments import check_input, check_lengths
from spikern.layers.baseline import Baseline
from spikern.layers.delays import Axons, Delay, LearnedDelay
from spikern.layers.network import ANSWERS, Network
from spikern.layers.rnn import Readout, SpikingRNN


class Given(NamedTuple):
    """What the user gave beside model and input."""

    lengths: Tensor
    skip_zeros: bool


RECURRENT = (nn.RNN, nn.GRU, nn.LSTM)
KNOWN = (
    "Network, SpikingRNN, Readout, Delay, LearnedDelay, Baseline, torch.nn.RNN, GRU, LSTM, Linear, "
    "Sequential"
)


@torch.no_grad()
def count(
    model: nn.Module,
    x: Tensor,
    lengths: Tensor | None = None,
    events: bool = False,
    encoder: str | None = None,
    skip_zeros: bool = False,
) -> Counts:
    """Run a model on x (T, B, F), whatever its batch_first says, and count by layer and step.

    `events` declares that x holds events in {-1, 0, 1}, so that a spiking layer accumulates
    where it would otherwise multiply. A standard recurrent model multiplies all the same, unless
    `skip_zeros` lets it accumulate them too: its least cost. `encoder` names what made these
    events ("delta"), whose own work is then counted as a layer. The layers of a
    torch.nn.Sequential are run one after the other, each on the output of the one before it.

    Layers are hidden 0, hidden 1, ..., readout, and mean where the answer is one; inside a
    Sequential the child's place comes first.

    Raises InputError on a wrong shape, dtype or NaN, on nothing to run, on events that are none;
    UnsupportedError, with its name, on a module that is not known.

    >>> counts = count(nn.LSTM(25, 5), torch.zeros(1, 1, 25))
    >>> counts["hidden 0"].ops.mac, counts["hidden 0"].arithmetic["mul"]
    (600, (15,))
    """
    if x.ndim != 3 or 0 in x.shape:
        raise InputError(f"expected x of shape (T, B, F), none of them 0, got {tuple(x.shape)}")
    steps, batch, features = x.shape
    check_input(x, features, x.dtype)
    if lengths is None:
        lengths = torch.full((batch,), steps)
    check_lengths(lengths, steps, batch)
    in_play = valid_steps(lengths.cpu(), steps)
    layers = []
    if events:
        check_events(x)
    if encoder is not None:
        check_choice("encoder", encoder, ENCODERS)
        if not events:
            raise InputError("an encoder makes events: count with events=True")
        layers.append(ENCODERS[encoder](x, in_play))
    made, _ = walk(model, Signal(x, events, "input"), Given(lengths, skip_zeros))
    return Counts(batch, (*layers, *made))


def walk(
    module: nn.Module, x: Signal, given: Given, prefix: str = "", last: bool = True
) -> tuple[list[Layer], Signal]:
    """Run one module on a signal: its layers, and the signal that it passes on.

    `last` says that nothing follows, so that a linear map is a readout.
    """
    lengths = given.lengths
    in_play = valid_steps(lengths.cpu(), len(x.values))
    if isinstance(module, Network) and not prefix:
        return network(module, x, given)
    if isinstance(module, Baseline):
        return walk(module.rnn, x, given, prefix)
    if isinstance(module, SpikingRNN):
        reads = isinstance(module, Readout)
        label = f"{prefix}{'readout' if reads else 'hidden'}"
        one = reads and len(module.names) == 1
        titles = [label] if one else [f"{label} {n[1:].replace('_', ' ')}" for n in module.names]
        kind = "readout" if reads else "input"
        layers, out, _ = spiking_layers(module, x, lengths, in_play, titles, kind)
        return layers, out
    if isinstance(module, RECURRENT) and type(module) in RECURRENT:
        check_input(x.values, module.input_size, next(module.parameters()).dtype)
        taken = x._replace(spiking=x.spiking and given.skip_zeros)
        layers, source = recurrent_layers(module, taken, in_play, f"{prefix}hidden")
        return layers, Signal(run_standard(module, x.values, lengths), False, source)
    if isinstance(module, Axons):
        if isinstance(module, LearnedDelay) and module.training:
            raise UnsupportedError(
                "while a delay is learned a spike is spread over steps, so that it is no spike any "
                "more; count the network as it is used, after eval()"
            )
        late = module.steps.new_tensor(lengths.tolist())
        arriving, _ = Delay(module.steps)(x.values, lengths=late)
        return [], x._replace(values=arriving)
    if type(module) is nn.Linear:
        check_input(x.values, module.in_features, module.weight.dtype)
        name, kind = (f"{prefix}readout", "readout") if last else (f"{prefix}linear", "input")
        layer = linear_layer(module, x, in_play, name, kind)
        return [layer], Signal(module(x.values), False, name)
    if type(module) is nn.Sequential:
        layers = []
        for k, child in enumerate(module):
            made, x = walk(child, x, given, f"{prefix}{k} ", last and k == len(module) - 1)
            layers += made
        return layers, x
    raise UnsupportedError(
        f"no count is known for the module {prefix}{type(module).__name__}; known are {KNOWN}"
    )


def run_standard(module: Any, x: Tensor, lengths: Tensor) -> Tensor:
    """The output (T, B, H) of torch.nn.RNN, GRU or LSTM, zero past a sample's length."""
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths.cpu(), enforce_sorted=False)
    out, _ = nn.utils.rnn.pad_packed_sequence(module(packed)[0], total_length=len(x))
    return out


def network(model: Network, x: Signal, given: Given) -> tuple[list[Layer], Signal]:
    """Body, readout and answer; a linear map comes after the answer is formed."""
    steps, lengths = len(x.values), given.lengths
    layers, hidden = walk(model.body, x, given)
    if isinstance(model.readout, Readout):
        made, out = walk(model.readout, hidden, given)
        answered = averaging(model, model.readout.output_size, steps, lengths)
        return [*layers, *made, *answered], out
    once = model.answer != "every_step"
    times = last_steps(steps, lengths) if once else valid_steps(lengths.cpu(), steps)
    answered = averaging(model, model.readout.in_features, steps, lengths)
    if answered:
        hidden = Signal(hidden.values, False, answered[0].name)
    readout = linear_layer(model.readout, hidden, times, "readout", "readout")
    logits = model.readout(ANSWERS[model.answer](hidden.values, lengths))
    return [*layers, *answered, readout], Signal(logits, False, "readout")


def averaging(model: Network, width: int, steps: int, lengths: Tensor) -> list[Layer]:
    """The mean over steps, if that is the answer: it adds from the second step on, then scales."""
    if model.answer != "mean":
        return []
    uses = counted(valid_steps(lengths.cpu(), steps))
    return [
        Layer(
            "mean",
            "mean",
            0,
            False,
            (),
            {
                "add": tuple(width * n for n in (0, *uses[1:])),
                "mul": tuple(width * n for n in counted(last_steps(steps, lengths))),
            },
            uses,
            (0,) * len(uses),
            Storage(states=width),
        )
    ]


def delta(events: Tensor, in_play: Tensor) -> Layer:
    """The work of `spikern.events.delta` that gave these events (T, B, F).

    A sample of one feature takes one addition, the distance from the level that was last sent,
    and one comparison of its size with the threshold; an event moves the level, one addition.
    """
    features = events.shape[2]
    uses = counted(in_play)
    sent = counted((events != 0).cpu() & in_play.unsqueeze(2))
    return Layer(
        "encoder",
        "delta",
        0,
        False,
        (),
        {
            "add": tuple(features * n + moved for n, moved in zip(uses, sent)),
            "compare": tuple(features * n for n in uses),
        },
        uses,
        (0,) * len(uses),
        Storage(states=features),
    )


ENCODERS = {"delta": delta}
