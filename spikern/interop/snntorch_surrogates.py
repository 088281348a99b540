"""Conversion of snnTorch's surrogates, recognised by the function that made them, and back.

snntorch.surrogate returns closures: `fast_sigmoid(slope=25)` is a function `inner` that holds
`slope`. Its module and qualified name identify the surrogate, its closure holds the settings.
Nothing is guessed from values.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor

from spikern._utils.errors import UnsupportedError
from spikern._utils.packages import require
from spikern.neurons.surrogate import SURROGATES, Surrogate

KNOWN: dict[str, tuple[str, str | None]] = {
    "fast_sigmoid": ("fast_sigmoid", "slope"),
    "atan": ("arctan", "alpha"),
    "sigmoid": ("sigmoid", "slope"),
    "straight_through_estimator": ("straight_through", None),
}
"""The equal here of a surrogate of snnTorch, and the setting that both have."""
REFUSED: dict[str, str] = {
    "triangular": "its derivative is +threshold below the threshold and -threshold above it",
    "heaviside": "its derivative is the spike itself, zero below the threshold",
    "spike_rate_escape": "its derivative is centred a unit above the threshold",
    "SSO": "its derivative is random",
    "LSO": "it raises a TypeError as soon as it is called",
    "SFS": "its derivative is cut off on one side",
    "custom_surrogate": "what it computes is in a function of yours",
}
"""Why a surrogate of snnTorch has no equal in SURROGATES."""


def surrogate_from_snntorch(spike_grad: Callable[..., Any]) -> Surrogate:
    """Return the entry of SURROGATES with the derivative of a snntorch.surrogate function.

    Raises UnsupportedError for a function that has no equal here.

    >>> from snntorch import surrogate
    >>> surrogate_from_snntorch(surrogate.atan(alpha=2.0))
    Surrogate(name='arctan', support=inf, scale=1.0, settings=(2.0, 1.0))
    """
    module = getattr(spike_grad, "__module__", "")
    name = getattr(spike_grad, "__qualname__", repr(spike_grad))
    theirs = name.removesuffix(".<locals>.inner")
    if module != "snntorch.surrogate" or theirs == name:
        raise UnsupportedError(
            f"spike_grad {name} is not made by snntorch.surrogate; use one of "
            f"{', '.join(KNOWN)}, or write it as a spikern.neurons.surrogate.Surrogate"
        )
    closed = inspect.getclosurevars(spike_grad).nonlocals
    if theirs == "custom_surrogate":
        ours = closed["func"]
        if isinstance(ours, partial) and ours.func is _gradient:
            return ours.args[0]  # type: ignore[no-any-return]
    if theirs not in KNOWN:
        reason = REFUSED.get(theirs, "unknown")
        raise UnsupportedError(
            f"surrogate {theirs} has no equal here ({reason}); use one of {', '.join(KNOWN)}"
        )
    name, setting = KNOWN[theirs]
    return SURROGATES[name](**({setting: float(closed[setting])} if setting else {}))


def surrogate_to_snntorch(surrogate: Surrogate) -> Callable[..., Any]:
    """Return the snntorch.surrogate function with the derivative of a surrogate.

    It is the namesake if snnTorch has one, else a `custom_surrogate` with the derivative.
    """
    theirs = require("snntorch.surrogate", "snntorch")
    for name, (ours, setting) in KNOWN.items():
        if surrogate.is_built_in and surrogate.name == ours and surrogate.scale == 1.0:
            value = {setting: surrogate.settings[0]} if setting else {}
            return getattr(theirs, name)(**value)  # type: ignore[no-any-return]
    return theirs.custom_surrogate(partial(_gradient, surrogate))  # type: ignore[no-any-return]


def _gradient(surrogate: Surrogate, u: Tensor, grad: Tensor, z: Tensor) -> Tensor:
    """Return the gradient that passes a surrogate, as `custom_surrogate` calls it."""
    return grad * surrogate.derivative(u)
