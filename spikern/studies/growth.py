"""How a loss falls with parameters and data together: one law, fitted, with what follows from it.

    L(N, D) = E + A / N^a + B / D^b,      D = U (1 + r (1 - exp(-(k - 1) / r)))

N parameters, trained for k epochs on U different samples, which count as D samples: what is seen
again counts less each time, and never more than r times. E is what no network of this kind comes
below, A / N^a what the size and B / D^b what the data leave.

Sources: the law and its fit are of Hoffmann et al. 2022, arXiv 2203.15556: the sum over runs of
Huber's loss of log L - log fit, with delta = 0.001, over a grid of starts. Repeated data are
counted as by Muennighoff et al. 2023, arXiv 2305.16264, with r fitted here to the same runs.
Intervals, of 95 %, are percentiles over refits to runs drawn anew with replacement, in every cell
apart. They hold the noise of the seeds, and of few seeds too little of it; not the choice of the
test samples, which all runs share, nor the doubt about the law.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from spikern._utils.errors import InputError
from spikern.studies.scaling import PERCENTILES, SEED

Array = NDArray[np.float64]
LETTERS = ("E", "A", "a", "B", "b", "r")
DELTA = 1e-3
"""Where Huber's loss of log L goes from square to straight."""
EXPONENTS = (0.2, 0.5, 1.0)
FLOORS = (0.3, 0.9)
REPEATS = (2.0, 15.0)
"""Where fits start: a and b; E as a share of the smallest loss; r."""


class Cell(NamedTuple):
    """The runs of one size on one amount of data."""

    parameters: float
    samples: float
    epochs: Sequence[float]
    """Of every run, up to the weights that it keeps."""
    losses: Sequence[float]


