"""The look of every figure: colours, line styles, quiet axes, names where the lines end."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

COLOURS = {
    "ink": "#1b2330",
    "muted": "#5c6675",
    "grid": "#dde1e7",
    "blue": "#0b62a8",
    "teal": "#0a7d62",
    "violet": "#6b4fbb",
    "rust": "#c0440e",
    "ochre": "#8a6500",
    "magenta": "#a62f78",
}
INK, MUTED, GRID = (COLOURS[name] for name in ("ink", "muted", "grid"))
SPIKING = [COLOURS[name] for name in ("blue", "teal", "violet")]
STANDARD = [COLOURS[name] for name in ("ochre", "magenta", "rust")]
CLASSES = [COLOURS[name] for name in ("blue", "rust", "teal", "violet", "ochre", "magenta")]
LINES = ["-", "-", "--", "--", "-.", "-."]
"""A line style for each of CLASSES: colours that some eyes confuse never share one."""
PERCENT = FuncFormatter(lambda fraction, _: f"{round(100 * fraction, 3):g}%")


def tidy(axis: Axes) -> Axes:
    """Two spines, quiet ticks, nothing behind the data."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(MUTED)
    axis.tick_params(which="both", color=MUTED, labelcolor=INK)
    for label in (axis.xaxis.label, axis.yaxis.label, axis.title):
        label.set_color(INK)
    axis.set_axisbelow(True)
    axis.set_facecolor("none")
    return axis


def legend_above(axis: Axes, columns: int, keys: Sequence[Artist] | None = None) -> Axes:
    """The legend over the axis, where it hides nothing; of the keys given, or of all labels."""
    axis.legend(
        handles=keys, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns, frameon=False,
        labelcolor=INK, handletextpad=0.4, borderaxespad=0.2, columnspacing=1.2,
    )  # fmt: skip
    return axis


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Move values apart to at least `gap`, keeping their order, and their mean where they touch.

    >>> spread([0.0, 0.1, 5.0], 1.0)
    [-0.45, 0.55, 5.0]
    """
    groups: list[tuple[float, list[int]]] = []
    for k in sorted(range(len(values)), key=values.__getitem__):
        middle, members = values[k], [k]
        while groups:
            before, others = groups[-1]
            if middle - before >= gap * (len(members) + len(others)) / 2 - 1e-12:
                break
            groups.pop()
            weight = len(others) + len(members)
            middle = (before * len(others) + middle * len(members)) / weight
            members = others + members
        groups.append((middle, members))
    moved = [0.0] * len(values)
    for middle, members in groups:
        for n, k in enumerate(members):
            moved[k] = middle + gap * (n - (len(members) - 1) / 2)
    return moved


def name_at_right(axis: Axes, labels: Sequence[tuple[str, float, str]]) -> Axes:
    """Write (name, y, colour) right of the axis at its y, moved apart where two would touch."""
    low, high = axis.get_ylim()
    at = [axis.transData.transform((1.0, y))[1] for y in (low, high, *(y for _, y, _ in labels))]
    bottom, top, *heights = at
    gap = 0.2 * axis.figure.dpi / axis.bbox.height
    moved = spread([(y - bottom) / (top - bottom) for y in heights], gap)
    for (name, _, colour), y in zip(labels, moved):
        axis.annotate(
            name, (1.0, y), (6, 0), xycoords="axes fraction",
            textcoords="offset points", color=colour, va="center", weight="bold",
            annotation_clip=False,
        )  # fmt: skip
    return axis
