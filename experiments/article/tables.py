"""Results as the tables of the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spikern.report.markdown import table
from spikern.report.numbers import percent, significant
from spikern.studies.statistics import mean


def tables(runs: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The contents of the page's places, by name; of the first run unless they compare runs."""
    results = runs[0]["datasets"]
    return {
        "accuracy": accuracy_table(results),
        "pruned": pruned_table(results),
        **{f"time {name}": time_table(part) for name, part in results.items()},
        "missing": missing_list(results),
        "decided": decided_table(runs),
        "machine": "\n\n".join(map(machine, runs)),
    }


def accuracy_table(results: dict[str, Any]) -> str:
    """Test accuracy in float32 and in int8, means over the seeds."""
    lines = []
    for name, part in results.items():
        for row in part["accuracies"]:
            int8 = row.get("int8")
            lines.append(
                [
                    name,
                    row["model"],
                    f"{row['parameters']:,}",
                    percent(mean(row["test"]), 2),
                    ", ".join(percent(accuracy, 2) for accuracy in row["test"]),
                    *(
                        [
                            percent(mean([one["accuracy"] for one in int8]), 2),
                            percent(mean([one["agreement"] for one in int8]), 2),
                            int8[0]["scheme"],
                        ]
                        if int8
                        else ["-", "-", "-"]
                    ),
                ]
            )
    head = ["data", "model", "parameters", "test accuracy", "seeds", "in int8", "answers kept"]
    return table([*head, "scheme"], lines, left=(0, 1, 4, 7))


def pruned_table(results: dict[str, Any]) -> str:
    """The pruned twins."""
    lines = [
        [
            name,
            row["model"],
            f"{row['density']:.2f}",
            str(row["epochs"]),
            percent(row["test"], 2),
        ]
        for name, part in results.items()
        for row in part["pruned"]
    ]
    return table(["data", "model", "density", "epochs", "test accuracy"], lines, left=(0, 1))


def time_table(part: dict[str, Any]) -> str:
    """Milliseconds of one inference, and ratios to the first network's: medians (fastest)."""
    sizes = sorted({row["batch"] for row in part["rows"]})
    firsts = [next(row for row in part["rows"] if row["batch"] == size) for size in sizes]
    quickest = {row["batch"]: min(row["samples"]) for row in firsts}
    about = {(one["name"], one["equal"]): one for one in part["contestants"]}
    by_key: dict[tuple[str, str, str], dict[int, Any]] = {}
    for row in part["rows"]:
        key = row["name"], row["equal"], row["runtime"]
        by_key.setdefault(key, {})[row["batch"]] = row
    lines = []
    for (name, equal, runtime), rows in by_key.items():
        one = about[name, equal]
        cells = [name, equal, str(one["hidden"]), f"{one['parameters']:,}", percent(one["test"], 2)]
        cells.append(runtime)
        for size in sizes:
            row = rows.get(size)
            if row:
                least = min(row["samples"]) / quickest[size]
                cells += [significant(row["ms"]), f"{row['ratio']:.2f}x ({least:.2f}x)"]
            else:
                cells += ["-", "-"]
        lines.append(cells)
    heads = [head for size in sizes for head in (f"ms at batch {size}", "ratio")]
    fixed = ["network", "equal", "H", "parameters", "test", "runtime"]
    return table([*fixed, *heads], lines, left=(0, 1, 5))


def ratios(part: dict[str, Any]) -> dict[tuple[str, str, int, str], list[float]]:
    """The ratios to the first network, of medians and of fastest samples, by twin and runtime."""
    by_twin = {}
    for row in part["rows"]:
        first = next(one for one in part["rows"] if one["batch"] == row["batch"])
        if row["equal"] != "itself":
            key = row["name"], row["equal"], row["batch"], row["runtime"]
            by_twin[key] = [row["ratio"], min(row["samples"]) / min(first["samples"])]
    return by_twin


def decided_table(runs: Sequence[dict[str, Any]]) -> str:
    """Every twin on its fastest runtime: the range of its ratios over all runs, and the verdict."""
    lines = []
    for name in runs[0]["datasets"]:
        by_run = [ratios(run["datasets"][name]) for run in runs]
        over = {key: [r for one in by_run for r in one[key]] for key in by_run[0]}
        fastest: dict[tuple[str, str, int], str] = {}
        for *twin, runtime in sorted(over, key=lambda key: sum(over[key]), reverse=True):
            fastest[tuple(twin)] = runtime
        for model, equal, batch in sorted(fastest, key=lambda twin: (twin[2], twin[:2])):
            runtime = fastest[model, equal, batch]
            low, high = (f(over[model, equal, batch, runtime]) for f in (min, max))
            verdict = "cheaper" if low > 1 else "**not cheaper**" if high < 1 else "undecided"
            interval = f"{low:.2f}x to {high:.2f}x"
            lines.append([name, model, equal, str(batch), runtime, interval, verdict])
    head = ["data", "twin", "equal", "batch", "fastest runtime", "ratios"]
    return table([*head, "the spiking network is"], lines, left=(0, 1, 2, 4, 6))


def missing_list(results: dict[str, Any]) -> str:
    """What did not run and why, and why there are no joules."""
    lines = [
        f"- {name}, {who}: {why}."
        for name, part in results.items()
        for who, why in part["missing"].items()
    ]
    joules = {part["no_joules"] for part in results.values()}
    return "\n".join([*lines, *(f"- Joules: {why}." for why in sorted(filter(None, joules)))])


def machine(results: dict[str, Any]) -> str:
    """The machine, its load and the versions of a run."""
    provenance, settings = results["provenance"], results["settings"]
    versions = ", ".join(f"{n} {provenance[n]}" for n in ("torch", "numba", "onnxruntime"))
    loads = "; ".join(
        f"{name} {part['load'][0]:.1f} before, {part['load'][1]:.1f} after"
        for name, part in results["datasets"].items()
    )
    return (
        f"{provenance['processor']}, {settings['threads']} thread; "
        f"medians of {settings['repeats']}, interleaved; load of the machine: {loads}; "
        f"python {provenance['python']}, {versions}; "
        f"commit {provenance['commit']}."
    )
