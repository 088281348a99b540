"""Figures as SVG elements that can stand in an HTML page beside others."""

from __future__ import annotations

import re

from markupsafe import Markup, escape
from matplotlib.figure import Figure

from spikern.plot import COLOURS
from spikern.plot.svg import as_svg


def inline(figure: Figure, name: str, label: str) -> Markup:
    """The figure as one <svg>: text as text, ids under `name`, the house's colours as variables.

    The page gives the variables --ink, --blue, ... their values, so that a dark page redraws it.
    """
    text = as_svg(figure, name)
    text = text[text.index("<svg ") :]
    for block in ("metadata", "style"):
        text = re.sub(rf"\s*<{block}.*?</{block}>", "", text, flags=re.DOTALL)
    text = re.sub(r"""(\bid="|href="#|url\(#)""", rf"\g<1>{name}-", text)
    text = re.sub(r' d="[^"]*"', _rounded, text)
    for variable, colour in COLOURS.items():
        text = text.replace(colour, f"var(--{variable})")
    return Markup(text.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1))


def _rounded(path: re.Match[str]) -> str:
    """A path with two decimals a number: a raster has thousands of them."""
    return re.sub(r"(\.\d\d)\d+", r"\1", path[0])
