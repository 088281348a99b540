"""Per-neuron constants: what the user sets, what is trained, what the equation reads.

    what the user sets    symbol, e.g. tau_mem in ms
    what is trained       raw, unconstrained, named raw_<symbol>
    what `step` reads     the field of params, e.g. alpha_mem = exp(-dt / tau_mem)

The constraint is smooth and lives here alone, outside `step`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Kind = Literal["decay", "positive", "real"]


@dataclass(frozen=True)
class Constant:
    """A constant of every neuron, drawn at random around a mean, trained or fixed.

    decay     raw = log tau,   field = exp(-dt / tau)   tau and dt in ms
    positive  raw = log value, field = value
    real      raw = value,     field = value

    raw is Normal: about log mean with standard deviation `spread` (so spread is relative) for
    decay and positive, about mean for real.
    """

    symbol: str
    mean: float
    spread: float = 0.0
    trainable: bool = True
    kind: Kind = "decay"

    def draw(self, size: int, generator: torch.Generator | None = None) -> Tensor:
        """Raw values for `size` neurons.

        >>> Constant("tau_mem", 20.0).draw(2).exp().round()
        tensor([20., 20.])
        """
        centre = self.mean if self.kind == "real" else math.log(self.mean)
        return centre + self.spread * torch.randn(size, generator=generator)

    def value(self, raw: Tensor) -> Tensor:
        """What the user reads: tau in ms, or the value itself."""
        return raw if self.kind == "real" else raw.exp()

    def field(self, raw: Tensor, dt: float) -> Tensor:
        """What the equation reads.

        >>> decay("tau_mem", 20.0).field(torch.tensor([20.0]).log(), dt=1.0)
        tensor([0.9512])
        """
        value = self.value(raw)
        return torch.exp(-dt / value) if self.kind == "decay" else value


def decay(symbol: str, tau: float, spread: float = 0.0, trainable: bool = True) -> Constant:
    """alpha = exp(-dt / tau), tau in ms."""
    return Constant(symbol, tau, spread, trainable, "decay")


def positive(symbol: str, value: float, spread: float = 0.0, trainable: bool = False) -> Constant:
    """A constant that stays above zero, such as a threshold."""
    return Constant(symbol, value, spread, trainable, "positive")


def real(symbol: str, value: float, spread: float = 0.0, trainable: bool = False) -> Constant:
    """A constant of any sign."""
    return Constant(symbol, value, spread, trainable, "real")
