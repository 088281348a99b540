"""Surrogate gradients: a smooth stand-in for the derivative of the spike.

A spike is z = [u > 0], u the distance to threshold. Its derivative is replaced by
`derivative(u)`; `primitive` is the smooth function with that derivative, with which the tests make
a whole network differentiable. `support` is the half width outside which the derivative is zero,
infinite for some; figures shade it. Kernels look at the derivative itself, and skip what is zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor

from spikern._utils.choices import Choices
from spikern._utils.display import table_of_fields
from spikern._utils.errors import InputError
from spikern._utils.fingerprint import fingerprint
from spikern._utils.numbers import check_numbers
from spikern.neurons.model import Fire


@table_of_fields
@dataclass(frozen=True)
class Surrogate:
    """A named surrogate: primitive, derivative, half width of its support, source."""

    name: str
    primitive: Callable[[Tensor], Tensor] = field(repr=False)
    derivative: Callable[[Tensor], Tensor] = field(repr=False)
    support: float
    source: str = field(repr=False)
    scale: float = 1.0
    settings: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in ("primitive", "derivative"):
            if not callable(getattr(self, name)):
                raise InputError(f"{name} must be a function, got {getattr(self, name)!r:.60}")
        check_numbers(support=self.support)
        if not self.support > 0:
            raise InputError(f"the support of a surrogate must be above 0, got {self.support}")

    @property
    def key(self) -> Hashable:
        """What the surrogate computes: equal for two surrogates that compute the same."""
        return self.name, fingerprint(self.primitive), fingerprint(self.derivative), self.support

    @property
    def is_built_in(self) -> bool:
        """Whether it is what SURROGATES makes of its name and settings."""
        return not self._own()

    def _own(self) -> dict[str, Any]:
        """The fields that are not those of the built-in of its name and settings."""
        try:
            base = SURROGATES[self.name](*self.settings)
        except (KeyError, TypeError, InputError):
            base = None
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            name: value
            for name, value in own.items()
            if base is None or fingerprint(value) != fingerprint(getattr(base, name))
        }

    def __reduce__(self) -> tuple[Any, ...]:
        """Functions of a built-in, which cannot be pickled, are made anew."""
        return _assembled, (self.name, self.settings, self._own())


def _assembled(name: str, settings: tuple[float, ...], own: dict[str, Any]) -> Surrogate:
    """The surrogate that was pickled, from the fields that are its own."""
    if len(own) == len(fields(Surrogate)):
        return Surrogate(**own)
    return replace(SURROGATES[name](*settings), **own)


class _Spike(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(u: Tensor, surrogate: Surrogate) -> Tensor:
        return (u > 0).to(u.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Surrogate], output: Tensor) -> None:
        u, ctx.surrogate = inputs
        ctx.save_for_backward(u)
        ctx.save_for_forward(u)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None]:
        (u,) = ctx.saved_tensors
        return grad[0] * ctx.surrogate.derivative(u), None


class _SpikeWithTangent(_Spike):
    """The same in forward mode too, which torch.compile cannot take."""

    @staticmethod
    def jvp(ctx: Any, *tangent: Tensor) -> Tensor:
        (u,) = ctx.saved_tensors
        return tangent[0] * ctx.surrogate.derivative(u)  # type: ignore[no-any-return]


def spike(surrogate: Surrogate) -> Fire:
    """The Heaviside step, strictly above threshold, with the surrogate's derivative.

    >>> spike(triangular())(torch.tensor([-0.1, 0.0, 0.1]))
    tensor([0., 0., 1.])
    """

    def fire(u: Tensor) -> Tensor:
        function = _Spike if torch.compiler.is_compiling() else _SpikeWithTangent
        return function.apply(u, surrogate)  # type: ignore[no-any-return,no-untyped-call]

    return fire


def triangular(width: float = 1.0, scale: float = 0.7) -> Surrogate:
    """scale/width * max(0, 1 - |u|/width): Bellec et al. 2018, arXiv 1803.09574, scale 0.3 there.

    >>> triangular(scale=1.0).derivative(torch.tensor([0.0, 0.5, 2.0]))
    tensor([1.0000, 0.5000, 0.0000])
    """
    _check_positive(width=width, scale=scale)

    def derivative(u: Tensor) -> Tensor:
        return (1.0 - u.abs() * (1.0 / width)).clamp(min=0.0) * (scale / width)

    def primitive(u: Tensor) -> Tensor:
        x = (u / width).clamp(-1.0, 1.0)
        return scale * (0.5 + x - 0.5 * x * x.abs())

    return Surrogate(
        "triangular", primitive, derivative, width, "arXiv 1803.09574", scale, (width, scale)
    )


def boxcar(width: float = 0.5, scale: float = 1.0) -> Surrogate:
    """scale/(2 width) where |u| < width: Wu et al. 2018, doi 10.3389/fnins.2018.00331."""
    _check_positive(width=width, scale=scale)

    def derivative(u: Tensor) -> Tensor:
        inside = u.abs() < width
        return torch.where(inside, torch.full_like(u, 0.5 * scale / width), torch.zeros_like(u))

    def primitive(u: Tensor) -> Tensor:
        return scale * (0.5 + 0.5 * (u / width).clamp(-1.0, 1.0))

    return Surrogate(
        "boxcar", primitive, derivative, width, "10.3389/fnins.2018.00331", scale, (width, scale)
    )


def quadratic(width: float = 1.0, scale: float = 1.0) -> Surrogate:
    """3 scale/(4 width) * max(0, 1 - (u/width)^2): Epanechnikov's kernel, smooth at its peak."""
    _check_positive(width=width, scale=scale)

    def derivative(u: Tensor) -> Tensor:
        x = u * (1.0 / width)
        return (1.0 - x * x).clamp(min=0.0) * (0.75 * scale / width)

    def primitive(u: Tensor) -> Tensor:
        x = (u / width).clamp(-1.0, 1.0)
        return scale * (0.5 + 0.75 * x - 0.25 * x * x * x)

    return Surrogate(
        "quadratic", primitive, derivative, width, "Epanechnikov 1969", scale, (width, scale)
    )


