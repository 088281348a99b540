"""The figures of the HTML report as SVG elements, each drawn for a wide and for a narrow screen."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from markupsafe import Markup, escape
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spikern import plot
from spikern.cost.break_even import COMPARED
from spikern.cost.memory import BOUNDS
from spikern.cost.summary import widest_table
from spikern.plot import estimates
from spikern.plot.sample import draw
from spikern.plot.style import COLOURS, as_svg
from spikern.studies.results import REFERENCE_MODEL, best_on_validation
from spikern.studies.samples import Sample

WIDE, NARROW = 10.8, 3.7
"""Inches, at 96 pixels each."""


Drawing = tuple[str, Callable[[float], Figure]]
"""What a figure shows, in words, and the function that draws it at a width."""


class Picture(NamedTuple):
    """A figure at both widths; the style sheet shows the one that fits."""

    wide: Markup
    narrow: Markup


def pictures(results: dict[str, Any], samples: Sequence[Sample]) -> dict[str, Picture]:
    """All figures for which the results have data, by name."""
    drawings = (
        comparison_drawings(results) | answer_drawings(results, samples) | energy_drawings(results)
    )
    return {name: picture(name, *drawing) for name, drawing in drawings.items()}


def comparison_drawings(results: dict[str, Any]) -> dict[str, Drawing]:
    """Learning, operations, accuracy against energy, and firing rates."""
    models, table = results["models"], marker_table(results)
    drawings: dict[str, Drawing] = {
        "learning": (
            f"Validation accuracy after every epoch of {names(models)}",
            lambda width: on_axes(width, 4.0, lambda a: plot.learning_curves(models, axis=a)),
        ),
        "operations": (
            f"Operations of one inference by kind for {names(models)}",
            lambda width: on_axes(
                width,
                1.1 + 0.5 * len(models) + 0.8 * (width < WIDE),
                lambda a: plot.operations(models, 4 if width == WIDE else 1, axis=a),
            ),
        ),
    }
    priced = [m for m in models if any(m["energy_pj"].values())]
    if priced and table:
        drawings["energy"] = (
            f"Test accuracy against the energy estimate of {names(priced)}",
            lambda width: on_axes(
                width, 4.2, lambda a: plot.accuracy_against_energy(priced, table, axis=a)
            ),
        )
    spiking = [m for m in models if m["rates_by_layer"]]
    if spiking:
        height = 0.8 + 0.42 * sum(len(m["rates_by_layer"]) for m in spiking)
        drawings["rates"] = (
            f"Mean firing rate of every hidden layer of {names(spiking)}",
            lambda width: on_axes(width, height, lambda a: plot.rates_by_layer(spiking, axis=a)),
        )
    return drawings


def answer_drawings(results: dict[str, Any], samples: Sequence[Sample]) -> dict[str, Drawing]:
    """The confusion matrix, and the samples."""
    rule = answer_rule(results)
    drawings: dict[str, Drawing] = {
        f"sample{k}": (
            f"Input, spikes and readout of {sample.model} for a test sample",
            partial(draw, sample, rule),
        )
        for k, sample in enumerate(samples)
    }
    if "answers" in results:
        names, counts = results["dataset"]["class_names"], results["answers"]["confusion"]
        drawings["confusion"] = (
            f"Confusion matrix of {results['answers']['model']} on the test split",
            lambda width: on_axes(
                width, min(width, 4.5), lambda a: plot.confusion(counts, names, axis=a)
            ),
        )
    return drawings


def energy_drawings(results: dict[str, Any]) -> dict[str, Drawing]:
    """The parts of the estimates, the ratios of the best spiking network, its break-even rates."""
    rows, table = results["energy"]["estimates"], parts_table(results)
    drawings: dict[str, Drawing] = {}
    if table is not None:
        drawings["parts"] = (
            f"Energy estimates of {names(results['models'])} by kind, by the table {table}",
            lambda width: on_part_axes(width, rows, table),
        )
    comparisons = best_comparisons(results)
    one = reference_comparison(comparisons)
    if one is not None:
        pairs = ", ".join(f"{c['twin']} over {c['spiking']}" for c in comparisons)
        drawings["ratios"] = (
            f"Ratios of energy estimates, {pairs}, over tables and views",
            lambda width: on_ratio_axis(width, comparisons),
        )
        drawings["break_even"] = (
            f"Ratio of energy estimates, {one['twin']} over {one['spiking']}, by firing rate",
            lambda width: on_axes(
                width,
                3.6 if width == WIDE else 2.9,
                *(partial(estimates.break_even, comparison=one, view=view) for view in COMPARED),
            ),
        )
    return drawings


def on_part_axes(width: float, rows: list[dict[str, Any]], table: str) -> Figure:
    """Bars to scale and bars by share."""
    height = 0.9 + 1.15 * len({row["model"] for row in rows})
    draws = (lambda a: estimates.parts(a, rows, table), lambda a: estimates.shares(a, rows, table))
    figure = on_axes(width, height, *draws)
    if width == WIDE:
        figure.axes[1].tick_params(axis="y", labelleft=False)
    return keyed(figure, estimates.part_keys(rows, table), 6 if width == WIDE else 1)


def on_ratio_axis(width: float, comparisons: list[dict[str, Any]]) -> Figure:
    """The interval plot under the key of its tables."""
    height = 1.0 + 1.15 * len(comparisons) + (0.0 if width == WIDE else 0.4)
    figure = on_axes(width, height, lambda a: estimates.ratios(a, comparisons))
    return keyed(figure, estimates.table_keys(comparisons), 6 if width == WIDE else 2)


def keyed(figure: Figure, keys: Sequence[Artist], columns: int) -> Figure:
    """A figure with its key above all of its axes."""
    figure.legend(
        handles=keys, loc="outside upper left", ncols=columns, frameon=False,
        labelcolor=plot.INK, columnspacing=1.2, handletextpad=0.5,
    )  # fmt: skip
    return figure


def parts_table(results: dict[str, Any]) -> str | None:
    """The table of the bars by kind: one that prices memory too, if there is one."""
    rows = results["energy"]["estimates"]
    return widest_table(rows, BOUNDS[0]) or widest_table(rows)


def marker_table(results: dict[str, Any]) -> str | None:
    """The table of the markers: that which prices the operations of the most models."""
    return widest_table(results["energy"]["estimates"])


def best_comparisons(results: dict[str, Any]) -> list[dict[str, Any]]:
    """The comparisons of the best spiking network, on validation, that some table prices."""
    best = best_on_validation(results["models"], "spiking")
    return [
        c
        for c in results["energy"]["statements"]
        if best is not None and c["spiking"] == best["name"] and c["low"] is not None
    ]


def reference_comparison(comparisons: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The comparison with the LSTM, else the first, if there is one."""
    first = comparisons[0] if comparisons else None
    return next((c for c in comparisons if c["twin"] == REFERENCE_MODEL), first)


