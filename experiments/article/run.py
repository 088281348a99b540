"""Is a spiking network simulated in software cheaper than an LSTM or GRU? Trained, then timed.

python experiments/article/run.py                # train, measure, write, fill in the tables
python experiments/article/run.py --no-measure   # only make the tables again
python experiments/article/run.py --smoke        # a few seconds, prints, writes nothing here
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tyro
from tables import tables

from spikern._utils import atomic
from spikern._utils.processes import one_thread
from spikern._utils.provenance import provenance
from spikern.data import load
from spikern.data.dataset import Dataset, Split
from spikern.layers.network import Network, hidden_for_budget
from spikern.report.markdown import filled
from spikern.studies.statistics import mean
from spikern.studies.twins import climb, density, measured_graph, measured_weights, prune, trainer
from spikern.timing.inference import Contestant, InferenceTimes, measure
from spikern.train.loop import evaluate
from spikern.train.recipes import Recipe, recipe

HERE = Path(__file__).parent
SPIKING, STANDARD = ("ALIF", "LIF"), ("LSTM", "GRU")
TIMED = 0
"""The seed of the networks that are timed, pruned, and that the ladder climbs with."""
LADDERS = {
    "digits": {"LSTM": (8, 12, 16, 24, 32, 48, 68), "GRU": (8, 12, 16, 24, 32, 48, 79)},
    "japanese_vowels": {"LSTM": (6, 12, 24, 43, 89), "GRU": (6, 12, 24, 50, 89)},
}
RUNS = ("results.json", "results_again.json")
"""The run that the tables show, and its repetition, which what is called decided must survive."""
PRUNED, FINE_TUNING = 0.25, 15
"""The density of a pruned twin for reference, and its epochs of fine-tuning."""


@dataclass(frozen=True)
class Config:
    """What is trained and timed."""

    datasets: tuple[str, ...] = tuple(LADDERS)
    models: tuple[str, ...] = STANDARD
    seeds: tuple[int, ...] = (0, 1, 2)
    batches: tuple[int, ...] = (1, 64)
    repeats: int = 7
    threads: int = 1
    folder: Path = Path("runs/article")
    """Where trainings have their checkpoints; what is there is not trained again."""
    measure: bool = True
    results: str = RUNS[0]
    """Which of the two runs this is."""
    smoke: bool = False


def main(cfg: Config) -> None:
    """Train, measure, write the results, fill in the tables of README.md."""
    if cfg.smoke:
        with tempfile.TemporaryDirectory() as folder:
            brief = replace(
                cfg, datasets=("digits",), models=("LSTM",), seeds=(0,), batches=(4,), repeats=1,
                folder=Path(folder),
            )  # fmt: skip
            print(*tables([study(brief)]).values(), sep="\n\n")
        return
    if cfg.measure:
        atomic.write(HERE / cfg.results, json.dumps(study(cfg), indent=1))
    runs = [json.loads((HERE / name).read_text()) for name in RUNS]
    page = HERE / "README.md"
    atomic.write(page, filled(page.read_text(), tables(runs)))


def say(line: str) -> None:
    """Progress goes to standard error."""
    print(line, file=sys.stderr, flush=True)


def study(cfg: Config) -> dict[str, Any]:
    """The content of results.json."""
    started = time.perf_counter()
    found = {}
    with one_thread():
        for name in cfg.datasets:
            data, how, ladders = load(name), recipe(name), LADDERS[name]
            if cfg.smoke:
                data, how, ladders = small(data, how)
            found[name] = one_dataset(data, how, ladders, cfg)
    settings = json.loads(json.dumps(asdict(cfg), default=str))
    return {
        "schema": 1,
        "settings": {key: settings[key] for key in ("seeds", "repeats", "threads")},
        "datasets": found,
        "provenance": provenance(time.perf_counter() - started, 1)
        | {name: version(name) for name in ("onnx", "onnxruntime")},
    }


def small(data: Dataset, how: Recipe) -> tuple[Dataset, Recipe, dict[str, tuple[int, ...]]]:
    """A few digits, cut short, and a training that only shows that it runs."""

    def cut(split: Split) -> Split:
        few = split.batch(range(64))
        return Split(few.x[24:32], few.y, few.lengths.clamp(max=8))

    cutout = replace(data, train=cut(data.train), validation=cut(data.validation),
                     test=cut(data.test))  # fmt: skip
    brief = replace(how.changed(epochs=1), match_parameters=1_000)
    return cutout, brief, {model: (4,) for model in STANDARD}


def one_dataset(
    data: Dataset, how: Recipe, ladders: dict[str, tuple[int, ...]], cfg: Config
) -> dict[str, Any]:
    """Accuracies over the seeds, the twins, and the times of one data set."""

    def train(model: str, hidden: int, seed: int) -> Network:
        return trainer(model, data, how.of(model), folder=cfg.folder)(hidden, seed).network

    budget = {
        model: hidden_for_budget(model, data.input_size, data.classes, how.match_parameters)
        for model in (*SPIKING, *cfg.models)
    }
    nets: dict[str, list[Network]] = {}
    for model, hidden in budget.items():
        say(f"{data.name}: {model}, {hidden} hidden, seeds {cfg.seeds}")
        nets[model] = [train(model, hidden, seed) for seed in cfg.seeds]
    leader = SPIKING[0]
    own = nets[leader][TIMED]
    contestants = [Contestant(model, "itself", nets[model][TIMED]) for model in SPIKING]
    climbed = []
    for model in cfg.models:
        wide = train(model, budget[leader], TIMED)
        contestants.append(Contestant(model, "width", wide))
        contestants.append(Contestant(model, "parameters", nets[model][TIMED]))
        say(f"{data.name}: the ladder of {model}")
        target = evaluate(own, data.validation).accuracy
        step = trainer(model, data, how.of(model), folder=cfg.folder)
        found = climb(step, ladders[model], (TIMED,), target, data)
        climbed.append(
            {
                "model": model,
                "target": target,
                "rungs": [[r.hidden, r.validation_accuracy] for r in found.rungs],
                "reached": None if found.reached is None else found.reached.hidden,
                "test_accuracies": found.test_accuracies,
            }
        )
        if found.reached is not None:
            contestants.append(Contestant(model, "accuracy", found.reached.trained[0].network))
    say(f"{data.name}: int8 and pruned")
    accuracies = [accuracy_row(model, nets[model], data) for model in nets]
    pruned = [
        row
        for model in cfg.models
        for row in pruned_rows(model, nets[model][TIMED], density(own), data, how)
    ]
    say(f"{data.name}: times")
    load_before = os.getloadavg()[0]
    timed = measure(contestants, data.test, cfg.batches, cfg.repeats, cfg.threads)
    return {
        "accuracies": accuracies,
        "pruned": pruned,
        "ladders": climbed,
        "contestants": [contestant_row(one, data) for one in contestants],
        "load": [load_before, os.getloadavg()[0]],
        **as_json(timed),
    }


def accuracy_row(model: str, networks: Sequence[Network], data: Dataset) -> dict[str, Any]:
    """Test accuracies over the seeds, and those in int8 by the scheme that there is."""
    row: dict[str, Any] = {
        "model": model,
        "parameters": networks[0].parameter_count,
        "test": [evaluate(network, data.test).accuracy for network in networks],
    }
    if model in STANDARD:
        how = measured_graph if model == "LSTM" else measured_weights
        row["int8"] = [how(network, data.test)._asdict() for network in networks]
    return row


def pruned_rows(
    model: str, network: Network, own_density: float, data: Dataset, how: Recipe
) -> list[dict[str, Any]]:
    """A twin at the spiking network's density, and at a lower one for reference."""
    epochs = min(FINE_TUNING, how.gated.epochs)
    rows = []
    for kept in sorted({own_density, PRUNED}, reverse=True):
        found = prune(network, kept, data, replace(how.gated, epochs=epochs), TIMED)
        rows.append(
            {
                "model": model,
                "density": found.density,
                "epochs": epochs,
                "test": found.test_accuracy,
            }
        )
    return rows


def contestant_row(one: Contestant, data: Dataset) -> dict[str, Any]:
    """A timed network's size, accuracy and firing rate."""
    tested = evaluate(one.network, data.test)
    return {
        "name": one.name,
        "equal": one.equal,
        "hidden": one.network.body.hidden_size,
        "parameters": one.network.parameter_count,
        "test": tested.accuracy,
        "rate": mean(tested.rates) if tested.rates else None,
    }


def as_json(timed: InferenceTimes) -> dict[str, Any]:
    """The measurements for a file."""
    return timed._asdict() | {"checks": [check._asdict() for check in timed.checks]}


if __name__ == "__main__":
    main(tyro.cli(Config))
