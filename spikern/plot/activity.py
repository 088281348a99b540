"""Figures over the time of one sample: spikes, rates, traces.

The time axis has steps, or milliseconds if the length `dt` of a step is given. `length` is the
number of valid steps of a padded sample; the padding is shaded and stays empty.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator

from spikern._utils.errors import InputError
from spikern.plot import style

THINNEST, WIDEST = 0.7, 2.0
"""Line widths in points that keep a spike visible however many steps and neurons there are."""


def raster(
    spikes: style.Values,
    colour: str = style.INK,
    dt: float | None = None,
    length: int | None = None,
    axis: Axes | None = None,
) -> Axes:
    """A tick for every nonzero entry of spikes (T, H), all in one path to keep the SVG small."""
    z = style.array("spikes", spikes, "(T, H)")
    own, ms = style.valid_steps(len(z), length), style.step_length(dt)
    if z[own:].any():
        raise InputError(f"there are spikes after the sample's {own} steps; is length right?")
    axis = style.given(axis)
    steps, neurons = np.nonzero(z)
    row, column = (72 * size / axis.figure.dpi for size in (axis.bbox.height, axis.bbox.width))
    half = max(0.45, 0.5 * THINNEST * z.shape[1] / row)
    width = min(max(0.8 * column / len(z), THINNEST), WIDEST)
    ends = np.empty((2 * len(steps), 2))
    ends[0::2] = np.stack([steps * ms, neurons - half], 1)
    ends[1::2] = np.stack([steps * ms, neurons + half], 1)
    codes = np.tile([Path.MOVETO, Path.LINETO], len(steps))
    axis.add_patch(PathPatch(Path(ends, codes), edgecolor=colour, facecolor="none", lw=width))
    axis.set(ylim=(-0.5, z.shape[1] - 0.5), ylabel="neuron")
    axis.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    return style.tidy(_over_time(axis, len(z), dt, own))


def rates(
    spikes: style.Values,
    colour: str = style.SPIKING[0],
    dt: float | None = None,
    length: int | None = None,
    axis: Axes | None = None,
) -> Axes:
    """The fraction of neurons that fire at every step of spikes (T, H)."""
    z = style.array("spikes", spikes, "(T, H)")
    own, ms = style.valid_steps(len(z), length), style.step_length(dt)
    axis = style.given(axis)
    # Edges half a step before and after, so that the first and last steps are as wide as others.
    edges = (np.arange(own + 1) - 0.5) * ms
    axis.stairs((z[:own] != 0).mean(1), edges, fill=True, color=colour, lw=0)
    axis.set(ylabel="neurons firing")
    axis.set_ylim(bottom=0.0)
    axis.yaxis.set_major_locator(MaxNLocator(4))
    axis.yaxis.set_major_formatter(style.PERCENT)
    return style.tidy(_over_time(axis, len(z), dt, own))


def traces(
    values: style.Values,
    names: Sequence[str],
    highlight: Sequence[int] = (),
    dt: float | None = None,
    length: int | None = None,
    axis: Axes | None = None,
) -> Axes:
    """Lines over the steps of values (T, N), named at their ends; all in colour, or `highlight`."""
    v = style.array("values", values, "(T, N)")
    own, ms = style.valid_steps(len(v), length), style.step_length(dt)
    if len(names) != v.shape[1]:
        raise InputError(f"expected a name for each of {v.shape[1]} traces, got {len(names)}")
    if any(not 0 <= k < v.shape[1] for k in highlight):
        raise InputError(f"highlight holds numbers of traces, 0..{v.shape[1] - 1}; got {highlight}")
    axis = style.given(axis)
    time = np.arange(own) * ms
    chosen = list(highlight) or list(range(v.shape[1]))
    for k in sorted(set(range(v.shape[1])) - set(chosen)):
        axis.plot(time, v[:own, k], color=style.MUTED, lw=0.7, alpha=0.45)
    colours = {k: style.CLASSES[n % len(style.CLASSES)] for n, k in enumerate(chosen)}
    for n, k in enumerate(chosen):
        axis.plot(time, v[:own, k], style.LINES[n % len(style.LINES)], color=colours[k], lw=1.6)
    axis.yaxis.set_major_locator(MaxNLocator(3))
    _over_time(axis, len(v), dt, own)
    ends = [(names[k], float(v[own - 1, k]), colours[k]) for k in chosen]
    return style.tidy(style.name_at_right(axis, ends))


def _over_time(axis: Axes, steps: int, dt: float | None, own: int) -> Axes:
    """The time axis, and a shade over the padding."""
    ms = style.step_length(dt)
    axis.set(xlim=(-0.5 * ms, (steps - 0.5) * ms), xlabel="step" if dt is None else "time (ms)")
    if own < steps:
        axis.axvspan((own - 0.5) * ms, (steps - 0.5) * ms, color=style.GRID, lw=0, zorder=0)
    return axis
