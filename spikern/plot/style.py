"""The style of every figure (colours, lines, axes, labels), its input checks, and SVG files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from spikern._utils import atomic
from spikern._utils.errors import InputError
from spikern._utils.tensors import to_numpy

Values = ArrayLike | Tensor
"""What a figure draws: an array of numpy or torch, or nested lists."""
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
DARK = {
    "ink": "#e8ebf0",
    "muted": "#9aa5b4",
    "grid": "#343c48",
    "blue": "#58a6ff",
    "teal": "#3fc79f",
    "violet": "#b09bf7",
    "rust": "#f58a5b",
    "ochre": "#d9ab35",
    "magenta": "#ee86bd",
}
"""What stands on a dark page for each of COLOURS."""
INK, MUTED, GRID = (COLOURS[name] for name in ("ink", "muted", "grid"))
SPIKING = [COLOURS[name] for name in ("blue", "teal", "violet")]
STANDARD = [COLOURS[name] for name in ("ochre", "magenta", "rust")]
CLASSES = [COLOURS[name] for name in ("blue", "rust", "teal", "violet", "ochre", "magenta")]
LINES = ["-", "-", "--", "--", "-.", "-."]
"""A line style for each of CLASSES; colours that are easily confused have different ones."""
MARKERS = "osD^vP"
"""A marker for each of CLASSES."""
PERCENT = FuncFormatter(lambda fraction, _: f"{round(100 * fraction, 3):g}%")


def given(axis: Axes | None) -> Axes:
    """The axis, or one of a new figure, which a notebook shows."""
    if axis is not None:
        return axis
    from matplotlib import pyplot  # a figure of report or page needs no window

    return pyplot.figure(layout="constrained").add_subplot()


def tidy(axis: Axes) -> Axes:
    """Two spines, grey ticks, grid behind the data, no background."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(MUTED)
    axis.tick_params(which="both", color=MUTED, labelcolor=INK)
    for label in (axis.xaxis.label, axis.yaxis.label, axis.title):
        label.set_color(INK)
    axis.set_axisbelow(True)
    axis.set_facecolor("none")
    return axis


def legend_above(axis: Axes, columns: int, keys: Sequence[Artist] | None = None) -> Axes:
    """A legend above the axis, of `keys` or of all labels."""
    axis.legend(
        handles=keys, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns, frameon=False,
        labelcolor=INK, handletextpad=0.4, borderaxespad=0.2, columnspacing=1.2,
    )  # fmt: skip
    return axis


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Move values apart to at least `gap`; order and mean of neighbouring values are kept.

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
    """Write every (name, y, colour) right of the axis at y, moved apart where two would overlap."""
    low, high = axis.get_ylim()
    at = [axis.transData.transform((1.0, y))[1] for y in (low, high, *(y for _, y, _ in labels))]
    bottom, top, *heights = at
    gap = 0.2 * axis.figure.dpi / axis.bbox.height
    moved = spread([(y - bottom) / (top - bottom) for y in heights], gap)
    for (name, _, colour), y in zip(labels, moved):
        axis.annotate(
            literal(name), (1.0, y), (6, 0), xycoords="axes fraction",
            textcoords="offset points", color=colour, va="center", weight="bold",
            annotation_clip=False,
        )  # fmt: skip
    return axis


def literal(text: str) -> str:
    """A text of the user's as it is: between two dollar signs matplotlib sees a formula.

    >>> print(literal("$50 to $100"))
    \\$50 to \\$100
    """
    return text.replace("$", r"\$")


def as_svg(figure: Figure, salt: str) -> str:
    """The figure as an SVG document with text as text; equal figures and salts give equal bytes.

    >>> as_svg(Figure(), "empty") == as_svg(Figure(), "empty")
    True
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, facecolor="none")
    return buffer.getvalue()


def save(figure: Figure | Axes, path: str | Path) -> None:
    """Write a figure, or that of an axis, as SVG without a background, in light or dark colours.

    The page, or the browser, says which it is. Raises DataError if it cannot be written; no part
    of it remains.
    """
    if isinstance(figure, Axes):
        figure = figure.figure  # type: ignore[assignment]
    if not isinstance(figure, Figure):
        raise InputError(f"expected a figure or an axis of one, got {type(figure).__name__}")
    path = Path(path)
    atomic.write(path, with_dark_colours(as_svg(figure, path.stem)))


def with_dark_colours(svg: str) -> str:
    """The document with rules for dark pages: black and each of COLOURS become those of DARK.

    >>> "[style*='fill: #1b2330']{fill:#e8ebf0!important}" in with_dark_colours("</style>")
    True
    """
    pairs = [("#000000", DARK["ink"]), *((COLOURS[name], DARK[name]) for name in COLOURS)]
    rules = [
        f"[style*='{part}: {light}']{{{part}:{dark}!important}}"
        for light, dark in pairs
        for part in ("fill", "stroke")
    ]
    rules.append(f"text:not([style*='fill']){{fill:{DARK['ink']}}}")  # black has no style
    dark = f"@media screen and (prefers-color-scheme:dark){{{''.join(rules)}}}"
    return svg.replace("</style>", f"{dark}</style>", 1)


def array(what: str, values: Values, shape: str) -> NDArray[Any]:
    """The values as a finite, non-empty numpy array with as many axes as `shape` has letters.

    >>> array("spikes", np.zeros((3, 1, 2)), "(T, H)")
    Traceback (most recent call last):
    spikern.InputError: expected spikes as (T, H), got shape (3, 1, 2); \
choose one sample first, as in x[:, 0]
    """
    if isinstance(values, Axes):
        raise InputError(f"expected {what} first, got an axis; pass it as axis=")
    data = to_numpy(values) if isinstance(values, Tensor) else np.asarray(values)
    axes = shape.count(",") + 1 - shape.count(",)")
    if data.ndim != axes:
        hint = {(3, 2): "; choose one sample first, as in x[:, 0]",
                (2, 1): "; choose one neuron first, as in x[:, 0]",
                (3, 1): "; choose one sample and neuron first, as in x[:, 0, 0]"}  # fmt: skip
        raise InputError(
            f"expected {what} as {shape}, got shape {data.shape}{hint.get((data.ndim, axes), '')}"
        )
    if data.size == 0:
        raise InputError(f"there is nothing to draw: {what} has shape {data.shape}")
    if data.dtype.kind not in "biuf":
        raise InputError(f"expected numbers for {what}, got {data.dtype}")
    if not np.isfinite(data).all():
        where = tuple(int(k) for k in np.argwhere(~np.isfinite(data))[0])
        raise InputError(
            f"{what} holds NaN or infinite values, the first at {where}; cut or replace them first"
        )
    return data


def valid_steps(steps: int, length: int | None) -> int:
    """The number of steps of a sample: all, or its length."""
    if length is None:
        return steps
    if not 1 <= length <= steps:
        raise InputError(f"length must lie in 1..{steps}, got {length}")
    return int(length)


def step_length(dt: float | None) -> float:
    """The length of one step on the time axis: 1, or dt milliseconds."""
    if dt is not None and not 0 < dt < float("inf"):
        raise InputError(f"dt is the length of a step in ms and must be above 0, got {dt}")
    return 1.0 if dt is None else dt
