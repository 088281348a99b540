"""Count the instructions of exported networks on an emulated microcontroller; fill in the page.

python experiments/microcontroller/run.py             # train, export, emulate; hours
python experiments/microcontroller/run.py --no-train  # only the page again, from results.json
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import board
import torch
import tyro
from networks import SEEDS, TASKS, Task, Trained, trained

from spikern import cost, data
from spikern._utils import atomic, json_file
from spikern._utils.processes import one_thread
from spikern._utils.provenance import provenance
from spikern.data.dataset import Dataset
from spikern.report import markdown
from spikern.report.numbers import count, percent, significant
from spikern.studies.trainings import trained_network
from spikern.train import evaluate

HERE = Path(__file__).parent
NUMBERS = ("float32", "int8")
EMULATED = 8
"""Test sequences whose instructions are counted, evenly spread."""
TABLE = "45nm_fp32"
"""Its prices weigh the predicted operations."""


@dataclass(frozen=True)
class Config:
    """What is done, and where the trainings lie."""

    out: Path = Path("runs/microcontroller")
    """Folder of the trainings and of the exported networks."""
    seeds: tuple[int, ...] = SEEDS
    """Seeds of the trainings."""
    tasks: tuple[str, ...] = tuple(task.dataset for task in TASKS)
    """Data sets."""
    search: bool = True
    """Seek the smallest GRU and LSTM that are as accurate as a spiking network."""
    train: bool = True
    """Train and measure; without, make the page from results.json."""


def measured(task: Task, found: Trained, seed: int, dataset: Dataset, out: Path) -> dict[str, Any]:
    """One network: its accuracy and its instructions, in float32 and int8 and on every target."""
    network = trained_network(found.job, out)
    model = found.job.model
    samples = torch.linspace(0, len(dataset.test) - 1, EMULATED).long().tolist()
    batch = dataset.test.batch(samples)
    counts = cost.count(network, batch.x, batch.lengths, events=dataset.events)
    operations = counts.ops
    result: dict[str, Any] = {
        "dataset": task.dataset,
        "model": model,
        "role": found.role,
        "seed": seed,
        "spiking": network.spiking,
        "parameters": network.parameter_count,
        "hidden": network.body.hidden_size,
        "validation_accuracy": found.validation_accuracy,
        "torch_accuracy": evaluate(network, dataset.test).accuracy,
        "steps": int(batch.lengths.sum()),
        "rate": counts.rate,
        "operations": {
            "ac": operations.ac,
            "mac": operations.mac,
            "updates": sum(operations.updates.values()),
        },
        "estimate_pj": cost.estimate(operations, cost.tables()[TABLE]),
    }
    for numbers in NUMBERS:
        folder = out / "exported" / f"{task.dataset}-{model}-{found.role[6:]}-{seed}-{numbers}"
        everything = range(len(dataset.test))
        board.exported(network, dataset, everything, task.events, numbers, folder)
        answers = board.on_host(folder).answers
        result[numbers] = {"accuracy": accuracy(answers, dataset, everything)}
        board.exported(network, dataset, samples, task.events, numbers, folder)
        for name, target in board.TARGETS.items():
            run = board.emulated(folder, target)
            result[numbers][name] = board.sizes(folder, target) | {
                "instructions_per_step": sum(run.instructions) / result["steps"],
                "same_answers": share_of_equal(run.answers, [answers[k] for k in samples]),
            }
    return result


def accuracy(answers: Sequence[Sequence[int]], dataset: Dataset, samples: Sequence[int]) -> float:
    """The share of right answers to sequences of the test split, over labelled ones."""
    y = dataset.test.y
    right = labelled = 0
    for answer, k in zip(answers, samples):
        labels = y[: len(answer), k].tolist() if dataset.every_step else [int(y[k])]
        right += sum(a == label for a, label in zip(answer, labels) if label >= 0)
        labelled += sum(label >= 0 for label in labels)
    return right / labelled


def share_of_equal(one: Sequence[Sequence[int]], other: Sequence[Sequence[int]]) -> float:
    """The share of answers that two runs agree on."""
    return fmean(a == b for x, y in zip(one, other) for a, b in zip(x, y))


def measure(config: Config) -> None:
    """Train, export and emulate all networks; write results.json after each task and seed."""
    board.check_tools()
    started = time.perf_counter()
    networks: list[dict[str, Any]] = []
    for seed in config.seeds:
        for task in (t for t in TASKS if t.dataset in config.tasks):
            dataset = data.load(task.dataset)
            for found in trained(task, seed, config.out, config.search):
                networks.append(measured(task, found, seed, dataset, config.out))
            results = {
                "schema": 1,
                "networks": networks,
                "provenance": provenance(time.perf_counter() - started, 1),
            }
            json_file.write(HERE / "results.json", results)


def tables(networks: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The page's tables by name."""
    result = {}
    for task in (t for t in TASKS if any(n["dataset"] == t.dataset for n in networks)):
        rows = [n for n in networks if n["dataset"] == task.dataset]
        groups = {(n["role"], n["model"]): [] for n in rows}
        for n in rows:
            groups[n["role"], n["model"]].append(n)
        result[f"{task.dataset} instructions"] = instructions(groups)
        result[f"{task.dataset} sizes"] = memory(groups)
    result["predicted"] = predicted(networks)
    return result


