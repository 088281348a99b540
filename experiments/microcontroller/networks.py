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
"""Hidden sizes, in steps of the root of 2, among which one is sought that is as good as a spiking
network."""
NEAR = 0.1
"""Sizes that differ by less from that of the budget are not tried beside it."""
GATED = ("GRU", "LSTM")
"""The models of which it is sought."""
Measure = Literal["accuracy", "bits"]
MARGINS = {"accuracy": 0.005, "bits": 0.02}
"""A network counts as good as another if it is not worse by more: the noise between seeds."""


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


def of_equal_quality(
    task: Task, seeds: Sequence[int], out: Path, models: Sequence[str] = GATED
) -> Iterator[Trained]:
    """The smallest gated networks that are as good on validation as the best spiking model.

    From the budget's size the hidden size is walked down while the network of the first seed is as
    good as the spiking model is in the mean, or up until it is; then up until the mean over all
    seeds is as good. None is yielded where the largest size is not.
    """

    def quality(jobs: Sequence[TrainingJob]) -> float:
        sign = -1 if task.measure == "bits" else 1
        results = run_all(train, jobs, out, progress=False)
        return sign * fmean(result[task.measure] for result in results)

    best, spiking = max(
        (quality([job(task, model, seed) for seed in seeds]), model) for model in task.spiking
    )
    target = best - MARGINS[task.measure]
    for model in models:
        of_budget = [job(task, model, seed) for seed in seeds]
        own = prepare(of_budget[0])[0].body.hidden_size
        others = [n for n in SIZES if abs(n / own - 1) > NEAR]
        choices = [
            of_budget if n == own else [replace(j, budget=None, hidden_size=n) for j in of_budget]
            for n in sorted([*others, own])
        ]
        at = choices.index(of_budget)
        if quality(choices[at][:1]) >= target:
            while at and quality(choices[at - 1][:1]) >= target:
                at -= 1
        else:
            while at + 1 < len(choices) and quality(choices[at][:1]) < target:
                at += 1
        for jobs in choices[at:]:
            if quality(jobs) >= target:
                yield from (Trained(each, spiking) for each in jobs)
                break
