"""A spoken digit that was held out in training is learned from a few examples; fills in the page.

python experiments/smaller/classes.py             # train, judge; an hour; resumes
python experiments/smaller/classes.py --no-train  # only the page again, from classes.json
python experiments/smaller/classes.py --smoke     # seconds; shows that it runs, in runs/ only
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from common import HERE, Config, Row

from spikern import InputError, Network
from spikern._utils import json_file
from spikern._utils.program import errors_in_one_line
from spikern.data import Dataset, Split, load
from spikern.report import markdown
from spikern.report.numbers import mean_interval
from spikern.report.publishing import publish
from spikern.retrieval import examples, recall_classes, remember_classes
from spikern.studies import TrainingJob, interval, mean
from spikern.studies.runner import run_all
from spikern.studies.trainings import prepare
from spikern.train import Training, evaluate, fit

MODELS = ("AdLIF", "GRU")
SHOWN = (1, 5, 20)
"""Examples that are stored of every class."""
DRAWS = 5
"""Draws of the examples, over which a network's accuracy is a mean."""
STEPS, NEAREST = (8, 16, 32, 64, 128), (1, 3, 5)
"""Last steps over which units are averaged, and stored examples that vote: to be chosen."""
CHOSEN_WITH = 5
"""Examples of every class with which they are chosen."""
STUDY = HERE.parent / "spoken_digits" / "results.json"


@dataclass(frozen=True)
class Held:
    """A training without one class, and none at all (a control)."""

    training: TrainingJob
    held: int
    trained: bool = True


def rate_of(model: str) -> float:
    """The learning rate that the study of the spoken digits chose for a model."""
    for part in json_file.read(STUDY)["parts"]:
        if part["plan"]["dataset"] == "fsdd":
            return float(part["tuning"][model]["best"]["learning_rate"])
    raise InputError(f"{STUDY} has no part of fsdd")


def without(split: Split, label: int) -> Split:
    """The sequences of all other classes."""
    return split.select(torch.nonzero(split.y != label).flatten())


def known_classes(data: Dataset, held: int) -> Dataset:
    """The data set whose training and validation parts lack a class."""
    train, validation = (without(part, held) for part in (data.train, data.validation))
    return replace(data, train=train, validation=validation)


def judged(config: Held, checkpoint: Path) -> Row:
    """Accuracy on the test from stored examples, for the class held out and for the others."""
    data = load("fsdd")
    network, _ = prepare(config.training)
    known = known_classes(data, config.held)
    if config.trained:
        fit(network, known, config.training.training, config.training.seed, checkpoint, bar=False)
    own = evaluate(network, without(data.test, config.held)).accuracy
    settings = chosen(network, known)
    shown = {str(n): recalled(network, data, known, config.held, n, *settings) for n in SHOWN}
    return {"answers": own, "steps": settings[0], "nearest": settings[1], "shown": shown}


def chosen(network: Network, known: Dataset) -> tuple[int, int]:
    """The steps and neighbours that are best on validation, of the classes that are known."""
    split, few = known.validation, examples(known.train, CHOSEN_WITH, DRAWS)
    found = []
    for steps in STEPS:
        memory = remember_classes(network, few, steps)
        for nearest in NEAREST:
            p = recall_classes(network, memory, split.x, split.lengths, nearest)
            found.append(((p.argmax(1) == split.y.numpy()).mean(), (steps, nearest)))
    return max(found)[1]


def recalled(
    network: Network,
    data: Dataset,
    known: Dataset,
    held: int,
    number: int,
    steps: int,
    nearest: int,
) -> dict[str, float]:
    """Accuracies from so many examples of every class, means over draws."""
    test = data.test
    new_test = (test.y == held).numpy()
    found = []
    for seed in range(DRAWS):
        memory = remember_classes(network, examples(known.train, number, seed), steps)
        few = examples(data.train, number, seed)
        new = few.batch(torch.nonzero(few.y == held).flatten())
        memory = remember_classes(network, new, beside=memory)
        answers = recall_classes(network, memory, test.x, test.lengths, nearest).argmax(1)
        right = answers == test.y.numpy()
        found.append((right[new_test].mean(), right[~new_test].mean(), right.mean()))
    return dict(zip(("held out", "others", "all"), np.mean(found, 0).tolist()))


def carry_out(config: Config) -> Row:
    """Results: one row for each model, class and seed, trained and not."""
    held, seeds, epochs = (range(1), 1, 1) if config.smoke else (range(10), config.seeds, 20)
    jobs = [
        Held(
            TrainingJob(
                "fsdd", model, seed, Training(epochs=epochs, learning_rate=rate_of(model)),
                20_000, answer="mean",
            ),
            label,
            trained,
        )
        for model in MODELS
        for trained in (True, False)
        for label in held
        for seed in range(seeds)
    ]  # fmt: skip
    results = run_all(judged, jobs, config.folder / "classes", config.workers)
    rows = [
        {"model": job.training.model, "held": job.held, "seed": job.training.seed}
        | {"trained": job.trained}
        | result
        for job, result in zip(jobs, results)
    ]
    return {"rows": rows}


def table(rows: Sequence[Row]) -> str:
    """Accuracy by model and number of examples; ± is half the interval over the ten classes."""
    lines = []
    for model in MODELS:
        for trained in (True, False):
            own = [r for r in rows if (r["model"], r["trained"]) == (model, trained)]
            classes = sorted({row["held"] for row in own})
            name = model if trained else f"{model}, not trained"
            for number in SHOWN:
                cells = []
                for kind in ("held out", "others", "all"):
                    by_class = [
                        100 * mean([r["shown"][str(number)][kind] for r in own if r["held"] == c])
                        for c in classes
                    ]
                    cells.append(f"{mean_interval(mean(by_class), interval(by_class), 1)} %")
                answers = 100 * mean([row["answers"] for row in own])
                lines.append([name, str(number), *cells, f"{answers:.1f} %" if trained else "-"])
    head = ["network", "examples of a class", "class held out", "others", "all", "without memory"]
    return markdown.table(head, lines)


def places(results: Row) -> dict[str, str]:
    """What is filled in on the page, by place."""
    return {"classes": table(results["rows"])}


if __name__ == "__main__":
    with errors_in_one_line():
        publish(tyro.cli(Config), HERE, "classes", carry_out, places, {})
