"""Sphinx settings; docstrings, plain prose with indented equations, become reStructuredText.

What pages have from the code is written by generated.py and is part of the repository.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import spikern

sys.path.insert(0, str(Path(__file__).parent))
import neuron_pages

project = "spikern"
author = "the spikern authors"
copyright = "the spikern authors, MIT licence"
version = release = spikern.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True
exclude_patterns = ["_build"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_title = f"spikern {release}"
html_copy_source = False
html_show_sourcelink = False
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
add_module_names = False
python_maximum_signature_line_length = 90


def plain_to_rst(lines: list[str]) -> list[str]:
    """Prose as prose, `code` as literal, equations, columns and doctests as they are."""
    rst: list[str] = []
    for paragraph in "\n".join(lines).split("\n\n"):
        if paragraph.lstrip().startswith(">>>"):
            rst += paragraph.split("\n")
        elif neuron_pages.is_equation(paragraph):
            rst += [".. code-block:: text", "", *(f"    {line}" for line in paragraph.split("\n"))]
        else:
            rst += [escaped(line) for line in paragraph.split("\n")]
        rst.append("")
    return rst


def escaped(line: str) -> str:
    """A line of prose without accidental markup."""
    parts = re.split(r"(`+[^`]+`+)", line)
    for k, part in enumerate(parts):
        parts[k] = (
            f"``{part.strip('`')}``" if k % 2 else re.sub(r"([\\*|])|_(?=\W|$)", r"\\\g<0>", part)
        )
    return "".join(parts)


def on_docstring(
    app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """Every docstring is plain text until here."""
    lines[:] = plain_to_rst(lines)


def on_member(app: Any, what: str, name: str, thing: Any, skip: bool, options: Any) -> bool | None:
    """Fields of a NamedTuple say nothing that its own docstring does not."""
    return True if str(getattr(thing, "__doc__", "")).startswith("Alias for field") else None


def setup(app: Any) -> None:
    """Hook them in."""
    app.connect("autodoc-process-docstring", on_docstring)
    app.connect("autodoc-skip-member", on_member)
