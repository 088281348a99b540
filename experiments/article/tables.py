"""Results as the tables of the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spikern.studies.statistics import mean


def tables(runs: Sequence[dict[str, Any]]) -> dict[str, str]:
    """What stands between the markers of the page, by name; of the first run unless it says so."""
    found = runs[0]["datasets"]
    made = {"accuracy": accuracy_table(found), "pruned": pruned_table(found)}
    made |= {f"time {name}": time_table(part) for name, part in found.items()}
    made["missing"] = missing_list(found)
    made["decided"] = decided_table(runs)
    made["machine"] = "\n\n".join(map(machine, runs))
    return made


def accuracy_table(found: dict[str, Any]) -> str:
    """Test accuracy in float32 and in int8, means over the seeds."""
    lines = [
        "| data | model | parameters | test accuracy | seeds | in int8 | answers kept | scheme |",
        "| --- | --- | ---: | ---: | --- | ---: | ---: | --- |",
    ]
    for name, part in found.items():
        for row in part["accuracies"]:
            cells = [name, row["model"], f"{row['parameters']:,}", f"{mean(row['test']):.2%}"]
            cells.append(", ".join(f"{a:.2%}" for a in row["test"]))
            int8 = row.get("int8")
            cells += (
                [
                    f"{mean([one['accuracy'] for one in int8]):.2%}",
                    f"{mean([one['agreement'] for one in int8]):.2%}",
                    int8[0]["scheme"],
                ]
                if int8
                else ["-", "-", "-"]
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def pruned_table(found: dict[str, Any]) -> str:
    """The pruned twins."""
    lines = [
        "| data | model | density | epochs | test accuracy |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for name, part in found.items():
        for row in part["pruned"]:
            cells = name, row["model"], f"{row['density']:.2f}", str(row["epochs"])
            lines.append(f"| {' | '.join(cells)} | {row['test']:.2%} |")
    return "\n".join(lines)


def time_table(part: dict[str, Any]) -> str:
    """Milliseconds of one inference, and ratios to the first network's: medians (fastest)."""
    sizes = sorted({row["batch"] for row in part["rows"]})
    firsts = [next(row for row in part["rows"] if row["batch"] == size) for size in sizes]
    quickest = {row["batch"]: min(row["samples"]) for row in firsts}
    about = {(one["name"], one["equal"]): one for one in part["contestants"]}
    heads = [f"ms at batch {size} | ratio" for size in sizes]
    lines = [
        f"| network | equal | H | parameters | test | runtime | {' | '.join(heads)} |",
        "| --- | --- | ---: | ---: | ---: | --- " + "| ---: | ---: " * len(sizes) + "|",
    ]
    by_key: dict[tuple[str, str, str], dict[int, Any]] = {}
    for row in part["rows"]:
        key = row["name"], row["equal"], row["runtime"]
        by_key.setdefault(key, {})[row["batch"]] = row
    for (name, equal, runtime), rows in by_key.items():
        one = about[name, equal]
        cells = [name, equal, str(one["hidden"]), f"{one['parameters']:,}", f"{one['test']:.2%}"]
        cells.append(runtime)
        for size in sizes:
            row = rows.get(size)
            if row:
                least = min(row["samples"]) / quickest[size]
                cells += [f"{row['ms']:.3g}", f"{row['ratio']:.2f}x ({least:.2f}x)"]
            else:
                cells += ["-", "-"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def ratios(part: dict[str, Any]) -> dict[tuple[str, str, int, str], list[float]]:
    """By twin and batch and runtime: the ratio to the first network of medians and of fastest."""
    found = {}
    for row in part["rows"]:
        first = next(one for one in part["rows"] if one["batch"] == row["batch"])
        if row["equal"] != "itself":
            key = row["name"], row["equal"], row["batch"], row["runtime"]
            found[key] = [row["ratio"], min(row["samples"]) / min(first["samples"])]
    return found


def decided_table(runs: Sequence[dict[str, Any]]) -> str:
    """Every twin on its fastest runtime: the range of its ratios over all runs, and the verdict."""
    lines = [
        "| data | twin | equal | batch | fastest runtime | ratios | the spiking network is |",
        "| --- | --- | --- | ---: | --- | ---: | --- |",
    ]
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
            cells = name, model, equal, str(batch), runtime, f"{low:.2f}x to {high:.2f}x", verdict
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def missing_list(found: dict[str, Any]) -> str:
    """What did not run and why, and whether there are joules."""
    lines = [
        f"- {name}, {who}: {why}."
        for name, part in found.items()
        for who, why in part["missing"].items()
    ]
    joules = {part["no_joules"] for part in found.values()}
    return "\n".join([*lines, *(f"- Joules: {why}." for why in sorted(filter(None, joules)))])


def machine(results: dict[str, Any]) -> str:
    """What it ran on."""
    where, asked = results["provenance"], results["settings"]
    versions = ", ".join(f"{n} {where[n]}" for n in ("torch", "numba", "onnxruntime"))
    loads = "; ".join(
        f"{name} {part['load'][0]:.1f} before, {part['load'][1]:.1f} after"
        for name, part in results["datasets"].items()
    )
    return (
        f"{where['processor']}, {asked['threads']} thread; medians of {asked['repeats']}, "
        f"interleaved; load of the machine: {loads}; python {where['python']}, {versions}; "
        f"commit {where['commit']}."
    )
