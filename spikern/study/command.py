"""The command of a study: carry out its plans, write results.json, fill in page and figure."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spikern import atomic
from spikern.plot import Look, looks
from spikern.plot.svg import save
from spikern.provenance import provenance
from spikern.study import figures, page, parts, tables
from spikern.study.growth import fit
from spikern.study.protocol import Plan, carried_out
from spikern.types import DataError

AXES = {
    "input noise": "noise on the input (deviations)",
    "dropped events": "share of dropped events",
    "weights": "noise on the weights (deviations)",
}
"""What a disturbance is called on its axis."""
SIZES = {"parameters": "parameters", "operations": "AC and MAC of one inference"}
"""What a size is called on its axis."""


@dataclass(frozen=True)
class Config:
    """How a study is run; what it trains is frozen in its script."""

    out: Path | None = None
    """Folder of its jobs; runs/<topic> unless given."""
    workers: int = 1
    ray: str | None = None
    """Address of a Ray cluster on which to train."""
    train: bool = True
    """No: only make table and figure again from results.json."""
    smoke: bool = False
    """Seconds, to show only that it runs; writes in runs/ alone."""


def main(home: Path, plans: Sequence[Plan], cfg: Config) -> None:
    """Carry out the plans of the study whose folder is `home`; write results, figure, page."""
    brief = "-smoke" if cfg.smoke else ""
    out = cfg.out or Path("runs") / f"{home.name}{brief}"
    if cfg.smoke:
        plans = [plan.brief() for plan in plans]
    where = out if cfg.smoke else home
    if cfg.train:
        started = time.perf_counter()
        done = [carried_out(plan, out, cfg.workers, cfg.ray) for plan in plans]
        spent = provenance(time.perf_counter() - started, cfg.workers)
        whole = {"schema": 1, "topic": home.name, "parts": done, "provenance": spent}
        atomic.write(where / "results.json", json.dumps(whole, indent=1))
    results = json.loads((where / "results.json").read_text())
    asked = [json.loads(json.dumps(asdict(plan))) for plan in plans]
    if [part["plan"] for part in results["parts"]] != asked:
        raise DataError(f"{where}/results.json is of other plans; run the study to make it anew")
    for part in results["parts"]:
        save(drawn(part), where / f"{part['plan']['dataset']}.svg")
    readme = (home / "README.md").read_text()
    atomic.write(where / "README.md", page.filled(readme, made(results)))


def made(results: dict[str, Any]) -> dict[str, str]:
    """What the page has from the results."""
    places = {name: text for part in results["parts"] for name, text in tables.made(part).items()}
    seconds = sum(map(tables.seconds, results["parts"]))
    return places | {"machine": page.machine(results["provenance"], seconds)}


def drawn(part: dict[str, Any]) -> Figure:
    """Frontier and robustness of a data set, then growth where it was measured; a panel each."""
    names = list(part["runs"][0]["robustness"])
    shown: list[Callable[..., Axes]] = [
        frontier,
        *(partial(_robust, name=name) for name in names),
    ]
    if part["growth"]:
        shown += [partial(_growth, against=against) for against in parts.AXES]
    figure, axes = figures.panels(len(shown))
    look = looks_of([part])
    for axis, panel in zip(axes, shown):
        panel(axis, part, look)
    for axis in axes[1:]:
        if legend := axis.get_legend():
            legend.remove()  # the first panel has all models
    return figure


def looks_of(found: Sequence[dict[str, Any]]) -> dict[str, Look]:
    """How the models of some parts look together."""
    runs = {
        run["model"]: {"name": run["model"], "kind": run["kind"]}
        for part in found
        for run in part["runs"]
    }
    return looks(list(runs.values()))


def frontier(axis: Axes, part: dict[str, Any], look: dict[str, Look]) -> Axes:
    """Test accuracy against AC and MAC per inference: every run, every penalty."""
    points: dict[str, list[tuple[float, float]]] = {}
    for run in (*part["runs"], *part["frontier"]):
        operations = sum(parts.per_inference([run], kind) for kind in ("ac", "mac"))
        points.setdefault(run["model"], []).append((operations, run["test_accuracy"]))
    return figures.frontier(axis, points, look)


def _robust(axis: Axes, part: dict[str, Any], look: dict[str, Look], name: str) -> Axes:
    """Test accuracy of every model against the level of a disturbance."""
    curves = {
        model: {
            level: [run["robustness"][name][k][1] for run in runs]
            for k, (level, _) in enumerate(runs[0]["robustness"][name])
        }
        for model, runs in parts.by_model(part["runs"]).items()
    }
    return figures.levels(axis, curves, look, AXES[name])


def _growth(axis: Axes, part: dict[str, Any], look: dict[str, Look], against: parts.Axis) -> Axes:
    """What is missed against size, with the fitted power law and its prediction."""
    for model, (sizes, missed) in parts.grown(part, against).items():
        figures.growth(axis, model, fit(sizes, missed), look[model], parts.BEYOND)
    bits = part["plan"]["measure"] == "bits"
    axis.set(xlabel=SIZES[against], ylabel="bits per answer" if bits else "1 - test accuracy")
    return axis
