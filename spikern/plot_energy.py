"""Figures of energy estimates: every function draws on an axis that it is given."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

from spikern.ops.ladder import Rung
from spikern.plot import COLOURS, GRID, INK, MUTED, tidy


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
