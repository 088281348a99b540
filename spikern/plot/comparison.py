"""Figures of a comparison: the models of results.json.

Marker and line show the kind of a model too: round and solid for spiking, square and dashed for
standard networks; from the fourth model of a kind on, triangles and diamonds.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

from spikern.cost.estimates import PJ
from spikern.plot import style
from spikern.train import History

OPERATIONS = {
    "accumulates (AC)": ("o", style.COLOURS["blue"]),
    "multiply-accumulates (MAC)": ("s", style.COLOURS["rust"]),
    "neuron updates": ("D", style.COLOURS["violet"]),
}


SHADES = LinearSegmentedColormap.from_list(
    "shades", [to_rgba(style.COLOURS["blue"], alpha) for alpha in (0.0, 0.6)]
)
"""Zero is transparent; text is legible on the darkest."""


class Look(NamedTuple):
    """Colour, marker and line style of a model in every figure."""

    colour: str
    marker: str
    line: str


def looks(models: Sequence[dict[str, Any]]) -> dict[str, Look]:
    """A look for every model of results.json, by name; six models per kind differ.

    >>> look = looks([{"name": n, "kind": "spiking"} for n in ("LIF", "ALIF", "BRF", "RF")])
    >>> look["LIF"].colour == look["RF"].colour, look["LIF"].marker == look["RF"].marker
    (True, False)
    """
    by_name = {}
    for kind, colours, kinds in (
        ("spiking", style.SPIKING, (("o", "-"), ("^", "-."))),
        ("standard", style.STANDARD, (("s", "--"), ("D", ":"))),
    ):
        for k, name in enumerate(m["name"] for m in models if m["kind"] == kind):
            marker, line = kinds[k // len(colours) % len(kinds)]
            by_name[name] = Look(colours[k % len(colours)], marker, line)
    return by_name


def accuracy_against_energy(
    models: Sequence[dict[str, Any]],
    table: str,
    axis: Axes | None = None,
) -> Axes:
    """Test accuracy with its interval against the energy estimate by `table` (marker).

    The horizontal bar goes from the lowest to the highest estimate, with a tick per table that
    prices the model.
    """
    axis = style.given(axis)
    look, labels = looks(models), []
    for model in models:
        estimates = [pj / PJ for pj in model["energy_pj"].values() if pj]
        if not estimates:
            continue
        y, colour = model["test_accuracy"]["mean"], look[model["name"]].colour
        axis.plot(sorted(estimates), [y] * len(estimates), color=colour, lw=1.2, marker="|", ms=7)
        if model["energy_pj"][table]:
            at = model["energy_pj"][table] / PJ
            if model["test_accuracy"]["ci95"]:
                axis.plot([at, at], model["test_accuracy"]["ci95"], color=colour, lw=1.2)
            axis.plot(at, y, look[model["name"]].marker, color=colour, ms=9, mec="none")
        labels.append((model["name"], y, colour))
    axis.margins(x=0.05, y=0.15)
    axis.set(xlabel="energy estimate per inference (log scale)", ylabel="test accuracy")
    axis.yaxis.set_major_formatter(style.PERCENT)
    axis.grid(axis="both", color=style.GRID, lw=0.8)
    return style.tidy(style.name_at_right(_log_x(axis, "J"), labels))


def learning_curves(
    models: Sequence[dict[str, Any]] | History,
    axis: Axes | None = None,
) -> Axes:
    """Validation accuracy after every epoch: the mean over seeds, and every seed as a thin line.

    The mean ends where the first of them stopped. Of the models of results.json, or of the history
    that `fit` returns.
    """
    axis = style.given(axis)
    if isinstance(models, History):
        epochs = [epoch._asdict() for epoch in models.epochs]
        models = [{"name": "", "kind": "spiking", "history": [{"epochs": epochs}]}]
    look, labels = looks(models), []
    for model in models:
        runs = [[e["validation_accuracy"] for e in run["epochs"]] for run in model["history"]]
        colour, marker, line = look[model["name"]]
        for run in runs:
            axis.plot(range(1, len(run) + 1), run, color=colour, lw=0.6, alpha=0.35)
        middle = [statistics.fmean(reached) for reached in zip(*runs)]
        axis.plot(
            range(1, len(middle) + 1), middle, line, color=colour, lw=1.8, marker=marker, ms=6,
            mec="none", markevery=[-1],
        )  # fmt: skip
        labels.append((model["name"], middle[-1], colour))
    axis.margins(x=0.02)
    axis.set(xlabel="epoch", ylabel="validation accuracy")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.yaxis.set_major_formatter(style.PERCENT)
    axis.grid(axis="y", color=style.GRID, lw=0.8)
    return style.tidy(style.name_at_right(axis, labels))


def operations(
    models: Sequence[dict[str, Any]],
    columns: int = 3,
    axis: Axes | None = None,
) -> Axes:
    """Operations of one inference by kind, a row per model, beside those of a dense simulation.

    Dots, not bars: on a log axis the length of a bar has no meaning, and the kinds do not add up.
    A kind that did not occur has no dot.
    """
    axis = style.given(axis)
    rows = range(len(models))
    ops = [model["ops_per_inference"] for model in models]
    counts = [(o["ac"], o["mac"], sum(o["neuron_updates"].values())) for o in ops]
    for k, (kind, (marker, colour)) in enumerate(OPERATIONS.items()):
        values = [kinds[k] or np.nan for kinds in counts]
        lanes = [row + 0.24 * (k - 1) for row in rows]
        axis.plot(values, lanes, marker, color=colour, ms=7, mec="none", label=kind)
    axis.plot(
        [o["dense"] for o in ops],
        rows,
        "|",
        color=style.MUTED,
        ms=15,
        mew=1.5,
        label="synapses × steps",
    )
    for row in rows[1:]:
        axis.axhline(row - 0.5, color=style.GRID, lw=0.8)
    axis.set(xlabel="operations per inference (log scale)", ylim=(len(models) - 0.5, -0.5))
    axis.set_yticks(rows, [style.literal(model["name"]) for model in models])
    axis.grid(axis="x", color=style.GRID, lw=0.8)
    style.legend_above(axis, columns)
    return style.tidy(_log_x(axis))


def rates_by_layer(
    models: Sequence[dict[str, Any]],
    axis: Axes | None = None,
) -> Axes:
    """Mean firing rate of every hidden layer in spikes per neuron and step, as bars from zero."""
    axis = style.given(axis)
    look = looks(models)
    bars = [
        (f"{m['name']}, layer {k}" if len(m["rates_by_layer"]) > 1 else m["name"], rate, m["name"])
        for m in models
        for k, rate in enumerate(m["rates_by_layer"])
    ]
    for row, (_, rate, name) in enumerate(bars):
        axis.barh(row, rate, height=0.55, color=look[name].colour)
        axis.annotate(
            f"{rate:.1%}",
            (rate, row),
            (5, 0),
            textcoords="offset points",
            va="center",
            color=style.INK,
        )
    axis.set_yticks(range(len(bars)), [style.literal(label) for label, _, _ in bars])
    axis.set(xlabel="neurons that fire in a step, mean", ylim=(len(bars) - 0.5, -0.5))
    axis.set_xlim(0.0, 1.15 * max((rate for _, rate, _ in bars), default=1.0) or 1.0)
    axis.xaxis.set_major_formatter(style.PERCENT)
    axis.xaxis.set_major_locator(MaxNLocator(5))
    return style.tidy(axis)


def confusion(
    counts: Sequence[Sequence[int]],
    names: Sequence[str],
    axis: Axes | None = None,
) -> Axes:
    """How often each class (row) was answered as each class (column), shaded by share of the row.

    Up to twelve classes have their counts and names written.
    """
    axis = style.given(axis)
    table = np.asarray(counts)
    share = table / np.maximum(table.sum(1, keepdims=True), 1)
    axis.imshow(share, cmap=SHADES, vmin=0.0, vmax=1.0, interpolation="none", aspect="auto")
    if len(names) <= 12:
        for (row, column), n in np.ndenumerate(table):
            if n:
                axis.text(column, row, f"{n:,}", ha="center", va="center", color=style.INK)
        shown = list(map(style.literal, names))
        axis.set_xticks(range(len(names)), shown, rotation=90 if max(map(len, names)) > 3 else 0)
        axis.set_yticks(range(len(names)), shown)
    axis.set(xlabel="answer", ylabel="label")
    return style.tidy(axis)


def _log_x(axis: Axes, unit: str = "") -> Axes:
    """A logarithmic axis over at least a decade, with ticks such as 30 nJ."""
    axis.set_xscale("log")
    low, high = axis.get_xlim()
    middle = (low * high) ** 0.5
    low, high = min(low, middle / 3.5), max(high, middle * 3.5)
    axis.set_xlim(low, high)
    wide = axis.bbox.width / axis.figure.dpi > 1.2 * np.log10(high / low)
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if wide else (1.0,)))
    axis.xaxis.set_major_formatter(EngFormatter(unit))
    axis.xaxis.set_minor_locator(NullLocator())
    return axis
