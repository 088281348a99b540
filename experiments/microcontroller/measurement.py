"""What is measured of one network in one form of numbers, as a job of a study."""

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

from spikern import cost, data
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
    """Accuracy and bits on the whole test split, operations, instructions, and sizes.

    The answers are those of the C that this machine runs. Operations and instructions are those of
    some test sequences, per step.
    """
    task = next(t for t in TASKS if t.dataset == config.training.dataset)
    dataset = data.load(task.dataset)
    network = trained_network(config.training, checkpoint.parents[1])
    carries = config.training.training.carry_state
    whole = board.given(dataset.test, groups(range(len(dataset.test)), carries, STREAMS))
    some = board.given(dataset.test, groups(emulated(task, len(dataset.test)), carries, 1))
    folder = checkpoint.parents[1] / "exported" / checkpoint.stem
    logits = board.on_host(board.exported(network, whole, task.events, config.numbers, folder))
    board.exported(network, some, task.events, config.numbers, folder)
    expected = board.on_host(folder).argmax(1).tolist()
    result = (
        quality(logits, np.concatenate([one.labels for one in whole]))
        | {"torch_accuracy": evaluate(network, dataset.test, carry_state=carries).accuracy}
        | {"spiking": network.spiking, "parameters": network.parameter_count}
        | {"hidden": network.body.hidden_size}
        | counted(network, some, dataset.events)
    )
    for name, target in board.TARGETS.items():
        run = board.emulated(folder, target)
        answers = [answer for each in run.answers for answer in each]
        result[name] = board.sizes(folder, target) | {
            "instructions": sum(run.instructions) / result["steps"],
            "longest": max(run.longest),
            "same_answers": fmean(a == b for a, b in zip(answers, expected, strict=True)),
        }
    shutil.rmtree(folder)
    return result


def emulated(task: Task, sequences: int) -> Sequence[int]:
    """The test sequences that are emulated: consecutive where the state is carried, else spread."""
    if task.measure == "bits":
        return range(task.emulated)
    return torch.linspace(0, sequences - 1, task.emulated).long().tolist()


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


def counted(network: Any, sequences: Sequence[board.Given], events: bool) -> dict[str, Any]:
    """The steps of some sequences, and the operations of a step that the counter predicts."""
    lengths = torch.tensor([len(one.x) for one in sequences])
    x = pad_sequence([torch.from_numpy(one.x) for one in sequences])
    with torch.no_grad():
        counts = cost.count(network, x, lengths, events=events)
    steps, ops = int(lengths.sum()), counts.ops
    return {
        "steps": steps,
        "rate": counts.rate,
        "ac": ops.ac / steps,
        "mac": ops.mac / steps,
        "updates": sum(ops.updates.values()) / steps,
        "units": {unit: n / steps for unit, n in ops.units.items()},
        "spikes": ops.spikes / steps,
        "pj": {name: cost.estimate(ops, cost.tables()[name]) / steps for name in TABLES},
    }
