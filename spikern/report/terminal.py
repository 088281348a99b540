"""Text for the terminal: the table of a comparison, the report of a count, the benchmark table.

Everything takes plain data as it stands in results.json and count.json. Every energy is an estimate
under a table that is named with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spikern.cost.estimates import PJ, VIEWS
from spikern.cost.prices import EnergyTable
from spikern.report import markdown
from spikern.report.numbers import (
    aligned_count,
    duration,
    energy,
    extent,
    lower_or_higher,
    mean_interval,
    percent,
    ratio,
    significant,
)
from spikern.timing.benchmark import UNITS, Row

HEADER = (
    "model", "accuracy", "params", "rate", "AC", "MAC", "updates", "energy est.", "vs LSTM", "time"
)  # fmt: skip


# `spikern compare`


def table(results: Mapping[str, Any]) -> str:
    """The comparison of results.json: a line per model, then what the columns mean."""
    lines = columns([HEADER] + [_model_row(model, results) for model in results["models"]])
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


def _model_row(model: Mapping[str, Any], results: Mapping[str, Any]) -> tuple[str, ...]:
    ops = model["ops_per_inference"]
    ratios: Mapping[str, float | None] = next(
        (c["energy_ratio"] for c in results["comparisons"] if c["model"] == model["name"]), {}
    )
    return (
        model["name"],
        accuracy(model["test_accuracy"]),
        f"{model['parameters']:,}",
        "-" if model["rate"] is None else percent(model["rate"]),
        aligned_count(ops["ac"]),
        aligned_count(ops["mac"]),
        aligned_count(sum(ops["neuron_updates"].values())),
        extent([pj for pj in model["energy_pj"].values() if pj is not None], energy),
        extent([r for r in ratios.values() if r is not None], ratio),
        duration(model["milliseconds_per_inference"]),
    )


def accuracy(entry: Mapping[str, Any]) -> str:
    """An accuracy of results.json: the mean over seeds, and half its interval if there is one."""
    interval = entry["ci95"] and [100 * bound for bound in entry["ci95"]]
    return mean_interval(100 * entry["mean"], interval, unit="%")


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines, the first column aligned left, the others right.

    >>> columns([("model", "AC"), ("LIF", "1,234")])
    ['model     AC', 'LIF    1,234']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(c.ljust(w) if k == 0 else c.rjust(w) for k, (c, w) in enumerate(zip(r, widths)))
        for r in rows
    ]


# `spikern count`


def count_report(results: Mapping[str, Any]) -> str:
    """All of count.json in sections."""
    sections = [
        *(_model(m) for m in results["models"]),
        _estimates(results),
        *(
            [*_heading(f"{c['spiking']} against {c['twin']}"), energy_comparison(c)]
            for c in results["statements"]
        ),
        _fair_twins(results),
        measured_times(results["measured"]) if results["measured"] else iter(()),
        _energy_tables(results["tables"]),
    ]
    texts = ["\n".join(lines) for lines in sections]
    return "\n\n".join(text for text in texts if text) + "\n"


def _heading(title: str) -> list[str]:
    return [title, "=" * len(title)]


def _model(m: Mapping[str, Any]) -> Iterator[str]:
    """Counts by connection and layer, totals, memory traffic."""
    counts = m["counts"]
    runs, steps = counts["inferences"], counts["steps"]
    yield from _heading(
        f"{m['name']}: {m['kind']}, {m['hidden']} hidden units, {m['parameters']:,} parameters, "
        f"test accuracy {percent(m['test_accuracy'])}"
    )
    yield (
        f"Per inference, mean over {runs:,} test samples of {significant(steps / runs, 4)} steps "
        "on average."
    )
    connections = [("connection", "kind", "synapses", "arrivals", "AC", "MAC")]
    for layer in counts["layers"]:
        for c in layer["connections"]:
            cells = [aligned_count(c[key] / runs) for key in ("arrivals", "ac", "mac")]
            name = f"{c['source']} to {c['target']}"
            connections.append((name, c["kind"], f"{c['synapses']:,}", *cells))
    yield from columns(connections)
    yield ""
    layers: list[tuple[str, ...]] = [
        ("layer", "units", "spikes", "AC", "MAC", "dense", "own arithmetic")
    ]
    for layer in counts["layers"]:
        ac, mac = (sum(c[key] for c in layer["connections"]) for key in ("ac", "mac"))
        cells = [aligned_count(n / runs) for n in (layer["spikes"], ac, mac, layer["dense"])]
        name = f"{layer['layer']} ({layer['unit']})"
        layers.append((name, str(layer["units"]), *cells, by_kind(layer["updates"], runs)))
    total = counts["total"]
    for name, divisor in (("total per inference", runs), ("total per step", steps)):
        cells = [aligned_count(total[key] / divisor) for key in ("spikes", "ac", "mac", "dense")]
        layers.append((name, "", *cells, by_kind(total["updates"], divisor)))
    yield from columns(layers)
    if counts["rate"] is not None:
        yield (
            f"Firing rate {percent(counts['rate'])} of all neurons and steps; "
            f"{significant(counts['spikes_per_synapse'])} spikes per synapse and inference."
        )
    yield ""
    yield from _memory(m["memory"])


def by_kind(updates: Mapping[str, int], divisor: int) -> str:
    """Operations by kind, each divided by the number of inferences or steps.

    >>> by_kind({"mul": 30, "add": 20}, 10)
    '2 add, 3 mul'
    """
    kinds = sorted(updates.items())
    return ", ".join(f"{aligned_count(n / divisor)} {kind}" for kind, n in kinds) or "-"


def _memory(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Bytes moved by kind, a line per bound and pair of widths."""
    kinds = list(dict.fromkeys(kind for row in rows for kind in row["bytes"]))
    yield "Bytes read and written per inference, and additions for addresses:"
    lines = [("bound, bits of weights/states", *kinds, "all", "addresses")]
    for row in rows:
        moved = [row["bytes"].get(kind, 0.0) for kind in kinds]
        name = f"{row['bound']}, {row['weight_bits']}/{row['state_bits']}"
        cells = [*moved, sum(moved), row["addressing"]]
        lines.append((name, *map(aligned_count, cells)))
    yield from columns(lines)


