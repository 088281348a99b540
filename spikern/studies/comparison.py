"""Compare models on a data set: a study whose jobs are all its models with all its seeds.

The folder of a comparison:

    settings.json            the comparison and a digest of its data; both stay when it is resumed
    jobs/LIF-0.json          config and result of a finished job, which is not done again
    jobs/LIF-0.safetensors   the checkpoint of a job, resumed if the job was killed
    results.json             the whole comparison
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from spikern import cost
from spikern._utils import json_file
from spikern._utils.choices import check_choice
from spikern._utils.errors import DataError, InputError
from spikern._utils.numbers import check_counts
from spikern._utils.phases import phase, say
from spikern._utils.provenance import provenance
from spikern.cost.summary import comparisons, estimates, table_texts
from spikern.data.dataset import Dataset
from spikern.layers.baseline import BASELINES
from spikern.layers.network import MODELS, Answer, hidden_for_budget
from spikern.studies import progress, runner
from spikern.studies.jobs import canonical, files
from spikern.studies.lock import claim
from spikern.studies.results import best_on_validation, compare_models, describe, summarise
from spikern.studies.samples import Sample, confusion, draw_sample, right_and_wrong
from spikern.studies.simple import logistic_regression
from spikern.studies.trainings import (
    Architecture,
    TrainingJob,
    check_same_data,
    digest_of,
    load_dataset,
    train,
    trained_network,
)
from spikern.timing.inference import fastest
from spikern.train.checks import check_augmentation, check_device
from spikern.train.evaluation import evaluate
from spikern.train.recipes import GENERAL, Recipe
from spikern.train.trial import count_split

BEGINNINGS = ("fresh", "resume", "restart")
"""How a comparison treats the folder that it is told to write to."""


@dataclass(frozen=True)
class Comparison:
    """What is compared, and how."""

    dataset: str
    models: tuple[str, ...] = ("LIF", "ALIF", "BRF", "RNN", "GRU", "LSTM")
    recipe: Recipe = GENERAL
    hidden: int | tuple[int, ...] | None = None
    """Hidden units of all layers, or of each, instead of a budget."""
    layers: int = 1
    recurrent_delay: int = 1
    """The longest delay of a recurrent spike in steps, in spiking models; 1: all take one step."""
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
        check_choice("answer", self.answer, ("last", "mean"))
        if isinstance(self.hidden, list):
            object.__setattr__(self, "hidden", tuple(self.hidden))
        check_counts(seeds=self.seeds, layers=self.layers, recurrent_delay=self.recurrent_delay)
        sizes = self.hidden if isinstance(self.hidden, tuple) else (self.hidden,) * self.layers
        for size in sizes:
            if size is not None:
                check_counts(hidden=size)
        if len(sizes) != self.layers:
            raise InputError(f"hidden has {len(sizes)} numbers for {self.layers} layers")
        standard = [model for model in self.models if model in BASELINES]
        if standard and isinstance(self.hidden, tuple):
            raise InputError(
                f"{', '.join(standard)} have layers of one width; name spiking models alone, or "
                f"give one number of hidden units"
            )
        spiking_alone = {
            "recurrent_delay": self.recurrent_delay > 1,
            "rate_penalty": any(self.recipe.of(model).rate_penalty for model in self.models),
        }
        given = [name for name, is_given in spiking_alone.items() if is_given]
        if given and len(standard) == len(self.models):
            raise InputError(
                f"{given[0]} acts on spiking models; name one beside {', '.join(standard)}, or "
                f"leave it out"
            )

    def carries_state(self, model: str) -> bool:
        """Whether a model reads sequences as parts of one."""
        return self.recipe.of(model).carry_state

    @property
    def encoder(self) -> str | None:
        """The name of the encoder that makes events of the input, if there is one."""
        return None if self.delta is None else "delta"

    def jobs(self) -> list[TrainingJob]:
        """A training of every model with every seed, at the hidden size that meets the budget.

        Raises InputError for an answer by the mean where every step has a label.
        """
        dataset = data_of(self)
        if dataset.every_step and self.answer == "mean":
            raise InputError(
                f"every step of {dataset.name} has a label and is answered; leave out answer='mean'"
            )
        sizes = {
            model: self.hidden
            or hidden_for_budget(
                model,
                dataset.input_size,
                dataset.classes,
                self.recipe.match_parameters,
                self.layers,
            )
            for model in self.models
        }
        return [
            TrainingJob(
                self.dataset,
                model,
                seed,
                self.recipe.of(model),
                hidden_size=sizes[model],
                answer=self.answer,
                architecture=Architecture(layers=self.layers, recurrent_delay=self.recurrent_delay),
                delta=self.delta,
            )
            for model in self.models
            for seed in range(self.seeds)
        ]


def job_name(job: TrainingJob) -> str:
    """The name of a job's files: its model and seed."""
    return f"{job.model}-{job.seed}"