def answer_rule(results: dict[str, Any]) -> str:
    """The answer of a sequence: the readout at the last step, or its mean."""
    return str(results["settings"].get("answer", "mean"))


def picture(name: str, label: str, draw: Callable[[float], Figure]) -> Picture:
    """Draw at both widths."""
    return Picture(
        inline(draw(WIDE), f"{name}-wide", label), inline(draw(NARROW), f"{name}-narrow", label)
    )


def on_axes(width: float, height: float, *draws: Callable[[Axes], Axes]) -> Figure:
    """Axes of this many inches, side by side, or on a narrow screen one above the other."""
    rows = 1 if width == WIDE else len(draws)
    figure = Figure((width, rows * height), layout="constrained", facecolor="none")
    axes = figure.subplots(rows, len(draws) // rows, squeeze=False)
    for axis, onto in zip(axes.flat, draws):
        onto(axis)
    return figure


def inline(figure: Figure, name: str, label: str) -> Markup:
    """The figure as one <svg> for a page: ids start with `name`, colours are variables.

    The style sheet gives the variables --ink, --blue, ... their values for light and dark pages.
    """
    text = as_svg(figure, name)
    text = text[text.index("<svg ") :]
    for block in ("metadata", "style"):
        text = re.sub(rf"\s*<{block}.*?</{block}>", "", text, flags=re.DOTALL)
    text = re.sub(r"""(\bid="|href="#|url\(#)""", rf"\g<1>{name}-", text)
    # Two decimals per number of a path; a raster has thousands of numbers.
    text = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), text)
    for variable, colour in COLOURS.items():
        text = text.replace(colour, f"var(--{variable})")
    return Markup(text.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1))


def names(models: list[dict[str, Any]]) -> str:
    """The names of the models, separated by commas."""
    return ", ".join(m["name"] for m in models)
