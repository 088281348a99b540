"""The comparison as a table for a terminal.

The account for a terminal and for count.txt.

Statements, twins and measured times as lines of text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spikern.cost.break_even import BreakEven, Line, Statement
from spikern.cost.estimates import VIEWS
from spikern.cost.prices import EnergyTable
from spikern.studies.ladder import Rung
from spikern.studies.ladder import text as ladder_text

HEADER = (
    "model", "accuracy", "params", "rate", "AC", "MAC", "updates", "energy est.", "vs LSTM", "time"
)  # fmt: skip


def table(results: dict[str, Any]) -> str:
    """One line a model; operations are of one inference, energies estimates over the tables."""
    lines = columns([HEADER] + [row(model, results) for model in results["models"]])
    lines.insert(1, "-" * len(lines[0]))
    lines.append(
        f"\nAccuracy on {results['dataset']['test']} held-out test samples, mean and 95 % interval "
        f"over seeds (majority class: {percent(results['dataset']['majority_accuracy'])})."
    )
    lines.append(
        f"Energy is an estimate for operations alone, from the lowest to the highest of the "
        f"{len(results['energy_tables'])} tables that price the\nmodel; 'vs LSTM' is how many "
        "times less than the LSTM by the same table. `spikern tables` lists them, the\nreport "
        "has memory traffic too. Time: one inference, batch 1, spiking networks streamed, others "
        "in torch;\n`spikern count --measure` times them on faster runtimes too."
    )
    return "\n".join(lines)


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines, the first column to the left, the others to the right.

    >>> columns([("model", "AC"), ("LIF", "1,234")])
    ['model     AC', 'LIF    1,234']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(c.ljust(w) if k == 0 else c.rjust(w) for k, (c, w) in enumerate(zip(r, widths)))
        for r in rows
    ]


def row(model: dict[str, Any], results: dict[str, Any]) -> tuple[str, ...]:
    """One model's cells."""
    ops = model["ops_per_inference"]
    ratios: dict[str, float | None] = next(
        (c["energy_ratio"] for c in results["comparisons"] if c["model"] == model["name"]), {}
    )
    return (
        model["name"],
        accuracy(model["test_accuracy"]),
        f"{model['parameters']:,}",
        "-" if model["rate"] is None else percent(model["rate"]),
        quantity(ops["ac"]),
        quantity(ops["mac"]),
        quantity(sum(ops["neuron_updates"].values())),
        span([pj for pj in model["energy_pj"].values() if pj is not None], energy),
        span([r for r in ratios.values() if r is not None], lambda r: f"{r:.2g}x"),
        duration(model),
    )


def percent(value: float) -> str:
    """A fraction as a percentage with one decimal."""
    return f"{value:.1%}"


def accuracy(entry: dict[str, Any]) -> str:
    """Mean, and half the interval where there is one."""
    if entry["ci95"] is None:
        return percent(entry["mean"])
    low, high = entry["ci95"]
    return f"{percent(entry['mean'])} ± {50 * (high - low):.1f}"


def span(values: list[float], show: Any) -> str:
    """Lowest to highest."""
    if not values:
        return "-"
    low, high = show(min(values)), show(max(values))
    return low if low == high else f"{low} – {high}"


def quantity(value: float) -> str:
    """A count in thousands or millions.

    >>> quantity(12_345), quantity(0), quantity(2_500_000)
    ('12.3 k', '0', '2.50 M')
    """
    if value >= 1e6:
        return f"{value / 1e6:.2f} M"
    return f"{value / 1e3:.1f} k" if value >= 1e3 else f"{value:.0f}"


def energy(pj: float) -> str:
    """An energy in pJ, nJ or uJ.

    >>> energy(1234.0)
    '1.23 nJ'
    """
    for unit, size in (("µJ", 1e6), ("nJ", 1e3)):
        if pj >= size:
            return f"{pj / size:.3g} {unit}"
    return f"{pj:.3g} pJ"


def duration(model: dict[str, Any]) -> str:
    """The time of an inference.

    >>> duration({"milliseconds_per_inference": 0.0271})
    '27 µs'
    """
    ms = model["milliseconds_per_inference"]
    return f"{ms:.2f} ms" if ms >= 0.1 else f"{1e3 * ms:.0f} µs"


