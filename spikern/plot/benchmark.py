"""The figure of the benchmark's sweep: time against firing rate and size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from spikern.plot import comparison, style
from spikern.timing.benchmark import HIDDEN, RATES, SWEPT

LINES = [("blue", "o", "-")] * 2 + [("teal", "o", "-"), ("ochre", "s", "--"), ("rust", "s", "--")]
LOOKS = {
    name: comparison.Look(style.COLOURS[colour], marker, line)
    for name, (colour, marker, line) in zip(SWEPT, LINES)
}
TITLES = {"train": "training step", "infer": "inference"}


def figure(records: Sequence[dict[str, Any]]) -> Figure:
    """Four axes: training and inference against the rate and against H."""
    panels = Figure(figsize=(8.5, 6.2), layout="constrained")
    axes = panels.subplots(2, 2, sharey="row")
    for row, what in zip(axes, TITLES):
        for axis, over in zip(row, ("rate", "hidden")):
            some = [r for r in records if r["axis"] == over and r["what"] == what]
            draw(axis, some, over, TITLES[what])
    axes[0][0].legend(frameon=False, fontsize="small")
    axes[1][0].legend(frameon=False, fontsize="small")
    return panels


def draw(axis: Any, records: Sequence[dict[str, Any]], over: str, title: str) -> None:
    """Milliseconds against the rate or H, a line per peer, both scales logarithmic."""
    for name, look in LOOKS.items():
        line = sorted((r[over], r["ms"]) for r in records if r["name"] == name)
        if line:
            x, y = zip(*line)
            axis.plot(
                x, y, look.line, color=look.colour, marker=look.marker, ms=4, lw=1.4, label=name
            )
    axis.set(xscale="log", yscale="log", ylabel=f"{title}, ms")
    if over == "rate":
        axis.set(xlabel="spikes per neuron and step (H = 256)", xticks=RATES)
        axis.xaxis.set_major_formatter(style.PERCENT)
    else:
        axis.set(xlabel="neurons H (5 %)", xticks=HIDDEN, xticklabels=HIDDEN)
    axis.minorticks_off()
    style.tidy(axis)
