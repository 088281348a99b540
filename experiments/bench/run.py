"""Every work of `spikern bench`, the two sweeps, and the tables and figure made from them.

python experiments/bench/run.py                # measure, write, fill in the tables
python experiments/bench/run.py --no-measure   # only make tables and figure again
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro

from spikern import timing
from spikern._utils import atomic
from spikern.plot.benchmark import figure
from spikern.plot.style import save
from spikern.report.markdown import filled
from spikern.timing.benchmark import Measured, Row, sweep
from spikern.timing.benchmark import rows as rows_of

HERE = Path(__file__).parent
PAGES = {
    HERE / "README.md": ("machine", "results", "goals"),
    HERE.parent.parent / "docs" / "performance.md": (
        "machine", "results", "goals", "shares", "rates", "other machine", "other goals",
    ),
}  # fmt: skip
"""The pages, and the places in them that are filled in."""
OTHER = HERE / "results_epyc.json"
"""An earlier run, on a processor of another maker; of it the pages have the goals only."""
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
        results = timing.run_benchmark(cfg.settings, say)
        say("sweeps")
        results["sweep"] = sweep(cfg.sweep_repeats, cfg.settings.threads, say)
        atomic.write(path, json.dumps(results, indent=1))
    results, other = json.loads(path.read_text()), json.loads(OTHER.read_text())
    save(figure(results["sweep"]), HERE / "cost.svg")
    made = {
        "results": timing.benchmark_table(results["rows"]),
        "goals": goals(results["rows"], fastest(results)),
        "shares": shares(results["shares"]),
        "rates": rates(results["rates"]),
        "machine": machine(results["provenance"], results["settings"]),
        "other goals": goals(other["rows"], fastest(other)),
        "other machine": machine(other["provenance"], other["settings"]),
    }
    for page, places in PAGES.items():
        wanted = {place: made[place] for place in places}
        atomic.write(page, filled(page.read_text(), wanted))


def say(line: str) -> None:
    """Progress goes to standard error."""
    print(line, file=sys.stderr, flush=True)


def fastest(results: dict[str, Any]) -> list[Row]:
    """The rows made of everyone's fastest sample."""
    fields = Measured._fields
    measured = [Measured(**{k: m[k] for k in fields}) for m in results["measured"]]
    return rows_of(measured, fastest=True)


def goals(rows: list[Row], quickest: list[Row]) -> str:
    """Goal against measured, a line each; met only if medians and fastest samples both meet it."""
    by_key, by_key_quickest = (
        {(r["work"], r["what"], r["peer"]): r["ratio"] for r in some if r["rate"] == 0.05}
        for some in (rows, quickest)
    )
    lines = [
        "| work | what | against | goal | measured | of fastest samples | |",
        "| --- | --- | --- | ---: | ---: | ---: | --- |",
    ]
    for (work, what), peers in GOALS.items():
        for peer, goal in peers.items():
            key = work, what, peer
            if key not in by_key:
                lines.append(f"| {work} | {what} | {peer} | {goal:g} | not measured | | |")
                continue
            found = by_key[key], by_key_quickest[key]
            verdict = "met" if min(found) >= goal else "**missed**"
            cells = " | ".join(f"{ratio:.3g}" for ratio in found)
            lines.append(f"| {work} | {what} | {peer} | {goal:g} | {cells} | {verdict} |")
    return "\n".join(lines)


def shares(parts: dict[str, Any]) -> str:
    """Where a training step goes."""
    lines = [
        "| work | forward | backward | optimiser | input rows | recurrent rows |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for work, part in parts.items():
        times = [part[name] for name in ("forward", "backward", "optimiser")]
        cells = [f"{ms:.3g} ms ({ms / sum(times):.0%})" for ms in times]
        cells += [
            ", ".join(f"{rows:.1f}" for rows in part[name])
            for name in ("input_rows", "recurrent_rows")
        ]
        lines.append(f"| {work} | {' | '.join(cells)} |")
    return "\n".join(lines)


def rates(records: list[dict[str, Any]]) -> str:
    """The firing rates that were found, by layer."""
    lines = ["| work | network | asked | found |", "| --- | --- | ---: | ---: |"]
    for r in records:
        found = ", ".join(f"{rate:.2%}" for rate in r["measured"])
        lines.append(f"| {r['work']} | {r['name']} | {r['asked']:.0%} | {found} |")
    return "\n".join(lines)


def machine(found: dict[str, Any], settings: dict[str, Any]) -> str:
    """What it ran on."""
    versions = ", ".join(
        f"{name} {found[name]}" for name in ("torch", "numba", "snntorch", "onnxruntime")
    )
    loads = ", ".join(f"{work} {load:.1f}" for work, load in found["loads"].items())
    return (
        f"{found['processor']}, {found['threads']} threads; load of the machine during each work: "
        f"{loads}; python {found['python']}, {versions}; commit {found['commit']}; "
        f"medians of {settings['repeats']}."
    )


if __name__ == "__main__":
    main(tyro.cli(Config))
