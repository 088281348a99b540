"""Figures of energy estimates: every function draws on an axis that it is given.

What an estimate is made of (`parts`, `shares`), how a ratio moves with table and memory (`ratios`)
and with the firing rate (`break_even`), and how far all of it is from a brain (`ladder`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from spikern.cost.break_even import COMPARED
from spikern.cost.estimates import PJ
from spikern.plot.style import (
    CLASSES,
    COLOURS,
    GRID,
    INK,
    LINES,
    MUTED,
    PERCENT,
    name_at_right,
    tidy,
)
from spikern.studies.ladder import Rung

PARTS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "synapses": (("synapses",), COLOURS["blue"], ""),
    "neuron updates": (("neuron updates", "spikes"), COLOURS["violet"], ""),
    "memory: weights": (("weights", "indices"), COLOURS["ochre"], "////"),
    "memory: states, constants": (("states", "constants", "biases"), COLOURS["rust"], "...."),
    "memory: spikes, values": (("queue", "values"), COLOURS["teal"], "----"),
    "addresses": (("addressing",), COLOURS["magenta"], "xxxx"),
}
"""What the parts of an estimate are summed up to, with colour and hatch; memory is hatched."""
MARKERS = "osD^vP"
TIMES = FuncFormatter(lambda ratio, _: f"{ratio:g}×")
RATES = (1e-3, 1.0)
"""Firing rates that `break_even` spans: one spike in a thousand steps to one in every step."""


class Lane(NamedTuple):
    """A row of a figure in which every group has a heading and a lane a view."""

    y: float
    group: str
    view: str


def lanes(groups: Sequence[str], views: Sequence[str] = COMPARED) -> Iterator[Lane]:
    """The lanes of all groups from the top; each group's heading is one above its first lane."""
    for k, group in enumerate(groups):
        for n, view in enumerate(views, 1):
            yield Lane(k * (len(views) + 1.2) + n, group, view)


def parts(axis: Axes, estimates: Sequence[Mapping[str, Any]], table: str) -> Axes:
    """Estimates of every network by `table`, stacked by kind, a bar a view, in joules.

    `estimates` are those of results.json; a view without an estimate has no bar.
    """

    def label(lane: Lane, joules: float) -> None:
        axis.annotate(
            EngFormatter("J", 1 if joules else 0)(joules), (joules, lane.y), (4, 0),
            textcoords="offset points", va="center", color=INK, fontsize=9,
        )  # fmt: skip

    stacked(axis, estimates, table, lambda joules: joules, label)
    axis.set(xlabel="energy estimate of one inference")
    axis.set_xlim(0.0, 1.22 * axis.get_xlim()[1])
    axis.xaxis.set_major_formatter(EngFormatter("J"))
    axis.xaxis.set_major_locator(MaxNLocator(4))
    return axis


def shares(axis: Axes, estimates: Sequence[Mapping[str, Any]], table: str) -> Axes:
    """The same bars, each drawn to its own length: what share a kind has."""
    stacked(axis, estimates, table, lambda joules: joules / joules.sum(), lambda lane, whole: None)
    axis.set(xlabel="share of that estimate", xlim=(0.0, 1.0))
    axis.xaxis.set_major_formatter(PERCENT)
    axis.xaxis.set_major_locator(MaxNLocator(4))
    return axis


def stacked(
    axis: Axes,
    estimates: Sequence[Mapping[str, Any]],
    table: str,
    scaled: Callable[[Any], Any],
    label: Callable[[Lane, float], None],
) -> Axes:
    """Bars of the kinds of PARTS, each bar scaled, labelled with its lane and its length."""
    chosen = {(e["model"], e["view"]): e["parts"] for e in estimates if e["table"] == table}
    models = list(dict.fromkeys(model for model, _ in chosen))
    for lane in lanes(models):
        found = chosen.get((lane.group, lane.view))
        if not found:
            continue
        joules = [
            sum(found.get(kind, 0.0) for kind in kinds) / PJ for kinds, _, _ in PARTS.values()
        ]
        start = 0.0
        for length, (_, colour, hatch) in zip(scaled(np.array(joules)), PARTS.values()):
            if length == 0:
                continue
            axis.barh(
                lane.y, length, left=start, height=0.72, color="none" if hatch else colour,
                edgecolor=colour, hatch=hatch, linewidth=0.8,
            )  # fmt: skip
            start += length
        label(lane, start)
    return name_lanes(axis, models)


def part_keys(estimates: Sequence[Mapping[str, Any]], table: str) -> list[Patch]:
    """Keys of a legend for the kinds that occur."""
    seen = {kind for e in estimates if e["table"] == table for kind in e["parts"]}
    return [
        Patch(
            facecolor="none" if hatch else colour, edgecolor=colour, hatch=hatch, label=name,
            linewidth=0.8,
        )
        for name, (kinds, colour, hatch) in PARTS.items()
        if seen.intersection(kinds)
    ]  # fmt: skip


