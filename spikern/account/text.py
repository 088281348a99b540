"""The account for a terminal and for count.txt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spikern.account import fair
from spikern.ops import EnergyTable
from spikern.ops.energy import VIEWS
from spikern.ops.ladder import Rung
from spikern.ops.ladder import text as ladder_text
from spikern.report.text import columns, energy, percent, quantity


def render(found: dict[str, Any]) -> str:
    """The whole account in sections, every energy an estimate under a table that it names."""
    sections = [
        *(list(model(m)) for m in found["models"]),
        list(estimated(found)),
        *(list(fair.stated(said)) for said in found["statements"]),
        list(fair.twins(found)),
        list(fair.measured(found["measured"])) if found["measured"] else [],
        list(reality(found["ladder"])) if found["ladder"] else [],
        list(sources(found["tables"])),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def heading(words: str) -> list[str]:
    """A title and a line below it."""
    return [words, "=" * len(words)]


def model(m: dict[str, Any]) -> Iterator[str]:
    """Counts by connection and layer, totals, memory traffic."""
    counts = m["counts"]
    runs, steps = counts["inferences"], counts["steps"]
    yield from heading(
        f"{m['name']}: {m['kind']}, {m['hidden']} hidden units, {m['parameters']:,} parameters, "
        f"{percent(m['test_accuracy'])} of the test split right"
    )
    yield f"Per inference, mean over {runs:,} test samples of {steps / runs:.4g} steps on average."
    rows = [("connection", "kind", "synapses", "arrivals", "AC", "MAC")]
    for layer in counts["layers"]:
        for c in layer["connections"]:
            done = [quantity(c[key] / runs) for key in ("arrivals", "ac", "mac")]
            name = f"{c['source']} to {c['target']}"
            rows.append((name, c["kind"], f"{c['synapses']:,}", *done))
    yield from columns(rows)
    yield ""
    table: list[tuple[str, ...]] = [
        ("layer", "units", "spikes", "AC", "MAC", "dense", "own arithmetic")
    ]
    for layer in counts["layers"]:
        ac, mac = (sum(c[key] for c in layer["connections"]) for key in ("ac", "mac"))
        done = [quantity(n / runs) for n in (layer["spikes"], ac, mac, layer["dense"])]
        name = f"{layer['layer']} ({layer['unit']})"
        table.append((name, str(layer["units"]), *done, by_kind(layer["updates"], runs)))
    total = counts["total"]
    for name, share in (("all, an inference", runs), ("all, a step", steps)):
        done = [quantity(total[key] / share) for key in ("spikes", "ac", "mac", "dense")]
        table.append((name, "", *done, by_kind(total["updates"], share)))
    yield from columns(table)
    if counts["rate"] is not None:
        yield (
            f"It fires at {percent(counts['rate'])} of its steps; a spike or event crosses a "
            f"synapse {counts['spikes_per_synapse']:.3g} times an inference."
        )
    yield ""
    yield from memory(m["memory"])


def by_kind(updates: dict[str, int], share: int) -> str:
    """Operations by kind in words.

    >>> by_kind({"mul": 30, "add": 20}, 10)
    '2 add, 3 mul'
    """
    return ", ".join(f"{quantity(n / share)} {kind}" for kind, n in sorted(updates.items())) or "-"


def memory(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Bytes moved by kind, a line a bound and width."""
    kinds = list(dict.fromkeys(kind for row in rows for kind in row["bytes"]))
    yield "Bytes read and written an inference, and additions for addresses:"
    table = [("bound, bits of weights/states", *kinds, "all", "addresses")]
    for row in rows:
        moved = [row["bytes"].get(kind, 0.0) for kind in kinds]
        name = f"{row['bound']}, {row['weight_bits']}/{row['state_bits']}"
        numbers = [*moved, sum(moved), row["addressing"]]
        table.append((name, *(quantity(n) for n in numbers)))
    yield from columns(table)


def estimated(found: dict[str, Any]) -> Iterator[str]:
    """Every model under every table and view, then the parts of what has an estimate."""
    yield from heading("Energy estimates of one inference")
    names = [m["name"] for m in found["models"]]
    by_place = {(e["table"], e["view"], e["model"]): e for e in found["estimates"]}
    rows = [("table, view", *names)]
    for table in found["tables"]:
        for view in VIEWS:
            cells = [by_place[table, view, name]["pj"] for name in names]
            if any(pj is not None for pj in cells):
                shown = ("no estimate" if pj is None else energy(pj) for pj in cells)
                rows.append((f"{table}, {view}", *shown))
    yield from columns(rows)
    priced = {e["table"] for e in found["estimates"] if e["pj"] is not None}
    if unpriced := [table for table in found["tables"] if table not in priced]:
        yield f"No estimate for any model: {', '.join(unpriced)}."
    yield ""
    yield from parts([e for e in found["estimates"] if e["pj"]])


def parts(estimates: list[dict[str, Any]]) -> Iterator[str]:
    """What each estimate is made of, a column a kind."""
    kinds = list(dict.fromkeys(kind for e in estimates for kind in e["parts"]))
    rows = [("by kind", *kinds)]
    for e in estimates:
        cells = (energy(e["parts"][kind]) if kind in e["parts"] else "-" for kind in kinds)
        rows.append((f"{e['model']}, {e['table']}, {e['view']}", *cells))
    yield from columns(rows)


def reality(found: dict[str, Any]) -> Iterator[str]:
    """The ladder with its arithmetic."""
    yield from heading(f"A ladder to reality: {found['model']}")
    yield (
        f"One inference lasts {found['seconds']:.3g} s, as its sequence does on average; "
        f"estimates by {found['table']}, {found['view']}."
    )
    yield ladder_text(tuple(Rung(**rung) for rung in found["rungs"]))


def sources(tables: dict[str, Any]) -> Iterator[str]:
    """What the tables are and leave out."""
    yield from heading("Energy tables")
    for name, table in tables.items():
        yield from entry(name, **table)


def entry(
    name: str, title: str, node: str, precision: str, source: str, not_modelled: str
) -> Iterator[str]:
    """A table in a few lines."""
    yield f"{name}: {title}"
    yield f"  node, precision  {node}, {precision}"
    yield f"  source           {source}"
    yield f"  not modelled     {not_modelled}"


def table_list(tables: dict[str, EnergyTable]) -> str:
    """All tables: name, title, node, precision, source, what is not modelled.

    >>> from spikern.ops import tables
    >>> table_list(tables()).splitlines()[0]
    '22nm_yan: 22 nm, accumulates only'
    """
    return "\n".join(
        line
        for t in tables.values()
        for line in entry(t.name, t.title, t.node, t.precision, t.source, t.not_modelled)
    )
