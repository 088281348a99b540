"""Figures of studies, in the manner of `spikern.plot`: each draws on an axis and returns it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

from spikern.plot import MUTED, PERCENT, Look, tidy
from spikern.statistics import mean, summary
from spikern.study.growth import Fit, predict

Curves = Mapping[str, Mapping[float, Sequence[float]]]
"""For every model, by level (a delay, a noise, a size): the values of the seeds."""
COLUMNS = 3
"""Panels of a figure in a row."""


def panels(number: int) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels, in rows.

    >>> len(panels(4)[1])
    4
    """
    rows = -(-number // COLUMNS)
    figure = Figure(figsize=(4.4 * COLUMNS, 3.6 * rows), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False).flatten()
    for spare in axes[number:]:
        spare.remove()
    return figure, list(axes[:number])


def levels(axis: Axes, curves: Curves, looks: Mapping[str, Look], xlabel: str) -> Axes:
    """Mean accuracy and its 95 % interval against a level, a line a model.

    >>> from matplotlib.figure import Figure
    >>> looks = {"LIF": Look("#0b62a8", "o", "-")}
    >>> curves = {"LIF": {10: [0.8, 0.9], 20: [0.6, 0.7]}}
    >>> levels(Figure().add_subplot(), curves, looks, "delay (ms)").get_ylabel()
    'test accuracy'
    """
    for model, curve in curves.items():
        look = looks[model]
        x = sorted(curve)
        middle = np.array([mean(curve[level]) for level in x])
        found = [summary(curve[level])["ci95"] or (m, m) for level, m in zip(x, middle)]
        low, high = np.array(found).T
        axis.fill_between(x, low, high, color=look.colour, alpha=0.12, lw=0)
        axis.plot(x, middle, look.line, marker=look.marker, color=look.colour, label=model)
    axis.set(xlabel=xlabel, ylabel="test accuracy")
    axis.yaxis.set_major_formatter(PERCENT)
    axis.legend(frameon=False)
    return tidy(axis)


def frontier(
    axis: Axes, points: Mapping[str, Sequence[tuple[float, float]]], looks: Mapping[str, Look]
) -> Axes:
    """Accuracy against operations per inference; the undominated points of a model are joined.

    `points` has (operations, accuracy) of each setting of a model.
    """
    for model, found in points.items():
        look = looks[model]
        x, y = np.array(found).T
        axis.plot(x, y, look.marker, color=look.colour, alpha=0.4, ms=4)
        best_x, best_y = np.array(undominated(found)).T
        axis.plot(best_x, best_y, look.line, marker=look.marker, color=look.colour, label=model)
    axis.set(xlabel="operations per inference", ylabel="test accuracy", xscale="log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0)))
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(PERCENT)
    axis.legend(frameon=False)
    return tidy(axis)


def undominated(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points (cost, gain) that no other beats in both, by cost.

    >>> undominated([(3, 0.9), (1, 0.7), (2, 0.6), (4, 0.9)])
    [(1, 0.7), (3, 0.9)]
    """
    best: list[tuple[float, float]] = []
    for cost, gain in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or gain > best[-1][1]:
            best.append((cost, gain))
    return best


def growth(axis: Axes, name: str, fit: Fit, look: Look, beyond: float = 4.0) -> Axes:
    """A fitted law with its interval; beyond the measured sizes dotted, as a prediction."""
    low, high = fit.measured
    axis.plot(fit.x, fit.y, look.marker, color=look.colour, label=name)
    for start, end, line, said in (
        (low, high, look.line, None),
        (high, high * beyond, ":", "prediction"),
    ):
        found = predict(fit, np.geomspace(start, end, 60).tolist())
        x = [p.x for p in found]
        axis.plot(x, [p.y for p in found], line, color=look.colour)
        bounds: Any = [p.low for p in found], [p.high for p in found]
        axis.fill_between(x, *bounds, color=look.colour, alpha=0.12, lw=0)
        if said:
            axis.annotate(said, (x[-1], found[-1].y), color=MUTED, ha="right", va="bottom")
    axis.set(xscale="log", yscale="log")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter("{x:g}")
    axis.legend(frameon=False)
    return tidy(axis)
