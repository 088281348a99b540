"""What is measured and counted of one network, as jobs of a study."""

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import board
import numpy as np
import torch
from networks import TASKS, Task
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence

from spikern import Network, cost, data
from spikern.data.dataset import Dataset
from spikern.studies.trainings import TrainingJob, trained_network
from spikern.train import evaluate
from spikern.train.batches import STREAMS

NUMBERS = {True: ("float32", "int8", "fixed"), False: ("float32", "int8")}
"""What networks are exported in: spiking ones, and gated ones, whose int8 is in fixed point."""
TABLES = ("45nm_fp32", "45nm_int8")
"""Their prices weigh the predicted operations."""


@dataclass(frozen=True)
class Measurement:
    """The training of a network, and the numbers that it is exported in."""

    training: TrainingJob
    numbers: str


def measure(config: Measurement, checkpoint: Path) -> dict[str, Any]:
    """Accuracy and bits on the whole test split, instructions per step of some of it, and sizes.

    Accuracy and bits are of the answers of the C that this machine runs.
    """
    task, dataset, network = _loaded(config.training, checkpoint)
    carries = config.training.training.carry_state
    whole = board.given(dataset.test, groups(range(len(dataset.test)), carries, STREAMS))
    some = emulated(task, dataset, carries)
    folder = checkpoint.parents[1] / "exported" / checkpoint.stem
    logits = board.on_host(board.exported(network, whole, task.events, config.numbers, folder))
    board.exported(network, some, task.events, config.numbers, folder)
    expected = board.on_host(folder).argmax(1).tolist()
    result: dict[str, Any] = dict(quality(logits, np.concatenate([one.labels for one in whole])))
    result["torch_accuracy"] = evaluate(network, dataset.test, carry_state=carries).accuracy
    for name, target in board.TARGETS.items():
        run = board.emulated(folder, target)
        answers = [answer for each in run.answers for answer in each]
        result[name] = board.sizes(folder, target) | {
            "instructions": sum(run.instructions) / sum(len(one.x) for one in some),
            "longest": max(run.longest),
            "same_answers": fmean(a == b for a, b in zip(answers, expected, strict=True)),
        }
    shutil.rmtree(folder)
    return result


@dataclass(frozen=True)
class Counting:
    """The training of a network whose operations are counted."""

    training: TrainingJob


def count(config: Counting, checkpoint: Path) -> dict[str, Any]:
    """The operations per step that the counter predicts for what is emulated.

    Where inputs are events, gated networks skip those that are zero, as their C does.
    """
    task, dataset, network = _loaded(config.training, checkpoint)
    some = emulated(task, dataset, config.training.training.carry_state)
    lengths = torch.tensor([len(one.x) for one in some])
    x = pad_sequence([torch.from_numpy(one.x) for one in some])
    with torch.no_grad():
        counts = cost.count(network, x, lengths, dataset.events)
    steps, ops = int(lengths.sum()), counts.ops
    return {
        "spiking": network.spiking,
        "parameters": network.parameter_count,
        "hidden": network.body.hidden_size,
        "steps": steps,
        "rate": counts.rate,
        "ac": ops.ac / steps,
        "mac": ops.mac / steps,
        "updates": sum(ops.updates.values()) / steps,
        "units": {unit: n / steps for unit, n in ops.units.items()},
        "spikes": ops.spikes / steps,
        "pj": {name: cost.estimate(ops, cost.tables()[name]) / steps for name in TABLES},
    }


def _loaded(training: TrainingJob, checkpoint: Path) -> tuple[Task, Dataset, Network]:
    task = next(t for t in TASKS if t.dataset == training.dataset)
    return task, data.load(task.dataset), trained_network(training, checkpoint.parents[1])


def emulated(task: Task, dataset: Dataset, carries: bool) -> list[board.Given]:
    """The test sequences that are emulated: consecutive where the state is carried, else spread."""
    spread = torch.linspace(0, len(dataset.test) - 1, task.emulated).long().tolist()
    chosen = range(task.emulated) if carries else spread
    return board.given(dataset.test, groups(chosen, carries, 1))


def groups(indices: Sequence[int], carries: bool, streams: int) -> list[list[int]]:
    """Each sequence for itself, or, where the state is carried, so many streams of them."""
    parts = np.array_split(np.asarray(indices), streams if carries else len(indices))
    return [part.tolist() for part in parts]


def quality(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy, and bits per answer, over labelled answers."""
    judged = labels >= 0
    found, wanted = torch.from_numpy(logits[judged]), torch.from_numpy(labels[judged])
    return {
        "accuracy": float((found.argmax(1) == wanted).double().mean()),
        "bits": float(cross_entropy(found, wanted)) / math.log(2),
    }
