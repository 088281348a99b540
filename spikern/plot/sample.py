"""One test sample in a network: input, spikes, readout."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from spikern.plot import activity, style
from spikern.studies.samples import Sample

SIGNED = LinearSegmentedColormap.from_list(
    "signed",
    [
        to_rgba(style.COLOURS["rust"]),
        to_rgba(style.COLOURS["rust"], 0.0),
        to_rgba(style.COLOURS["blue"], 0.0),
        to_rgba(style.COLOURS["blue"]),
    ],
)
"""Zero is transparent, so that it suits a light and a dark page."""


def draw(sample: Sample, rule: str, width: float) -> Figure:
    """Input, a raster per hidden layer and the readout over one time axis; width in inches.

    `rule` says how a sequence is answered: by the `last` step of the readout or by its `mean`.
    """
    every_step = not isinstance(sample.label, int)
    heights = [1.2, *[2.2] * len(sample.hidden), 1.6, *[0.45] * every_step]
    figure = Figure((width, sum(heights) + 0.6), layout="constrained", facecolor="none")
    axes = list(figure.subplots(len(heights), 1, sharex=True, height_ratios=heights))
    steps = sample.steps
    draw_input(axes[0], sample.x[:steps])
    for k, z in enumerate(sample.hidden):
        activity.raster(z[:steps], axis=axes[k + 1])
        _title(axes[k + 1], f"hidden spikes, layer {k}" if len(sample.hidden) > 1 else "spikes")
    readout = axes[1 + len(sample.hidden)]
    named = [] if every_step else list(dict.fromkeys([int(sample.label), answer(sample, rule)]))
    activity.traces(sample.readout[:steps], sample.class_names, named, axis=readout)
    _title(readout, "readout" if every_step else f"readout: {verdict(sample, rule)}")
    if every_step:
        draw_labels(axes[-1], sample)
    for axis in axes[:-1]:
        axis.set_xlabel("")
        axis.tick_params(labelbottom=False)
    axes[-1].set_xlabel("step")
    figure.align_ylabels(axes)
    return figure


def draw_input(axis: Axes, x: NDArray[Any]) -> Axes:
    """One feature as a line, events as a raster by sign, several analog features as a heat map."""
    if x.shape[1] == 1:
        return _title(activity.traces(x, [""], axis=axis), "input")
    if np.isin(x, (-1.0, 0.0, 1.0)).all():
        activity.raster(x > 0, style.COLOURS["blue"], axis=axis)
        activity.raster(x < 0, style.COLOURS["rust"], axis=axis)
        axis.set_ylabel("channel")
        return _title(axis, "input events" + ", + in blue, − in red" * bool((x < 0).any()))
    largest = float(np.abs(x).max())
    axis.imshow(
        x.T, cmap=SIGNED, vmin=-largest, vmax=largest, aspect="auto", interpolation="none",
        origin="lower",
    )  # fmt: skip
    axis.set_ylabel("feature")
    axis.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    return _title(style.tidy(axis), f"input, from −{largest:.2g} (red) to {largest:.2g} (blue)")


def draw_labels(axis: Axes, sample: Sample) -> Axes:
    """Two strips: the label of every step, blank where there is none, and the answer."""
    steps = sample.steps
    strips = [sample.readout[:steps].argmax(-1), np.asarray(sample.label)[:steps]]
    for row, classes in enumerate(strips):
        edges = [0, *(np.flatnonzero(np.diff(classes)) + 1), steps]
        runs = [(a, b) for a, b in pairwise(edges) if classes[a] >= 0]
        axis.broken_barh(
            [(a - 0.5, b - a) for a, b in runs],
            (row - 0.4, 0.8),
            facecolors=[style.CLASSES[classes[a] % len(style.CLASSES)] for a, _ in runs],
            lw=0,
        )
    axis.set_yticks([0, 1], ["answer", "label"])
    return style.tidy(axis)


def answer(sample: Sample, rule: str) -> int:
    """The class with the highest readout, at the last step or on average."""
    readout = sample.readout[: sample.steps]
    return int((readout[-1] if rule == "last" else readout.mean(0)).argmax())


def verdict(sample: Sample, rule: str) -> str:
    """The answer of the network, and whether it is correct."""
    if not isinstance(sample.label, int):
        label = np.asarray(sample.label)[: sample.steps]
        if not (label >= 0).any():
            return "no step has a label"
        hits = sample.readout[: sample.steps].argmax(-1) == label
        return f"{hits[label >= 0].mean():.1%} of the labelled steps answered correctly"
    own, correct = (sample.class_names[k] for k in (answer(sample, rule), sample.label))
    return f"answer {own}, correct" if own == correct else f"answer {own}, label {correct}"


def _title(axis: Axes, text: str) -> Axes:
    axis.set_title(style.literal(text), loc="left", size=10, color=style.INK)
    return axis
