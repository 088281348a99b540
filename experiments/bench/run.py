"""Every workload of `spikern bench`, the two sweeps, and the tables and figure made from them.

python experiments/bench/run.py                # measure, write, fill in the tables
python experiments/bench/run.py --no-measure   # only make the tables and the figure again
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro

from spikern import timing
from spikern._utils import atomic, json_file
from spikern.plot.benchmark import figure
from spikern.plot.style import save
from spikern.report import benchmark_table, filled, markdown
from spikern.report.numbers import percent, significant
from spikern.timing import Measurement, Row, sweep
from spikern.timing import rows as rows_of

HERE = Path(__file__).parent
PAGES = {
    HERE / "README.md": ("machine", "results", "goals"),
    HERE.parent.parent / "docs" / "performance.md": (
        "machine", "results", "goals", "shares", "rates", "other machine", "other goals",
    ),
}  # fmt: skip
"""The pages, and the places in them that are filled in."""
OTHER = HERE / "results_epyc.json"
"""An earlier run on a processor of another maker; the pages show only its goals."""
RUNTIME, EQUAL = "ONNX Runtime LSTM", "ONNX Runtime LSTM, equal parameters"
TRAIN = ("snnTorch RLeaky", "nn.LSTM", "nn.RNN")
GOALS: dict[tuple[str, str], dict[str, float]] = {
    ("S", "train"): dict(zip(TRAIN, (10, 20, 3))),
    ("H", "train"): dict(zip(TRAIN, (15, 30, 5))),
    ("M", "train"): dict(zip(TRAIN, (5, 6, 2))),
    ("L", "train"): dict(zip(TRAIN, (20, 30, 10))),
    ("S", "infer"): dict(zip(TRAIN, (20, 20, 5))),
    ("H", "infer"): dict(zip(TRAIN, (20, 20, 5))),
    ("L", "infer"): dict(zip(TRAIN, (20, 30, 10))),
    **{(work, "memory"): {TRAIN[0]: goal} for work, goal in zip("SHML", (10, 10, 5, 10))},
    ("1", "step"): dict(zip((*TRAIN, RUNTIME, EQUAL), (100, 60, 20, 12, 3))),
    ("1s-128", "infer"): {RUNTIME: 10, EQUAL: 3},
    ("1s-512", "infer"): {RUNTIME: 10, EQUAL: 3},
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
        json_file.write(path, results)
    results, other = json_file.read(path), json_file.read(OTHER)
    save(figure(results["sweep"]), HERE / "cost.svg")
    contents = {
        "results": benchmark_table(results["rows"]),
        "goals": goals(results["rows"], fastest(results)),
        "shares": shares(results["shares"]),
        "rates": rates(results["rates"]),
        "machine": machine(results["provenance"], results["settings"]),
        "other goals": goals(other["rows"], fastest(other)),
        "other machine": machine(other["provenance"], other["settings"]),
    }
    for page, places in PAGES.items():
        own = {place: contents[place] for place in places}
        atomic.write(page, filled(page.read_text(), own))


def say(line: str) -> None:
    """Print progress to standard error."""
    print(line, file=sys.stderr, flush=True)


def fastest(results: dict[str, Any]) -> list[Row]:
    """The rows of the fastest sample of every peer."""
    fields = Measurement._fields
    measured = [Measurement(**{k: m[k] for k in fields}) for m in results["measured"]]
    return rows_of(measured, fastest=True)


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
        times = [part[name] for name in ("forward", "backward", "optimiser")]
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
    head = ["work", "forward", "backward", "optimiser", "input rows", "recurrent rows"]
    return markdown.table(head, lines)


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
    main(tyro.cli(Config))