class Estimate(NamedTuple):
    """A number that follows from a fit, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Surface:
    """A law fitted to cells.

    parameters  the letters of the equation
    error       root mean square of log L - log fit over runs: 0.01 is about 1 %
    resampled   the letters of every refit, (refits, 6)
    """

    parameters: dict[str, float]
    error: float
    resampled: Array

    def letters(self) -> Array:
        """The letters of the fit, then of every refit, (1 + refits, 6)."""
        own = [self.parameters[name] for name in LETTERS]
        return np.concatenate([[own], self.resampled])


def fit(cells: Sequence[Cell], refits: int = 200) -> Surface:
    """Fit the law to the runs of at least three sizes on three amounts of data.

    Raises InputError for fewer, for cells whose runs do not have an epoch and a loss each, or for
    numbers that are not positive and finite.

    >>> truth = (1.5, 30.0, 0.5, 400.0, 0.6, 1e6)
    >>> cells = [
    ...     Cell(n, d, [1] * 3, [loss(truth, n, d)] * 3)
    ...     for n in (1e3, 4e3, 16e3, 64e3)
    ...     for d in (1e3, 1e4, 1e5, 1e6)
    ... ]
    >>> found = fit(cells, refits=2).parameters
    >>> {name: round(found[name], 2) for name in "Eab"}
    {'E': 1.5, 'a': 0.5, 'b': 0.6}
    """
    _check(cells)
    units = (
        math.exp(np.mean([math.log(cell.parameters) for cell in cells])),
        math.exp(np.mean([math.log(cell.samples) for cell in cells])),
    )
    points = _points(cells, units)
    raw = _best(_starts(points), points)
    generator = np.random.default_rng(SEED)
    resampled = []
    for _ in range(refits):
        drawn = []
        for cell in cells:
            k = generator.integers(len(cell.losses), size=len(cell.losses))
            drawn.append(
                cell._replace(
                    epochs=np.take(cell.epochs, k).tolist(), losses=np.take(cell.losses, k).tolist()
                )
            )
        again = _points(drawn, units)
        near = [raw, *(np.array([floor, *raw[1:]]) for floor in _floors(again))]
        resampled.append(_letters(_best(near, again), units))
    rest = _log_loss(raw, points)[0] - points[-1]
    return Surface(
        dict(zip(LETTERS, map(float, _letters(raw, units)))),
        float(np.sqrt(np.mean(rest**2))),
        np.reshape(resampled, (-1, len(LETTERS))),
    )


def loss(letters: Sequence[float] | Array, n: float, samples: float, epochs: float = 1.0) -> float:
    """The law's equation, from its letters in the order of LETTERS.

    >>> loss((1.0, 8.0, 1.0, 6.0, 1.0, 10.0), 4.0, 2.0)
    6.0
    """
    floor, of_size, a, of_data, b, r = letters
    seen = samples * (1 - r * math.expm1(-(epochs - 1) / r))
    return float(floor + of_size * n**-a + of_data * seen**-b)


def predict(fitted: Surface, n: float, samples: float, epochs: float = 1.0) -> Estimate:
    """The loss of n parameters, trained for a number of epochs on a number of different samples.

    Raises InputError for sizes that are not positive and finite, or for less than one epoch.
    """
    _check_numbers(n, samples, epochs=[epochs])
    return _estimate([loss(letters, n, samples, epochs) for letters in fitted.letters()])


def compute_exponent(fitted: Surface) -> Estimate:
    """By which power of the compute N D the best size grows: b / (a + b).

    Above a half a network wants parameters more than data, below it data more than parameters.
    """
    return _estimate([letters[4] / (letters[2] + letters[4]) for letters in fitted.letters()])


def equivalent_size(
    fitted: Surface, reached: Sequence[float], samples: float, epochs: float
) -> Estimate:
    """The parameters with which a network of this law reaches on so much data what others reached.

    `reached` are the losses of the others' runs, whose mean counts; they are drawn anew too, one
    draw for each refit. Infinite where it is reached with no number of parameters. Raises
    InputError without losses, or for numbers as in `predict`.

    >>> law = Surface(dict(zip(LETTERS, (1.0, 8.0, 1.0, 6.0, 1.0, 9.0))), 0.0, np.zeros((0, 6)))
    >>> equivalent_size(law, [5.5, 6.5], 2.0, 1.0).value
    4.0
    """
    if not len(reached):
        raise InputError("expected the losses of one run or more, got none")
    _check_numbers(samples, *reached, epochs=[epochs])
    generator = np.random.default_rng(SEED)
    draws = generator.choice(reached, (len(fitted.resampled), len(reached)))
    found = []
    for letters, runs in zip(fitted.letters(), [reached, *draws]):
        left = float(np.mean(runs)) - loss(letters, math.inf, samples, epochs)
        found.append(math.inf if left <= 0 else (letters[1] / left) ** (1 / letters[2]))
    return _estimate(found)


def _estimate(values: Sequence[float]) -> Estimate:
    """The value of the fit, and percentiles over the refits."""
    own, *others = values
    low, high = np.percentile(others or [own], PERCENTILES, method="nearest")
    return Estimate(float(own), float(low), float(high))


def _check(cells: Sequence[Cell]) -> None:
    sizes, amounts = ({cell[k] for cell in cells} for k in (0, 1))
    if min(len(sizes), len(amounts)) < 3:
        raise InputError(
            "a law of growth needs three sizes and three amounts of data or more, "
            f"got {len(sizes)} and {len(amounts)}"
        )
    for cell in cells:
        if not len(cell.losses) == len(cell.epochs) > 0:
            raise InputError(
                f"every run has an epoch and a loss; the cell of {cell.parameters:g} parameters "
                f"and {cell.samples:g} samples has {len(cell.epochs)} and {len(cell.losses)}"
            )
        _check_numbers(cell.parameters, cell.samples, *cell.losses, epochs=cell.epochs)


def _check_numbers(*positive: float, epochs: Sequence[float] = ()) -> None:
    numbers, passes = np.array(positive, dtype=float), np.array(epochs, dtype=float)
    if not (
        (np.isfinite(numbers) & (numbers > 0)).all() and (np.isfinite(passes) & (passes >= 1)).all()
    ):
        raise InputError(
            "parameters, samples and losses are positive and finite, epochs at least 1 and finite, "
            f"got {numbers.tolist()} and epochs {passes.tolist()}"
        )


def _points(cells: Sequence[Cell], units: tuple[float, float]) -> tuple[Array, ...]:
    """Of every run log N and log U in their units, k - 1, and log L."""
    rows = [
        (math.log(cell.parameters / units[0]), math.log(cell.samples / units[1]), epochs - 1, value)
        for cell in cells
        for epochs, value in zip(cell.epochs, cell.losses)
    ]
    n, d, again, losses = np.array(rows, dtype=float).T
    return n, d, again, np.log(losses)


def _log_loss(raw: Array, points: tuple[Array, ...]) -> tuple[Array, Array]:
    """log L at every point, and its gradient by raw, (log E, log A, a, log B, b, log r)."""
    n, d, again, _ = points
    floor, of_size, a, of_data, b, log_r = raw
    r = math.exp(log_r)
    left = np.exp(-again / r)
    seen = 1 + r * (1 - left)
    log_d = d + np.log(seen)
    terms = np.stack([np.full_like(n, floor), of_size - a * n, of_data - b * log_d])
    total = np.logaddexp.reduce(terms, axis=0)
    share = np.exp(terms - total)
    of_r = -b * r * (1 - left - again / r * left) / seen
    slopes = np.stack(
        [share[0], share[1], -n * share[1], share[2], -log_d * share[2], of_r * share[2]]
    )
    return total, slopes


def _descend(start: Array, points: tuple[Array, ...]) -> tuple[Array, float]:
    """The nearest best fit, and its summed Huber loss."""

    def objective(raw: Array) -> tuple[float, Array]:
        total, slopes = _log_loss(raw, points)
        rest = total - points[-1]
        inside = np.abs(rest) <= DELTA
        value = np.where(inside, rest**2 / 2, DELTA * (np.abs(rest) - DELTA / 2)).sum()
        pull = np.clip(rest, -DELTA, DELTA)
        # in units of delta, or the tolerances of the solver would end it early
        return float(value / DELTA), slopes @ pull / DELTA

    highest = float(points[-1].max())
    bounds = [
        (highest - 20, float(points[-1].min())), (highest - 20, highest + 10), (0.0, 3.0),
        (highest - 20, highest + 10), (0.0, 3.0), (math.log(0.1), math.log(1e4)),
    ]  # fmt: skip
    options = {"maxiter": 2_000, "maxfun": 20_000, "ftol": 1e-12, "gtol": 1e-9}
    found = minimize(objective, start, method="L-BFGS-B", jac=True, bounds=bounds, options=options)
    return np.asarray(found.x), float(found.fun)


def _best(starts: Sequence[Array], points: tuple[Array, ...]) -> Array:
    """The best fit that is found from any of the starts."""
    return min((_descend(start, points) for start in starts), key=itemgetter(1))[0]


def _floors(points: tuple[Array, ...]) -> list[float]:
    """Where log E starts."""
    return [float(points[-1].min()) + math.log(share) for share in FLOORS]


def _starts(points: tuple[Array, ...]) -> list[Array]:
    middle = float(points[-1].mean())
    return [
        np.array([floor, middle - 1, a, middle - 1, b, math.log(r)])
        for a, b, floor, r in itertools.product(EXPONENTS, EXPONENTS, _floors(points), REPEATS)
    ]


def _letters(raw: Array, units: tuple[float, float]) -> Array:
    floor, of_size, a, of_data, b, log_r = raw
    return np.array(
        [
            math.exp(floor), math.exp(of_size) * units[0] ** a, a,
            math.exp(of_data) * units[1] ** b, b, math.exp(log_r),
        ]
    )  # fmt: skip
