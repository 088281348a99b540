"""Figures: every function draws on an axis that it is given, and returns it.

Colours are told apart with any colour vision and in print; the kind of a model shows in its
marker and line too: spiking round and solid, standard square and dashed.

>>> from matplotlib.figure import Figure
>>> raster(Figure().add_subplot(), np.eye(5)).get_xlabel()
'step'
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike

COLOURS = {
    "ink": "#1b2330",
    "muted": "#5c6675",
    "grid": "#dde1e7",
    "blue": "#0b62a8",
    "teal": "#0a7d62",
    "violet": "#6b4fbb",
    "rust": "#c0440e",
    "ochre": "#8a6500",
    "magenta": "#a62f78",
}
INK, MUTED, GRID = (COLOURS[name] for name in ("ink", "muted", "grid"))
SPIKING = [COLOURS[name] for name in ("blue", "teal", "violet")]
STANDARD = [COLOURS[name] for name in ("ochre", "magenta", "rust")]
CLASSES = [COLOURS[name] for name in ("blue", "rust", "teal", "violet", "ochre", "magenta")]
PERCENT = FuncFormatter(lambda fraction, _: f"{round(100 * fraction, 3):g}%")
OPERATIONS = {
    "accumulates (AC)": ("o", COLOURS["blue"]),
    "multiply-accumulates (MAC)": ("s", COLOURS["rust"]),
    "neuron updates": ("D", COLOURS["violet"]),
}


class Look(NamedTuple):
    """How a model is drawn in every figure."""

    colour: str
    marker: str
    line: str


def looks(models: Sequence[dict[str, Any]]) -> dict[str, Look]:
    """A look for every model of results.json, by name."""
    spiking = [m["name"] for m in models if m["kind"] == "spiking"]
    standard = [m["name"] for m in models if m["kind"] == "standard"]
    return {name: Look(SPIKING[k % len(SPIKING)], "o", "-") for k, name in enumerate(spiking)} | {
        name: Look(STANDARD[k % len(STANDARD)], "s", "--") for k, name in enumerate(standard)
    }


def raster(axis: Axes, spikes: ArrayLike, colour: str = INK) -> Axes:
    """A tick for every nonzero entry of spikes (T, H); one path, so that its SVG stays small."""
    z = np.asarray(spikes)
    steps, neurons = np.nonzero(z)
    ends = np.empty((2 * len(steps), 2))
    ends[0::2] = np.stack([steps, neurons - 0.45], 1)
    ends[1::2] = np.stack([steps, neurons + 0.45], 1)
    codes = np.tile([Path.MOVETO, Path.LINETO], len(steps))
    width = float(np.clip(400 / len(z), 0.7, 2.0))
    axis.add_patch(PathPatch(Path(ends, codes), edgecolor=colour, facecolor="none", lw=width))
    axis.set(xlim=(-0.5, len(z) - 0.5), ylim=(-0.5, z.shape[1] - 0.5))
    axis.set(xlabel="step", ylabel="neuron")
    axis.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    return tidy(axis)


def rates(axis: Axes, spikes: ArrayLike, colour: str = SPIKING[0]) -> Axes:
    """The fraction of neurons that fire at every step of spikes (T, H)."""
    fraction = np.asarray(spikes).mean(1)
    axis.fill_between(np.arange(len(fraction)), fraction, step="mid", color=colour, lw=0)
    axis.set(xlim=(-0.5, len(fraction) - 0.5), xlabel="step", ylabel="neurons firing")
    axis.set_ylim(bottom=0.0)
    axis.yaxis.set_major_formatter(PERCENT)
    return tidy(axis)


def traces(
    axis: Axes, values: ArrayLike, names: Sequence[str], highlight: Sequence[int] = ()
) -> Axes:
    """Lines over the steps of values (T, N), named at their ends; all in colour, or a few."""
    v = np.asarray(values)
    chosen = list(highlight) or list(range(v.shape[1]))
    for k in sorted(set(range(v.shape[1])) - set(chosen)):
        axis.plot(v[:, k], color=MUTED, lw=0.7, alpha=0.45)
    colours = {k: CLASSES[n % len(CLASSES)] for n, k in enumerate(chosen)}
    for k in chosen:
        axis.plot(v[:, k], color=colours[k], lw=1.6)
    axis.set(xlim=(-0.5, len(v) - 0.5), xlabel="step")
    axis.yaxis.set_major_locator(MaxNLocator(3))
    ends = [(names[k], float(v[-1, k]), colours[k]) for k in chosen]
    return tidy(_name_at_right(axis, ends))


def accuracy_against_energy(axis: Axes, models: Sequence[dict[str, Any]], table: str) -> Axes:
    """Test accuracy with its interval against the energy estimate by `table` (marker).

    The horizontal bar goes from the lowest to the highest estimate, a tick for every table that
    prices the model.
    """
    look, labels = looks(models), []
    for model in models:
        estimates = [1e-12 * pj for pj in model["energy_pj"].values() if pj]
        if not estimates:
            continue
        y, colour = model["test_accuracy"]["mean"], look[model["name"]].colour
        axis.plot(sorted(estimates), [y] * len(estimates), color=colour, lw=1.2, marker="|", ms=7)
        if model["energy_pj"][table]:
            at = 1e-12 * model["energy_pj"][table]
            if model["test_accuracy"]["ci95"]:
                axis.plot([at, at], model["test_accuracy"]["ci95"], color=colour, lw=1.2)
            axis.plot(at, y, look[model["name"]].marker, color=colour, ms=9, mec="none")
        labels.append((model["name"], y, colour))
    axis.margins(x=0.05, y=0.15)
    axis.set(xlabel="energy estimate per inference (log scale)", ylabel="test accuracy")
    axis.yaxis.set_major_formatter(PERCENT)
    axis.grid(axis="both", color=GRID, lw=0.8)
    return tidy(_name_at_right(_log_x(axis, "J"), labels))


def learning_curves(axis: Axes, models: Sequence[dict[str, Any]]) -> Axes:
    """Validation accuracy after every epoch: the mean over seeds, and each seed as a thin line."""
    look, labels = looks(models), []
    for model in models:
        runs = [[e["validation_accuracy"] for e in run["epochs"]] for run in model["history"]]
        epochs = range(1, len(runs[0]) + 1)
        colour, marker, line = look[model["name"]]
        for run in runs:
            axis.plot(epochs, run, color=colour, lw=0.6, alpha=0.35)
        middle = np.mean(runs, axis=0)
        axis.plot(
            epochs, middle, line, color=colour, lw=1.8, marker=marker, ms=6, mec="none",
            markevery=[-1],
        )  # fmt: skip
        labels.append((model["name"], float(middle[-1]), colour))
    axis.margins(x=0.02)
    axis.set(xlabel="epoch", ylabel="validation accuracy")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.yaxis.set_major_formatter(PERCENT)
    axis.grid(axis="y", color=GRID, lw=0.8)
    return tidy(_name_at_right(axis, labels))


def operations(axis: Axes, models: Sequence[dict[str, Any]], columns: int = 3) -> Axes:
    """Operations of one inference by kind, a row a model, with what a dense network would do.

    Dots and not bars: on a log axis the length of a bar means nothing, and kinds do not add up.
    A kind that never happened has no dot.
    """
    rows = range(len(models))
    counts = [_by_kind(model["ops_per_inference"]) for model in models]
    for k, (kind, (marker, colour)) in enumerate(OPERATIONS.items()):
        values = [kinds[k] or np.nan for kinds in counts]
        lanes = [row + 0.24 * (k - 1) for row in rows]
        axis.plot(values, lanes, marker, color=colour, ms=7, mec="none", label=kind)
    dense = [model["ops_per_inference"]["dense"] for model in models]
    axis.plot(dense, rows, "|", color=MUTED, ms=15, mew=1.5, label="synapses × steps")
    for row in rows[1:]:
        axis.axhline(row - 0.5, color=GRID, lw=0.8)
    axis.set(xlabel="operations per inference (log scale)", ylim=(len(models) - 0.5, -0.5))
    axis.set_yticks(rows, [model["name"] for model in models])
    axis.grid(axis="x", color=GRID, lw=0.8)
    axis.legend(
        loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns, frameon=False,
        labelcolor=INK, handletextpad=0.3, borderaxespad=0.2, columnspacing=1.2,
    )  # fmt: skip
    return tidy(_log_x(axis))


def rates_by_layer(axis: Axes, models: Sequence[dict[str, Any]]) -> Axes:
    """Mean firing rate of every hidden layer, spikes a neuron a step, as bars from zero."""
    look = looks(models)
    bars = [
        (f"{m['name']}, layer {k}" if len(m["rates_by_layer"]) > 1 else m["name"], rate, m["name"])
        for m in models
        for k, rate in enumerate(m["rates_by_layer"])
    ]
    for row, (_, rate, name) in enumerate(bars):
        axis.barh(row, rate, height=0.55, color=look[name].colour)
        axis.annotate(
            f"{rate:.1%}", (rate, row), (5, 0), textcoords="offset points", va="center", color=INK
        )
    axis.set_yticks(range(len(bars)), [label for label, _, _ in bars])
    axis.set(xlabel="neurons that fire in a step, mean", ylim=(len(bars) - 0.5, -0.5))
    axis.set_xlim(0.0, 1.15 * max((rate for _, rate, _ in bars), default=1.0) or 1.0)
    axis.xaxis.set_major_formatter(PERCENT)
    axis.xaxis.set_major_locator(MaxNLocator(5))
    return tidy(axis)


def tidy(axis: Axes) -> Axes:
    """Two spines, quiet ticks, nothing behind the data."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(MUTED)
    axis.tick_params(which="both", color=MUTED, labelcolor=INK)
    for label in (axis.xaxis.label, axis.yaxis.label, axis.title):
        label.set_color(INK)
    axis.set_axisbelow(True)
    axis.set_facecolor("none")
    return axis


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Move values apart to at least `gap`, keeping their order, and their mean where they touch.

    >>> spread([0.0, 0.1, 5.0], 1.0)
    [-0.45, 0.55, 5.0]
    """
    groups: list[tuple[float, list[int]]] = []
    for k in sorted(range(len(values)), key=values.__getitem__):
        middle, members = values[k], [k]
        while groups:
            before, others = groups[-1]
            if middle - before >= gap * (len(members) + len(others)) / 2 - 1e-12:
                break
            groups.pop()
            weight = len(others) + len(members)
            middle = (before * len(others) + middle * len(members)) / weight
            members = others + members
        groups.append((middle, members))
    moved = [0.0] * len(values)
    for middle, members in groups:
        for n, k in enumerate(members):
            moved[k] = middle + gap * (n - (len(members) - 1) / 2)
    return moved


def _by_kind(ops: dict[str, Any]) -> tuple[float, float, float]:
    return ops["ac"], ops["mac"], sum(ops["neuron_updates"].values())


def _name_at_right(axis: Axes, labels: Sequence[tuple[str, float, str]]) -> Axes:
    """Write (name, y, colour) right of the axis at its y, moved apart where two would touch."""
    low, high = axis.get_ylim()
    inches = axis.bbox.height / axis.figure.dpi
    moved = spread([y for _, y, _ in labels], 0.2 * (high - low) / inches)
    for (name, _, colour), y in zip(labels, moved):
        axis.annotate(
            name, (1.0, y), (6, 0), xycoords=axis.get_yaxis_transform(),
            textcoords="offset points", color=colour, va="center", weight="bold",
            annotation_clip=False,
        )  # fmt: skip
    return axis


def _log_x(axis: Axes, unit: str = "") -> Axes:
    """A logarithmic axis of at least a decade, with ticks in words such as 30 nJ."""
    axis.set_xscale("log")
    low, high = axis.get_xlim()
    middle = (low * high) ** 0.5
    low, high = min(low, middle / 3.5), max(high, middle * 3.5)
    axis.set_xlim(low, high)
    roomy = axis.bbox.width / axis.figure.dpi > 1.2 * np.log10(high / low)
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if roomy else (1.0,)))
    axis.xaxis.set_major_formatter(EngFormatter(unit))
    axis.xaxis.set_minor_locator(NullLocator())
    return axis
