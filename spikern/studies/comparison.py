"""Compare models on a data set: train every model with every seed, test, count, write.

The folder of a comparison:

    settings.json            what was asked for; a resumed comparison must ask for the same
    jobs/LIF-0.json          the result of a finished job; it is not done again
    jobs/LIF-0.safetensors   the checkpoint of a job, resumed if it was killed
    results.json             the whole comparison
"""

from __future__ import annotations

import json
import statistics as python_statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray

from spikern import cost
from spikern._utils import atomic, processes
from spikern._utils.choices import check_choice
from spikern._utils.errors import DataError, InputError
from spikern._utils.provenance import provenance
from spikern.cost.summary import comparisons, estimates
from spikern.data import encoded, load
from spikern.data.dataset import Dataset
from spikern.layers.network import MODELS, Answer, Network, hidden_for_budget
from spikern.layers.streaming import compile_stream
from spikern.studies.results import compare_models, describe, summarise
from spikern.train.loop import Epoch, fit
from spikern.train.recipes import GENERAL, Recipe
from spikern.train.trial import count_split, fresh_network, train_and_test


@dataclass(frozen=True)
class Comparison:
    """What is compared, and how."""

    dataset: str
    models: tuple[str, ...] = ("LIF", "ALIF", "BRF", "RNN", "GRU", "LSTM")
    recipe: Recipe = GENERAL
    hidden: int | None = None
    layers: int = 1
    seeds: int = 3
    delta: float | None = None
    answer: Answer = "last"

    def __post_init__(self) -> None:
        if not self.models:
            raise InputError(f"name at least one model of: {', '.join(MODELS)}")
        for model in self.models:
            check_choice("model", model, MODELS)
        if len(set(self.models)) < len(self.models):
            raise InputError(f"a model is named twice: {', '.join(self.models)}")
        for name in ("seeds", "layers"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.hidden is not None and self.hidden < 1:
            raise InputError(f"hidden must be at least 1, got {self.hidden}")

    @property
    def encoder(self) -> str | None:
        """What makes events of the input, if something does."""
        return None if self.delta is None else "delta"

    def hidden_size(self, model: str, dataset: Dataset) -> int:
        """The hidden size asked for, or the one that meets the parameter budget."""
        if self.hidden is not None:
            return self.hidden
        return hidden_for_budget(
            model, dataset.input_size, dataset.classes, self.recipe.match_parameters, self.layers
        )


class Job(NamedTuple):
    """One training: a model and a seed."""

    model: str
    seed: int

    @property
    def name(self) -> str:
        """The stem of its files."""
        return f"{self.model}-{self.seed}"


Announce = Callable[[Job, Epoch], None]


def result_path(out: Path, job: Job) -> Path:
    """Where the result of a finished job is."""
    return out / "jobs" / f"{job.name}.json"


def checkpoint_path(out: Path, job: Job) -> Path:
    """Where a job's checkpoint is."""
    return out / "jobs" / f"{job.name}.safetensors"


def open_folder(out: Path, comparison: Comparison, resume: bool) -> None:
    """Claim a fresh folder, or one of the same comparison that is to be resumed."""
    settings = json.loads(json.dumps(asdict(comparison)))
    path = out / "settings.json"
    if resume:
        try:
            found = json.loads(path.read_text())
        except (OSError, json.JSONDecodeError) as error:
            raise DataError(f"nothing to resume in {out}: {error}; run without --resume") from error
        if found != settings:
            changed = [k for k in settings if settings[k] != found.get(k)]
            raise DataError(
                f"{out} holds a comparison with other {', '.join(changed)}; "
                f"resume it with its own settings or choose another --out"
            )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} is already in use; choose another --out, or add --resume")
    atomic.write(path, json.dumps(settings, indent=1))


class Sample(NamedTuple):
    """A test sample and what the network named `model` made of it.

    x        (T, F)
    hidden   (T, H) spikes, one array a layer
    readout  (T, C)
    label    the class; or (T,) classes, negative where a step has none
    steps    how many of the T steps the sample has
    """

    model: str
    x: NDArray[Any]
    hidden: Sequence[NDArray[Any]]
    readout: NDArray[Any]
    label: int | NDArray[Any]
    class_names: Sequence[str]
    steps: int


class Compared(NamedTuple):
    """The content of results.json, and a sample for the report; none without a spiking model."""

    results: dict[str, Any]
    sample: Sample | None