RESULT = {
    **dict.fromkeys(("kind", "engine"), str),
    **dict.fromkeys(("parameters", "inferences", "best_epoch"), int),
    "hidden": int | list,
    **dict.fromkeys(("validation_accuracy", "test_accuracy"), float),
    **dict.fromkeys(("ops", "energy_pj"), dict),
    "rates": [float],
    "epochs": [dict],
}
"""The form of a job's result, as far as it is read."""


def job_result(out: Path, name: str) -> dict[str, Any]:
    """The result of a finished job; DataError if there is none.

    Version 0.1.0 wrote it without the config around it.
    """
    path = files(out, name).result
    content = json_file.read(path)
    result = content.get("result", content)
    if not json_file.has_form(result, RESULT):
        raise DataError(f"{path} is not the result of a training; resume the comparison")
    return dict(result)


SETTINGS = "settings.json"
DATA = "data"
"""Where the settings hold a digest of the data set."""


def data_of(comparison: Comparison) -> Dataset:
    """The data set that a comparison trains on."""
    return load_dataset(comparison.dataset, delta=comparison.delta)


def check_data(folder: Path, dataset: Dataset) -> None:
    """Raise DataError unless a data set is that of the comparison in a folder."""
    path = folder / SETTINGS
    check_same_data(dataset, json_file.read(path).get(DATA), path)


def open_folder(out: Path, comparison: Comparison, begin: str = "fresh") -> None:
    """Claim the folder of a comparison; `begin` is one of BEGINNINGS, explained in `compare`."""
    check_choice("begin", begin, BEGINNINGS)
    settings = json.loads(canonical(comparison))
    path = out / SETTINGS
    if begin == "resume":
        try:
            found = json_file.read(path)
        except DataError as error:
            raise DataError(
                f"nothing to resume in {out}: {error}; run without --resume, or in another --out"
            ) from error
        found = {"recurrent_delay": Comparison.recurrent_delay} | found  # it came later
        changed = [k for k in settings | found if k != DATA and settings.get(k) != found.get(k)]
        if "recipe" in changed and (later := _later(settings["recipe"], found.get("recipe", {}))):
            raise DataError(
                f"{out} was begun by another version of spikern, whose trainings have no "
                f"{', '.join(later)}; go on with that, begin again with --restart, or choose "
                f"another --out"
            )
        if changed:
            raise DataError(
                f"{out} holds a comparison with other {', '.join(changed)}; "
                f"resume it with its own settings, begin again with --restart, or choose another "
                f"--out"
            )
        check_data(out, data_of(comparison))
        return
    if begin == "restart":
        move_away(out)
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; choose another --out")
    if out.exists() and any(out.iterdir()):
        others = "go on with --resume, begin again with --restart, or "
        ways = others if begin == "fresh" else ""
        raise DataError(f"{out} is already in use; {ways}choose another --out")
    json_file.write(path, settings | {DATA: digest_of(data_of(comparison))})


