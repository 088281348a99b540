"""Which recurrent networks remember: copy two symbols over growing delays.

python experiments/memory/run.py              # tune, train, write results.json, table and figure
python experiments/memory/run.py --no-train   # only table and figure again
python experiments/memory/run.py --smoke      # seconds; writes in runs/ only
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
import tyro
from matplotlib.figure import Figure

from spikern import atomic, study
from spikern.data.dataset import UNLABELLED, Dataset, Split
from spikern.network import Network, hidden_for_budget
from spikern.plot import MUTED, looks
from spikern.provenance import provenance
from spikern.statistics import claims, interval, mean
from spikern.study import figures, page
from spikern.study.tuning import Interval, search
from spikern.train import Training, fit
from spikern.trial import fresh_network, train_and_test
from spikern.types import DataError

HERE = Path(__file__).parent
SYMBOLS = 8
"""Classes, one input channel each; a ninth channel says go."""
LENGTH = 2
"""Symbols to be remembered."""
SLOT = 5
"""Steps of a symbol or a go signal, an event at each; an answer is due at a go signal's last."""
SPACE = {"learning_rate": Interval(1e-3, 5e-2, log=True)}
TUNING_SEED = 1000
"""Of all searches; no training that is reported has it."""
BASE = "LIF"
"""The neuron with neither adaptation nor resonance, against which the others are held."""


@dataclass(frozen=True)
class Config:
    """What is trained, and where."""

    models: tuple[str, ...] = ("LIF", "ALIF", "RNN", "GRU", "LSTM")
    delays: tuple[int, ...] = (5, 20, 80)
    seeds: int = 5
    trials: int = 5
    """Learning rates that are tried for each model, at `tuning_delay`."""
    tuning_delay: int = 20
    parameters: int = 3000
    """Of every model, within 5 %."""
    training: Training = Training(epochs=25, batch_size=20)  # noqa: RUF009 (it is frozen)
    sequences: int = 1000
    """For training; half as many for validation, as many for testing."""
    out: Path = Path("runs/memory")
    workers: int = 1
    ray: str | None = None
    """Address of a Ray cluster on which to train."""
    train: bool = True
    smoke: bool = False


SMOKE = {
    "models": ("LIF", "GRU"),
    "delays": (5, 10),
    "seeds": 2,
    "trials": 2,
    "tuning_delay": 5,
    "parameters": 1000,
    "training": Training(epochs=2, batch_size=20),
    "sequences": 100,
    "out": Path("runs/memory-smoke"),
}


@dataclass(frozen=True)
class Job:
    """One training."""

    model: str
    delay: int
    seed: int
    budget: int
    sequences: int
    training: Training


@dataclass(frozen=True)
class Search:
    """The search for a model's learning rate."""

    job: Job
    budget: int
    """Trials."""


def copy_split(count: int, delay: int, seed: int) -> Split:
    """Sequences of events: symbols, delay, go signals; x (T, N, SYMBOLS + 1).

    The symbols are raw words of PCG64, whose stream numpy promises to keep.
    """
    words = np.random.PCG64(seed).random_raw(count * LENGTH)
    symbols = torch.from_numpy((words % SYMBOLS).astype(np.int64)).view(LENGTH, count)
    steps = 2 * SLOT * LENGTH + delay
    x = torch.zeros(steps, count, SYMBOLS + 1)
    y = torch.full((steps, count), UNLABELLED)
    for k in range(LENGTH):
        shown = SLOT * k
        asked = SLOT * (LENGTH + k) + delay
        x[shown : shown + SLOT, torch.arange(count), symbols[k]] = 1.0
        x[asked : asked + SLOT, :, SYMBOLS] = 1.0
        y[asked + SLOT - 1] = symbols[k]
    return Split(x, y, torch.full((count,), steps))


