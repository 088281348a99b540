"""The figures of the report, each drawn twice: for a wide screen and for a narrow one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spikern import plot
from spikern.report import sample as samples
from spikern.report.sample import Sample
from spikern.report.svg import inline

WIDE, NARROW = 10.8, 3.7
"""Inches, at 96 pixels each."""


class Picture(NamedTuple):
    """A figure ready for the page; the style sheet shows the one that fits."""

    wide: Markup
    narrow: Markup


def pictures(results: dict[str, Any], sample: Sample | None) -> dict[str, Picture]:
    """All figures that there is something to draw for, by name."""
    models = results["models"]
    table = marker_table(results)
    drawn = {
        "learning": picture(
            "learning",
            f"Validation accuracy after every epoch of {names(models)}",
            lambda width: on_axis(width, 4.0, lambda a: plot.learning_curves(a, models)),
        ),
        "operations": picture(
            "operations",
            f"Operations of one inference by kind for {names(models)}",
            lambda width: on_axis(
                width,
                1.1 + 0.5 * len(models) + 0.8 * (width < WIDE),
                lambda a: plot.operations(a, models, 4 if width == WIDE else 1),
            ),
        ),
    }
    priced = [m for m in models if any(m["energy_pj"].values())]
    if priced and table:
        drawn["energy"] = picture(
            "energy",
            f"Test accuracy against the energy estimate of {names(priced)}",
            lambda width: on_axis(
                width, 4.2, lambda a: plot.accuracy_against_energy(a, priced, table)
            ),
        )
    spiking = [m for m in models if m["rates_by_layer"]]
    if spiking:
        bars = sum(len(m["rates_by_layer"]) for m in spiking)
        drawn["rates"] = picture(
            "rates",
            f"Mean firing rate of every hidden layer of {names(spiking)}",
            lambda width: on_axis(
                width, 0.8 + 0.42 * bars, lambda a: plot.rates_by_layer(a, spiking)
            ),
        )
    if sample is not None:
        rule = answer_rule(results)
        drawn["sample"] = picture(
            "sample",
            f"Input, spikes and readout of {sample.model} for one test sample",
            lambda width: samples.draw(sample, rule, width),
        )
    return drawn


def answer_rule(results: dict[str, Any]) -> str:
    """How a sequence was answered: by the readout's last step, or by its mean."""
    return str(results["settings"].get("answer", "mean"))


def marker_table(results: dict[str, Any]) -> str | None:
    """The energy table that prices the most models, the first of equals."""
    return max(
        results["energy_tables"],
        key=lambda t: sum(m["energy_pj"][t] is not None for m in results["models"]),
        default=None,
    )


def picture(name: str, label: str, draw: Callable[[float], Figure]) -> Picture:
    """Draw at both widths."""
    return Picture(
        inline(draw(WIDE), f"{name}-wide", label), inline(draw(NARROW), f"{name}-narrow", label)
    )


def on_axis(width: float, height: float, draw: Callable[[Axes], Axes]) -> Figure:
    """A figure of one axis, in inches."""
    figure = Figure((width, height), layout="constrained", facecolor="none")
    draw(figure.add_subplot())
    return figure


def names(models: list[dict[str, Any]]) -> str:
    """The models' names as a list in words."""
    return ", ".join(m["name"] for m in models)
