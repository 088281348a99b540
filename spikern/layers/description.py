"""A network as plain data, and the network that such data describe; weights are not part of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from spikern._utils.choices import check_choice
from spikern._utils.errors import InputError
from spikern.layers.baseline import Baseline
from spikern.layers.network import Network
from spikern.layers.rnn import Readout, SpikingRNN
from spikern.neurons import NEURONS, SURROGATES, NeuronModel

STACK = (
    *("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout"),
    *("bidirectional", "skip", "delay", "recurrent_delay", "learn_delays", "dt", "input_power"),
)
"""The arguments of a SpikingRNN that it keeps as they are."""


def describe(network: Network) -> dict[str, Any]:
    """The structure of a network as JSON can hold it.

    >>> from spikern import build
    >>> describe(build("GRU", 1, 8, 10))["body"]
    {'model': 'GRU', 'input_size': 1, 'hidden_size': 8, 'num_layers': 1}
    """
    body, readout = network.body, network.readout
    return {
        "answer": network.answer,
        "body": _described(body) if isinstance(body, SpikingRNN) else _described_baseline(body),
        "readout": _described(readout)
        if isinstance(readout, Readout)
        else [readout.in_features, readout.out_features],
    }


def rebuild(
    description: Mapping[str, Any],
    state_dict: Mapping[str, Tensor],
    neurons: Sequence[NeuronModel] = (),
) -> Network:
    """The network of a description with the numbers of its state_dict.

    Neurons are known by their names; those that are not in `NEURONS` are passed. Raises
    InputError for a neuron or surrogate that is not known.

    >>> from spikern import build
    >>> network = build("LIF", 3, 8, 2)
    >>> again = rebuild(describe(network), network.state_dict())
    >>> torch.equal(again.body.weight_hh_l0, network.body.weight_hh_l0)
    True
    """
    known = NEURONS | {model.name: model for model in neurons}
    with torch.random.fork_rng(devices=[]):  # a fresh layer draws its weights
        body = _body(description["body"], known)
        readout = _readout(description["readout"], known)
    network = Network(body, readout, description["answer"])
    network.load_state_dict(dict(state_dict))
    return network


def _body(found: Mapping[str, Any], known: Mapping[str, NeuronModel]) -> SpikingRNN | Baseline:
    if "model" in found:
        return Baseline(**{"kind" if k == "model" else k: value for k, value in found.items()})
    return SpikingRNN(**_arguments(found, known))


def _readout(
    found: Mapping[str, Any] | list[int], known: Mapping[str, NeuronModel]
) -> Readout | nn.Linear:
    if isinstance(found, list):
        in_features, out_features = found
        return nn.Linear(in_features, out_features)
    arguments = _arguments(found, known)
    return Readout(output_size=arguments.pop("hidden_size"), **arguments)


def _described_baseline(body: Baseline) -> dict[str, Any]:
    sizes = {name: getattr(body, name) for name in ("input_size", "hidden_size", "num_layers")}
    return {"model": body.kind, **sizes}


def _described(stack: SpikingRNN) -> dict[str, Any]:
    return {
        "neuron": stack.neuron.name,
        **{name: getattr(stack, name) for name in STACK},
        "recurrent": _connectivity(stack, stack.connectivity, "hh"),
        "feedback": _connectivity(stack, stack.feedback_connectivity, "fb"),
        "surrogate": [stack.surrogate.name, *stack.surrogate.settings],
        "engine": stack.engine_asked,
    }


def _arguments(found: Mapping[str, Any], known: Mapping[str, NeuronModel]) -> dict[str, Any]:
    """The arguments of a SpikingRNN."""
    name, (surrogate, *settings) = found["neuron"], found["surrogate"]
    if name not in known:
        raise InputError(f"the network needs the neuron {name}; pass it: neurons=[{name}]")
    check_choice("surrogate", surrogate, SURROGATES)
    return {key: found[key] for key in STACK} | {
        "neuron": known[name],
        "surrogate": SURROGATES[surrogate](*settings),
        "engine": found["engine"],
        "recurrent": _pattern(found["recurrent"], found["hidden_size"]),
        "feedback": _pattern(found["feedback"], found["hidden_size"]),
    }


def _connectivity(stack: SpikingRNN, title: str, kind: str) -> bool | str | int:
    """Whether all or no neurons are connected, or "diagonal", or the number of synapses."""
    if title in ("True", "False"):
        return title == "True"
    return title if title == "diagonal" else len(getattr(stack, f"links_{kind}_l0"))


def _pattern(found: bool | str | int, hidden: int) -> bool | str | float | Tensor:
    """The argument of a layer that has this connectivity; the state_dict lists the synapses."""
    if isinstance(found, bool | str):
        return found
    return torch.ones(hidden, hidden) if found == hidden**2 else found / hidden**2
