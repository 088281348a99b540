"""A network as plain data, and the network that such data describe; weights are not part of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from spikern._utils.choices import check_choice
from spikern._utils.errors import DataError, InputError
from spikern.layers.baseline import Baseline
from spikern.layers.connectivity import synapses_of
from spikern.layers.delays import Axons, LearnedDelay
from spikern.layers.network import Network
from spikern.layers.per_layer import check_names, per_layer
from spikern.layers.rnn import Readout, SpikingRNN
from spikern.neurons import NEURONS, SURROGATES, NeuronModel, Surrogate
from spikern.neurons.constants import Constant

STACK = (
    *("input_size", "num_layers", "bias", "batch_first", "dropout"),
    *("bidirectional", "skip", "delay", "recurrent_delay", "learn_delays", "dt", "input_power"),
)
"""The arguments of a SpikingRNN that it keeps as they are."""
GROUPS = ("experts", "awake", "routing", "sleep")
"""Those of one with experts; a file without them is of one without."""
LATER = ("constants",)
"""What earlier versions did not write; a network of theirs has the constants of its neurons."""


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
    surrogates: Sequence[Surrogate] = (),
) -> Network:
    """The network of a description with the numbers of its state_dict.

    Neurons and surrogates are known by their names; those of one's own are passed. Raises
    InputError for one that is not known, DataError if the numbers are not those of the network.

    >>> from spikern import build
    >>> network = build("LIF", 3, 8, 2)
    >>> again = rebuild(describe(network), network.state_dict())
    >>> torch.equal(again.body.weight_hh_l0, network.body.weight_hh_l0)
    True
    """
    check_names(neurons, surrogates)
    known = Known(
        NEURONS | {model.name: model for model in neurons}, {own.name: own for own in surrogates}
    )
    try:
        _check_sizes(description["body"], state_dict)
        with torch.random.fork_rng(devices=[]):  # synapses are drawn
            body = _body(description["body"], known)
            readout = _readout(description["readout"], known)
        network = Network(body, readout, description["answer"])
    except InputError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise DataError(f"it does not describe a network: {error!r}") from error
    own = as_written(describe(network), description)
    if own != description:
        raise DataError(f"it describes another network than {own}")
    check_state(network, state_dict)
    kinds = {t.dtype for t in state_dict.values() if t.is_floating_point()}
    if len(kinds) > 1:
        raise DataError(f"expected numbers of one type, got {', '.join(sorted(map(str, kinds)))}")
    network.to_empty(device="cpu").to(kinds.pop()).load_state_dict(dict(state_dict))
    return network


def as_written(own: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """A description without what the version that wrote another one did not write.

    >>> as_written({"answer": "last", "body": {"dt": 1.0, "constants": {}}}, {"body": {"dt": 2.0}})
    {'answer': 'last', 'body': {'dt': 1.0}}
    """
    return {
        part: {key: value for key, value in has.items() if key in found[part] or key not in LATER}
        if isinstance(has, dict) and isinstance(found.get(part), dict)
        else has
        for part, has in own.items()
    }


def check_state(network: Network, found: Mapping[str, Tensor]) -> None:
    """Raise DataError unless these tensors can be the state_dict of the network."""
    check_tensors(found, network.state_dict())
    for path, stack in network.named_modules():
        if not isinstance(stack, SpikingRNN):
            continue
        for name, value in stack.state_dict().items():
            numbers = found[f"{path}.{name}"]
            if value.is_floating_point():
                continue
            if name.startswith("synapses"):  # synapses, listed as (from, to)
                to, of = getattr(stack, name.replace("synapses", "weight")).shape
                low, high = [0, 0], [of - 1, to - 1]
                ascending = bool(((numbers @ numbers.new_tensor([to, 1])).diff() > 0).all())
            else:
                own = name.startswith("delay_hh")
                low, high = [int(own)], [stack.recurrent_delay if own else stack.delay]
                ascending = True
            least, most = numbers.new_tensor(low), numbers.new_tensor(high)
            if not ascending or not ((least <= numbers) & (numbers <= most)).all():
                raise DataError(f"{path}.{name} is not within {low}..{high}, or not ascending")


def check_tensors(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Raise DataError unless tensors have these names and shapes and are finite."""
    for name in {**wanted, **found}:
        expected, came = (
            f"{'real' if part[name].is_floating_point() else 'whole'} numbers "
            f"{tuple(part[name].shape)}"
            if name in part
            else "nothing"
            for part in (wanted, found)
        )
        if came != expected:
            raise DataError(f"expected {name} as {expected}, got {came}")
        if not bool(torch.isfinite(found[name]).all()):
            raise DataError(f"{name} holds NaN or infinite values")