def fast_sigmoid(slope: float = 10.0, scale: float = 1.0) -> Surrogate:
    """scale/(1 + slope |u|)^2: Zenke & Ganguli 2018, arXiv 1705.11146."""
    _check_positive(slope=slope, scale=scale)

    def derivative(u: Tensor) -> Tensor:
        x = 1.0 + slope * u.abs()
        return scale / (x * x)

    def primitive(u: Tensor) -> Tensor:
        return scale * u / (1.0 + slope * u.abs())

    return Surrogate(
        "fast_sigmoid", primitive, derivative, math.inf, "arXiv 1705.11146", scale, (slope, scale)
    )


def arctan(alpha: float = 2.0, scale: float = 1.0) -> Surrogate:
    """scale * alpha/2 / (1 + (pi/2 alpha u)^2): Fang et al. 2021, arXiv 2007.05785."""
    _check_positive(alpha=alpha, scale=scale)

    def derivative(u: Tensor) -> Tensor:
        x = (0.5 * math.pi * alpha) * u
        return (0.5 * alpha * scale) / (1.0 + x * x)

    def primitive(u: Tensor) -> Tensor:
        return scale * (0.5 + torch.atan((0.5 * math.pi * alpha) * u) / math.pi)

    return Surrogate(
        "arctan", primitive, derivative, math.inf, "arXiv 2007.05785", scale, (alpha, scale)
    )


def gaussian(sigma: float = 0.5, scale: float = 1.0) -> Surrogate:
    """scale * Normal(u; 0, sigma)."""
    _check_positive(sigma=sigma, scale=scale)

    def derivative(u: Tensor) -> Tensor:
        return scale * _normal(u, 0.0, sigma)

    def primitive(u: Tensor) -> Tensor:
        return scale * _normal_cdf(u, 0.0, sigma)

    return Surrogate(
        "gaussian", primitive, derivative, math.inf, "arXiv 2103.12593", scale, (sigma, scale)
    )


def multi_gaussian(
    h: float = 0.15, s: float = 6.0, sigma: float = 0.5, scale: float = 0.5
) -> Surrogate:
    """scale [(1+h) N(u;0,sigma) - h N(u;sigma,s sigma) - h N(u;-sigma,s sigma)].

    Yin, Corradi & Bohté 2021, arXiv 2103.12593.
    """
    _check_positive(h=h, s=s, sigma=sigma, scale=scale)

    def mix(f: Callable[[Tensor, float, float], Tensor], u: Tensor) -> Tensor:
        wide = f(u, sigma, s * sigma) + f(u, -sigma, s * sigma)
        return scale * ((1.0 + h) * f(u, 0.0, sigma) - h * wide)

    return Surrogate(
        "multi_gaussian",
        lambda u: mix(_normal_cdf, u),
        lambda u: mix(_normal, u),
        math.inf,
        "arXiv 2103.12593",
        scale,
        (h, s, sigma, scale),
    )


def sigmoid(slope: float = 25.0, scale: float = 1.0) -> Surrogate:
    """scale * slope e/(1 + e)^2, e = exp(-slope |u|): the logistic function's derivative."""
    _check_positive(slope=slope, scale=scale)

    def derivative(u: Tensor) -> Tensor:
        e = torch.exp(-slope * u.abs())
        return (scale * slope) * e / ((1.0 + e) * (1.0 + e))

    def primitive(u: Tensor) -> Tensor:
        return scale * torch.sigmoid(slope * u)

    return Surrogate(
        "sigmoid", primitive, derivative, math.inf, "logistic function", scale, (slope, scale)
    )


def straight_through(scale: float = 1.0) -> Surrogate:
    """scale, for every u: Bengio et al. 2013, arXiv 1308.3432."""
    _check_positive(scale=scale)

    def derivative(u: Tensor) -> Tensor:
        return torch.full_like(u, scale)

    def primitive(u: Tensor) -> Tensor:
        return scale * u

    return Surrogate(
        "straight_through", primitive, derivative, math.inf, "arXiv 1308.3432", scale, (scale,)
    )


def _normal(u: Tensor, mean: float, sigma: float) -> Tensor:
    x = (u - mean) * (1.0 / sigma)
    return torch.exp(-0.5 * x * x) * (1.0 / (sigma * math.sqrt(2.0 * math.pi)))


def _normal_cdf(u: Tensor, mean: float, sigma: float) -> Tensor:
    return 0.5 + 0.5 * torch.erf((u - mean) / (sigma * math.sqrt(2.0)))


def _check_positive(**settings: float) -> None:
    check_numbers(**settings)
    for name, value in settings.items():
        if not 0 < value < math.inf:
            raise InputError(f"the {name} of a surrogate must be above 0 and finite, got {value}")


SURROGATES: Choices[Callable[..., Surrogate]] = Choices(
    "surrogate",
    {
        "triangular": triangular,
        "boxcar": boxcar,
        "quadratic": quadratic,
        "fast_sigmoid": fast_sigmoid,
        "arctan": arctan,
        "gaussian": gaussian,
        "multi_gaussian": multi_gaussian,
        "sigmoid": sigmoid,
        "straight_through": straight_through,
    },
)
