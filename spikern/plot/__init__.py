"""Figures: a drawing function draws on `axis`, or on one of a figure of its own, and returns it.

Arrays are numpy's or torch's, of one sample: choose it with `z[:, b]`. Whatever differs in colour
also differs in line, marker or name, so that figures work for any colour vision and in print.

>>> from matplotlib.figure import Figure
>>> raster([[1, 0], [0, 1]], dt=1.0, axis=Figure().add_subplot()).get_xlabel()
'time (ms)'
"""

from spikern.plot.activity import raster, rates, traces
from spikern.plot.comparison import (
    OPERATIONS,
    Look,
    accuracy_against_energy,
    confusion,
    learning_curves,
    looks,
    operations,
    rates_by_layer,
)
from spikern.plot.neurons import phase, surrogate
from spikern.plot.style import (
    CLASSES,
    COLOURS,
    GRID,
    INK,
    LINES,
    MUTED,
    PERCENT,
    SPIKING,
    STANDARD,
    save,
    spread,
    tidy,
)
from spikern.plot.synapses import connectivity, weights

__all__ = [
    "CLASSES",
    "COLOURS",
    "GRID",
    "INK",
    "LINES",
    "MUTED",
    "OPERATIONS",
    "PERCENT",
    "SPIKING",
    "STANDARD",
    "Look",
    "accuracy_against_energy",
    "confusion",
    "connectivity",
    "learning_curves",
    "looks",
    "operations",
    "phase",
    "raster",
    "rates",
    "rates_by_layer",
    "save",
    "spread",
    "surrogate",
    "tidy",
    "traces",
    "weights",
]
