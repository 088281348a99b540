"""Figures of energy estimates.

The parts of an estimate (`parts`, `shares`), and how a ratio depends on table and memory traffic
(`ratios`) and on the firing rate (`break_even`). The data are those of results.json and count.json.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from spikern._utils.errors import InputError
from spikern.cost.break_even import COMPARED
from spikern.cost.estimates import PJ
from spikern.plot import style

PARTS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "synapses": (("synapses",), style.COLOURS["blue"], ""),
    "neuron updates": (("neuron updates", "spikes"), style.COLOURS["violet"], ""),
    "memory: weights": (("weights", "indices"), style.COLOURS["ochre"], "////"),
    "memory: states, constants": (("states", "constants", "biases"), style.COLOURS["rust"], "...."),
    "memory: spikes, values": (("queue", "values"), style.COLOURS["teal"], "----"),
    "memory: look-up": (
        ("keys", "buckets", "places", "symbols"), style.COLOURS["blue"], "\\\\\\\\",
    ),
    "addresses": (("addressing",), style.COLOURS["magenta"], "xxxx"),
    "routing": (("routing",), style.COLOURS["teal"], ""),
    "static": (("static",), style.COLOURS["muted"], ""),
}  # fmt: skip
"""The groups of an estimate's parts, with colour and hatch; memory traffic is hatched."""
TIMES = FuncFormatter(lambda ratio, _: f"{ratio:g}×")
RATES = (1e-3, 1.0)
"""Firing rates on the axis of `break_even`, unless a network's own is lower: a spike in a thousand
steps to one in every step."""


class Lane(NamedTuple):
    """A row of a figure in which every group has a heading and a lane per view."""

    y: float
    group: str
    view: str


def lanes(groups: Sequence[str], views: Sequence[str] = COMPARED) -> Iterator[Lane]:
    """The lanes of all groups from the top; each group's heading is one above its first lane."""
    for k, group in enumerate(groups):
        for n, view in enumerate(views, 1):
            yield Lane(k * (len(views) + 1.2) + n, group, view)


def parts(axis: Axes, estimates: Sequence[Mapping[str, Any]], table: str) -> Axes:
    """The estimates of every network by `table`, stacked by kind, a bar per view, in joules.

    A view without an estimate has no bar.
    """

    def label(lane: Lane, joules: float) -> None:
        axis.annotate(
            EngFormatter("J", 1 if joules else 0)(joules), (joules, lane.y), (4, 0),
            textcoords="offset points", va="center", color=style.INK, fontsize=9,
        )  # fmt: skip

    stacked(axis, estimates, table, lambda joules: joules, label)
    axis.set(xlabel="energy estimate of one inference")
    axis.set_xlim(0.0, 1.22 * axis.get_xlim()[1])
    axis.xaxis.set_major_formatter(EngFormatter("J"))
    axis.xaxis.set_major_locator(MaxNLocator(4))
    return axis


def shares(axis: Axes, estimates: Sequence[Mapping[str, Any]], table: str) -> Axes:
    """The same bars, all of length 1: the share of each kind."""
    stacked(
        axis, estimates, table, lambda joules: joules / (joules.sum() or 1.0),
        lambda lane, length: None,
    )  # fmt: skip
    axis.set(xlabel="share of that estimate", xlim=(0.0, 1.0))
    axis.xaxis.set_major_formatter(style.PERCENT)
    axis.xaxis.set_major_locator(MaxNLocator(4))
    return axis


def stacked(
    axis: Axes,
    estimates: Sequence[Mapping[str, Any]],
    table: str,
    scaled: Callable[[Any], Any],
    label: Callable[[Lane, float], None],
) -> Axes:
    """The bars of all estimates, their groups in the order of PARTS, `scaled` and labelled."""
    chosen = {(e["model"], e["view"]): e["parts"] for e in estimates if e["table"] == table}
    models = list(dict.fromkeys(model for model, _ in chosen))
    for lane in lanes(models):
        pj = chosen.get((lane.group, lane.view))
        if not pj:
            continue
        if others := pj.keys() - {kind for kinds, _, _ in PARTS.values() for kind in kinds}:
            raise InputError(f"{', '.join(sorted(others))} are no parts of an energy estimate")
        joules = [sum(pj.get(kind, 0.0) for kind in kinds) / PJ for kinds, _, _ in PARTS.values()]
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
    """The keys of a legend for the groups that occur."""
    seen = {kind for e in estimates if e["table"] == table for kind in e["parts"]}
    return [
        Patch(
            facecolor="none" if hatch else colour, edgecolor=colour, hatch=hatch, label=name,
            linewidth=0.8,
        )
        for name, (kinds, colour, hatch) in PARTS.items()
        if seen.intersection(kinds)
    ]  # fmt: skip