class Known(NamedTuple):
    """Neurons and surrogates by name."""

    neurons: Mapping[str, NeuronModel]
    surrogates: Mapping[str, Surrogate]


def _check_sizes(body: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> None:
    """Raise DataError for a body of more neurons or layers than there are numbers of."""
    numbers = sum(tensor.numel() for tensor in state_dict.values())
    layers = body["num_layers"]
    too_few = layers > len(state_dict)
    if not too_few:
        widths = _values(body["hidden_size"], layers)
        within = _values(body.get("recurrent", True), layers)
        above = _values(body.get("feedback", False), layers)
        squares = [width**2 for width, exists in zip(widths, within) if exists]
        products = [a * b for a, b, exists in zip(widths, widths[1:], above) if exists]
        too_few = max(squares + products, default=0) > numbers
    if too_few:
        raise DataError(f"{numbers} numbers are too few for the network that it describes")


def _body(found: Mapping[str, Any], known: Known) -> SpikingRNN | Baseline:
    """The body on the meta device, where numbers take no memory."""
    if "model" in found:
        with torch.device("meta"):
            return Baseline(**{"kind" if k == "model" else k: value for k, value in found.items()})
    return SpikingRNN(**_arguments(found, known))


def _readout(found: Mapping[str, Any] | list[int], known: Known) -> Readout | nn.Linear:
    """The readout on the meta device."""
    if isinstance(found, list):
        in_features, out_features = found
        return nn.Linear(in_features, out_features, device="meta")
    arguments = _arguments(found, known)
    return Readout(output_size=arguments.pop("hidden_size"), **arguments)


def _by_layer(values: Iterable[Any]) -> Any:
    """The value of all layers, or {"layers": those of the layers}."""
    found = tuple(values)
    return found[0] if len(set(map(repr, found))) == 1 else {"layers": list(found)}


def _values(found: Any, layers: int) -> list[Any]:
    """The inverse of `_by_layer`: the value of every layer."""
    listed = found.get("layers") if isinstance(found, dict) else None
    return listed if isinstance(listed, list) else [found] * layers


def _described_baseline(body: Baseline) -> dict[str, Any]:
    sizes = {name: getattr(body, name) for name in ("input_size", "hidden_size", "num_layers")}
    banks = {name: getattr(body, name) for name in GROUPS[:2] if body.experts > 1}
    return {"model": body.kind, **sizes, **banks}


def _described(stack: SpikingRNN) -> dict[str, Any]:
    _check_axons(stack)
    return {
        **{name: getattr(stack, name) for name in STACK},
        **{name: getattr(stack, name) for name in GROUPS if stack.experts > 1},
        "neuron": _by_layer(n.name for n in stack.neurons),
        "constants": _by_layer(_described_constants(n) for n in stack.neurons),
        "hidden_size": _by_layer(stack.hidden_sizes),
        "recurrent": _by_layer(_connectivity(stack, "hh", k) for k in range(stack.num_layers)),
        "feedback": _by_layer(
            _connectivity(stack, "fb", k) for k in range(max(stack.num_layers - 1, 1))
        ),
        "surrogate": _by_layer(
            [s.name, *s.settings] if s.is_built_in else s.name for s in stack.surrogates
        ),
        "engine": stack.engine_asked,
    }


def _check_axons(stack: SpikingRNN) -> None:
    """Raise InputError for delays of one's own of another kind or range than the layer's.

    The steps of fixed delays and the positions of learned ones are numbers of the state_dict.
    """
    for name, axons in stack.named_children():
        if not isinstance(axons, Axons):
            continue
        own = name.startswith("delay_hh")
        longest = stack.recurrent_delay if own else stack.delay
        if isinstance(axons, LearnedDelay):
            found = axons.shortest, axons.longest, axons.width
            as_drawn = stack.learn_delays and found == (own, longest, (longest - own) / 2)
        else:
            as_drawn = not stack.learn_delays
        if not as_drawn:
            drawn = (
                f"{'learned' if stack.learn_delays else 'fixed'} delays of {int(own)}..{longest}"
            )
            raise InputError(
                f"{name} is {axons}, where a file describes {drawn} steps; make the layer with the "
                f"delays that it has, or set the numbers of its own"
            )


def _described_constants(neuron: NeuronModel) -> dict[str, dict[str, Any]]:
    """What is not as by default, of every constant by its field."""

    def described(constant: Constant) -> dict[str, Any]:
        values = [(f, getattr(constant, f.name)) for f in fields(Constant)]
        return {
            f.name: list(value) if isinstance(value, tuple) else value
            for f, value in values
            if value != f.default
        }

    return {field: described(constant) for field, constant in neuron.constants.items()}


def _with_constants(neuron: NeuronModel, found: Mapping[str, Mapping[str, Any]]) -> NeuronModel:
    """The neuron with the constants that `_described_constants` described."""

    def constant(described: Mapping[str, Any]) -> Constant:
        pairs = described.items()
        settings: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in pairs}
        return Constant(**settings)

    own = {field: constant(described) for field, described in found.items()}
    return replace(neuron, constants={**neuron.constants, **own})