def instructions(groups: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]) -> str:
    """Accuracy, and instructions per step on each target."""
    head = ["model", "", "parameters", "float32", "int8"]
    head += [f"{t} {n}" for t in ("M4F", "M3") for n in NUMBERS]
    rows = []
    for (role, model), found in groups.items():
        row = [model, role, count(found[0]["parameters"])]
        row += [percent(fmean(n[form]["accuracy"] for n in found)) for form in NUMBERS]
        for target in board.TARGETS:
            for form in NUMBERS:
                values = [n[form][target]["instructions_per_step"] for n in found]
                row.append(count(round(fmean(values))))
        rows.append(row)
    return markdown.table(head, rows, left=(0, 1))


def memory(groups: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]) -> str:
    """Bytes of code and constants, and of the state, on the Cortex-M4F."""
    head = ["model", "", "flash float32", "flash int8", "RAM float32", "RAM int8"]
    rows = []
    for (role, model), found in groups.items():
        sizes = [
            count(found[0][form]["m4f"][kind]) for kind in ("flash", "ram") for form in NUMBERS
        ]
        rows.append([model, role, *sizes])
    return markdown.table(head, rows, left=(0, 1))


def predicted(networks: Sequence[Mapping[str, Any]]) -> str:
    """Ratios of gated to spiking: predicted operations and energy, executed instructions."""
    head = ["data", "spiking", "gated", "role", "operations", f"{TABLE}"]
    head += [f"{t} {n}" for t in ("M4F", "M3") for n in NUMBERS]
    rows = []
    for task in TASKS:
        of = [n for n in networks if n["dataset"] == task.dataset]
        for model in task.spiking:
            mine = [n for n in of if n["model"] == model]
            for role in ("equal size", "equal accuracy"):
                for gated in ("GRU", "LSTM"):
                    theirs = [n for n in of if (n["model"], n["role"]) == (gated, role)]
                    pairs = [(a, b) for a in mine for b in theirs if a["seed"] == b["seed"]]
                    if pairs:
                        rows.append([task.dataset, model, gated, role, *ratios(pairs)])
    return markdown.table(head, rows, left=(0, 1, 2, 3))


def ratios(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> list[str]:
    """How many times as much the second of each pair takes, the mean over pairs."""

    def times(value: Any) -> str:
        return significant(fmean(value(b) / value(a) for a, b in pairs))

    texts = [
        times(lambda n: sum(n["operations"].values()) / n["steps"]),
        times(lambda n: n["estimate_pj"] / n["steps"]),
    ]
    for target in board.TARGETS:
        for form in NUMBERS:
            texts.append(
                times(lambda n, f=form, t=target: n[f][t]["instructions_per_step"])  # type: ignore[misc]
            )
    return texts


def main(config: Config) -> None:
    """Measure if asked to, and fill in the page."""
    if config.train:
        with one_thread():
            measure(config)
    results = json_file.read(HERE / "results.json")
    page = (HERE / "README.md").read_text()
    atomic.write(HERE / "README.md", markdown.filled(page, tables(results["networks"])))


if __name__ == "__main__":
    main(tyro.cli(Config))