def render(found: dict[str, Any]) -> str:
    """The whole account in sections, every energy an estimate under a table that it names."""
    sections = [
        *(list(model(m)) for m in found["models"]),
        list(estimated(found)),
        *(list(stated(said)) for said in found["statements"]),
        list(twins(found)),
        list(measured(found["measured"])) if found["measured"] else [],
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

    >>> from spikern.cost import tables
    >>> table_list(tables()).splitlines()[0]
    '22nm_yan: 22 nm, accumulates only'
    """
    return "\n".join(
        line
        for t in tables.values()
        for line in entry(t.name, t.title, t.node, t.precision, t.source, t.not_modelled)
    )


def stated(said: Mapping[str, Any]) -> Iterator[str]:
    """A statement under its heading."""
    words = f"{said['spiking']} against {said['twin']}"
    yield from (words, "=" * len(words), restored(said).text())


def restored(said: Mapping[str, Any]) -> Statement:
    """The statement whose plain data these are."""
    lines = tuple(
        Line(**{**line, "break_even": BreakEven(**line["break_even"])}) for line in said["lines"]
    )
    return Statement(said["spiking"], said["twin"], said["rate"], said["spikes_per_synapse"], lines)


def interval(said: Mapping[str, Any]) -> str:
    """The ratios of a statement from the worst to the best.

    >>> interval({"low": 0.5, "high": 12.3}), interval({"low": None, "high": None})
    ('0.5x to 12.3x', 'no estimate')
    """
    if said["low"] is None:
        return "no estimate"
    return f"{said['low']:.3g}x to {said['high']:.3g}x"


def twins(found: dict[str, Any]) -> Iterator[str]:
    """The fair twins: at equal parameters, in int8, as sparse, as accurate."""
    yield from ("Fair twins", "==========")
    yield "Ratios are estimates, twin over spiking, over all tables and views that price both;"
    yield "above 1x the spiking network needs less."
    yield ""
    yield f"At equal {found['equal']}, as they were trained:"
    for said in found["statements"]:
        yield f"  {said['spiking']} against {said['twin']}: {interval(said)}"
    yield from int8(found["int8"])
    yield ""
    yield "Pruned to the connections of the spiking network:"
    for row in found["pruned"]:
        yield f"  {row['spiking']}, {row['twin']}: {row['why'] or pruned(row)}"
    yield ""
    yield "At equal accuracy on the test split:"
    for row in found["equal_accuracy"]:
        reached = ", ".join(row["reached_by"]) or "no standard model of this run"
        yield f"  {row['spiking']} gets {percent(row['test_accuracy'])}; as good: {reached}"
    for row in found["climbs"]:
        yield f"  {row['spiking']}, {row['twin']}: {climb(row)}"


def int8(found: Mapping[str, Any]) -> Iterator[str]:
    """Accuracies in int8, and the statement of the networks in int8."""
    yield ""
    yield "In int8, quantised after training, on the test split:"
    rows = [("  model", "scheme", "accuracy", "in float32", "same answers")]
    for row in found["measured"]:
        shares = (percent(row[key]) for key in ("accuracy", "float_accuracy", "agreement"))
        rows.append((f"  {row['model']}", row["scheme"], *shares))
    yield from columns(rows)
    for model, why in found["missing"].items():
        yield f"  {model}: {why}"
    for said in found["statements"]:
        yield f"  both in int8, {said['spiking']} against {said['twin']}: {interval(said)}"


def pruned(row: Mapping[str, Any]) -> str:
    """A pruned twin in a line."""
    return (
        f"{percent(row['density'])} of the weights kept, {percent(row['test_accuracy'])} right, "
        f"{interval(row['statement'])}"
    )


def climb(row: Mapping[str, Any]) -> str:
    """A ladder of sizes in a line."""
    tried = ", ".join(
        f"{rung['hidden']} units {percent(rung['validation_accuracy'])}" for rung in row["rungs"]
    )
    aim = f"wanted {percent(row['target'])} on validation; {tried}"
    if row["reached"] is None:
        return f"{aim}: not reached"
    return (
        f"{aim}: reached with {row['reached']} units, {percent(row['test_accuracy'])} of the test "
        f"split right, {interval(row['statement'])}"
    )


def measured(found: Mapping[str, Any]) -> Iterator[str]:
    """Times on this machine, joules or why there are none."""
    yield from ("Measured on this machine, one thread", "=" * 36)
    rows = [("network", "equal", "runtime", "batch", "ms", "x first", "joules")]
    for row in found["rows"]:
        joules = "-" if row["joules"] is None else f"{row['joules']:.3g}"
        numbers = (str(row["batch"]), f"{row['ms']:.4g}", f"{row['ratio']:.3g}", joules)
        rows.append((row["name"], row["equal"] or "-", row["runtime"], *numbers))
    yield from columns(rows)
    yield f"Joules: {found['no_joules'] or 'of one inference, idle power subtracted'}."
    for what, why in found["missing"].items():
        yield f"Not run: {what}: {why}"
