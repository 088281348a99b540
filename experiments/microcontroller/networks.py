"""The networks that are exported: spiking ones, and gated ones of equal size and equal accuracy."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from spikern.layers.network import BASELINES
from spikern.studies import Architecture, ConstantDraw
from spikern.studies.runner import run_all
from spikern.studies.trainings import TrainingJob, prepare
from spikern.train import Training, evaluate, fit, recipe

STUDIES = Path(__file__).parent.parent
SEEDS = (0, 1, 2)
SIZES = (2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128)
"""Hidden sizes among which the smallest is sought that is as good as a spiking network."""
GATED = ("GRU", "LSTM")
"""The models of which it is sought."""
Measure = Literal["accuracy", "bits"]


@dataclass(frozen=True)
class Task:
    """One data set, the spiking models on it, and where its trainings were chosen.

    study  its folder among the studies, whose results.json has the settings chosen on validation;
           None: the recipe of the data set
    events  whether the network is given a list of the inputs that are not zero
    measure  what "equally good" means: accuracy, or bits per answer
    emulated  test sequences whose instructions are counted
    """

    dataset: str
    title: str
    spiking: tuple[str, ...]
    study: str | None = None
    events: bool = False
    measure: Measure = "accuracy"
    emulated: int = 8


TASKS = (
    Task("digits", "handwritten digits, one pixel per step", ("LIF", "BRF")),
    Task("qtdb", "ECG, a label per step", ("ALIF", "BRF"), "ecg", True, emulated=2),
    Task("fsdd", "spoken digits, a frame per step", ("LIF", "AdLIF"), "spoken_digits"),
    Task("tinyshakespeare", "next character", ("AdLIF",), "characters", True, "bits", 2),
)


@dataclass(frozen=True)
class Trained:
    """A trained network: its job and its role in the comparison.

    equals  the spiking model that it is as good as; None: it has the size of all
    """

    job: TrainingJob
    equals: str | None = None


def job(task: Task, model: str, seed: int) -> TrainingJob:
    """The training of a model at the budget of its study, as that study chose it."""
    if task.study is None:
        chosen = recipe(task.dataset)
        return TrainingJob(task.dataset, model, seed, chosen.of(model), chosen.match_parameters)
    results = json.loads((STUDIES / task.study / "results.json").read_text())
    (part,) = (p for p in results["parts"] if p["plan"]["dataset"] == task.dataset)
    plan = part["plan"]
    structure = {
        name: tuple(v) if isinstance(v, list) else v for name, v in plan["architecture"].items()
    }
    for name in ("constants", "readout_constants"):
        structure[name] = tuple(ConstantDraw(**draw) for draw in structure[name])
    return TrainingJob(
        task.dataset, model, seed, Training(**plan["training"] | part["tuning"][model]["best"]),
        plan["parameters"], answer=plan["answer"], architecture=Architecture(**structure),
    )  # fmt: skip


def train(job: TrainingJob, checkpoint: Path) -> dict[str, Any]:
    """Train, and judge on the validation split; the test split is not looked at."""
    network, dataset = prepare(job)
    fit(network, dataset, job.training, job.seed, checkpoint, bar=False)
    found = evaluate(network, dataset.validation, carry_state=job.training.carry_state)
    return {"accuracy": found.accuracy, "bits": found.loss / math.log(2)}


def of_equal_size(task: Task, seeds: Sequence[int]) -> list[Trained]:
    """The networks of a task at its budget of parameters."""
    return [
        Trained(job(task, model, seed)) for seed in seeds for model in (*task.spiking, *BASELINES)
    ]


def of_equal_quality(task: Task, seeds: Sequence[int], out: Path) -> Iterator[Trained]:
    """For every spiking model the smallest gated ones that are as good on validation.

    The size is sought by bisection with the first seed, which takes quality to grow with size, and
    then grown until the mean over all seeds is as good as that of the spiking model. None is
    yielded where the largest size is not.
    """

    def quality(jobs: Sequence[TrainingJob]) -> float:
        sign = -1 if task.measure == "bits" else 1
        results = run_all(train, jobs, out, progress=False)
        return sign * fmean(result[task.measure] for result in results)

    def sized(model: str, size: int) -> list[TrainingJob]:
        return [replace(job(task, model, s), budget=None, hidden_size=size) for s in seeds]

    for spiking in task.spiking:
        target = quality([job(task, spiking, seed) for seed in seeds])
        for model in GATED:
            low, high = 0, len(SIZES) - 1
            while low < high:
                middle = (low + high) // 2
                if quality(sized(model, SIZES[middle])[:1]) >= target:
                    high = middle
                else:
                    low = middle + 1
            for size in SIZES[low:]:
                if quality(jobs := sized(model, size)) >= target:
                    yield from (Trained(each, spiking) for each in jobs)
                    break