def copy_dataset(delay: int, sequences: int) -> Dataset:
    """The copy task at one delay; the three splits are drawn apart."""
    return Dataset(
        name=f"copy-{delay}-{sequences}",
        title=f"Copy {LENGTH} of {SYMBOLS} symbols after {delay} steps",
        train=copy_split(sequences, delay, seed=0),
        validation=copy_split(sequences // 2, delay, seed=1),
        test=copy_split(sequences, delay, seed=2),
        class_names=tuple(str(k) for k in range(SYMBOLS)),
        every_step=True,
        events=True,
        source="generated here",
        licence="none needed",
        dt=1.0,
    )


def prepared(job: Job) -> tuple[Network, Dataset]:
    """The fresh network of a job and its data."""
    dataset = copy_dataset(job.delay, job.sequences)
    hidden = hidden_for_budget(job.model, dataset.input_size, dataset.classes, job.budget)
    return fresh_network(job.model, hidden, dataset, job.seed), dataset


def train(job: Job, checkpoint: Path) -> dict[str, Any]:
    """A job of the study."""
    return train_and_test(*prepared(job), job.training, job.seed, checkpoint)


def tune(asked: Search, checkpoint: Path) -> dict[str, Any]:
    """A search as a job; its journal is its checkpoint. The test split is not looked at."""

    def accuracy(settings: dict[str, Any]) -> float:
        network, dataset = prepared(asked.job)
        training = replace(asked.job.training, **settings)
        return max(e.validation_accuracy for e in fit(network, dataset, training).epochs)

    return search(accuracy, SPACE, asked.budget, checkpoint.with_suffix(".journal"))


def main(cfg: Config) -> None:
    """Tune, train, write; draw and fill in the page."""
    if cfg.smoke:
        cfg = replace(cfg, **SMOKE)
    home = cfg.out if cfg.smoke else HERE
    if cfg.train:
        atomic.write(home / "results.json", json.dumps(measured(cfg), indent=1))
    results = json.loads((home / "results.json").read_text())
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "memory"}):
        drawn(results).savefig(home / "memory.svg", metadata={"Date": None})
    readme = (HERE / "README.md").read_text()
    atomic.write(home / "README.md", page.filled(readme, made(results)))


def made(results: dict[str, Any]) -> dict[str, str]:
    """What the page has from the results."""
    seconds = sum(row["seconds"] for row in results["jobs"])
    return {
        "accuracy": accuracy_table(results),
        "tuning": tuning_table(results),
        "claims": claims_table(results),
        "machine": page.machine(results["provenance"], seconds),
    }


def measured(cfg: Config) -> dict[str, Any]:
    """Run the study; the content of results.json."""
    started = time.perf_counter()
    first = Job("", cfg.tuning_delay, TUNING_SEED, cfg.parameters, cfg.sequences, cfg.training)
    searches = [Search(replace(first, model=model), cfg.trials) for model in cfg.models]
    run(tune, searches, cfg.out / "tuning", cfg)
    tuning = dict(zip(cfg.models, study.results(searches, cfg.out / "tuning")))
    jobs = [
        job
        for model, found in tuning.items()
        for job in study.grid(
            replace(first, model=model, training=replace(cfg.training, **found["best"])),
            {"delay": cfg.delays, "seed": range(cfg.seeds)},
        )
    ]
    run(train, jobs, cfg.out, cfg)
    rows = [asdict(job) | found for job, found in zip(jobs, study.results(jobs, cfg.out))]
    for row in rows:
        del row["epochs"]  # they are in the study's folder, and too many for this file
    return {
        "schema": 1,
        "settings": asdict(cfg) | {"out": str(cfg.out)},
        "tuning": tuning,
        "jobs": rows,
        "claims": {str(delay): claims(pairs(rows, cfg.models, delay)) for delay in cfg.delays},
        "provenance": provenance(time.perf_counter() - started, cfg.workers),
    }


def run(job: study.Job, configs: list[Any], out: Path, cfg: Config) -> None:
    """The jobs of one folder, all of which have to end well."""
    failed = study.run(job, configs, out, cfg.workers, cfg.ray).failed
    if failed:
        raise DataError(f"{len(failed)} jobs failed, see {out}/jobs/*.error: {failed}")


