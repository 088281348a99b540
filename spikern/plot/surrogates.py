"""Surrogate gradients over the distance to threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from spikern.engines import boundary
from spikern.plot.look import CLASSES, GRID, INK, MUTED, legend_above, tidy
from spikern.surrogate import SURROGATES, Surrogate
from spikern.types import InputError

POINTS = 801
MARKERS = "osD^vP"
"""A marker for each of CLASSES, so that several surrogates differ in more than colour."""
BEYOND = 1.5
"""How far beyond the widest support the axis goes; it ends at 2 if no support is finite."""


def surrogate(axis: Axes, which: str | Surrogate | Sequence[str | Surrogate]) -> Axes:
    """Derivative (solid) and primitive (dashed) of one or several surrogates over u.

    The thin step is the spike itself, [u > 0]. Shaded is where a gradient flows: the widest
    support, if all are finite.

    Raises InputError on an unknown name.
    """
    several = [which] if isinstance(which, str | Surrogate) else list(which)
    if not several:
        raise InputError(f"name at least one surrogate; there are: {', '.join(SURROGATES)}")
    made = [_made(one) for one in several]
    finite = [s.support for s in made if math.isfinite(s.support)]
    end = BEYOND * max(finite) if finite else 2.0
    u = torch.linspace(-end, end, POINTS, dtype=torch.float64)
    keys: list[Line2D | Patch] = []
    for n, one in enumerate(made):
        colour, marker = CLASSES[n % len(CLASSES)], MARKERS[n % len(MARKERS)]
        every = (POINTS // 20 + POINTS // 40 * n, POINTS // 5)
        look: dict[str, Any] = {
            "color": colour,
            "marker": marker if len(made) > 1 else "",
            "markevery": every,
        }
        axis.plot(u, one.derivative(u), lw=1.6, ms=5, **look)
        axis.plot(u, one.primitive(u), lw=1.2, ms=4, ls="--", **look)
        if len(made) > 1:
            keys.append(Line2D([], [], color=colour, marker=marker, ms=5, label=one.name))
    colour = INK if len(made) > 1 else CLASSES[0]
    keys.append(Line2D([], [], color=colour, lw=1.6, label="derivative"))
    keys.append(Line2D([], [], color=colour, lw=1.2, ls="--", label="primitive"))
    (step,) = axis.plot([-end, 0, 0, end], [0, 0, 1, 1], color=MUTED, lw=0.8, label="spike")
    keys.append(step)
    if len(finite) == len(made):
        widest = max(finite)
        keys.append(axis.axvspan(-widest, widest, color=GRID, lw=0, zorder=0, label="support"))
    axis.set(xlim=(-end, end), xlabel="u, distance to threshold")
    axis.yaxis.set_major_locator(MaxNLocator(4))
    legend_above(axis, 4 if axis.bbox.width / axis.figure.dpi > 4 else 2, keys)
    return tidy(axis)


def _made(one: str | Surrogate) -> Surrogate:
    if isinstance(one, Surrogate):
        return one
    boundary.check_choice("surrogate", one, SURROGATES)
    return SURROGATES[one]()