def compare(
    comparison: Comparison,
    out: Path,
    resume: bool = False,
    announce: Announce = lambda job, epoch: None,
    workers: int = 1,
) -> Compared:
    """Do what is left of a comparison and write results.json.

    Jobs run in `workers` processes of one thread each, which for small networks is faster than
    one process of many threads and gives the same numbers for any number of workers.
    """
    started = time.perf_counter()
    dataset = load(comparison.dataset)
    if comparison.delta is not None:
        dataset = encoded(dataset, comparison.delta)
    jobs = [Job(m, s) for m in comparison.models for s in range(comparison.seeds)]
    hidden = {m: comparison.hidden_size(m, dataset) for m in comparison.models}
    open_folder(out, comparison, resume)
    tasks = [
        partial(run_job, job, hidden[job.model], dataset, comparison, out)
        for job in jobs
        if not result_path(out, job).exists()
    ]
    for job in jobs:
        if result_path(out, job).exists():
            for epoch in json.loads(result_path(out, job).read_text())["epochs"]:
                announce(job, Epoch(**epoch))
    processes.run_all(tasks, announce, workers)
    results = {job: json.loads(result_path(out, job).read_text()) for job in jobs}
    trained = {
        model: reload(Job(model, 0), hidden[model], dataset, comparison, out)
        for model in comparison.models
    }
    models = [
        summarise([results[j] for j in jobs if j.model == model])
        | time_inference(trained[model], dataset)
        for model in comparison.models
    ]
    whole = {
        "schema": 1,
        "dataset": describe(dataset),
        "settings": settings_of(comparison),
        "models": models,
        "comparisons": compare_models(models),
        "energy": energy_of_seed_0(trained, dataset, comparison),
        "energy_tables": {
            t.name: {"title": t.title, "source": t.source, "not_modelled": t.not_modelled}
            for t in cost.tables().values()
        },
        "provenance": provenance(time.perf_counter() - started, workers),
    }
    whole = dict(json.loads(json.dumps(whole)))
    atomic.write(out / "results.json", json.dumps(whole, indent=1))
    return Compared(whole, draw_sample(whole, trained, dataset))


def make_network(job: Job, hidden: int, dataset: Dataset, comparison: Comparison) -> Network:
    """The untrained network of a job."""
    return fresh_network(job.model, hidden, dataset, job.seed, comparison.answer, comparison.layers)


def reload(job: Job, hidden: int, dataset: Dataset, comparison: Comparison, out: Path) -> Network:
    """The trained network of a finished job, from its checkpoint."""
    network = make_network(job, hidden, dataset, comparison)
    training = comparison.recipe.of(job.model)
    fit(network, dataset, training, job.seed, checkpoint_path(out, job))
    return network.eval()


def run_job(
    job: Job,
    hidden: int,
    dataset: Dataset,
    comparison: Comparison,
    out: Path,
    announce: Announce,
) -> None:
    """Train, test once, count; write the result."""
    result = train_and_test(
        make_network(job, hidden, dataset, comparison),
        dataset,
        comparison.recipe.of(job.model),
        job.seed,
        checkpoint_path(out, job),
        lambda epoch: announce(job, epoch),
        comparison.encoder,
    )
    named = {"name": job.model, "seed": job.seed, "hidden": hidden}
    atomic.write(result_path(out, job), json.dumps(named | result))


def energy_of_seed_0(
    trained: dict[str, Network], dataset: Dataset, comparison: Comparison
) -> dict[str, Any]:
    """The networks of seed 0 counted on the test split, and what they are estimated to need."""
    counts = {name: count_split(n, dataset, comparison.encoder) for name, n in trained.items()}
    return {
        "seed": 0,
        "estimates": estimates(counts, cost.tables()),
        "statements": comparisons(counts, cost.tables()),
    }


def time_inference(network: Network, dataset: Dataset, repeats: int = 21) -> dict[str, Any]:
    """Median milliseconds of one inference of one test sample on one thread, and what ran it.

    A spiking network is streamed, a standard one is run by torch.
    """
    batch = dataset.test.batch(torch.tensor([0]))
    seconds = []
    with torch.inference_mode(), processes.one_thread():
        if network.spiking:
            infer = partial(
                compile_stream(network).run, batch.x.numpy(), lengths=batch.lengths.numpy()
            )
        else:
            infer = partial(network, batch.x, lengths=batch.lengths)
        for _ in range(repeats + 1):
            started = time.perf_counter()
            infer()
            seconds.append(time.perf_counter() - started)
    return {
        "inference_engine": "stream" if network.spiking else network.body.engine,
        "milliseconds_per_inference": 1e3 * python_statistics.median(seconds[1:]),
    }


def settings_of(comparison: Comparison) -> dict[str, Any]:
    """All settings on one level; a budget of None says that the hidden size was given."""
    settings = asdict(comparison)
    recipe: dict[str, Any] = settings.pop("recipe")
    budget = recipe.pop("match_parameters")
    settings["match_parameters"] = budget if comparison.hidden is None else None
    for kind, training in recipe.items():
        settings |= {f"{kind}_{name}": value for name, value in training.items()}
    return settings


def draw_sample(
    results: dict[str, Any], trained: dict[str, Network], dataset: Dataset
) -> Sample | None:
    """The first test sample through the most accurate spiking network, for the report's raster."""
    spiking = [m for m in results["models"] if m["kind"] == "spiking"]
    if not spiking:
        return None
    best = max(spiking, key=lambda m: m["test_accuracy"]["mean"])["name"]
    network = trained[best]
    batch = dataset.test.batch(torch.tensor([0]))
    with torch.no_grad():
        layers = network.hidden(batch.x, batch.lengths)
        readout, _ = network.readout(layers[-1], None, batch.lengths)
    sample = Sample(
        model=best,
        x=batch.x[:, 0].numpy(),
        hidden=[z[:, 0].numpy() for z in layers],
        readout=readout[:, 0].numpy(),
        label=batch.y[:, 0].numpy() if dataset.every_step else int(batch.y[0]),
        class_names=dataset.class_names,
        steps=int(batch.lengths[0]),
    )
    return sample
