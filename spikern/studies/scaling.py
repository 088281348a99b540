"""How an error falls with size: two laws, fitted, with intervals, and what they predict beyond.

    power law                 y = c + a x^-b
    smoothly broken power law y = c + a x^-b (1 + (x / d)^(1/f))^(-g f)

y > 0 falls with growth x > 0 (parameters, operations): an error, or bits per character. A broken
law has slope b before d and b + g after it; f says how gradually one becomes the other. Neither
slope is fitted below zero, so no law says that growth does harm.

Source: Caballero et al. 2022, arXiv 2210.14891, with one break. Fits are least squares of log y, so
that every size counts by its relative error. Intervals are percentiles over refits to seeds drawn
anew with replacement, at every size apart: they hold the noise of the seeds, not the doubt about
the law, and with few seeds they are somewhat too narrow.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from spikern._utils.choices import check_choice
from spikern._utils.errors import InputError
from spikern._utils.numbers import check_counts

Array = NDArray[np.float64]
Law = Literal["power", "broken"]
PARAMETERS: dict[str, tuple[str, ...]] = {"power": "abc", "broken": "abcdfg"}  # type: ignore[dict-item]
"""The letters of each law."""
NEEDED: dict[Law, int] = {"power": 4, "broken": 12}
"""Sizes that a fit of each law needs: a break is seen only where both of its sides are."""
EXPONENTS = (0.2, 0.8)
FLOORS = (1e-3, 0.7)
BREAKS = (0.25, 0.5, 0.75)
BENDS = (0.0, 0.7)
"""Where fits start: b; c as a share of the smallest y; d within the sizes; g."""
SEED = 0
PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True, eq=False)
class Fit:
    """A law fitted to sizes x and the means y over seeds.

    parameters  the letters of the law's equation
    intervals   of each letter, 95 %, by bootstrap
    error       root mean square of log y - log fit: 0.1 is about 10 %
    """

    law: Law
    x: list[float]
    y: list[float]
    parameters: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    error: float
    resampled: Array
    """The raw parameters of every refit, (refits, letters)."""
    scale: float
    """Geometric mean of the sizes, in which the raw parameters measure x."""

    @property
    def measured(self) -> tuple[float, float]:
        """The smallest and the largest size."""
        return min(self.x), max(self.x)

    @property
    def aicc(self) -> float:
        """Akaike's corrected criterion, by which of two laws of one data set the lower is better.

        Infinite where there are too few sizes to judge so many letters, minus infinite where the
        law meets every mean.
        """
        n, k = len(self.x), len(self.parameters) + 1
        if n < k + 2:
            return math.inf
        if self.error == 0:
            return -math.inf
        return 2 * n * math.log(self.error) + 2 * k + 2 * k * (k + 1) / (n - k - 1)


class Predicted(NamedTuple):
    """What a fit says of a size; `kind` is "measured range" or, beyond it, "prediction"."""

    x: float
    y: float
    low: float
    high: float
    kind: Literal["measured range", "prediction"]


def fit(
    x: Sequence[float], y: Sequence[Sequence[float]], law: Law = "power", refits: int = 400
) -> Fit:
    """Fit a law to sizes x and, for each, the values of its seeds y[k].

    A power law needs 4 sizes, a broken one 12. Raises InputError for fewer, for less than 3 seeds
    at a size, for values that are not positive and finite, or for no refits.

    >>> sizes = [1e3, 2e3, 4e3, 8e3, 16e3]
    >>> found = fit(sizes, [[0.1 + 20 * n**-0.7] * 3 for n in sizes], refits=10)
    >>> {name: round(value, 3) for name, value in found.parameters.items()}
    {'a': 20.0, 'b': 0.7, 'c': 0.1}
    """
    check_choice("law", law, PARAMETERS)
    check_counts(refits=refits)
    sizes = np.asarray(x, dtype=float)
    _check(sizes, y, law)
    scale = float(np.exp(np.log(sizes).mean()))
    u = np.log(sizes / scale)
    seeds = [np.asarray(values, dtype=float) for values in y]
    means = np.array([values.mean() for values in seeds])
    found = [_descend(law, u, means, start) for start in _starts(law, u, means)]
    raw, error = min(found, key=lambda one: one[1])
    rng = np.random.default_rng(SEED)
    resampled = np.empty((refits, len(raw)))
    for k in range(refits):
        drawn = np.array([rng.choice(values, len(values)).mean() for values in seeds])
        resampled[k], _ = _descend(law, u, drawn, raw)
    letters = np.array([list(_letters(law, one, scale).values()) for one in resampled])
    low, high = np.percentile(letters, PERCENTILES, axis=0)
    return Fit(
        law,
        sizes.tolist(),
        means.tolist(),
        _letters(law, raw, scale),
        {name: (float(low[k]), float(high[k])) for k, name in enumerate(PARAMETERS[law])},
        error,
        resampled,
        scale,
    )


def can_fit(x: Sequence[float], y: Sequence[Sequence[float]], law: Law) -> bool:
    """Whether `fit` takes these sizes and values.

    >>> can_fit([1e3, 2e3, 4e3], [[0.1] * 3] * 3, "power")
    False
    """
    try:
        _check(np.asarray(x, dtype=float), y, law)
    except InputError:
        return False
    return True


def predict(fitted: Fit, x: Sequence[float]) -> list[Predicted]:
    """What a fit says of sizes, with 95 % intervals; beyond the measured ones it is a prediction.

    Raises InputError for a size that is not positive.
    """
    sizes = np.asarray(x, dtype=float)
    if not ((sizes > 0) & np.isfinite(sizes)).all():
        raise InputError(f"sizes are positive numbers, got {list(x)}")
    u = np.log(sizes / fitted.scale)
    middle = evaluate(fitted.law, fitted.parameters, sizes)
    all_refits = np.exp([_log_law(fitted.law, raw, u) for raw in fitted.resampled])
    low, high = np.percentile(all_refits, PERCENTILES, axis=0)
    smallest, largest = fitted.measured
    return [
        Predicted(
            float(size), float(y), float(lower), float(higher),
            "measured range" if smallest <= size <= largest else "prediction",
        )
        for size, y, lower, higher in zip(sizes, middle, low, high)
    ]  # fmt: skip


def evaluate(law: Law, parameters: dict[str, float], x: Sequence[float] | Array) -> Array:
    """The law's equation, from its letters.

    >>> evaluate("power", {"a": 8.0, "b": 1.0, "c": 1.0}, [2.0, 4.0]).tolist()
    [5.0, 3.0]
    """
    p, sizes = parameters, np.asarray(x, dtype=float)
    falling = p["a"] * sizes ** -p["b"]
    if law == "broken":
        bend = np.logaddexp(0.0, np.log(sizes / p["d"]) / p["f"])
        falling = falling * np.exp(-p["g"] * p["f"] * bend)
    return np.asarray(p["c"] + falling)


def _check(sizes: Array, y: Sequence[Sequence[float]], law: Law) -> None:
    needed = NEEDED[law]
    distinct = len(np.unique(sizes))
    if distinct < needed or len(y) != len(sizes) or distinct < len(sizes):
        raise InputError(
            f"a {law} law needs {needed} different sizes or more and the seeds of each, "
            f"got {distinct} different of {len(sizes)} sizes and seeds of {len(y)}"
        )
    if min(len(values) for values in y) < 3:
        fewest = min(len(values) for values in y)
        raise InputError(f"a fit needs 3 seeds or more at every size, got {fewest}")
    values = np.concatenate([sizes, *(np.asarray(v, dtype=float) for v in y)])
    if not ((values > 0) & np.isfinite(values)).all():
        wrong = values[~((values > 0) & np.isfinite(values))][0]
        raise InputError(f"a fit needs sizes and errors above 0 and finite, got {wrong:g}")


def _log_law(law: Law, raw: Array, u: Array) -> Array:
    """log y; raw is (log a, b, log c) and (log d, log f, b + g), a and d in units of the scale."""
    falling = raw[0] - raw[1] * u
    if law == "broken":
        f = math.exp(raw[4])
        falling = falling - (raw[5] - raw[1]) * f * np.logaddexp(0.0, (u - raw[3]) / f)
    return np.asarray(np.logaddexp(raw[2], falling))


def _letters(law: Law, raw: Array, scale: float) -> dict[str, float]:
    found = {"a": math.exp(raw[0]) * scale ** raw[1], "b": raw[1], "c": math.exp(raw[2])}
    if law == "broken":
        found |= {"d": scale * math.exp(raw[3]), "f": math.exp(raw[4]), "g": raw[5] - raw[1]}
    return {name: float(value) for name, value in found.items()}


def _bounds(law: Law, u: Array, y: Array) -> tuple[Array, Array]:
    smallest = math.log(y.min())
    low, high = [smallest - 20, 0.0, smallest - 20], [math.log(y.max()) + 20, 10.0, smallest + 0.1]
    if law == "broken":
        low += [float(u.min()), math.log(0.05), 0.0]
        high += [float(u.max()), math.log(3.0), 10.0]
    return np.array(low), np.array(high)


def _starts(law: Law, u: Array, y: Array) -> list[Array]:
    made = []
    smallest, middle = math.log(y.min()), float(np.log(y).mean())
    for b, floor in itertools.product(EXPONENTS, FLOORS):
        start = [middle, b, smallest + math.log(floor)]
        if law == "power":
            made.append(np.array(start))
            continue
        for where, bend in itertools.product(BREAKS, BENDS):
            d = float(u.min() + where * (u.max() - u.min()))
            made.append(np.array([*start, d, math.log(0.3), b + bend]))
    return made


def _descend(law: Law, u: Array, y: Array, start: Array) -> tuple[Array, float]:
    """The nearest best fit and its root mean square error in log y."""
    low, high = _bounds(law, u, y)
    wanted = np.log(y)
    found: Any = least_squares(
        lambda raw: _log_law(law, raw, u) - wanted,
        np.clip(start, low + 1e-6, high - 1e-6),
        bounds=(low, high),
        x_scale="jac",
        ftol=1e-10,
        xtol=1e-10,
    )
    return found.x, float(np.sqrt(np.mean(found.fun**2)))
