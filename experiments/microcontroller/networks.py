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
SIZES = (2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128)
"""Hidden sizes among which the smallest is sought that is as accurate as a spiking network."""
GATED = ("GRU", "LSTM")
"""The models of which it is sought; a plain RNN does not get there by size."""


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


def trained(task: Task, seed: int, out: Path, search: bool) -> Iterator[Trained]:
    """Train all networks of a task with one seed; a training that was interrupted goes on.

    With `search` the smallest gated ones that are as accurate as the best spiking one follow.
    """

    def finished(asked: TrainingJob, role: str) -> Trained:
        (result,) = runner.run_all(validate, [asked], out, progress=False)
        return Trained(asked, role, result["validation_accuracy"])

    networks = [
        finished(job(task, model, seed), "equal size") for model in (*task.spiking, *BASELINES)
    ]
    yield from networks
    target = max(n.validation_accuracy for n in networks if n.job.model in task.spiking)
    for model in GATED if search else ():
        asked = job(task, model, seed)
        low, high, best = 0, len(SIZES), None
        while low < high:  # accuracy is taken to grow with size
            middle = (low + high) // 2
            sized = replace(asked, budget=None, hidden_size=SIZES[middle])
            reached = finished(sized, "equal accuracy")
            if reached.validation_accuracy >= target:
                high, best = middle, reached
            else:
                low = middle + 1
        if best is not None:
            yield best
