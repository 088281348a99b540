"""A neuron in the plane of two of its states."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from torch import Tensor

from spikern.plot.look import COLOURS, INK, MUTED, legend_above, tidy
from spikern.plot.values import array
from spikern.types import InputError


def phase(
    axis: Axes,
    x: ArrayLike | Tensor,
    y: ArrayLike | Tensor,
    names: Sequence[str],
    u: ArrayLike | Tensor | None = None,
) -> Axes:
    """Two states of one neuron against each other over its steps, x and y (T,); their names.

    A dot is a step. The thin line between dots shows their order only: the neuron is a map from
    step to step, and is nowhere in between. With the distance to threshold u (T,), steps that fire
    (u > 0) are marked, and a tick at (x - u, y) shows for every step where the threshold was; that
    is right if x is the state that is held against the threshold, such as v.

    Raises InputError on a wrong shape, NaN, or lengths that differ.
    """
    horizontal, vertical = array(names_of(names)[0], x, "(T,)"), array(names[1], y, "(T,)")
    distance = None if u is None else array("u", u, "(T,)")
    lengths = {len(values) for values in (horizontal, vertical, distance) if values is not None}
    if len(lengths) > 1:
        raise InputError(f"expected as many steps in each, got {sorted(lengths)}")
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
    axis.set(xlabel=names[0], ylabel=names[1])
    axis.margins(0.06)
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.yaxis.set_major_locator(MaxNLocator(4))
    legend_above(axis, 4 if axis.bbox.width / axis.figure.dpi > 4 else 2)
    return tidy(axis)


def names_of(names: Sequence[str]) -> Sequence[str]:
    """Two names, one an axis."""
    if isinstance(names, str) or len(names) != 2:
        raise InputError(f"expected two names, such as ('v', 'a'), got {names!r}")
    return names
