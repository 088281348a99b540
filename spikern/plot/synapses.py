"""Figures of synapses: a weight matrix as an image, and a histogram of its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from spikern._utils.errors import InputError
from spikern.plot.style import (
    COLOURS,
    GRID,
    INK,
    MUTED,
    Values,
    array,
    given,
    legend_above,
    literal,
    tidy,
)

DIVERGING = LinearSegmentedColormap.from_list(
    "weights", [COLOURS["rust"], "#d8d3c8", COLOURS["blue"]]
).with_extremes(bad="white")
"""Inhibition rust, excitation blue, small weights sand, no synapse white."""
SATURATED = 0.01
"""The share of the strongest synapses that have the last colour of the scale."""


def connectivity(
    weight: Values,
    mask: Values | None = None,
    sources: Mapping[str, int] | None = None,
    targets: Mapping[str, int] | None = None,
    axis: Axes | None = None,
) -> Axes:
    """The weights (to, from) as an image, with zero in the middle of the colour scale.

    Where `mask` (to, from) is zero there is no synapse; without a mask, where the weight is
    exactly zero. No weight is white, so white shows that there is no synapse. `sources` and
    `targets` are blocks of columns and rows in order, sizes by name; lines and names mark them.
    The strongest hundredth of the weights has the last colour, and the colour bar ends in points.

    Raises InputError on a wrong shape, NaN, a mask of another shape, or blocks that do not add up.
    """
    w, present = _synapses(weight, mask)
    _check_blocks("sources", sources, w.shape[1])
    _check_blocks("targets", targets, w.shape[0])
    axis = given(axis)
    strengths = np.abs(w[present & (w != 0)])
    limit = float(np.quantile(strengths, 1 - SATURATED, method="higher")) if len(strengths) else 1.0
    image = axis.imshow(
        np.ma.masked_array(w, ~present), cmap=DIVERGING, vmin=-limit, vmax=limit,
        aspect="auto", interpolation="none",
    )  # fmt: skip
    axis.set(xlabel="from", ylabel="to")
    _blocks(axis, sources, vertical=True)
    _blocks(axis, targets, vertical=False)
    beyond = "both" if (strengths > limit).any() else "neither"
    place = axis.inset_axes((1.03, 0.0, 0.035, 1.0))
    bar = axis.figure.colorbar(image, cax=place, extend=beyond)
    bar.outline.set_visible(False)
    bar.locator = MaxNLocator(5, symmetric=True)
    bar.ax.tick_params(color=MUTED, labelcolor=INK)
    bar.set_label("weight", color=INK)
    if not present.all():
        label = f"no synapse ({1 - present.mean():.0%})"
        legend_above(axis, 1, [Patch(facecolor="white", edgecolor=MUTED, label=label)])
    return tidy(axis)


def weights(
    weight: Values,
    mask: Values | None = None,
    bins: int = 40,
    axis: Axes | None = None,
) -> Axes:
    """A histogram of the weights, inhibition and excitation in the colours of `connectivity`.

    Weight and mask are those of `connectivity`; only synapses are counted. A synapse of weight
    zero, which needs a mask, counts as excitatory.
    """
    w, present = _synapses(weight, mask)
    if not present.any():
        raise InputError("there is nothing to draw: no weight belongs to a synapse")
    if bins < 2:
        raise InputError(f"expected at least 2 bins, got {bins}")
    axis = given(axis)
    largest = float(np.abs(w[present]).max()) or 1.0
    # With an even number of bins none of them has weights of both signs.
    edges = np.linspace(-largest, largest, 2 * (bins // 2) + 1)
    half = bins // 2
    counts, _ = np.histogram(w[present], edges)
    for part, name, colour in (
        (slice(0, half), "inhibitory", COLOURS["rust"]),
        (slice(half, None), "excitatory", COLOURS["blue"]),
    ):
        axis.bar(
            edges[:-1][part], counts[part], np.diff(edges)[part], align="edge", color=colour,
            label=name, edgecolor="white", lw=0.4,
        )  # fmt: skip
    axis.axvline(0.0, color=INK, lw=0.8)
    axis.set(xlabel="weight", ylabel="synapses", xlim=(-largest, largest))
    axis.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axis.grid(axis="y", color=GRID, lw=0.8)
    legend_above(axis, 2)
    return tidy(axis)


def _synapses(weight: Values, mask: Values | None) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The weights, and a mask of those that belong to a synapse."""
    w = array("weight", weight, "(to, from)")
    if mask is None:
        return w, w != 0
    present = array("mask", mask, "(to, from)") != 0
    if present.shape != w.shape:
        raise InputError(f"expected a mask of shape {w.shape} like weight, got {present.shape}")
    return w, present


def _check_blocks(kind: str, blocks: Mapping[str, int] | None, size: int) -> None:
    if blocks is not None and (min(blocks.values(), default=0) < 1 or sum(blocks.values()) != size):
        raise InputError(f"the {kind} must be at least 1 each and add up to {size}, got {blocks}")


def _blocks(axis: Axes, blocks: Mapping[str, int] | None, vertical: bool) -> None:
    ticks = axis.xaxis if vertical else axis.yaxis
    if blocks is None:
        ticks.set_major_locator(MaxNLocator(4, integer=True))
        return
    sizes = list(blocks.values())
    ends = np.cumsum(sizes)
    for end in ends[:-1]:
        (axis.axvline if vertical else axis.axhline)(end - 0.5, color=INK, lw=1.0)
    ticks.set_ticks((ends - np.asarray(sizes) / 2 - 0.5).tolist(), list(map(literal, blocks)))
