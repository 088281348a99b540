"""Is a spiking network simulated in software cheaper than an LSTM or GRU? Trained, then timed.

python experiments/article/run.py                # train, measure, write, fill in the tables
python experiments/article/run.py --no-measure   # only make the tables again
python experiments/article/run.py --smoke        # a few seconds, prints, writes nothing here
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tyro
from tables import tables

from spikern._utils import atomic, json_file
from spikern._utils.phases import say
from spikern._utils.processes import one_thread
from spikern._utils.program import errors_in_one_line
from spikern._utils.provenance import provenance
from spikern.data import Dataset
from spikern.layers.network import Network, hidden_for_budget
from spikern.report.markdown import filled
from spikern.studies import runner
from spikern.studies.statistics import mean
from spikern.studies.trainings import TrainingJob, load_dataset, trained_network, validate
from spikern.studies.twins import density, measured_graph, measured_weights, prune, search_size
from spikern.timing.inference import Contestant, measure
from spikern.train.evaluation import evaluate
from spikern.train.recipes import Recipe, recipe

HERE = Path(__file__).parent
SPIKING, STANDARD = ("ALIF", "LIF"), ("LSTM", "GRU")
TIMED = 0
"""The seed of the networks that are timed and pruned, and of the searches for a size."""
SMOKE_SEQUENCES = 32
SIZES = {
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

    datasets: tuple[str, ...] = tuple(SIZES)
    models: tuple[str, ...] = STANDARD
    seeds: tuple[int, ...] = (0, 1, 2)
    batches: tuple[int, ...] = (1, 64)
    repeats: int = 7
    threads: int = 1
    workers: int = 1
    """Processes that train side by side, one thread each."""
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
        json_file.write(HERE / cfg.results, study(cfg))
    runs = [json_file.read(HERE / name) for name in RUNS]
    page = HERE / "README.md"
    atomic.write(page, filled(page.read_text(), tables(runs)))


def study(cfg: Config) -> dict[str, Any]:
    """The content of results.json."""
    started = time.perf_counter()
    found = {}
    for name in cfg.datasets:
        how, sizes = recipe(name), SIZES[name]
        if cfg.smoke:
            how = replace(how.changed(epochs=1), match_parameters=1_000)
            sizes = {model: (4,) for model in STANDARD}
        found[name] = one_dataset(name, how, sizes, cfg)
    settings = json.loads(json.dumps(asdict(cfg), default=str))
    return {
        "schema": 1,
        "settings": {key: settings[key] for key in ("seeds", "repeats", "threads")},
        "datasets": found,
        "provenance": provenance(time.perf_counter() - started, 1)
        | {name: version(name) for name in ("onnx", "onnxruntime")},
    }


def one_dataset(
    name: str, how: Recipe, sizes: dict[str, tuple[int, ...]], cfg: Config
) -> dict[str, Any]:
    """Accuracies over the seeds, the twins, and the times of one data set."""
    data = load_dataset(name, SMOKE_SEQUENCES if cfg.smoke else None)

    def job(model: str, hidden: int, seed: int = TIMED) -> TrainingJob:
        sequences = SMOKE_SEQUENCES if cfg.smoke else None
        return TrainingJob(
            name, model, seed, how.of(model), hidden_size=hidden, sequences=sequences
        )

    def networks(jobs: list[TrainingJob]) -> list[Network]:
        runner.run_all(validate, jobs, cfg.folder, cfg.workers)
        return [trained_network(one, cfg.folder) for one in jobs]

    budget = {
        model: hidden_for_budget(model, data.input_size, data.classes, how.match_parameters)
        for model in (*SPIKING, *cfg.models)
    }
    nets = {
        model: networks([job(model, hidden, seed) for seed in cfg.seeds])
        for model, hidden in budget.items()
    }
    leader = SPIKING[0]
    own = nets[leader][TIMED]
    contestants = [Contestant(model, "itself", nets[model][TIMED]) for model in SPIKING]
    searches = []
    for model in cfg.models:
        (wide,) = networks([job(model, budget[leader])])
        contestants.append(Contestant(model, "width", wide))
        contestants.append(Contestant(model, "parameters", nets[model][TIMED]))
        target = evaluate(own, data.validation).accuracy
        search = search_size(job(model, 1), sizes[model], target, cfg.folder)
        reached = None if search.network is None else search.network.body.hidden_size
        searches.append(
            {
                "model": model,
                "target": target,
                "trials": list(map(list, search.trials.items())),
                "reached": reached,
                "test_accuracies": [] if reached is None else [search.test_accuracy],
            }
        )
        if search.network is not None:
            contestants.append(Contestant(model, "accuracy", search.network))
    say(f"{name}: int8 and pruned")
    with one_thread():
        accuracies = [accuracy_row(model, nets[model], data) for model in nets]
        pruned = [
            row
            for model in cfg.models
            for row in pruned_rows(model, nets[model][TIMED], density(own), data, how)
        ]
        say(f"{name}: times")
        load_before = os.getloadavg()[0]
        timed = measure(contestants, data.test, cfg.batches, cfg.repeats, cfg.threads)
        rows = [contestant_row(one, data) for one in contestants]
    return {
        "accuracies": accuracies,
        "pruned": pruned,
        "searches": searches,
        "contestants": rows,
        "load": [load_before, os.getloadavg()[0]],
        **timed.as_dict(),
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


if __name__ == "__main__":
    with errors_in_one_line():
        main(tyro.cli(Config))
