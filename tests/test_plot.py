"""Figures: what is drawn is what was given."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from test_report import example_model

from spikern import plot

MODELS = [example_model("LIF", 0.95, 9e4, 2, layers=2), example_model("GRU", 0.97, 8e4, 2)]
SPIKES = (np.random.default_rng(0).random((30, 8)) < 0.2).astype(float)


@pytest.fixture
def axis() -> Axes:
    return Figure().add_subplot()


@pytest.mark.parametrize(
    "draw",
    [
        lambda a: plot.raster(a, SPIKES),
        lambda a: plot.rates(a, SPIKES),
        lambda a: plot.traces(a, SPIKES, list("abcdefgh")),
        lambda a: plot.accuracy_against_energy(a, MODELS, "45nm_fp32"),
        lambda a: plot.learning_curves(a, MODELS),
        lambda a: plot.operations(a, MODELS),
        lambda a: plot.rates_by_layer(a, MODELS),
    ],
)
def test_every_function_returns_its_axis(axis: Axes, draw: Callable[[Axes], Axes]) -> None:
    assert draw(axis) is axis
    axis.get_figure().canvas.draw()  # type: ignore[union-attr]


def test_a_raster_has_a_tick_a_spike(axis: Axes) -> None:
    (patch,) = plot.raster(axis, SPIKES).patches
    starts = patch.get_path().vertices[0::2]
    np.testing.assert_allclose(starts, np.argwhere(SPIKES) - np.array([0, 0.45]))


def test_a_silent_raster_can_be_drawn(axis: Axes) -> None:
    plot.raster(axis, np.zeros((5, 3)))
    axis.get_figure().canvas.draw()  # type: ignore[union-attr]


def test_a_kind_of_operation_that_never_happened_has_no_dot(axis: Axes) -> None:
    plot.operations(axis, MODELS)
    ac = next(line for line in axis.lines if line.get_label() == "accumulates (AC)")
    assert np.isnan(np.asarray(ac.get_xdata())).tolist() == [False, True]


def test_kinds_differ_in_more_than_colour() -> None:
    look = plot.looks(MODELS)
    assert look["LIF"].marker != look["GRU"].marker
    assert look["LIF"].line != look["GRU"].line


@pytest.mark.parametrize("colour", plot.COLOURS.items())
def test_colours_stand_out_on_white(colour: tuple[str, str]) -> None:
    name, value = colour
    channels = np.array([int(value[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    contrast = 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05)
    assert contrast >= 4.5 or name == "grid"


def test_names_are_moved_apart_in_order() -> None:
    values = [0.97, 0.971, 0.2, 0.969, 0.5]
    moved: Any = plot.spread(values, 0.05)
    assert np.argsort(moved).tolist() == np.argsort(values).tolist()
    assert np.diff(np.sort(moved)).min() >= 0.05 - 1e-9
