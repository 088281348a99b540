"""Text for the terminal: the table of a comparison, the report of a count, the benchmark table.

Everything takes plain data as it stands in results.json and count.json. Every energy is an estimate
under a table that is named with it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spikern._utils.display import columns
from spikern.cost.estimates import OPERATIONS, PJ
from spikern.cost.memory import BOUNDS
from spikern.report import markdown, sentences
from spikern.report.numbers import (
    aligned_count,
    duration,
    energy,
    extent,
    lower_or_higher,
    mean_interval,
    or_else,
    percent,
    ratio,
    significant,
    units,
)
from spikern.timing.benchmark import UNITS, Row

# `spikern compare`


def table(results: Mapping[str, Any]) -> str:
    """The comparison of results.json: caveats, a line per model, then what the columns mean."""
    ratios = {c["model"]: c["energy_ratio"] for c in results["comparisons"]}
    compared = bool(ratios)  # not without the reference model
    timed = results["schema"] > 1  # version 1 timed standard networks in torch alone
    heads = [
        "model",
        "accuracy",
        "params",
        "rate",
        "AC",
        "MAC",
        "updates",
        "energy est.",
    ]
    rows: list[Sequence[str]] = [heads + ["vs LSTM"] * compared + ["time"] * timed]
    for m in results["models"]:
        ops = m["ops_per_inference"]
        rows.append(
            (
                m["name"],
                accuracy(m["test_accuracy"]),
                f"{m['parameters']:,}",
                or_else(m["rate"], percent),
                *map(aligned_count, (ops["ac"], ops["mac"], sum(ops["neuron_updates"].values()))),
                extent(m["energy_pj"].values(), energy),
                *[extent(ratios.get(m["name"], {}).values(), ratio)] * compared,
                *[duration(m["milliseconds_per_inference"])] * timed,
            )
        )
    lines = columns(rows)
    simple = ", ".join(
        f"{name}: {percent(reached)}" for name, reached in sentences.simple(results).items()
    )
    seeds = max(len(model["seeds"]) for model in results["models"])
    steps_of = "the labelled steps of " if results["dataset"]["every_step"] else ""
    of_seeds = "mean and 95 % interval over seeds" if seeds > 1 else "of one seed"
    beside = "; 'vs LSTM' is how many times less than the LSTM by the same table" * compared
    notes = [
        f"Accuracy on {steps_of}{results['dataset']['test']} held-out test samples, {of_seeds} "
        f"({simple}).",
        "Energy is an estimate for operations alone, mean over seeds, from the lowest to the "
        f"highest of those of {len(results['energy_tables'])} tables that price the model"
        f"{beside}. `spikern tables` lists them, the report has memory traffic too, and the "
        "meaning of every word.",
    ]
    if timed:
        notes.append(f"Time: one inference, batch 1, one thread, seed 0, {runtimes(results)}.")
    wrapped = (textwrap.fill(note, len(lines[0]), break_on_hyphens=False) for note in notes)
    before = [textwrap.fill(text, len(lines[0])) for text in sentences.caveats(results)]
    return "\n".join(
        [*before, *[""] * bool(before), lines[0], "-" * len(lines[0]), *lines[1:], "", *wrapped]
    )


def runtimes(results: Mapping[str, Any]) -> str:
    """The fastest runtime of every model in words, as far as they were measured."""
    by_runtime: dict[str, list[str]] = {}
    for m in results["models"]:
        by_runtime.setdefault(m["inference_engine"], []).append(m["name"])
    named = "; ".join(f"{runtime} ({', '.join(names)})" for runtime, names in by_runtime.items())
    return f"on the fastest float32 runtime that is installed: {named}"


def accuracy(entry: Mapping[str, Any]) -> str:
    """An accuracy of results.json: the mean over seeds, and half its interval if there is one."""
    interval = entry["ci95"] and [100 * bound for bound in entry["ci95"]]
    return mean_interval(100 * entry["mean"], interval, unit="%")


# `spikern count`


def count_report(results: Mapping[str, Any]) -> str:
    """All of count.json in sections."""
    sections = [
        *(_model(m, results["seed"]) for m in results["models"]),
        _estimates(results),
        *(
            [*_heading(f"{c['spiking']} against {c['twin']}"), energy_comparison(c)]
            for c in results["statements"]
        ),
        _fair_twins(results),
        measured_times(results["measured"]) if results["measured"] else [],
        [*_heading("Energy tables"), table_list(results["tables"])],
    ]
    texts = ["\n".join(lines) for lines in sections]
    return "\n\n".join(filter(None, texts)) + "\n"


def count_summary(results: Mapping[str, Any]) -> str:
    """Ten lines of count.json: a row per model, the best spiking network beside the others."""
    models = results["models"]
    priced: dict[tuple[str, str], list[float | None]] = {}
    for e in results["estimates"]:
        priced.setdefault((e["model"], e["view"]), []).append(e["pj"])
    rows = [
        ("model", "accuracy", "params", "rate", "AC", "MAC", "updates", "operations", "+ memory")
    ]
    for m in models:
        total, runs = m["counts"]["total"], m["counts"]["inferences"]
        counts = (total["ac"], total["mac"], sum(total["updates"].values()))
        rows.append(
            (
                m["name"],
                percent(m["test_accuracy"]),
                f"{m['parameters']:,}",
                or_else(m["counts"]["rate"], percent),
                *(aligned_count(n / runs) for n in counts),
                *(
                    extent(
                        [pj for view in views for pj in priced.get((m["name"], view), [])], energy
                    )
                    for views in ((OPERATIONS,), BOUNDS)
                ),
            )
        )
    lines = [
        f"{results['dataset']}, seed {results['seed']}: one inference, mean over "
        f"{models[0]['counts']['inferences']:,} test samples; energies are estimates by all tables",
        *columns(rows),
    ]
    spiking = [m for m in models if m["kind"] == "spiking"]
    best = max(spiking, key=lambda m: float(m["validation_accuracy"]), default=None)
    for c in results["statements"]:
        if best and c["spiking"] == best["name"]:
            lines.append(
                f"{c['twin']} over {c['spiking']}, all tables and views: {ratio_interval(c)}"
            )
    lines += [f"{r['spiking']}, {r['twin']}: {smallest_twin(r)}" for r in results["smallest"]]
    if results["measured"]:
        lines += ["", *measured_times(results["measured"])]
    return "\n".join(lines) + "\n"


def _heading(title: str) -> list[str]:
    return [title, "=" * len(title)]


def _model(m: Mapping[str, Any], seed: int) -> Iterator[str]:
    """Counts by connection and layer, totals, memory traffic."""
    counts = m["counts"]
    runs, steps, layers = counts["inferences"], counts["steps"], counts["layers"]
    yield from _heading(
        f"{m['name']}: {m['kind']}, {units(m['hidden'])} hidden units, {m['parameters']:,} "
        f"parameters, test accuracy {percent(m['test_accuracy'])}, seed {seed}"
    )
    yield (
        f"Per inference, mean over {runs:,} test samples of {significant(steps / runs, 4)} steps "
        "on average."
    )
    rows = [("connection", "kind", "synapses", "arrivals", "AC", "MAC")]
    for c in (c for layer in layers for c in layer["connections"]):
        means = (aligned_count(c[key] / runs) for key in ("arrivals", "ac", "mac"))
        name = f"{c['source']} to {c['target']}"
        rows.append((name, c["kind"], f"{c['synapses']:,}", *means))
    yield from columns(rows)
    yield ""
    own: list[Sequence[str]] = [
        ("layer", "units", "spikes", "AC", "MAC", "dense", "own arithmetic")
    ]
    for layer in layers:
        ops = {key: sum(c[key] for c in layer["connections"]) for key in ("ac", "mac")}
        name = f"{layer['layer']} ({layer['unit']})"
        own.append((name, str(layer["units"]), *_operations(layer | ops, runs)))
    for name, divisor in (("total per inference", runs), ("total per step", steps)):
        own.append((name, "", *_operations(counts["total"], divisor)))
    yield from columns(own)
    if counts["rate"] is not None:
        yield (
            f"Firing rate {percent(counts['rate'])} of all neurons and steps; "
            f"{significant(counts['spikes_per_synapse'])} spikes per synapse and inference."
        )
    yield ""
    yield "Bytes read and written per inference, and additions for addresses:"
    kinds = _kinds(m["memory"], "bytes")
    memory = [("bound, bits of weights/states", *kinds, "all", "addresses")]
    for row in m["memory"]:
        moved = [row["bytes"].get(kind, 0.0) for kind in kinds]
        name = f"{row['bound']}, {row['weight_bits']}/{row['state_bits']}"
        memory.append((name, *map(aligned_count, (*moved, sum(moved), row["addressing"]))))
    yield from columns(memory)


def _operations(ops: Mapping[str, Any], divisor: int) -> tuple[str, ...]:
    """Spikes, AC, MAC, dense and own operations by kind, each of an inference or a step.

    >>> _operations({"spikes": 5, "ac": 9, "mac": 0, "dense": 90, "updates": {"mul": 30}}, 10)
    ('0.5', '0.9', '0', '9', '3 mul')
    """
    own = (f"{aligned_count(n / divisor)} {kind}" for kind, n in sorted(ops["updates"].items()))
    counts = (aligned_count(ops[key] / divisor) for key in ("spikes", "ac", "mac", "dense"))
    return *counts, ", ".join(own) or "-"


def _kinds(rows: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    """The kinds that occur in the dictionaries `key` of some rows, in order."""
    return list(dict.fromkeys(kind for row in rows for kind in row[key]))


def _estimates(results: Mapping[str, Any]) -> Iterator[str]:
    """Every model under every table and view, then the parts of every estimate."""
    yield from _heading("Energy estimates of one inference")
    names = [m["name"] for m in results["models"]]
    by_place: dict[tuple[str, str], dict[str, float | None]] = {}
    for e in results["estimates"]:
        by_place.setdefault((e["table"], e["view"]), {})[e["model"]] = e["pj"]
    rows = [("table, view", *names)]
    for place, by_model in by_place.items():
        if any(pj is not None for pj in by_model.values()):
            cells = (or_else(by_model[name], energy, "no estimate") for name in names)
            rows.append((", ".join(place), *cells))
    yield from columns(rows)
    estimates = [e for e in results["estimates"] if e["pj"] is not None]
    priced = {e["table"] for e in estimates}
    if unpriced := [name for name in results["tables"] if name not in priced]:
        yield f"No estimate for any model: {', '.join(unpriced)}."
    yield ""
    kinds = _kinds(estimates, "parts")
    rows = [("by kind", *kinds)]
    for e in estimates:
        cells = (or_else(e["parts"].get(kind), energy) for kind in kinds)
        rows.append((f"{e['model']}, {e['table']}, {e['view']}", *cells))
    yield from columns(rows)


def energy_comparison(comparison: Mapping[str, Any]) -> str:
    """A spiking network against a twin, as `spikern.cost.EnergyComparison.as_dict` gives it."""
    own, twin = comparison["spiking"], comparison["twin"]
    priced = [x for x in comparison["lines"] if x["ratio"] is not None]
    said = lower_or_higher([x["ratio"] for x in priced]) if priced else None
    lines = [
        f"The energy estimate of {own} is {said} that of {twin}."
        if said
        else f"No table prices both {own} and {twin}.",
        f"Firing rate of {own} {percent(comparison['rate'])}; "
        f"{significant(comparison['spikes_per_synapse'])} spikes per synapse and inference.",
    ]
    rows = [("table, view", own, twin, "ratio", "cap", "break-even rate", "of its own")]
    for x in priced:
        joules = energy(x["spiking_pj"]), energy(x["twin_pj"])
        even = or_else(x["break_even"]["rate"], percent)
        times, cap, room = (or_else(x[key], precise_ratio) for key in ("ratio", "cap", "room"))
        rows.append((f"{x['table']}, {x['view']}", *joules, times, cap, even, room))
    lines += columns(rows) if priced else []
    without: dict[str, dict[str, list[str]]] = {}
    for x in comparison["lines"]:
        if x["break_even"]["rate"] is None:
            by_table = without.setdefault(x["break_even"]["why"], {})
            by_table.setdefault(x["table"], []).append(x["view"])
    if without:
        lines.append("Without a break-even rate:")
    for why, by_table in without.items():
        names = ", ".join(f"{name} ({', '.join(views)})" for name, views in by_table.items())
        lines.append(f"  {why} – {names}")
    return "\n".join(lines)


def precise_ratio(value: float) -> str:
    """A ratio with three significant digits."""
    return ratio(value, 3)


def ratio_interval(comparison: Mapping[str, Any]) -> str:
    """The ratios of a comparison from the worst to the best.

    >>> ratio_interval({"low": 0.5, "high": 12.3}), ratio_interval({"low": None, "high": None})
    ('0.5x to 12.3x', 'no estimate')
    """
    if comparison["low"] is None:
        return "no estimate"
    return f"{precise_ratio(comparison['low'])} to {precise_ratio(comparison['high'])}"


def _fair_twins(results: Mapping[str, Any]) -> Iterator[str]:
    """The fair twins: at equal parameters, in int8, pruned, equally accurate."""
    int8 = results["int8"]
    yield from _heading("Fair twins")
    yield "Ratios are estimates, twin over spiking, over all tables and views that price both;"
    yield "above 1x the spiking network needs less."
    yield ""
    yield f"At equal {results['equal']}, as they were trained:"
    for c in results["statements"]:
        yield f"  {c['spiking']} against {c['twin']}: {ratio_interval(c)}"
    yield ""
    yield "In int8, quantised after training, on the test split:"
    rows = [("  model", "scheme", "accuracy", "in float32", "same answers")]
    for row in int8["measured"]:
        shares = (percent(row[key]) for key in ("accuracy", "float_accuracy", "agreement"))
        rows.append((f"  {row['model']}", row["scheme"], *shares))
    yield from columns(rows)
    for model, why in int8["missing"].items():
        yield f"  {model}: {why}"
    for c in int8["statements"]:
        yield f"  both in int8, {c['spiking']} against {c['twin']}: {ratio_interval(c)}"
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
    for row in results["smallest"]:
        yield f"  {row['spiking']}, {row['twin']}: {smallest_twin(row)}"


def pruned(row: Mapping[str, Any]) -> str:
    """A pruned twin in a line."""
    return f"{percent(row['density'])} of the weights kept, {_tested(row)}"


def smallest_twin(row: Mapping[str, Any]) -> str:
    """The search for the smallest twin of equal accuracy in a line."""
    tried = ", ".join(
        f"{trial['hidden']} units {percent(trial['validation_accuracy'])}"
        for trial in row["trials"]
    )
    target = f"target {percent(row['target'])} on validation; {tried}"
    if row["reached"] is None:
        return f"{target}: not reached"
    return f"{target}: reached with {row['reached']} units, {_tested(row)}"


def _tested(row: Mapping[str, Any]) -> str:
    return f"test accuracy {percent(row['test_accuracy'])}, {ratio_interval(row['statement'])}"


def measured_times(results: Mapping[str, Any]) -> Iterator[str]:
    """Times on this machine; joules, or why there are none."""
    yield from _heading("Measured on this machine, one thread")
    rows = [("network", "equal", "runtime", "batch", "ms", "x first", "energy")]
    for row in results["rows"]:
        joules = or_else(row["joules"], lambda joules: energy(PJ * joules))
        cells = (str(row["batch"]), significant(row["ms"], 4), significant(row["ratio"]), joules)
        rows.append((row["name"], row["equal"] or "-", row["runtime"], *cells))
    yield from columns(rows)
    yield f"Energy: {results['no_joules'] or 'of one inference, idle power subtracted'}."
    for what, why in results["missing"].items():
        yield f"Not run: {what}: {why}"


def table_list(tables: Mapping[str, Mapping[str, str]]) -> str:
    """Energy tables: title, node, precision, source, what is not modelled.

    >>> from spikern.cost import tables
    >>> from spikern.cost.summary import table_texts
    >>> table_list(table_texts(tables())).splitlines()[0]
    '22nm_yan: 22 nm, accumulates only'
    """
    return "\n".join(
        f"{name}: {t['title']}\n"
        f"  node, precision  {t['node']}, {t['precision']}\n"
        f"  source           {t['source']}\n"
        f"  not modelled     {t['not_modelled']}"
        for name, t in tables.items()
    )


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
        fired, took = f"{significant(100 * rate)}%", f"{significant(own)} {UNITS[what]}"
        lines.append([work, what, fired, took, *ratios])
    return markdown.table(["work", "what", "rate", "spikern", *peers], lines, left=(0, 1))
