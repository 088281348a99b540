"""Exact counts of the operations of a forward pass, from what happened in it.

    ac               accumulates: spikes (or input events) that arrived x their nonzero synapses
    mac              multiply-accumulates: analog values x their nonzero synapses
    updates          the rest of each step by kind (mul, add, compare, exp, tanh, sigmoid, ...),
                     for a spiking neuron read off the graph of its own step function
    neuron_updates   neurons x steps;  spikes: how many of these fired
    dense            synapses x steps, what a dense simulation would do

All are integers by layer and step, summed over the samples; only valid steps count. The layer or
data set that makes a value declares whether it is a spike; nothing is guessed from values. A spike
of the last step of a sample causes no recurrent operation, because there is no step at which it
could arrive. Accumulators start from the bias, which is therefore free in all models.

The work of an encoder that makes events of an analog signal can be counted as one more layer.
"""

from __future__ import annotations

from copy import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from spikern._utils.choices import check_choice, check_type
from spikern._utils.errors import InputError, UnsupportedError
from spikern.cost.counts import Counts, Layer, Storage, analog_layer
from spikern.cost.spiking import SPREAD, spiking_layers
from spikern.cost.standard import linear_layer, recurrent_layers
from spikern.cost.synapses import Signal, check_events, counted, last_steps
from spikern.events import valid_steps
from spikern.events.trains import Events, Input, dense
from spikern.layers.arguments import (
    Lengths,
    as_lengths,
    check_input,
    check_lengths,
    check_weights,
)
from spikern.layers.banked import Banked
from spikern.layers.baseline import Baseline
from spikern.layers.delays import Axons, LearnedDelay
from spikern.layers.network import ANSWERS, Network, parts_of
from spikern.layers.rnn import Readout, SpikingRNN


class Options(NamedTuple):
    """The arguments of a count beside model and input."""

    lengths: Tensor
    state: Any


STANDARD = (nn.RNN, nn.GRU, nn.LSTM)
KNOWN = (
    "Network, SpikingRNN, Readout, Delay, LearnedDelay, Baseline, torch.nn.RNN, GRU, LSTM, Linear, "
    "Sequential"
)


@torch.no_grad()
def count(
    model: nn.Module,
    x: Input,
    lengths: Lengths | None = None,
    events: bool = False,
    encoder: str | None = None,
    state: Any = None,
) -> Counts:
    """Run a model on x (T, B, F) and count its operations by layer and step.

    The shape of x does not depend on the model's batch_first.

    lengths   (B,), the valid steps of each sample; all steps by default
    events    x holds events in {-1, 0, 1}: the first layer of any model accumulates where they
              arrive, instead of multiplying every value
    encoder   what made the events ("delta"); its work is counted as a layer
    state     the state that the model starts from, as it returns it; of a Sequential a list of
              the states of its modules. None: zero. Parts of a sequence that are counted one
              after the other, each from the state that the part before it left, have together
              the counts of the whole, but for an answer over steps, which each part gives,
              and groups that decay as they sleep, which begin each part awake

    The layers are named hidden 0, hidden 1, ..., readout, and mean if the answer is a mean over
    steps. The modules of a torch.nn.Sequential run one after the other; the names of their layers
    start with the place of the module.

    Raises InputError on a wrong shape, dtype or NaN, an empty x, or values that are not events;
    UnsupportedError with the name of a module that cannot be counted.

    >>> counts = count(nn.LSTM(25, 5), torch.zeros(1, 1, 25))
    >>> counts["hidden 0"].ops.mac, counts["hidden 0"].arithmetic["mul"]
    (600, (15,))
    """
    check_type("x", x, Tensor, Events)
    if isinstance(x, Events) and not events:
        raise InputError("expected events=True with Events; x.to_dense() is counted as analog")
    x = dense(x)
    if x.ndim != 3 or 0 in x.shape:
        raise InputError(f"expected x of shape (T, B, F), none of them 0, got {tuple(x.shape)}")
    steps, batch, features = x.shape
    check_input(x, features, x.dtype)
    check_weights(model)
    lengths = as_lengths([steps] * batch if lengths is None else lengths)
    check_lengths(lengths, steps, batch)
    valid = valid_steps(lengths.cpu(), steps)
    layers = []
    if events:
        check_events(x)
    if encoder is not None:
        check_choice("encoder", encoder, ENCODERS)
        if not events:
            raise InputError("an encoder makes events: count with events=True")
        layers.append(ENCODERS[encoder](x, valid))
    counted_layers, _ = walk(model, Signal(x, events, "input"), Options(lengths, state))
    return Counts(batch, (*layers, *counted_layers))