def ratios(axis: Axes, statements: Sequence[Mapping[str, Any]]) -> Axes:
    """Ratios of statements: a dot a table, a line from the least to the greatest, a lane a view.

    Right of 1x the spiking network needs less. A lane without a dot has no estimate.
    """
    look = table_looks(statements)
    pairs = {f"{s['twin']} ÷ {s['spiking']}": s["lines"] for s in statements}
    for lane in lanes(list(pairs)):
        found = {
            x["table"]: x["ratio"]
            for x in pairs[lane.group]
            if x["view"] == lane.view and x["ratio"] is not None
        }
        if found:
            ends = [min(found.values()), max(found.values())]
            axis.plot(ends, [lane.y] * 2, color=MUTED, lw=2.5, alpha=0.45, solid_capstyle="round")
        axis.plot([1.0, 1.0], [lane.y - 0.5, lane.y + 0.5], color=INK, lw=1.2)
        for table, ratio in found.items():
            colour, marker, _ = look[table]
            # Tables of one width often agree: their dots lie one above the other.
            shift = 0.12 * (list(look).index(table) - (len(look) - 1) / 2)
            axis.plot(ratio, lane.y + shift, marker, color=colour, ms=7, mec="none")
    axis.set_xscale("log")
    low, high = axis.get_xlim()
    axis.set_xlim(min(low, 0.5), max(high, 2.0))
    ratio_ticks(axis.xaxis)
    axis.set(xlabel="standard ÷ spiking (log scale)")
    axis.grid(axis="x", color=GRID, lw=0.8)
    return name_lanes(axis, list(pairs))


def table_keys(statements: Sequence[Mapping[str, Any]]) -> list[Line2D]:
    """Keys of a legend for the tables that price a pair."""
    return [
        Line2D([], [], ls="", marker=marker, color=colour, ms=7, mec="none", label=table)
        for table, (colour, marker, _) in table_looks(statements).items()
    ]


def break_even(axis: Axes, statement: Mapping[str, Any], view: str) -> Axes:
    """The ratio of a statement against the firing rate, a line a table, for one view.

    E(r) = E(0) + r (E - E(0)) / rate; the marker is the network at its own rate. Where a line
    falls below 1x the spiking network needs more.
    """
    look, rate = table_looks([statement]), statement["rate"]
    rates = np.geomspace(*RATES, 200)
    labels = []
    for x in statement["lines"]:
        if x["view"] != view or x["ratio"] is None or not x["cap"]:
            continue
        colour, marker, line = look[x["table"]]
        still = x["twin_pj"] / x["cap"]
        slope = (x["spiking_pj"] - still) / rate if rate else 0.0
        curve = x["twin_pj"] / (still + rates * slope)
        axis.plot(rates, curve, line, color=colour, lw=1.6)
        axis.plot(max(rate, RATES[0]), x["ratio"], marker, color=colour, ms=8, mec="none")
        labels.append((x["table"], float(curve[-1]), colour))
    axis.set(xscale="log", yscale="log", xlim=RATES, xlabel="firing rate (log scale)")
    axis.axhline(1.0, color=INK, lw=1.2)
    axis.axvline(max(rate, RATES[0]), color=MUTED, lw=1.0, ls=":")
    low, high = axis.get_ylim()
    axis.set_ylim(min(low, 0.5), max(high, 2.0))
    axis.xaxis.set_major_formatter(PERCENT)
    axis.xaxis.set_minor_locator(NullLocator())
    ratio_ticks(axis.yaxis)
    axis.set_ylabel("standard ÷ spiking (log scale)")
    axis.set_title(view, loc="left", fontsize="medium", weight="bold", color=INK)
    axis.grid(color=GRID, lw=0.8)
    return tidy(name_at_right(axis, labels))


def table_looks(statements: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, str, str]]:
    """Colour, marker and line of every table that prices a pair."""
    priced = dict.fromkeys(
        x["table"] for s in statements for x in s["lines"] if x["ratio"] is not None
    )
    return {
        table: (CLASSES[k % len(CLASSES)], MARKERS[k % len(MARKERS)], LINES[k % len(LINES)])
        for k, table in enumerate(priced)
    }


def ratio_ticks(axis: Any) -> None:
    """Ticks at 0.1, 0.3, 1, 3, ... with a multiplication sign."""
    axis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axis.set_major_formatter(TIMES)
    axis.set_minor_locator(NullLocator())


def name_lanes(axis: Axes, groups: Sequence[str]) -> Axes:
    """Views as ticks, groups as headings over them, the first at the top."""
    rows = list(lanes(groups))
    axis.set_yticks([lane.y for lane in rows], [lane.view for lane in rows])
    for lane in rows:
        if lane.view == COMPARED[0]:
            axis.annotate(
                lane.group, (0.0, lane.y - 0.95), (4, 0), xycoords=axis.get_yaxis_transform(),
                textcoords="offset points", color=INK, weight="bold", va="center",
            )  # fmt: skip
    axis.set_ylim(max((lane.y for lane in rows), default=0.0) + 0.7, -0.5)
    axis.tick_params(axis="y", length=0)
    return tidy(axis)


def ladder(axis: Axes, rungs: Sequence[Rung]) -> Axes:
    """Joules of every rung on one logarithmic scale, its arithmetic below its name.

    Estimates of the network are filled, figures of the world outside are open.
    """
    for y, rung in enumerate(rungs):
        colour = COLOURS["blue"] if rung.estimate else COLOURS["rust"]
        axis.plot([rung.low, rung.high], [y, y], color=colour, lw=4, solid_capstyle="round")
        face = colour if rung.estimate else "white"
        axis.plot(rung.high, y, "o", color=colour, mfc=face, ms=8, mew=1.6)
        for words, up, colour, size in ((rung.name, 8, INK, 9), (rung.arithmetic, -16, MUTED, 7)):
            axis.annotate(
                words, (rung.low, y), (0, up), textcoords="offset points", color=colour,
                fontsize=size,
            )  # fmt: skip
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(numticks=12))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(EngFormatter("J"))
    axis.set(xlabel="energy (log scale)", yticks=[], ylim=(-0.7, len(rungs) - 0.2))
    axis.margins(x=0.3)
    axis.grid(axis="x", color=GRID, lw=0.8)
    return tidy(axis)