def _later(recipe: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """The settings of trainings that another recipe does not have."""
    kinds = [kind for kind, own in recipe.items() if isinstance(own, dict)]
    return sorted({name for kind in kinds for name in recipe[kind].keys() - found.get(kind, {})})


def move_away(out: Path) -> None:
    """Rename the folder of a comparison to OUT-1, OUT-2, ...; refused while it is worked in."""
    if not (out / SETTINGS).is_file():
        return
    if Path.cwd().is_relative_to(out.resolve()):
        raise DataError(f"{out} is the folder that this runs in; choose another --out")
    for path in (out / "jobs").glob("*.lock"):
        with claim(path) as ours:
            if not ours:
                raise DataError(f"a process works in {out}; end it first, or choose another --out")
    moved = next(p for n in count(1) if not (p := out.with_name(f"{out.name}-{n}")).exists())
    out.rename(moved)
    say(f"What was in {out} is now in {moved}")


class Compared(NamedTuple):
    """The content of results.json, and samples for the report; none without a spiking model."""

    results: dict[str, Any]
    samples: list[Sample]


def compare(
    comparison: Comparison,
    out: str | Path,
    begin: str = "fresh",
    workers: int = 1,
    bar: bool = False,
    device: str = "cpu",
) -> Compared:
    """Do what is left of a comparison and write results.json.

    Jobs run in `workers` processes of one thread each, which for small networks is faster than
    one process of many threads and gives the same numbers for any number of workers. `bar` shows
    a progress bar of epochs on stderr. `begin` is "fresh", in a folder that is new or empty,
    "resume", which goes on with the same comparison, or "restart", which first moves the one in
    `out` aside. Networks train on `device`; they are tested, counted and timed on the CPU. Raises
    DataError if a job fails, and if `out` is in use, and InputError for a device that is not there.
    """
    check_device(device)
    check_counts(workers=workers)
    started = time.perf_counter()
    out = Path(out)
    with phase("Loading the data"):
        jobs, dataset = comparison.jobs(), data_of(comparison)
    for job in jobs:
        check_augmentation(dataset.name, dataset.events, dataset.every_step, job.training)
    open_folder(out, comparison, begin)
    with progress.epochs(jobs, out, job_name, bar):
        runner.run_all(
            partial(train, device=device), jobs, out, workers, progress=False, name=job_name
        )
    by_model: dict[str, list[dict[str, Any]]] = {}
    for job in jobs:
        seed = {"name": job.model, "seed": job.seed} | job_result(out, job_name(job))
        by_model.setdefault(job.model, []).append(seed)
    networks = {job.model: trained_network(job, out, job_name) for job in jobs if job.seed == 0}
    with phase("Timing one inference of every network"):
        times = fastest(networks, dataset.test)
    models = [
        summarise(results)
        | dict(zip(("inference_engine", "milliseconds_per_inference"), times[model]))
        for model, results in by_model.items()
    ]
    with phase("Counting the operations of the test split"):
        counts = {
            model: count_split(
                network, dataset, comparison.encoder, comparison.carries_state(model)
            )
            for model, network in networks.items()
        }
    shown = best_on_validation(models, "spiking") or best_on_validation(models, "standard")
    name = shown["name"]  # type: ignore[index]  # every model is of a kind
    carry_state = comparison.carries_state(name)
    predictions = evaluate(networks[name], dataset.test, carry_state=carry_state).predictions
    with phase("Training logistic regression"):
        simple = logistic_regression(dataset)
    tables = cost.tables()
    results = {
        "schema": 2,
        "dataset": describe(dataset),
        "settings": settings_of(comparison),
        "models": models,
        "comparisons": compare_models(models),
        "logistic_regression": simple,
        "answers": {
            "model": name,
            "seed": 0,
            "confusion": confusion(dataset.test.y, predictions, dataset.classes),
        },
        "energy": {
            "seed": 0,
            "estimates": estimates(counts, tables),
            "statements": comparisons(counts, tables),
        },
        "energy_tables": table_texts(tables, ("title", "source", "not_modelled")),
        "provenance": provenance(time.perf_counter() - started, workers),
    }
    results = json_file.write(out / "results.json", results)
    samples = [
        draw_sample(name, networks[name], dataset, k, carry_state)
        for k in right_and_wrong(dataset.test, predictions)
        if networks[name].spiking
    ]
    return Compared(results, samples)


def settings_of(comparison: Comparison) -> dict[str, Any]:
    """All settings on one level; a budget of None says that the hidden size was given."""
    settings = asdict(comparison)
    recipe: dict[str, Any] = settings.pop("recipe")
    budget = recipe.pop("match_parameters")
    settings["match_parameters"] = budget if comparison.hidden is None else None
    for kind, training in recipe.items():
        settings |= {f"{kind}_{name}": value for name, value in training.items()}
    return settings