def _arguments(found: Mapping[str, Any], known: Known) -> dict[str, Any]:
    """The arguments of a SpikingRNN on the meta device."""
    layers = found["num_layers"]
    widths = _values(found["hidden_size"], layers)
    names = _values(found["neuron"], layers)
    for name in names:
        if name not in known.neurons:
            raise InputError(f"the network needs the neuron {name}; pass it: neurons=[{name}]")
    pairs = list(pairwise(widths)) or [(widths[0], widths[0])]
    own = (*STACK, *(key for key in GROUPS if key in found))
    return {key: found[key] for key in own} | {
        "device": "meta",
        "neuron": [
            _with_constants(known.neurons[name], constants)
            for name, constants in zip(names, _values(found.get("constants", {}), layers))
        ],
        "hidden_size": widths,
        "surrogate": [_surrogate(each, known) for each in _values(found["surrogate"], layers)],
        "engine": found["engine"],
        "recurrent": [
            _pattern(each, (width, width))
            for each, width in zip(_values(found["recurrent"], layers), widths)
        ],
        "feedback": [
            _pattern(each, pair) for each, pair in zip(_values(found["feedback"], layers), pairs)
        ],
    }


def _surrogate(found: str | list[Any], known: Known) -> Surrogate:
    """A built-in of a name and settings, or one's own of a name."""
    if isinstance(found, list):
        check_choice("surrogate", found[0], SURROGATES)
        return SURROGATES[found[0]](*found[1:])
    if found not in known.surrogates:
        raise InputError(f"the network needs the surrogate {found}; pass it: surrogates=[{found}]")
    return known.surrogates[found]


def _connectivity(stack: SpikingRNN, kind: str, layer: int) -> bool | str | int:
    """Whether all or no neurons are connected, or "diagonal", or the number of synapses."""
    if not hasattr(stack, f"weight_{kind}_l{layer}"):
        return False
    synapses = synapses_of(stack, f"weight_{kind}_l{layer}")
    titles = stack.connectivity if kind == "hh" else stack.feedback_connectivity
    title = per_layer(titles, stack.num_layers)[layer]
    return True if synapses is None else title if title == "diagonal" else len(synapses)


def _pattern(found: bool | str | int, shape: tuple[int, int]) -> bool | str | float | Tensor:
    """The argument of a layer that has this connectivity; the state_dict lists the synapses."""
    if isinstance(found, bool | str):
        return found
    pairs = math.prod(shape)
    return torch.ones(shape) if found == pairs else found / pairs