def _estimates(results: Mapping[str, Any]) -> Iterator[str]:
    """Every model under every table and view, then the parts of every estimate."""
    yield from _heading("Energy estimates of one inference")
    names = [m["name"] for m in results["models"]]
    by_place = {(e["table"], e["view"], e["model"]): e["pj"] for e in results["estimates"]}
    rows = [("table, view", *names)]
    for name in results["tables"]:
        for view in VIEWS:
            cells = [by_place[name, view, model] for model in names]
            if any(pj is not None for pj in cells):
                texts = ("no estimate" if pj is None else energy(pj) for pj in cells)
                rows.append((f"{name}, {view}", *texts))
    yield from columns(rows)
    priced = {e["table"] for e in results["estimates"] if e["pj"] is not None}
    if unpriced := [name for name in results["tables"] if name not in priced]:
        yield f"No estimate for any model: {', '.join(unpriced)}."
    yield ""
    estimates = [e for e in results["estimates"] if e["pj"]]
    kinds = list(dict.fromkeys(kind for e in estimates for kind in e["parts"]))
    rows = [("by kind", *kinds)]
    for e in estimates:
        texts = (energy(e["parts"][kind]) if kind in e["parts"] else "-" for kind in kinds)
        rows.append((f"{e['model']}, {e['table']}, {e['view']}", *texts))
    yield from columns(rows)


def energy_comparison(comparison: Mapping[str, Any]) -> str:
    """A spiking network against a twin, as `spikern.cost.EnergyComparison.as_dict` gives it."""
    own, twin = comparison["spiking"], comparison["twin"]
    ratios = [x["ratio"] for x in comparison["lines"] if x["ratio"] is not None]
    lines = [
        f"The energy estimate of {own} is {lower_or_higher(ratios)} than that of {twin}."
        if ratios
        else f"No table prices both {own} and {twin}.",
        f"Firing rate of {own} {percent(comparison['rate'])}; "
        f"{significant(comparison['spikes_per_synapse'])} spikes per synapse and inference.",
    ]
    rows = [("table, view", own, twin, "ratio", "cap", "break-even rate", "of its own")]
    without: dict[str, dict[str, list[str]]] = {}
    for x in comparison["lines"]:
        even = x["break_even"]
        if even["rate"] is None:
            views = without.setdefault(even["why"], {}).setdefault(x["table"], [])
            views.append(x["view"])
        if x["ratio"] is not None:
            rows.append(
                (
                    f"{x['table']}, {x['view']}",
                    energy(x["spiking_pj"]),
                    energy(x["twin_pj"]),
                    ratio(x["ratio"], 3),
                    "-" if x["cap"] is None else ratio(x["cap"], 3),
                    "-" if even["rate"] is None else percent(even["rate"]),
                    "-" if x["room"] is None else ratio(x["room"], 3),
                )
            )
    if ratios:
        lines += columns(rows)
    if without:
        lines.append("Without a break-even rate:")
    for why, by_table in without.items():
        names = ", ".join(f"{name} ({', '.join(views)})" for name, views in by_table.items())
        lines.append(f"  {why} – {names}")
    return "\n".join(lines)


def ratio_interval(comparison: Mapping[str, Any]) -> str:
    """The ratios of a comparison from the worst to the best.

    >>> ratio_interval({"low": 0.5, "high": 12.3}), ratio_interval({"low": None, "high": None})
    ('0.5x to 12.3x', 'no estimate')
    """
    if comparison["low"] is None:
        return "no estimate"
    return f"{ratio(comparison['low'], 3)} to {ratio(comparison['high'], 3)}"


