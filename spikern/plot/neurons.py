"""Figures of neurons: two states against each other, and surrogates over u."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from spikern._utils.errors import InputError
from spikern.layers.per_layer import surrogate_by_name
from spikern.neurons.surrogate import SURROGATES, Surrogate
from spikern.plot.style import (
    CLASSES,
    COLOURS,
    GRID,
    INK,
    MARKERS,
    MUTED,
    Values,
    array,
    given,
    legend_above,
    literal,
    tidy,
)

POINTS = 801
"""Points of a surrogate's curve."""
BEYOND = 1.5
"""The end of the axis of a surrogate over the widest support; 2 if no support is finite."""


def phase(
    x: Values,
    y: Values,
    names: Sequence[str],
    u: Values | None = None,
    axis: Axes | None = None,
) -> Axes:
    """Two states x and y (T,) of one neuron against each other, named on the axes by `names`.

    A dot is a step. The thin line between dots only shows their order: the neuron is a map from
    step to step. With the distance to threshold u (T,), steps that fire (u > 0) are marked, and a
    tick at (x - u, y) shows the threshold of every step; this requires that x is the state that is
    compared with the threshold, such as v.

    Raises InputError on a wrong shape, NaN, or lengths that differ.
    """
    if isinstance(names, str) or len(names) != 2:
        raise InputError(f"expected two names, such as ('v', 'a'), got {names!r}")
    horizontal, vertical = array(names[0], x, "(T,)"), array(names[1], y, "(T,)")
    distance = None if u is None else array("u", u, "(T,)")
    lengths = {len(values) for values in (horizontal, vertical, distance) if values is not None}
    if len(lengths) > 1:
        raise InputError(f"expected as many steps in each, got {sorted(lengths)}")
    axis = given(axis)
    axis.plot(horizontal, vertical, color=MUTED, lw=0.6, alpha=0.6)
    axis.plot(horizontal, vertical, ".", color=COLOURS["blue"], ms=4, label="step")
    if distance is not None:
        fired = distance > 0
        axis.plot(horizontal - distance, vertical, "|", color=INK, ms=7, mew=1.0, label="threshold")
        axis.plot(
            horizontal[fired], vertical[fired], "D", color=COLOURS["rust"], ms=5, mec="white",
            mew=0.6, label="spike",
        )  # fmt: skip
    axis.plot(
        horizontal[:1], vertical[:1], "o", ms=9, mfc="none", mec=INK, mew=1.4, label="first step"
    )
    axis.set(xlabel=literal(names[0]), ylabel=literal(names[1]))
    axis.margins(0.06)
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.yaxis.set_major_locator(MaxNLocator(4))
    legend_above(axis, 4 if axis.bbox.width / axis.figure.dpi > 4 else 2)
    return tidy(axis)


def surrogate(
    which: str | Surrogate | Sequence[str | Surrogate],
    axis: Axes | None = None,
) -> Axes:
    """Derivative (solid) and primitive (dashed) of one or several surrogates over u.

    The thin step is the spike itself, [u > 0]. The widest support, where a gradient flows, is
    shaded if all supports are finite.

    Raises InputError on an unknown name.
    """
    several = [which] if isinstance(which, str | Surrogate) else list(which)
    if not several:
        raise InputError(f"name at least one surrogate; there are: {', '.join(SURROGATES)}")
    surrogates = [surrogate_by_name(one) for one in several]
    axis = given(axis)
    finite = [s.support for s in surrogates if math.isfinite(s.support)]
    end = BEYOND * max(finite) if finite else 2.0
    u = torch.linspace(-end, end, POINTS, dtype=torch.float64)
    keys: list[Line2D | Patch] = []
    for n, one in enumerate(surrogates):
        colour, marker = CLASSES[n % len(CLASSES)], MARKERS[n % len(MARKERS)]
        every = (POINTS // 20 + POINTS // 40 * n, POINTS // 5)
        look: dict[str, Any] = {
            "color": colour,
            "marker": marker if len(surrogates) > 1 else "",
            "markevery": every,
        }
        axis.plot(u, one.derivative(u), lw=1.6, ms=5, **look)
        axis.plot(u, one.primitive(u), lw=1.2, ms=4, ls="--", **look)
        if len(surrogates) > 1:
            keys.append(Line2D([], [], color=colour, marker=marker, ms=5, label=literal(one.name)))
    colour = INK if len(surrogates) > 1 else CLASSES[0]
    keys.append(Line2D([], [], color=colour, lw=1.6, label="derivative"))
    keys.append(Line2D([], [], color=colour, lw=1.2, ls="--", label="primitive"))
    (step,) = axis.plot([-end, 0, 0, end], [0, 0, 1, 1], color=MUTED, lw=0.8, label="spike")
    keys.append(step)
    if len(finite) == len(surrogates):
        widest = max(finite)
        keys.append(axis.axvspan(-widest, widest, color=GRID, lw=0, zorder=0, label="support"))
    axis.set(xlim=(-end, end), xlabel="u, distance to threshold")
    axis.yaxis.set_major_locator(MaxNLocator(4))
    legend_above(axis, 4 if axis.bbox.width / axis.figure.dpi > 4 else 2, keys)
    return tidy(axis)
