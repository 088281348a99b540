"""The vocabulary of the package: what a neuron is, what a state is, what can go wrong.

Shape letters used everywhere: T steps, B samples, F input features, H neurons, L layers, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from spikern.constants import Constant

Fire = Callable[[Tensor], Tensor]
"""Turns the distance to threshold u = v - v_th into spikes."""

Params = Any
"""A NamedTuple of per-neuron constants, one field per symbol of the equation, each (H,)."""

State = Any
"""A NamedTuple of what a neuron carries to the next step, each (B, H); spiking ones hold z."""

Step = Callable[[Params, State, Tensor, Fire], tuple[State, Tensor]]
"""One time step: (params, state, input current, fire) -> (next state, output)."""


class SpikernError(Exception):
    """Anything that the user can mend; the message says what came and what to do."""


class InputError(SpikernError, ValueError):
    """A wrong shape, dtype, value or name at a boundary."""


class DataError(SpikernError, OSError):
    """A data or result file that is missing, corrupt, or would be overwritten."""


class DivergedError(SpikernError, ArithmeticError):
    """Training produced a loss or gradient that is not finite."""


class UnsupportedError(SpikernError, TypeError):
    """An engine or the counter was given something that it does not know."""


@dataclass(frozen=True)
class NeuronModel:
    """A neuron: one pure step function and the constants that it needs.

    `params` and `state` are NamedTuple classes; `constants` says for every field of
    `params` how it is drawn and constrained. `spikes` is False for a readout.
    """

    name: str
    step: Step
    params: type[Any]
    state: type[Any]
    constants: Mapping[str, Constant]
    source: str
    spikes: bool = True

    def __post_init__(self) -> None:
        for what, kind in [("params", self.params), ("state", self.state)]:
            if not hasattr(kind, "_fields"):
                raise InputError(f"{self.name}: {what} must be a NamedTuple class, got {kind}")
        missing = set(self.params._fields) ^ set(self.constants)
        if missing:
            raise InputError(
                f"{self.name}: constants must name exactly the fields of "
                f"{self.params.__name__}; these differ: {sorted(missing)}"
            )
        if self.spikes and "z" not in self.state._fields:
            raise InputError(
                f"{self.name}: the state of a spiking neuron needs a field 'z', the last spikes"
            )
        symbols = []
        for field, constant in self.constants.items():
            if not isinstance(constant, Constant):
                raise InputError(
                    f"{self.name}: '{field}' needs a constant such as positive('{field}', 1.0), "
                    f"got {constant!r}"
                )
            wanted = constant.permits(constant.mean)
            if wanted:
                raise InputError(f"{constant.symbol} must be {wanted}, got {constant.mean}")
            symbols.append(constant.symbol)
        if len(set(symbols)) < len(symbols):
            raise InputError(
                f"{self.name}: every constant needs a symbol of its own: {', '.join(symbols)}"
            )

    def with_constants(self, **mean: float) -> NeuronModel:
        """The same neuron with other mean constants, by symbol, time constants in ms.

        >>> from spikern.neurons import LIF
        >>> LIF.with_constants(tau_mem=5.0).constants["alpha_mem"].mean
        5.0
        """
        symbols = {c.symbol: field for field, c in self.constants.items()}
        changed = dict(self.constants)
        for symbol, value in mean.items():
            if symbol not in symbols:
                raise InputError(
                    f"{self.name} has no constant '{symbol}'; it has {', '.join(symbols)}"
                )
            field = symbols[symbol]
            changed[field] = replace(changed[field], mean=value)
        return replace(self, constants=changed)

    def frozen(self) -> NeuronModel:
        """The same neuron with no trainable constant.

        >>> from spikern.neurons import LIF
        >>> any(c.trainable for c in LIF.frozen().constants.values())
        False
        """
        fixed = {k: replace(c, trainable=False) for k, c in self.constants.items()}
        return replace(self, constants=fixed)
