"""Figures of studies: accuracy against operations, disturbances and size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

from spikern.plot.comparison import Look, looks
from spikern.plot.style import MUTED, PERCENT, tidy
from spikern.studies import results
from spikern.studies.scaling import Fit, can_fit, fit, predict
from spikern.studies.statistics import mean, summary

Curves = Mapping[str, Mapping[float, Sequence[float]]]
"""By model and level (a delay, a noise, a size): the values of the seeds."""
COLUMNS = 3
"""Panels in a row of a figure."""


def panels(number: int) -> tuple[Figure, list[Axes]]:
    """A figure with this many panels in rows.

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
    """Mean accuracy and its 95 % interval, clipped to 0..1, against the level, a line per model.

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
        bounds = [summary(curve[level])["ci95"] or (m, m) for level, m in zip(x, middle)]
        low, high = np.clip(bounds, 0.0, 1.0).T
        axis.fill_between(x, low, high, color=look.colour, alpha=0.12, lw=0)
        axis.plot(x, middle, look.line, marker=look.marker, color=look.colour, label=model)
    axis.set(xlabel=xlabel, ylabel="test accuracy")
    axis.yaxis.set_major_formatter(PERCENT)
    axis.legend(frameon=False)
    return tidy(axis)


def frontier(
    axis: Axes, points: Mapping[str, Sequence[tuple[float, float]]], looks: Mapping[str, Look]
) -> Axes:
    """Accuracy against operations per inference; lines join the Pareto-optimal points of a model.

    `points` has (operations, accuracy) of every setting, by model.
    """
    for model, settings in points.items():
        look = looks[model]
        x, y = np.array(settings).T
        axis.plot(x, y, look.marker, color=look.colour, alpha=0.4, ms=4)
        best_x, best_y = np.array(pareto_optimal(settings)).T
        axis.plot(best_x, best_y, look.line, marker=look.marker, color=look.colour, label=model)
    axis.set(xlabel="operations per inference", ylabel="test accuracy", xscale="log")
    low, high = axis.get_xlim()  # over more than a decade the labels of 2 and 3 would touch
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > 10 * low else (1, 2, 3, 5)))
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(PERCENT)
    axis.legend(frameon=False)
    return tidy(axis)


def pareto_optimal(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points (cost, gain) that no other point beats in both, by cost.

    >>> pareto_optimal([(3, 0.9), (1, 0.7), (2, 0.6), (4, 0.9)])
    [(1, 0.7), (3, 0.9)]
    """
    best: list[tuple[float, float]] = []
    for cost, gain in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or gain > best[-1][1]:
            best.append((cost, gain))
    return best


def growth(axis: Axes, name: str, fit: Fit, look: Look, beyond: float = 4.0) -> Axes:
    """A fitted law with its interval; the prediction beyond the measured sizes is dotted."""
    low, high = fit.measured
    measured(axis, name, fit.x, fit.y, look)
    for start, end, line in ((low, high, look.line), (high, high * beyond, ":")):
        points = predict(fit, np.geomspace(start, end, 60).tolist())
        x = [p.x for p in points]
        axis.plot(x, [p.y for p in points], line, color=look.colour)
        bounds: Any = [p.low for p in points], [p.high for p in points]
        axis.fill_between(x, *bounds, color=look.colour, alpha=0.12, lw=0)
    axis.annotate("prediction", (x[-1], points[-1].y), color=MUTED, ha="right", va="bottom")
    return tidy(axis)


def measured(axis: Axes, name: str, x: Sequence[float], y: Sequence[float], look: Look) -> Axes:
    """What was measured at some sizes, both axes logarithmic."""
    axis.plot(x, y, look.marker, color=look.colour, label=name)
    axis.set(xscale="log", yscale="log")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter("{x:g}")
    axis.legend(frameon=False)
    return tidy(axis)


AXES = {
    "input noise": "noise on the input (deviations)",
    "dropped events": "share of dropped events",
    "weights": "noise on the weights (deviations)",
}
"""The axis label of every disturbance."""
SIZES = {"parameters": "parameters", "operations": "AC and MAC of one inference"}
"""The axis label of every measure of size."""


def drawn(part: dict[str, Any]) -> Figure:
    """The panels of a data set: frontier, robustness, and growth where it was measured."""
    names = list(part["runs"][0]["robustness"])
    shown: list[Callable[..., Axes]] = [
        part_frontier,
        *(partial(_robust, name=name) for name in names),
    ]
    if part["growth"]:
        shown += [partial(_growth, against=against) for against in results.AXES]
    figure, axes = panels(len(shown))
    look = looks_of([part])
    for axis, panel in zip(axes, shown):
        panel(axis, part, look)
    for axis in axes[1:]:
        if legend := axis.get_legend():
            legend.remove()  # the legend of the first panel has all models
    return figure


def looks_of(parts: Sequence[dict[str, Any]]) -> dict[str, Look]:
    """The looks of all models of some parts."""
    runs = {
        run["model"]: {"name": run["model"], "kind": run["kind"]}
        for part in parts
        for run in part["runs"]
    }
    return looks(list(runs.values()))


def part_frontier(axis: Axes, part: dict[str, Any], look: dict[str, Look]) -> Axes:
    """Test accuracy against AC and MAC per inference, for every run and penalty.

    Where the seeds take several data sets in turn, which are not equally hard, a point is the mean.
    """
    settings: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for kind in ("runs", "frontier"):
        for run in part[kind]:
            own = () if part["plan"].get("turns") else (run["seed"],)
            key = (kind, run["model"], run["rate_penalty"], *own)
            settings.setdefault(key, []).append(run)
    points: dict[str, list[tuple[float, float]]] = {}
    for runs in settings.values():
        operations = sum(results.per_inference(runs, kind) for kind in ("ac", "mac"))
        accuracy = mean(results.independent(runs, "test_accuracy"))
        points.setdefault(runs[0]["model"], []).append((operations, accuracy))
    return frontier(axis, points, look)


def _robust(axis: Axes, part: dict[str, Any], look: dict[str, Look], name: str) -> Axes:
    """Test accuracy of every model against the level of a disturbance."""

    def reached(runs: Sequence[dict[str, Any]], k: int) -> list[float]:
        at_level = [run | {"reached": run["robustness"][name][k][1]} for run in runs]
        return results.independent(at_level, "reached")

    curves = {
        model: {level: reached(runs, k) for k, (level, _) in enumerate(runs[0]["robustness"][name])}
        for model, runs in results.by_model(part["runs"]).items()
    }
    return levels(axis, curves, look, AXES[name])


def _growth(axis: Axes, part: dict[str, Any], look: dict[str, Look], against: results.Axis) -> Axes:
    """Error against size, with the fitted power law and its prediction."""
    for model, (sizes, errors) in results.errors_by_size(part, against).items():
        if can_fit(sizes, errors, "power"):
            growth(axis, model, fit(sizes, errors), look[model], results.BEYOND)
        else:
            measured(axis, model, sizes, [mean(seeds) for seeds in errors], look[model])
    bits = part["plan"]["measure"] == "bits"
    axis.set(xlabel=SIZES[against], ylabel="bits per answer" if bits else "1 - test accuracy")
    return axis
