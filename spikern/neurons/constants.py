"""Per-neuron constants: what the user sets, what is trained, what the equation reads.

    what the user sets    symbol, e.g. tau_mem in ms
    what is trained       raw, unconstrained, named raw_<symbol>
    what `step` reads     the field of params, e.g. alpha_mem = exp(-dt / tau_mem)

The constraint is smooth and lives here alone, outside `step`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from spikern._utils.choices import check_choice
from spikern._utils.errors import InputError
from spikern._utils.numbers import check_numbers

Kind = Literal["decay", "frequency", "steps", "positive", "between", "real"]
RESERVED = ("self", "index")
"""Words that `with_constants` and `set_constants` need themselves."""
MARGIN = 1e-3
"""Share of its bound by which a trained field stays below it."""
UNITS: dict[Kind, str] = {"decay": "ms", "steps": "ms", "frequency": "1/ms"}
"""The units in which the user sets constants; others are pure numbers or have the unit of v."""


@dataclass(frozen=True)
class Constant:
    """A constant of every neuron, drawn at random around a mean, trained or fixed.

    decay      raw = log tau,       field = exp(-dt / tau)       tau and dt in ms
    frequency  raw = log value,     field = value dt             value in 1/ms
    steps      raw = log time,      field = round(time / dt)     time in ms, never trained
    positive   raw = log value,     field = value
    between    raw = logit value,   field = value                low < value < high
    real       raw = value,         field = value

    logit value is log((value - low) / (high - value)). raw is drawn from a normal distribution
    around the raw form of the mean, with standard deviation `spread`, which is relative where raw
    is a logarithm. With a spread of 1.5 a value between bounds is almost uniform. With a `span` the
    value itself is drawn uniformly between its two ends instead. A `mean` of several values (a
    tuple, list, array or tensor) has one per neuron; these are taken as they are. A field of kind
    "frequency" may have a bound `below`, from which on the equation has no meaning.
    """

    symbol: str
    mean: float | tuple[float, ...]
    spread: float = 0.0
    trainable: bool = True
    kind: Kind = "decay"
    low: float = 0.0
    high: float = math.inf
    span: tuple[float, float] | None = None
    below: float = math.inf

    def __post_init__(self) -> None:
        check_choice("kind of constant", self.kind, get_args(Kind))
        check_numbers(**{f"the spread of {self.symbol}": self.spread})
        if not 0 <= self.spread < math.inf:
            raise InputError(
                f"expected the spread of {self.symbol} as 0 or more and finite, got {self.spread}"
            )
        object.__setattr__(self, "spread", float(self.spread))
        if not (isinstance(self.symbol, str) and self.symbol.isidentifier()) or (
            self.symbol in RESERVED
        ):
            raise InputError(
                f"a symbol is a word such as tau_mem, and none of {', '.join(RESERVED)}; got "
                f"{self.symbol!r:.60}"
            )
        if self.kind == "steps" and self.trainable:
            raise InputError(
                f"{self.symbol} is a number of steps, which has no gradient; make it with steps(), "
                f"or with trainable=False"
            )
        if self.kind == "between" and not -math.inf < self.low < self.high < math.inf:
            raise InputError(
                f"expected bounds of {self.symbol} that are finite, the lower first, got "
                f"{self.low} and {self.high}"
            )
        if self.span is not None:
            object.__setattr__(self, "span", _ends(self.symbol, self.span))
        number = isinstance(self.below, int | float) and self.below > 0
        if not number or (self.below < math.inf and self.kind != "frequency"):
            raise InputError(
                f"{self.symbol}: below= is a bound above 0 of a constant made by frequency(), got "
                f"{self.below!r} of kind '{self.kind}'"
            )
        if not isinstance(self.mean, int | float):
            try:
                values = torch.as_tensor(self.mean, dtype=torch.float64)
            except (TypeError, ValueError, RuntimeError):
                raise InputError(
                    f"{self.symbol} must be one number, or one per neuron, got {self.mean!r:.60}"
                ) from None
            if values.ndim > 1:
                raise InputError(
                    f"{self.symbol} must be one value, or one per neuron, got {tuple(values.shape)}"
                )
            mean = tuple(values.tolist()) if values.ndim else values.item()
            object.__setattr__(self, "mean", mean)

    @property
    def values(self) -> tuple[float, ...]:
        """What the user set: one value, or one per neuron."""
        return self.mean if isinstance(self.mean, tuple) else (self.mean,)

    def violation(self, value: float) -> str:
        """The condition that a value violates, in words; empty if it violates none.

        >>> between("share", 0.5, 0.0, 1.0).violation(2.0)
        'between 0 and 1'
        """
        if self.kind == "real":
            return "" if math.isfinite(value) else "finite"
        if self.low < value < self.high:
            return ""
        if self.high == math.inf:
            return "finite, such as 1e5" if value == math.inf else f"above {self.low:g}"
        return f"between {self.low:g} and {self.high:g}"

    def draw(self, size: int, dt: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
        """Raw values for `size` neurons; InputError where a field at `dt` is not below its bound.

        >>> Constant("tau_mem", 20.0).draw(2).exp().round()
        tensor([20., 20.])
        """
        if self.span is not None:
            low, high = self.span
            drawn = self.raw(low + (high - low) * torch.rand(size, generator=generator))
        elif isinstance(self.mean, tuple):
            drawn = self.centre(size)
        else:
            centre = self.centre(size)[0].item()
            drawn = centre + self.spread * torch.randn(size, generator=generator)
        self.check_below(self.value(drawn), dt)
        return drawn

    def check_below(self, value: Tensor, dt: float) -> None:
        """Raise InputError for a value whose field is not below its bound."""
        if bool((value * dt >= self.below).any()):
            raise InputError(
                f"{self.symbol} must stay below {self.below / dt:g} at dt = {dt:g}, got "
                f"{value.max():g}; lower its mean or spread, or dt, and call keep_stable after "
                f"every update in a loop of one's own"
            )

    def centre(self, size: int) -> Tensor:
        """The raw form of the mean for `size` neurons, float64."""
        if isinstance(self.mean, tuple) and len(self.mean) != size:
            raise InputError(
                f"{self.symbol} has {len(self.values)} values for {size} neurons; give one "
                f"value, or one per neuron"
            )
        return self.raw(torch.tensor(self.values, dtype=torch.float64)).expand(size)

    def raw(self, value: Tensor) -> Tensor:
        """The raw form of a value: the inverse of `value`."""
        if self.kind == "real":
            return value
        if self.kind == "between":
            return ((value - self.low) / (self.high - value)).log()
        return value.log()

    def value(self, raw: Tensor) -> Tensor:
        """What the user reads: tau in ms, or the value itself."""
        if self.kind == "real":
            return raw
        if self.kind == "between":
            return self.low + (self.high - self.low) * torch.sigmoid(raw)
        return raw.exp()

    def field(self, raw: Tensor, dt: float) -> Tensor:
        """What the equation reads.

        >>> decay("tau_mem", 20.0).field(torch.tensor([20.0]).log(), dt=1.0)
        tensor([0.9512])
        >>> frequency("omega", 0.1).field(torch.tensor([0.1]).log(), dt=2.0)
        tensor([0.2000])
        >>> steps("t_ref", 2.0).field(torch.tensor([2.0]).log(), dt=0.1)
        tensor([20.])
        """
        value = self.value(raw)
        if self.kind == "decay":
            return torch.exp(-dt / value)
        if self.kind == "frequency":
            return value * dt
        return torch.round(value / dt) if self.kind == "steps" else value

    def keep_below(self, raw: Tensor, dt: float) -> None:
        """Move raw values in place to where the field is below its bound.

        >>> omega = frequency("omega", 0.1, below=1.0)
        >>> raw = torch.tensor([0.1, 7.0]).log()
        >>> omega.keep_below(raw, dt=2.0)
        >>> omega.field(raw, dt=2.0)
        tensor([0.2000, 0.9990])
        """
        if self.below < math.inf:
            with torch.no_grad():
                raw.clamp_(max=math.log((1 - MARGIN) * self.below / dt))


def _ends(symbol: str, span: Any) -> tuple[float, float]:
    """The two ends of a span as numbers."""
    try:
        low, high = map(float, span)
    except (TypeError, ValueError):
        raise InputError(
            f"expected the span of {symbol} as two numbers, got {span!r:.60}"
        ) from None
    return low, high


def decay(symbol: str, tau: float, spread: float = 0.0, trainable: bool = True) -> Constant:
    """alpha = exp(-dt / tau), tau in ms."""
    return Constant(symbol, tau, spread, trainable, "decay")


def frequency(
    symbol: str,
    value: float,
    spread: float = 0.0,
    trainable: bool = True,
    below: float = math.inf,
) -> Constant:
    """A rate in 1/ms, which the equation reads as its share per step; `fit` keeps that `below`.

    An angular frequency omega in rad/ms is 2 pi / (period in ms).
    """
    return Constant(symbol, value, spread, trainable, "frequency", below=below)


def steps(symbol: str, time: float, spread: float = 0.0) -> Constant:
    """A time in ms as the nearest number of steps; never trained, since it has no gradient."""
    return Constant(symbol, time, spread, False, "steps")


def positive(symbol: str, value: float, spread: float = 0.0, trainable: bool = False) -> Constant:
    """A constant that stays above zero, such as a threshold."""
    return Constant(symbol, value, spread, trainable, "positive")


def between(
    symbol: str, value: float, low: float, high: float, spread: float = 0.0, trainable: bool = True
) -> Constant:
    """A constant that stays between two bounds.

    >>> between("share", 0.25, 0.0, 1.0).value(torch.tensor([-100.0, 0.0, 100.0]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    return Constant(symbol, value, spread, trainable, "between", low, high)


def real(symbol: str, value: float, spread: float = 0.0, trainable: bool = False) -> Constant:
    """A constant of any sign."""
    return Constant(symbol, value, spread, trainable, "real")
