"""What the pages have from the code: tables, listings, the neurons' pages, all figures.

python docs/generated.py    # write them again; a test compares the pages with the code

A page has a table between `<!-- name -->` and `<!-- end -->`, so that it reads the same in a
repository's viewer, where nothing is built.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from types import FunctionType
from typing import Any

import neuron_pages
import notebooks
import page_examples
import torch

import spikern
from spikern._utils import atomic
from spikern.cost import EnergyTable, tables
from spikern.engines import reference
from spikern.neurons import alif
from spikern.report.glossary import WORDS
from spikern.report.markdown import filled

DOCS = Path(__file__).parent
FIGURES = DOCS / "figures"


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
            f"- **`{table.name}`: {table.title}.** {table.node}, {table.precision}. Prices in pJ: "
            f"{prices}. Neuron updates are priced {table.updates}.{memory_prices(table)} "
            f"Source: {table.source}. Not modelled: {table.not_modelled}"
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


def glossary() -> str:
    """Every word of the report's glossary under a heading, to which tables link."""
    return "\n\n".join(f"## {word}\n\n{text}" for word, text in WORDS.items())


def listing(code: str) -> str:
    """Code as Markdown."""
    return f"```python\n{code.strip()}\n```"


def source(function: FunctionType) -> str:
    """A function as it stands in its file."""
    return listing(inspect.getsource(function))


def ecg_plan() -> str:
    """The plans of the ECG study."""
    text = (DOCS.parent / "experiments" / "ecg" / "plan.py").read_text()
    return listing(text[text.index("def searches") :])


PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "api": {"flat": flat_names},
    "architecture": {
        "step of ALIF": lambda: source(alif.step),
        "reference engine": lambda: source(reference.run),
    },
    "glossary": {"glossary": glossary},
    "neurons": {"neuron_list": neuron_pages.one_liners, "neurons": neuron_pages.summary},
    "notation": {"equations": neuron_pages.all_equations, "surrogates": surrogate_table},
    "op_counting": {"energy": energy_tables},
    "results_json": {"results": result_fields},
    "studies": {"plan of ecg": ecg_plan},
}
"""Every place of every page, and what stands there."""


def page(name: str) -> str:
    """A page with its places filled in."""
    text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    return filled(text, {place: make() for place, make in PAGES[name].items()})


def main() -> None:
    """Write all pages and figures."""
    torch.set_num_threads(1)  # networks this small run no faster on many
    for name in PAGES:
        atomic.write(DOCS / f"{name}.md", page(name))
    neuron_pages.write(DOCS / "neurons")
    notebooks.write()
    FIGURES.mkdir(exist_ok=True)
    for path in sorted(DOCS.glob("*.md")):
        if page_examples.shows_figures(path):
            failed = page_examples.run(path, FIGURES)
            if failed:
                raise RuntimeError(failed)


if __name__ == "__main__":
    main()
