"""The tutorials as notebooks: the text and the examples of a page, to be run by whoever reads."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import page_examples
from nbformat import v4

DOCS = Path(__file__).parent
FOLDER = DOCS / "notebooks"
TUTORIALS = (
    *("first_network", "library", "new_neuron", "new_surrogate"),
    *("retrieval", "streaming", "training"),
)
FIRST = "%matplotlib inline"
BLOCK = re.compile(r"^```pycon\n(.*?)^```\n", re.DOTALL | re.MULTILINE)
FIGURE = re.compile(r"^!\[.*?\]\(figures/.*?\)\n", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|#)(.*?)\)")


def notebook(name: str) -> str:
    """The notebook of a page, without outputs; a figure that the page saves is shown instead."""
    text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    cells = [v4.new_code_cell(FIRST)]
    for k, part in enumerate(BLOCK.split(text)):
        if k % 2:
            cells += _cells(part)
        elif prose := LINK.sub(r"](../\1)", FIGURE.sub("", part)).strip():
            cells.append(v4.new_markdown_cell(prose))
    for k, cell in enumerate(cells):
        cell["id"] = f"cell-{k}"
    python = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    return str(nbformat.writes(v4.new_notebook(cells=cells, metadata=python))) + "\n"


def _cells(block: str) -> list[nbformat.NotebookNode]:
    """The examples of a block, without prompts and outputs; what shows something ends a cell."""
    cells = []
    code = ""
    examples = page_examples.of_block(block)
    for example in examples:
        code += example.source
        if example.want or example is examples[-1]:
            code = re.sub(r"  # doctest: .*$", "", code, flags=re.MULTILINE)
            code = re.sub(r"^plot\.save\((\w+), .*\)$", r"\1", code, flags=re.MULTILINE)
            tags = {"tags": ["raises-exception"]} if example.exc_msg else {}
            cells.append(v4.new_code_cell(code.rstrip(), metadata=tags))
            code = ""
    return cells


def write() -> None:
    """Write the notebooks of all tutorials."""
    FOLDER.mkdir(exist_ok=True)
    for name in TUTORIALS:
        (FOLDER / f"{name}.ipynb").write_text(notebook(name), encoding="utf-8")
