"""What a neuron is: one step function, its constants, and the form that a step must have.

Shape letters used everywhere: T steps, B samples, F input features, H neurons, L layers, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from spikern._utils.display import table_of_fields
from spikern._utils.errors import InputError
from spikern.neurons.constants import Constant

Fire = Callable[[Tensor], Tensor]
"""Turns the distance to threshold u = v - v_th into spikes."""
Params = Any
"""A NamedTuple of per-neuron constants, one field per symbol of the equation, each (H,)."""
State = Any
"""A NamedTuple of what a neuron carries to the next step, each (B, H); spiking ones hold z."""
Step = Callable[[Params, State, Tensor, Fire], tuple[State, Tensor]]
"""One time step: (params, state, input current, fire) -> (next state, output)."""


@table_of_fields
@dataclass(frozen=True)
class NeuronModel:
    """A neuron: one pure step function and the constants that it needs.

    `params` and `state` are NamedTuple classes; `constants` says for every field of
    `params` how it is drawn and constrained. `spikes` is False for a neuron that never fires.
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
        if not self.constants:
            raise InputError(
                f"{self.name}: a neuron has a constant at least, such as its threshold: "
                f"positive('v_th', 1.0)"
            )
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
        if not self.state._fields:
            raise InputError(f"{self.name}: the state of a neuron has a field at least, such as v")
        if "delay_buffer" in self.state._fields:
            raise InputError(
                f"{self.name}: delays of axons keep the field delay_buffer; choose another name"
            )
        symbols = []
        for field, constant in self.constants.items():
            if not isinstance(constant, Constant):
                raise InputError(
                    f"{self.name}: '{field}' needs a constant such as positive('{field}', 1.0), "
                    f"got {constant!r}"
                )
            for value in (*constant.values, *(constant.span or ())):
                if condition := constant.violation(value):
                    raise InputError(f"{constant.symbol} must be {condition}, got {value}")
            symbols.append(constant.symbol)
        if len(set(symbols)) < len(symbols):
            raise InputError(
                f"{self.name}: every constant needs a symbol of its own: {', '.join(symbols)}"
            )

    def with_constants(self, **mean: Any) -> NeuronModel:
        """The same neuron with other mean constants, by symbol, time constants in ms.

        Several values (a list, array or tensor) are those of the neurons, one each.

        >>> from spikern.neurons import LIF
        >>> LIF.with_constants(tau_mem=5.0).constants["alpha_mem"].mean
        5.0
        """
        model = self
        for symbol, value in mean.items():
            model = model.with_constant(symbol, mean=value)
        return model

    def with_constant(self, symbol: str, **changes: Any) -> NeuronModel:
        """The same neuron with another `mean`, `spread`, `span` or `trainable` of one constant.

        A mean takes the place of a span, unless both are given.

        >>> from spikern.neurons import BRF
        >>> BRF.with_constant("omega", span=(0.15, 0.5)).constants["omega"].span
        (0.15, 0.5)
        """
        fields = {c.symbol: field for field, c in self.constants.items()}
        if symbol not in fields:
            raise InputError(f"{self.name} has no constant '{symbol}'; it has {', '.join(fields)}")
        if "mean" in changes:
            changes = {"span": None} | changes
        changed = replace(self.constants[fields[symbol]], **changes)
        return replace(self, constants={**self.constants, fields[symbol]: changed})

    def frozen(self) -> NeuronModel:
        """The same neuron with no trainable constant.

        >>> from spikern.neurons import LIF
        >>> any(c.trainable for c in LIF.frozen().constants.values())
        False
        """
        fixed = {k: replace(c, trainable=False) for k, c in self.constants.items()}
        return replace(self, constants=fixed)


SAMPLES = 2
EXAMPLE = 0.5
"""Value of every state field and of the current; scaling a 0 in place would go unnoticed."""


def check_step(model: NeuronModel, params: Params) -> None:
    """Call the step once, with params (H,) and 2 samples; an InputError says what is wrong.

    It must return the next state, of the neuron's own type, and an output, each (2, H) in the
    dtype of params; call `fire` if the neuron spikes; and change none of its arguments.
    """
    name = f"the step of {model.name}"
    params = model.params(*(p.detach() for p in params))
    like, fields = params[0], model.state._fields
    shape = (SAMPLES, len(like))
    state = model.state(*(like.new_full(shape, EXAMPLE) for _ in fields))
    current = like.new_full(shape, EXAMPLE)
    arguments = {
        **{f"p.{field}": value for field, value in zip(params._fields, params)},
        **{f"s.{field}": value for field, value in zip(fields, state)},
        "the current": current,
    }
    for what, value in arguments.items():
        if not bool(torch.isfinite(value).all()):
            raise InputError(
                f"{model.name}: {what} is not finite; its constants may be out of their range"
            )
    before = {what: value.clone() for what, value in arguments.items()}
    asked: list[Tensor] = []

    def fire(u: Tensor) -> Tensor:
        asked.append(u)
        return (u > 0).to(u.dtype)

    try:
        with torch.no_grad():
            returned = model.step(params, state, current, fire)
    except RuntimeError as error:
        raise InputError(
            f"{name} fails on {SAMPLES} samples of {len(like)} neurons: {error}; use elementwise "
            "torch operations, and torch.where in place of an if"
        ) from error
    if model.spikes and not asked:
        raise InputError(f"{name} never calls fire; a spiking neuron has z = fire(v - p.v_th)")
    if not (
        type(returned) is tuple and len(returned) == 2 and isinstance(returned[0], model.state)
    ):
        raise InputError(
            f"{name} must return two things, a {model.state.__name__} and the output, "
            f"got {_described(returned)}"
        )
    following, out = returned
    for what, value in [*zip(fields, following), ("the output", out)]:
        if not isinstance(value, Tensor) or (value.shape, value.dtype) != (shape, like.dtype):
            raise InputError(
                f"{name} makes {what} {_described(value)}, expected {shape} {like.dtype}"
            )
    for what, value in arguments.items():
        if not torch.equal(value, before[what]):
            raise InputError(
                f"{name} changes {what} in place; make a new tensor, x = x + y rather than "
                "x += y or x.add_(y)"
            )


def _described(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {value.dtype}"
    if type(value) is tuple:
        return f"({', '.join(type(v).__name__ for v in value)})"
    return type(value).__name__


def zero_state(model: NeuronModel, shape: tuple[int, ...], like: Tensor) -> object:
    """The state of a neuron before its first step: all zero."""
    return model.state(*(like.new_zeros(shape) for _ in model.state._fields))