def walk(
    module: nn.Module, x: Signal, options: Options, prefix: str = "", last: bool = True
) -> tuple[list[Layer], Signal]:
    """Run one module on a signal; return its layers and its output signal.

    A linear map is a readout if the module is the `last` one.
    """
    lengths, state = options.lengths, options.state
    valid = valid_steps(lengths.cpu(), len(x.values))
    if isinstance(module, Network) and not prefix:
        return network(module, x, options)
    if isinstance(module, Baseline):
        return walk(module.rnn, x, options, prefix)
    if isinstance(module, SpikingRNN):
        readout = isinstance(module, Readout)
        label = f"{prefix}{'readout' if readout else 'hidden'}"
        single = readout and len(module.names) == 1
        names = [f"{label} {name[1:].replace('_', ' ')}" for name in module.names]
        kind = "readout" if readout else "input"
        names = [label] if single else names
        return spiking_layers(module, x, state, lengths, valid, names, kind)
    if isinstance(module, (*STANDARD, Banked)) and type(module) in (*STANDARD, Banked):
        check_input(x.values, module.input_size, next(module.parameters()).dtype)
        layers, source = recurrent_layers(module, x, valid, f"{prefix}hidden")
        return layers, Signal(run_standard(module, x.values, state, lengths), False, source)
    if isinstance(module, Axons):
        if isinstance(module, LearnedDelay) and module.training:
            raise UnsupportedError(SPREAD)
        time_first = copy(module)  # as x is, whatever the layout that the module takes
        time_first.batch_first = False
        arriving, _ = time_first(x.values, state, module.steps.new_tensor(lengths.tolist()))
        return [], x._replace(values=arriving, kept=x.kept + int(module.steps.max()))
    if type(module) is nn.Linear:
        if state is not None:
            raise InputError(f"a Linear has no state, got {type(state).__name__}")
        check_input(x.values, module.in_features, module.weight.dtype)
        name, kind = (f"{prefix}readout", "readout") if last else (f"{prefix}linear", "input")
        layer = linear_layer(module, x, valid, name, kind)
        return [layer], Signal(module(x.values), False, name)
    if type(module) is nn.Sequential:
        layers = []
        states = [None] * len(module) if state is None else state
        if len(states) != len(module):
            raise InputError(f"expected the states of {len(module)} modules, got {len(states)}")
        for k, (child, own) in enumerate(zip(module, states)):
            at, ends = options._replace(state=own), last and k == len(module) - 1
            of_child, x = walk(child, x, at, f"{prefix}{k} ", ends)
            layers += of_child
        return layers, x
    if isinstance(module, Network):
        raise UnsupportedError(
            f"cannot count the module {prefix}Network inside of another, since it gives answers; "
            f"count it alone"
        )
    raise UnsupportedError(
        f"cannot count the module {prefix}{type(module).__name__}; known are {KNOWN}"
    )


def network(model: Network, x: Signal, options: Options) -> tuple[list[Layer], Signal]:
    """The layers of body, readout and answer; a linear readout is applied to the answer."""
    steps, lengths = len(x.values), options.lengths
    below, above = parts_of(options.state)
    layers, hidden = walk(model.body, x, options._replace(state=below))
    if isinstance(model.readout, Readout):
        readouts, out = walk(model.readout, hidden, options._replace(state=above))
        mean = averaging(model, model.readout.output_size, steps, lengths)
        return [*layers, *readouts, *mean], out
    every_step = model.answer == "every_step"
    read = valid_steps(lengths.cpu(), steps) if every_step else last_steps(steps, lengths)
    mean = averaging(model, model.readout.in_features, steps, lengths)
    if mean:
        hidden = Signal(hidden.values, False, mean[0].name)
    readout = linear_layer(model.readout, hidden, read, "readout", "readout")
    logits = model.readout(ANSWERS[model.answer](hidden.values, lengths))
    return [*layers, *mean, readout], Signal(logits, False, "readout")


def run_standard(module: Any, x: Tensor, state: Any, lengths: Tensor) -> Tensor:
    """The output (T, B, H) of a standard recurrent network, zero past a sample's length."""
    if isinstance(module, Banked):
        hidden: Tensor = module(x, state, lengths)[0]
        return hidden
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths.cpu(), enforce_sorted=False)
    out, _ = nn.utils.rnn.pad_packed_sequence(module(packed, state)[0], total_length=len(x))
    return out


def averaging(model: Network, width: int, steps: int, lengths: Tensor) -> list[Layer]:
    """The mean over steps, if it is the answer: additions from the second step on, one product."""
    if model.answer != "mean":
        return []
    uses = counted(valid_steps(lengths.cpu(), steps))
    arithmetic = {
        "add": tuple(width * n for n in (0, *uses[1:])),
        "mul": tuple(width * n for n in counted(last_steps(steps, lengths))),
    }
    return [analog_layer("mean", "mean", 0, (), arithmetic, uses, Storage(states=width))]


def delta(events: Tensor, valid: Tensor) -> Layer:
    """The work of `spikern.events.delta` that made these events (T, B, F).

    Every value of a feature takes one addition, its distance from the last level, and one
    comparison of that distance with the threshold. Every event takes one addition to the level.
    """
    features = events.shape[2]
    uses = counted(valid)
    sent = counted((events != 0).cpu() & valid.unsqueeze(2))
    arithmetic = {
        "add": tuple(features * n + moved for n, moved in zip(uses, sent)),
        "compare": tuple(features * n for n in uses),
    }
    return analog_layer("encoder", "delta", 0, (), arithmetic, uses, Storage(states=features))


ENCODERS = {"delta": delta}
