"""What each layer of a stack has its own of: sizes, neurons, surrogates."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from spikern._utils.errors import InputError
from spikern._utils.numbers import check_counts, check_numbers
from spikern.neurons import NEURONS
from spikern.neurons.model import NeuronModel
from spikern.neurons.surrogate import SURROGATES, Surrogate

T = TypeVar("T")
PerLayer: TypeAlias = T | Sequence[T]
"""One value for all layers, or a list or tuple of one value per layer."""


def number_of_layers(num_layers: int | None, **settings: object) -> int:
    """The number of layers: as given, else the length of the settings that are lists, else 1.

    Raises InputError if these differ.

    >>> number_of_layers(None, hidden_size=[64, 256])
    2
    """
    lengths = {name: len(s) for name, s in settings.items() if isinstance(s, (list, tuple))}
    given = lengths if num_layers is None else {"num_layers": num_layers} | lengths
    if len(set(given.values())) > 1:
        counts = ", ".join(
            f"{name} {number}" if name == "num_layers" else f"{name} of {number} values"
            for name, number in given.items()
        )
        raise InputError(f"expected one value per layer, got {counts}")
    return next(iter(given.values()), 1)


def per_layer(
    value: Any, layers: int, read: Callable[[Any], Any] = lambda value: value
) -> tuple[Any, ...]:
    """The value of every layer, each as `read` returns it.

    >>> per_layer("LIF", 2), per_layer(["LIF", "ALIF"], 2)
    (('LIF', 'LIF'), ('LIF', 'ALIF'))
    """
    if isinstance(value, (list, tuple)):
        return tuple(map(read, value))
    return (read(value),) * layers


def shared(values: tuple[T, ...]) -> T | tuple[T, ...]:
    """The inverse of `per_layer`: the value if all layers have the same."""
    return values[0] if all(value == values[0] for value in values) else values


def check_sizes(dt: float, input_power: float, **sizes: int) -> None:
    """Raise InputError for a size that is not whole and 1 or more; dt, input_power not above 0."""
    check_counts(**sizes)
    check_numbers(dt=dt, input_power=input_power)
    for name, value in [("dt", dt), ("input_power", input_power)]:
        if not 0 < value < math.inf:
            raise InputError(f"{name} must be above 0 and finite, got {value}")


def check_spikes(neuron: NeuronModel, recurrent: bool, feedback: bool) -> None:
    """Raise InputError if a neuron that never fires is to send spikes."""
    for connection, exists in [("recurrent", recurrent), ("fed back", feedback)]:
        if exists and not neuron.spikes:
            raise InputError(f"{neuron.name} never fires, so it cannot be {connection}")


def check_one_kind(neurons: Sequence[NeuronModel], surrogates: Sequence[Surrogate]) -> None:
    """Raise InputError unless layers with feedback, one population, are of one kind."""
    kinds = {(n.step, n.params, n.state, s.key) for n, s in zip(neurons, surrogates)}
    if len(kinds) > 1:
        found = ", ".join(f"{n.name} with {s.name}" for n, s in zip(neurons, surrogates))
        raise InputError(
            f"a network with feedback is one population, whose layers have one neuron and one "
            f"surrogate, got {found}"
        )


EQUATION = ("step", "params", "state", "spikes")
"""What the name of a neuron stands for; its constants may be others."""


def check_names(neurons: Sequence[NeuronModel], surrogates: Sequence[Surrogate]) -> None:
    """Raise InputError for different neurons, or surrogates, of one name: files tell them by it."""
    own = [surrogate for surrogate in surrogates if not surrogate.is_built_in]
    neuron_parts = [(n.name, tuple(getattr(n, part) for part in EQUATION)) for n in neurons]
    surrogate_parts = [(s.name, s.key) for s in own]
    for kind, named in (("neurons", neuron_parts), ("surrogates", surrogate_parts)):
        known: dict[str, object] = {}
        for name, what in named:
            if known.setdefault(name, what) != what:
                raise InputError(
                    f"two different {kind} are called {name}, and files tell them by their names; "
                    f"rename one, as in replace({name}, name='{name}2')"
                )


UNITS = ("RNN", "GRU", "LSTM", "linear", "mean", "delta", "memory")
"""The names of what is no neuron and is counted and priced by its name."""


def neuron_by_name(neuron: str | NeuronModel) -> NeuronModel:
    """Return the neuron of a name in NEURONS, or the neuron itself.

    Raises InputError for a neuron of one's own that has the name of another: files tell neurons
    by their names.
    """
    if isinstance(neuron, NeuronModel):
        if neuron.name in UNITS:
            raise InputError(f"a neuron cannot be called {neuron.name}, as other units are counted")
        known = NEURONS.get(neuron.name, neuron)
        if any(getattr(neuron, part) != getattr(known, part) for part in EQUATION):
            raise InputError(
                f"there is another neuron {neuron.name} in NEURONS; give yours a name of its own, "
                f"such as replace(neuron, name='My{neuron.name}')"
            )
        return neuron
    if not isinstance(neuron, str):
        raise InputError(f"expected a NeuronModel, or a name in NEURONS, got {neuron!r:.60}")
    return NEURONS[neuron]


def surrogate_by_name(surrogate: str | Surrogate) -> Surrogate:
    """Return the surrogate of a name in SURROGATES, or the surrogate itself."""
    if isinstance(surrogate, Surrogate):
        return surrogate
    if not isinstance(surrogate, str):
        hint = "; call it, as in SURROGATES['arctan']()" if callable(surrogate) else ""
        raise InputError(
            f"expected a Surrogate, or a name in SURROGATES, got {surrogate!r:.60}{hint}"
        )
    return SURROGATES[surrogate]()
