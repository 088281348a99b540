"""Every workload of `spikern bench`, the three sweeps, and the tables and figure made from them.

python experiments/bench/run.py                # measure, write, fill in the tables
python experiments/bench/run.py --no-measure   # only make the tables and the figure again
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro

from spikern import timing
from spikern._utils import atomic, json_file
from spikern._utils.phases import say
from spikern._utils.program import errors_in_one_line
from spikern.plot.benchmark import figure
from spikern.plot.style import save
from spikern.report import benchmark_table, filled, markdown
from spikern.report.numbers import percent, significant
from spikern.timing import Measurement, Row, by_least, densities, sweep
from spikern.timing import rows as rows_of

HERE = Path(__file__).parent
PAGES = {
    HERE / "README.md": ("machine", "results", "goals"),
    HERE.parent.parent / "docs" / "performance.md": (
        "machine", "results", "goals", "shares", "densities", "rates", "other machine",
        "other goals",
    ),
}  # fmt: skip
"""The pages, and the places in them that are filled in."""
OTHER = HERE / "results_xeon.json"
"""An earlier run on a processor of another maker; the pages show only its goals."""
RUNTIME = "ONNX Runtime LSTM"
TRAIN = ("snnTorch RLeaky", "nn.LSTM", "nn.RNN")
GOALS: dict[tuple[str, str], dict[str, float]] = {
    ("S", "train"): dict(zip(TRAIN, (8, 11, 3))),
    ("H", "train"): dict(zip(TRAIN, (9, 12, 3))),
    ("M", "train"): dict(zip(TRAIN, (7, 10, 3))),
    ("L", "train"): dict(zip(TRAIN, (8, 15, 5))),
    ("W", "train"): dict(zip(TRAIN, (2, 3, 1.2))),
    **{(work, "infer"): dict(zip(TRAIN, (20, 15, 6))) for work in "SHM"},
    ("L", "infer"): dict(zip(TRAIN, (20, 30, 10))),
    **{(work, "memory"): {TRAIN[0]: goal} for work, goal in zip("SHML", (10, 10, 14, 10))},
    ("1", "step"): {RUNTIME: 15},
    ("1s-128", "infer"): {RUNTIME: 15},
    ("1s-512", "infer"): {RUNTIME: 100},
}
"""The ratios that were aimed at, at a rate of 5 %."""


@dataclass(frozen=True)
class Config:
    """What is measured."""

    settings: timing.Settings = field(default_factory=timing.Settings)
    sweep_repeats: int = 7
    measure: bool = True


def main(cfg: Config) -> None:
    """Measure, write results.json, draw cost.svg, fill in the tables."""
    path = HERE / "results.json"
    if cfg.measure:
        results = timing.run_benchmark(cfg.settings, say, lambda rows: say(benchmark_table(rows)))
        say("sweeps")
        results["sweep"] = sweep(cfg.sweep_repeats, cfg.settings.threads, say)
        results["densities"] = densities(cfg.sweep_repeats, cfg.settings.threads, say)
        json_file.write(path, results)
    results, other = json_file.read(path), json_file.read(OTHER)
    save(figure(results["sweep"]), HERE / "cost.svg")
    contents = {
        "results": benchmark_table(results["rows"]),
        "goals": goals(results["rows"], fastest(results)),
        "shares": shares(results["shares"]),
        "densities": by_density(results["densities"]),
        "rates": rates(results["rates"]),
        "machine": machine(results["provenance"], results["settings"]),
        "other goals": goals(other["rows"], fastest(other)),
        "other machine": machine(other["provenance"], other["settings"]),
    }
    for page, places in PAGES.items():
        own = {place: contents[place] for place in places}
        atomic.write(page, filled(page.read_text(), own))


def fastest(results: dict[str, Any]) -> list[Row]:
    """The rows of the fastest sample of every peer."""
    fields = Measurement._fields
    measured = [Measurement(**{k: m[k] for k in fields}) for m in results["measured"]]
    return rows_of(by_least(measured))


def goals(rows: list[Row], quickest: list[Row]) -> str:
    """Goals and measured ratios; a goal is met if medians and fastest samples both reach it."""
    by_key, by_key_quickest = (
        {(r["work"], r["what"], r["peer"]): r["ratio"] for r in some if r["rate"] == 0.05}
        for some in (rows, quickest)
    )
    lines = []
    for (work, what), peers in GOALS.items():
        for peer, goal in peers.items():
            cells = [work, what, peer, significant(goal)]
            key = work, what, peer
            if key in by_key:
                ratios = by_key[key], by_key_quickest[key]
                verdict = "met" if min(ratios) >= goal else "**missed**"
                lines.append([*cells, *map(significant, ratios), verdict])
            else:
                lines.append([*cells, "not measured", "", ""])
    head = ["work", "what", "against", "goal", "measured", "of fastest samples", "verdict"]
    return markdown.table(head, lines, left=(0, 1, 2, 6))


def shares(parts: dict[str, Any]) -> str:
    """The time of every part of a training step."""
    lines = []
    for work, part in parts.items():
        times = [part[name] for name in ("forward", "backward", "optimizer")]
        lines.append(
            [
                work,
                *(f"{significant(ms)} ms ({percent(ms / sum(times), 0)})" for ms in times),
                *(
                    ", ".join(f"{rows:.1f}" for rows in part[name])
                    for name in ("input_rows", "recurrent_rows")
                ),
            ]
        )
    head = ["work", "forward", "backward", "optimizer", "input rows", "recurrent rows"]
    return markdown.table(head, lines)


def by_density(records: list[dict[str, Any]]) -> str:
    """Milliseconds of a training step with whole rows and with lists, a line per width."""
    cells: dict[int, list[str]] = {}
    times = {(r["hidden"], r["density"], r["form"]): r["ms"] for r in records}
    for (hidden, density, form), ms in times.items():
        if form == "rows":
            lists = times[hidden, density, "lists"]
            cells.setdefault(hidden, []).append(f"{significant(ms)} / {significant(lists)}")
    head = ["H", *dict.fromkeys(percent(r["density"], 0) for r in records)]
    return markdown.table(head, [[f"{h:,}", *line] for h, line in cells.items()])


def rates(records: list[dict[str, Any]]) -> str:
    """The firing rates asked for and measured, by layer."""
    lines = [
        [
            r["work"],
            r["name"],
            percent(r["asked"], 0),
            ", ".join(percent(rate, 2) for rate in r["measured"]),
        ]
        for r in records
    ]
    return markdown.table(["work", "network", "asked", "found"], lines, left=(0, 1))


def machine(provenance: dict[str, Any], settings: dict[str, Any]) -> str:
    """The machine and the versions of a run."""
    versions = ", ".join(
        f"{name} {provenance[name]}" for name in ("torch", "numba", "snntorch", "onnxruntime")
    )
    loads = ", ".join(f"{work} {load:.1f}" for work, load in provenance["loads"].items())
    return (
        f"{provenance['processor']}, {provenance['threads']} threads; "
        f"load of the machine during each work: {loads}; "
        f"python {provenance['python']}, {versions}; commit {provenance['commit']}; "
        f"medians of {settings['repeats']}."
    )


if __name__ == "__main__":
    with errors_in_one_line():
        main(tyro.cli(Config))