def _fair_twins(results: Mapping[str, Any]) -> Iterator[str]:
    """The fair twins: at equal parameters, in int8, pruned, equally accurate."""
    yield from _heading("Fair twins")
    yield "Ratios are estimates, twin over spiking, over all tables and views that price both;"
    yield "above 1x the spiking network needs less."
    yield ""
    yield f"At equal {results['equal']}, as they were trained:"
    for c in results["statements"]:
        yield f"  {c['spiking']} against {c['twin']}: {ratio_interval(c)}"
    yield ""
    yield from _int8(results["int8"])
    yield ""
    yield "Pruned to the density of the spiking network:"
    for row in results["pruned"]:
        yield f"  {row['spiking']}, {row['twin']}: {row['why'] or pruned(row)}"
    yield ""
    yield "At equal accuracy on the test split:"
    for row in results["equal_accuracy"]:
        reached = ", ".join(row["reached_by"]) or "no standard model of this run"
        yield (
            f"  {row['spiking']} reaches {percent(row['test_accuracy'])}; as accurate: {reached}"
        )
    for row in results["climbs"]:
        yield f"  {row['spiking']}, {row['twin']}: {smallest_twin(row)}"


def _int8(results: Mapping[str, Any]) -> Iterator[str]:
    """Accuracies in int8, and the comparison of the networks in int8."""
    yield "In int8, quantised after training, on the test split:"
    rows = [("  model", "scheme", "accuracy", "in float32", "same answers")]
    for row in results["measured"]:
        shares = (percent(row[key]) for key in ("accuracy", "float_accuracy", "agreement"))
        rows.append((f"  {row['model']}", row["scheme"], *shares))
    yield from columns(rows)
    for model, why in results["missing"].items():
        yield f"  {model}: {why}"
    for c in results["statements"]:
        yield f"  both in int8, {c['spiking']} against {c['twin']}: {ratio_interval(c)}"


def pruned(row: Mapping[str, Any]) -> str:
    """A pruned twin in a line."""
    return (
        f"{percent(row['density'])} of the weights kept, test accuracy "
        f"{percent(row['test_accuracy'])}, {ratio_interval(row['statement'])}"
    )


def smallest_twin(row: Mapping[str, Any]) -> str:
    """The search for the smallest twin of equal accuracy in a line."""
    tried = ", ".join(
        f"{rung['hidden']} units {percent(rung['validation_accuracy'])}" for rung in row["rungs"]
    )
    target = f"target {percent(row['target'])} on validation; {tried}"
    if row["reached"] is None:
        return f"{target}: not reached"
    return (
        f"{target}: reached with {row['reached']} units, test accuracy "
        f"{percent(row['test_accuracy'])}, {ratio_interval(row['statement'])}"
    )


def measured_times(results: Mapping[str, Any]) -> Iterator[str]:
    """Times on this machine; joules, or why there are none."""
    yield from _heading("Measured on this machine, one thread")
    rows = [("network", "equal", "runtime", "batch", "ms", "x first", "energy")]
    for row in results["rows"]:
        joules = "-" if row["joules"] is None else energy(PJ * row["joules"])
        cells = (str(row["batch"]), significant(row["ms"], 4), significant(row["ratio"]), joules)
        rows.append((row["name"], row["equal"] or "-", row["runtime"], *cells))
    yield from columns(rows)
    yield f"Energy: {results['no_joules'] or 'of one inference, idle power subtracted'}."
    for what, why in results["missing"].items():
        yield f"Not run: {what}: {why}"


# `spikern tables`


def table_list(tables: Mapping[str, EnergyTable]) -> str:
    """All energy tables: title, node, precision, source, what is not modelled.

    >>> from spikern.cost import tables
    >>> table_list(tables()).splitlines()[0]
    '22nm_yan: 22 nm, accumulates only'
    """
    return "\n".join(
        line
        for t in tables.values()
        for line in _energy_table(t.name, t.title, t.node, t.precision, t.source, t.not_modelled)
    )


def _energy_tables(tables: Mapping[str, Any]) -> Iterator[str]:
    yield from _heading("Energy tables")
    for name, entry in tables.items():
        yield from _energy_table(name, **entry)


def _energy_table(
    name: str, title: str, node: str, precision: str, source: str, not_modelled: str
) -> Iterator[str]:
    yield f"{name}: {title}"
    yield f"  node, precision  {node}, {precision}"
    yield f"  source           {source}"
    yield f"  not modelled     {not_modelled}"


# `spikern bench`


def benchmark_table(rows: Sequence[Row]) -> str:
    """The rows of a benchmark as a table in Markdown, a line per workload, kind and rate."""
    peers = list(dict.fromkeys(row["peer"] for row in rows))
    groups: dict[tuple[str, str, float], dict[str, Row]] = {}
    for row in rows:
        groups.setdefault((row["work"], row["what"], row["rate"]), {})[row["peer"]] = row
    lines = []
    for (work, what, rate), by_peer in groups.items():
        own = next(iter(by_peer.values()))["spikern"]
        ratios = (ratio(by_peer[n]["ratio"], 3) if n in by_peer else "-" for n in peers)
        lines.append([work, what, percent(rate, 0), f"{significant(own)} {UNITS[what]}", *ratios])
    return markdown.table(["work", "what", "rate", "spikern", *peers], lines, left=(0, 1))
