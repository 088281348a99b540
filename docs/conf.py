"""Sphinx settings, and what is generated at build time.

Tables that would go stale if written by hand are filled in where a page says `@@name@@`, a page
for each neuron is written (neuron_pages.py), figures are those that the examples of their page save
(page_examples.py), and docstrings, which are plain prose with indented equations, are turned into
reStructuredText.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import torch

import spikern
from spikern.cost import EnergyTable, tables

sys.path.insert(0, str(Path(__file__).parent))
import neuron_pages
import page_examples

project = "spikern"
author = "the spikern authors"
copyright = "the spikern authors, MIT licence"
version = release = spikern.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_title = f"spikern {release}"
html_copy_source = False
html_show_sourcelink = False
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
add_module_names = False
python_maximum_signature_line_length = 90


def surrogate_table() -> str:
    """Every surrogate: half width of its support, source."""
    rows = ["| surrogate | zero outside | source |", "| --- | --- | --- |"]
    for name, make in spikern.SURROGATES.items():
        surrogate = make()
        support = "-" if surrogate.support == float("inf") else f"±{surrogate.support:g}"
        rows.append(f"| `{name}` | {support} | {surrogate.source} |")
    return "\n".join(rows)


def flat_names() -> str:
    """The names of `import spikern`, rooms left out."""
    names = [name for name in spikern.__all__ if not inspect.ismodule(getattr(spikern, name))]
    return ", ".join(f"`{name}`" for name in names) + "."


def energy_tables() -> str:
    """Every energy table: prices, source, what it leaves out."""
    parts = []
    for table in tables().values():
        prices = ", ".join(f"{kind} {price:g}" for kind, price in table.pj.items())
        parts.append(
            f"`{table.name}`: {table.title}\n"
            f": {table.node}, {table.precision}. Prices in pJ: {prices}. "
            f"Neuron updates are priced {table.updates}.{memory_prices(table)}\n"
            f"\n  Source: {table.source}.\n"
            f"\n  Not modelled: {table.not_modelled}\n"
        )
    return "\n".join(parts)


def memory_prices(table: EnergyTable) -> str:
    """What an access to memory costs under a table, if it says so."""
    if table.sram is None:
        return ""
    sizes = ", ".join(f"{n // 1024} KB {pj:g}" for n, pj in zip(table.sram.bytes, table.sram.pj))
    dram = "" if table.dram is None else f"; outside the chip {table.dram.pj:g}"
    return (
        f" An access of {table.sram.access_bits} bits: {sizes}{dram}."
        f" Weights have {table.weight_bits} bits, states {table.state_bits}."
    )


def result_fields() -> str:
    """Every field of results.json as its schema has it."""
    schema = json.loads((resources.files("spikern") / "report" / "schema.json").read_text())
    rows = ["| field | type | meaning |", "| --- | --- | --- |"]
    rows += [f"| `{path}` | {kind} | {text} |" for path, kind, text in fields(schema, schema, "")]
    return "\n".join(rows)


def resolved(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A node with its references replaced by what they refer to; its own words come first."""
    while "$ref" in node:
        rest = {k: v for k, v in node.items() if k != "$ref"}
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]] | rest
    return node


def fields(node: dict[str, Any], schema: dict[str, Any], path: str) -> Iterator[tuple[str, ...]]:
    """Path, type and meaning of a node and of all below it."""
    node = resolved(node, schema)
    if path and "description" in node:
        yield path, kind_of(node, schema), node["description"].replace("|", "\\|")
    if "items" in node:
        below = {k: v for k, v in resolved(node["items"], schema).items() if k != "description"}
        yield from fields(below, schema, f"{path}[]")
    for name, child in node.get("properties", {}).items():
        yield from fields(child, schema, f"{path}.{name}".lstrip("."))


def kind_of(node: dict[str, Any], schema: dict[str, Any]) -> str:
    """The type of a node in a word or two."""
    node = resolved(node, schema)
    if "anyOf" in node:
        return " or ".join(kind_of(option, schema) for option in node["anyOf"])
    if "const" in node:
        return f"always {node['const']}"
    if "enum" in node:
        return " or ".join(f'"{value}"' for value in node["enum"])
    kinds = node.get("type", "any")
    return " or ".join(kinds if isinstance(kinds, list) else [kinds])


GENERATED = {
    "neurons": neuron_pages.summary,
    "neuron_list": neuron_pages.one_liners,
    "neuron_pages": neuron_pages.links,
    "equations": neuron_pages.all_equations,
    "surrogates": surrogate_table,
    "energy": energy_tables,
    "flat": flat_names,
    "results": result_fields,
}


def fill_in(app: Any, page: str, source: list[str]) -> None:
    """Put each table where the page asks for it."""
    source[0] = re.sub(r"@@(\w+)@@", lambda match: GENERATED[match[1]](), source[0])


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


def draw_figures(app: Any) -> None:
    """Run the pages that show figures of their own, in the folder that they show them from."""
    torch.set_num_threads(1)  # networks this small run no faster on many
    folder = Path(app.srcdir) / "figures"
    folder.mkdir(exist_ok=True)
    for page in sorted(Path(app.srcdir).glob("*.md")):
        if page_examples.shows_figures(page):
            failed = page_examples.run(page, folder)
            if failed:
                raise RuntimeError(failed)


def write_neurons(app: Any) -> None:
    """The pages of the neurons, before Sphinx looks for pages."""
    neuron_pages.write(Path(app.srcdir) / "neurons")


def setup(app: Any) -> None:
    """Hook them in."""
    app.connect("builder-inited", draw_figures)
    app.connect("builder-inited", write_neurons)
    app.connect("source-read", fill_in)
    app.connect("autodoc-process-docstring", on_docstring)
    app.connect("autodoc-skip-member", on_member)
