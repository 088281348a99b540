"""Figures as SVG: text as text, and the same bytes for the same figure."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from spikern import atomic


def as_svg(figure: Figure, salt: str) -> str:
    """The figure as an SVG document whose ids follow from `salt`.

    >>> as_svg(Figure(), "empty") == as_svg(Figure(), "empty")
    True
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def save(figure: Figure, path: Path) -> None:
    """Write the figure, whole or not at all. Raises DataError where nothing can be written."""
    atomic.write(path, as_svg(figure, path.stem))