def ratios(axis: Axes, comparisons: Sequence[Mapping[str, Any]]) -> Axes:
    """The ratios of energy comparisons: a lane per view, a dot per table, a line over all tables.

    Right of 1x the spiking network needs less. A lane without a dot has no estimate.
    """
    look = table_looks(comparisons)
    names = [f"{c['twin']} ÷ {c['spiking']}" for c in comparisons]
    for k, lane in enumerate(lanes(names)):
        by_table = {
            x["table"]: x["ratio"]
            for x in comparisons[k // len(COMPARED)]["lines"]
            if x["view"] == lane.view and x["ratio"] is not None
        }
        if by_table:
            ends = [min(by_table.values()), max(by_table.values())]
            axis.plot(
                ends, [lane.y] * 2, color=style.MUTED, lw=2.5, alpha=0.45, solid_capstyle="round"
            )
        axis.plot([1.0, 1.0], [lane.y - 0.5, lane.y + 0.5], color=style.INK, lw=1.2)
        for table, ratio in by_table.items():
            colour, marker, _ = look[table]
            # Tables of one bit width often agree, so their dots lie one above the other.
            shift = 0.12 * (list(look).index(table) - (len(look) - 1) / 2)
            axis.plot(ratio, lane.y + shift, marker, color=colour, ms=7, mec="none")
    axis.set_xscale("log")
    low, high = axis.get_xlim()
    axis.set_xlim(min(low, 0.5), max(high, 2.0))
    ratio_ticks(axis.xaxis)
    axis.set(xlabel="standard ÷ spiking (log scale)")
    axis.grid(axis="x", color=style.GRID, lw=0.8)
    return name_lanes(axis, names)


def table_keys(comparisons: Sequence[Mapping[str, Any]]) -> list[Line2D]:
    """The keys of a legend for the tables that price a pair."""
    return [
        Line2D([], [], ls="", marker=marker, color=colour, ms=7, mec="none", label=table)
        for table, (colour, marker, _) in table_looks(comparisons).items()
    ]


def break_even(axis: Axes, comparison: Mapping[str, Any], view: str) -> Axes:
    """The ratio of an energy comparison against the firing rate for one view, a curve per table.

    E(r) = E(0) + r (E - E(0)) / rate; the marker is the network at its own rate, at the left end if
    nothing fired. Where a curve is below 1x the spiking network needs more.
    """
    look, rate = table_looks([comparison]), comparison["rate"]
    lowest = min(rate, RATES[0]) or RATES[0]
    rates = np.geomspace(lowest, RATES[1], 200)
    labels = []
    for x in comparison["lines"]:
        if x["view"] != view or x["ratio"] is None or not x["cap"]:
            continue
        colour, marker, line = look[x["table"]]
        silent_pj = x["twin_pj"] / x["cap"]
        slope = (x["spiking_pj"] - silent_pj) / rate if rate else 0.0
        curve = x["twin_pj"] / (silent_pj + rates * slope)
        axis.plot(rates, curve, line, color=colour, lw=1.6)
        axis.plot(rate or lowest, x["ratio"], marker, color=colour, ms=8, mec="none")
        labels.append((x["table"], float(curve[-1]), colour))
    axis.set(xscale="log", yscale="log", xlim=(lowest, RATES[1]))
    axis.set(xlabel="firing rate (log scale)")
    axis.axhline(1.0, color=style.INK, lw=1.2)
    axis.axvline(rate or lowest, color=style.MUTED, lw=1.0, ls=":")
    low, high = axis.get_ylim()
    axis.set_ylim(min(low, 0.5), max(high, 2.0))
    axis.xaxis.set_major_formatter(style.PERCENT)
    axis.xaxis.set_minor_locator(NullLocator())
    ratio_ticks(axis.yaxis)
    axis.set_ylabel("standard ÷ spiking (log scale)")
    axis.set_title(view, loc="left", fontsize="medium", weight="bold", color=style.INK)
    axis.grid(color=style.GRID, lw=0.8)
    return style.tidy(style.name_at_right(axis, labels))


def table_looks(comparisons: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, str, str]]:
    """Colour, marker and line style of every table that prices a pair."""
    priced = dict.fromkeys(
        x["table"] for c in comparisons for x in c["lines"] if x["ratio"] is not None
    )
    return {
        table: (
            style.CLASSES[k % len(style.CLASSES)],
            style.MARKERS[k % len(style.MARKERS)],
            style.LINES[k % len(style.LINES)],
        )
        for k, table in enumerate(priced)
    }


def ratio_ticks(axis: Any) -> None:
    """Ticks at 0.1, 0.3, 1, 3, ... with a multiplication sign."""
    axis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axis.set_major_formatter(TIMES)
    axis.set_minor_locator(NullLocator())


def name_lanes(axis: Axes, groups: Sequence[str]) -> Axes:
    """Views as ticks, groups as headings above them, the first group at the top."""
    rows = list(lanes(groups))
    axis.set_yticks([lane.y for lane in rows], [lane.view for lane in rows])
    for lane in rows:
        if lane.view == COMPARED[0]:
            axis.annotate(
                style.literal(lane.group), (0.0, lane.y - 0.95), (4, 0),
                xycoords=axis.get_yaxis_transform(),
                textcoords="offset points", color=style.INK, weight="bold", va="center",
            )  # fmt: skip
    axis.set_ylim(max((lane.y for lane in rows), default=0.0) + 0.7, -0.5)
    axis.tick_params(axis="y", length=0)
    return style.tidy(axis)