def pairs(
    rows: list[dict[str, Any]], models: tuple[str, ...], delay: int
) -> dict[str, tuple[list[float], list[float]]]:
    """Spiking against standard, and every other neuron against the plain one, at one delay."""
    kinds = {row["model"]: row["kind"] for row in rows}
    by_model = study.gathered([r for r in rows if r["delay"] == delay], ["model"], "test_accuracy")
    spiking = [model for model in models if kinds[model] == "spiking"]
    opponents = [model for model in models if kinds[model] == "standard"]
    asked = [(a, b) for a in spiking for b in opponents]
    asked += [(a, BASE) for a in spiking if a != BASE and BASE in spiking]
    return {f"{a} > {b}": (by_model[a,], by_model[b,]) for a, b in asked}


def accuracy_table(results: dict[str, Any]) -> str:
    """Test accuracy by model and delay; then size, rate and energy at the longest."""
    rows, delays = results["jobs"], results["settings"]["delays"]
    lines = []
    for model in results["settings"]["models"]:
        of_model = [row for row in rows if row["model"] == model]
        cells = [f"{model} ({of_model[0]['parameters']})"]
        for delay in delays:
            found = [row["test_accuracy"] for row in of_model if row["delay"] == delay]
            low, high = interval(found) or (mean(found),) * 2
            cells.append(f"{mean(found):.1%} ± {(high - low) / 2:.1%}")
        last = [row for row in of_model if row["delay"] == delays[-1]]
        cells.append(f"{mean([r['rates'][0] for r in last]):.1%}" if last[0]["rates"] else "-")
        cells.append(f"{mean([row['energy_pj']['45nm_fp32'] for row in last]) / 1e3:.3g} nJ")
        lines.append(cells)
    head = ["model (parameters)", *(f"delay {delay}" for delay in delays)]
    return page.table([*head, f"rate at {delays[-1]}", f"energy estimate at {delays[-1]}"], lines)


def tuning_table(results: dict[str, Any]) -> str:
    """Every learning rate that was tried, with its validation accuracy; the best is first."""
    lines = []
    for model, found in results["tuning"].items():
        ranked = sorted(found["trials"], key=lambda trial: -trial["accuracy"])
        lines.append(
            [model, *(f"{t['settings']['learning_rate']:.2g}: {t['accuracy']:.1%}" for t in ranked)]
        )
    return page.table(["model", "chosen", *["tried"] * (len(lines[0]) - 2)], lines)


def claims_table(results: dict[str, Any]) -> str:
    """Every claim at every delay."""
    lines = [
        [
            name,
            delay,
            f"{100 * c['difference']:+.1f}",
            f"{100 * c['low']:+.1f} to {100 * c['high']:+.1f}",
            f"{c['p_holm']:.2g}",
            f"**{c['verdict']}**",
        ]
        for delay, asked in results["claims"].items()
        for name, c in asked.items()
    ]
    head = ["claim", "delay", "difference, points", "interval", "p (Holm)", "verdict"]
    return page.table(head, lines)


def drawn(results: dict[str, Any]) -> Figure:
    """Accuracy against delay."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    rows = results["jobs"]
    by = study.gathered(rows, ["model", "delay"], "test_accuracy")
    curves: defaultdict[str, dict[float, list[float]]] = defaultdict(dict)
    for (model, delay), values in by.items():
        curves[model][delay] = values
    models = {row["model"]: {"name": row["model"], "kind": row["kind"]} for row in rows}
    axis = figures.levels(
        figure.add_subplot(), curves, looks(list(models.values())), "delay (steps)"
    )
    axis.axhline(1 / SYMBOLS, color=MUTED, lw=0.8, ls=":")
    axis.set_xscale("log")
    axis.set_xticks(
        results["settings"]["delays"], labels=results["settings"]["delays"], minor=False
    )
    axis.minorticks_off()
    return figure


if __name__ == "__main__":
    main(tyro.cli(Config))
