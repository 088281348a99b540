"""The networks that are exported: spiking ones, and gated ones of equal size and equal accuracy."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from spikern.layers.network import BASELINES
from spikern.studies import runner
from spikern.studies.trainings import TrainingJob, validate
from spikern.train import Training, recipe

STUDIES = Path(__file__).parent.parent
SEEDS = (0, 1, 2)
SIZES = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 160)
"""Hidden sizes among which the smallest is sought that is as accurate as a spiking network."""


@dataclass(frozen=True)
class Task:
    """One data set, the spiking models on it, and where its trainings were chosen.

    study  its folder among the studies, whose results.json has the settings chosen on validation;
           None: the recipe of the data set
    events  whether the network is given the inputs that are not zero
    """

    dataset: str
    title: str
    spiking: tuple[str, ...]
    study: str | None = None
    events: bool = False


TASKS = (
    Task("digits", "handwritten digits, one pixel per step", ("LIF", "BRF")),
    Task("qtdb", "ECG, a label per step", ("ALIF", "BRF"), "ecg"),
    Task("fsdd", "spoken digits, a frame per step", ("LIF", "AdLIF"), "spoken_digits"),
    Task("tinyshakespeare", "next character", ("ALIF", "AdLIF"), "characters", events=True),
)


@dataclass(frozen=True)
class Trained:
    """A trained network: its job, its role in the comparison, and its accuracy on validation."""

    job: TrainingJob
    role: str
    validation_accuracy: float


def job(task: Task, model: str, seed: int) -> TrainingJob:
    """The training of a model at the budget of its study, as that study chose it."""
    if task.study is None:
        chosen = recipe(task.dataset)
        return TrainingJob(task.dataset, model, seed, chosen.of(model), chosen.match_parameters)
    results = json.loads((STUDIES / task.study / "results.json").read_text())
    (part,) = (p for p in results["parts"] if p["plan"]["dataset"] == task.dataset)
    settings = part["plan"]["training"] | part["tuning"][model]["best"]
    return TrainingJob(
        task.dataset, model, seed, Training(**settings), part["plan"]["parameters"],
        answer=part["plan"]["answer"],
    )  # fmt: skip


def trained(task: Task, seed: int, out: Path) -> Iterator[Trained]:
    """Train all networks of a task with one seed, each resumed if it was interrupted."""
    target = 0.0
    for model in (*task.spiking, *BASELINES):
        asked = job(task, model, seed)
        (result,) = runner.run_all(validate, [asked], out, progress=False)
        yield Trained(asked, "equal size", result["validation_accuracy"])
        if model in task.spiking:
            target = max(target, result["validation_accuracy"])
        else:
            yield from _as_accurate(asked, target, out)


def _as_accurate(asked: TrainingJob, target: float, out: Path) -> Iterator[Trained]:
    """The smallest network of a model that is as accurate on validation as the target, if any."""
    for hidden in SIZES:
        sized = replace(asked, budget=None, hidden_size=hidden)
        (result,) = runner.run_all(validate, [sized], out, progress=False)
        if result["validation_accuracy"] >= target:
            yield Trained(sized, "equal accuracy", result["validation_accuracy"])
            return
