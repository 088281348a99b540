"""Training: one plain loop for every model.

Cross-entropy is minimised by AdamW with gradient clipping. Learned delays are narrowed during the
first half of the training. The weights of the epoch with the best validation accuracy are kept; the
test split is not looked at. All that is random follows from the seed, and the order of an epoch's
batches from seed and epoch alone, so that a resumed run equals an unbroken one bit for bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from spikern import __version__
from spikern._utils import json_file
from spikern._utils.choices import check_choice
from spikern._utils.errors import DataError, DivergedError, InputError
from spikern.data.dataset import UNLABELLED, Batch, Dataset, Split
from spikern.events import valid_steps
from spikern.layers.delays import narrow
from spikern.layers.description import check_state, check_tensors, describe
from spikern.layers.network import Answer, Network
from spikern.layers.rnn import SpikingRNN
from spikern.train import checkpoint
from spikern.train.augmentation import add_noise, shift_channels, stretch_time
from spikern.train.calibration import calibrate, firing_rates, warn_of_extreme_rates
from spikern.train.checkpoint import pack, pack_optimizer, write

OLD_HEADER = ("training", "seed", "dataset")
"""What a checkpoint of version 0.1.0 says of its run."""
EPOCHS = [(int, float, float, float | None, float)]
"""The form of epochs in a checkpoint."""
CALIBRATION_BATCH = 64
STREAMS = 16
"""Streams that a split is read as where the state is carried on."""


Schedule = Literal["cosine", "linear", "constant"]
Loss = Literal["answer", "every_step"]


@dataclass(frozen=True)
class Training:
    """How a network is trained."""

    epochs: int = 60
    """Passes over the training split."""
    batch_size: int = 32
    """Sequences per update."""
    learning_rate: float = 1e-2
    """Adam's learning rate at the start."""
    weight_decay: float = 0.0
    """Weight decay; not applied to biases and time constants."""
    clip: float = 1.0
    """Largest norm of the whole gradient."""
    input_noise: float = 0.0
    """Standard deviation of Gaussian noise on an analog input, drawn anew in every batch."""
    rate: float | None = 0.05
    """Firing rate that the layers of a fresh spiking network are calibrated to before training, on
    one batch; None: off. A network that was trained, loaded or changed stays as it is."""
    rate_limit: float = 0.1
    """Firing rate above which the regulariser acts."""
    rate_penalty: float = 0.0
    """Weight of the mean over neurons of max(0, rate - rate_limit)^2 in the loss; 0: none."""
    schedule: Schedule = "cosine"
    """Course of the learning rate from its start to its end: half a cosine, a line, or constant."""
    final_rate: float = 0.0
    """Learning rate at the end, as a share of that at the start; not for a constant one."""
    loss: Loss = "answer"
    """Where the loss is taken: at the answer, or, for one label per sequence, at every step."""
    carry_state: bool = False
    """Carry the state from each sequence to the next: the split is read as `batch_size` streams of
    consecutive sequences, for data that were cut from one stream."""
    patience: int | None = None
    """Epochs without a better validation accuracy after which the training ends; None: never."""
    channel_shift: int = 0
    """Largest random shift of the features of an analog input, in places."""
    time_stretch: float = 0.0
    """Largest random change of the length of an analog sequence, as a share of it."""

    def __post_init__(self) -> None:
        check_choice("schedule", self.schedule, get_args(Schedule))
        check_choice("loss", self.loss, get_args(Loss))
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.patience is not None and self.patience < 1:
            raise InputError(f"patience must be at least 1 or None, got {self.patience}")
        for name in ("learning_rate", "clip"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.rate is not None and not 0 < self.rate < 1:
            raise InputError(f"rate must lie between 0 and 1, got {self.rate}")
        for name in ("final_rate", "time_stretch"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(
                    f"{name} must be at least 0 and below 1, got {getattr(self, name)}"
                )
        for name in ("weight_decay", "rate_penalty", "input_noise", "channel_shift"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} must not be negative, got {getattr(self, name)}")

    def learning_rate_at(self, progress: float) -> float:
        """The learning rate at a progress from 0, the first update, to 1, the end.

        >>> [Training(schedule="linear", final_rate=0.5).learning_rate_at(p) for p in (0.0, 1.0)]
        [0.01, 0.005]
        """
        left = {
            "cosine": 0.5 * (1 + math.cos(math.pi * progress)),
            "linear": 1 - progress,
            "constant": 1.0,
        }[self.schedule]
        return self.learning_rate * (self.final_rate + (1 - self.final_rate) * left)


class Epoch(NamedTuple):
    """What one pass over the training split came to."""

    epoch: int
    loss: float
    validation_accuracy: float
    rate: float | None
    seconds: float


class History(NamedTuple):
    """The epochs of a run, and the number of the one whose weights were kept."""

    epochs: list[Epoch]
    best_epoch: int


def fit(
    network: Network,
    dataset: Dataset,
    training: Training,
    seed: int = 0,
    checkpoint: Path | None = None,
    report: Callable[[Epoch], None] = lambda epoch: None,
) -> History:
    """Train in place; leaves the network with the weights of the best epoch.

    The network gets the data set's `task`. With `checkpoint`, every epoch is saved there, and a
    file that is there already is resumed. A batch without any label is skipped. Raises
    DivergedError when loss or gradient is no longer finite, DataError when the checkpoint belongs
    to another run or is damaged, InputError for a training split of one class.
    """
    decayed = [p for name, p in network.named_parameters() if "weight" in name]
    kept = [p for name, p in network.named_parameters() if "weight" not in name]
    optimizer = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": training.weight_decay},
            {"params": kept, "weight_decay": 0.0},
        ],
        training.learning_rate,
    )
    _check_applies(training, dataset)
    network.task = dataset.task
    header = {
        "training": asdict(training),
        "seed": seed,
        "dataset": dataset.name,
        "data": dataset.digest,
        "network": describe(network),
        "version": __version__,
    }
    epochs: list[Epoch] = []
    best = _copy(network)
    if checkpoint is not None and checkpoint.exists():
        epochs, best = _resume(checkpoint, header, network, optimizer)
        for epoch in epochs:
            report(epoch)
    elif isinstance(network.body, SpikingRNN) and network.body.is_fresh and training.rate:
        order = torch.randperm(len(dataset.train), generator=_generator(seed, 0))
        first = dataset.train.batch(order[:CALIBRATION_BATCH])
        network.train()  # learned delays are spread then
        calibrate(network.body, first.x, first.lengths, training.rate)
    while not _ended(epochs, training):
        started = time.perf_counter()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_generator(seed, len(epochs)).initial_seed())  # for dropout
            loss, rate = _train_epoch(
                network, dataset.train, training, optimizer, seed, len(epochs)
            )
        accuracy = evaluate(network, dataset.validation, carry_state=training.carry_state).accuracy
        if all(accuracy > e.validation_accuracy for e in epochs):
            best = _copy(network)
        epochs.append(Epoch(len(epochs) + 1, loss, accuracy, rate, time.perf_counter() - started))
        if checkpoint is not None:
            tensors = (
                pack("network", network.state_dict())
                | pack("best", best)
                | pack("optimizer", pack_optimizer(optimizer))
            )
            task = None if network.task is None else network.task.to_data()
            write(checkpoint, tensors, header | {"epochs": epochs, "task": task})
        report(epochs[-1])
    network.load_state_dict(best)
    return History(epochs, _best(epochs).epoch)


def _check_applies(training: Training, dataset: Dataset) -> None:
    """Raise InputError for a setting that the data set cannot have."""
    for name in ("input_noise", "channel_shift", "time_stretch"):
        if getattr(training, name) and dataset.events:
            raise InputError(f"{dataset.name} holds events, which take no {name}; leave it at 0")
    if training.time_stretch and dataset.every_step:
        raise InputError(f"{dataset.name} has labels at every step, which time_stretch would move")
    classes = dataset.train.y[dataset.train.y != UNLABELLED]
    if bool((classes == classes[0]).all()):
        raise InputError(
            f"all labels of {dataset.name} in the training split are "
            f"{dataset.class_names[int(classes[0])]}: there is nothing to tell apart"
        )
    if training.carry_state and not dataset.every_step:
        raise InputError(f"carry_state needs a label at every step; {dataset.name} has sequences")


def _ended(epochs: list[Epoch], training: Training) -> bool:
    """Whether all epochs are done, or as many as `patience` brought no better accuracy."""
    waited = len(epochs) - _best(epochs).epoch if epochs else 0
    return len(epochs) >= training.epochs or (
        training.patience is not None and waited >= training.patience
    )


def _best(epochs: list[Epoch]) -> Epoch:
    return max(epochs, key=lambda e: (e.validation_accuracy, -e.epoch))


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def _generator(seed: int, epoch: int) -> torch.Generator:
    """All that is random in an epoch comes from here: its batches and its noise."""
    return torch.Generator().manual_seed(1_000_003 * seed + epoch)


def _resume(
    path: Path, header: dict[str, Any], network: Network, optimizer: torch.optim.Optimizer
) -> tuple[list[Epoch], dict[str, Tensor]]:
    tensors, found = checkpoint.read(path)
    if found.keys() == {*OLD_HEADER, "epochs"}:
        header = {key: header[key] for key in OLD_HEADER}
    if different := _differences(header, found):
        raise DataError(
            f"{path} belongs to another run: {'; '.join(different)}; use the same settings or "
            f"another place"
        )
    state, best = (checkpoint.unpack(part, tensors) for part in ("network", "best"))
    wanted = pack("network", network.state_dict()) | pack("best", network.state_dict())
    try:
        more = found.keys() - header - {"task"}  # which earlier versions did not write
        if not json_file.has_form(found, {"epochs": EPOCHS}) or more != {"epochs"}:
            raise DataError(f"expected the epochs behind it, got {more}")
        check_tensors(tensors, wanted | pack("optimizer", checkpoint.moments(optimizer)))
        check_state(network, state)
        check_state(network, best)
    except DataError as error:
        raise DataError(f"{path}: {error}; delete it to start anew") from error
    network.load_state_dict(state)
    checkpoint.unpack_optimizer(optimizer, checkpoint.unpack("optimizer", tensors))
    return [Epoch(*e) for e in found["epochs"]], best


def _differences(wanted: Any, found: Any, where: str = "") -> list[str]:
    """What differs between two headers, in words; only entries of the first are looked at.

    >>> _differences({"seed": 1, "network": {"dt": 2.0}}, {"seed": 1, "network": {"dt": 1.0}})
    ['network.dt is 1.0 there and 2.0 here']
    """
    if isinstance(wanted, dict) and isinstance(found, dict):
        return [
            difference
            for key, value in wanted.items()
            for difference in _differences(value, found.get(key), f"{where}.{key}".lstrip("."))
        ]
    return [] if wanted == found else [f"{where} is {found} there and {wanted} here"]


def _train_epoch(
    network: Network,
    split: Split,
    training: Training,
    optimizer: torch.optim.Optimizer,
    seed: int,
    epoch: int,
) -> tuple[float, float | None]:
    network.train()
    parameters = list(network.parameters())
    generator = _generator(seed, epoch)
    if training.carry_state:
        batches = streams(len(split), training.batch_size)
    else:
        order = torch.randperm(len(split), generator=generator)
        batches = list(torch.split(order, training.batch_size))
    total_steps = training.epochs * len(batches)
    losses: list[float] = []
    rates: list[float] = []
    judged = 0
    state: Any = None
    for k, indices in enumerate(batches):
        progress = (epoch * len(batches) + k) / total_steps
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate_at(progress)
        narrow(network, progress)
        batch = _augmented(split.batch(indices), training, generator)
        state = carried(state, len(indices)) if training.carry_state else None
        activity, state = network.run(batch.x, state, batch.lengths, _answer(network, training))
        labels = _labels(batch, activity.logits)
        if not bool((labels != UNLABELLED).any()):
            continue  # nothing to learn from
        loss = cross_entropy(activity.logits, labels)
        if network.spiking:
            layer_rates = firing_rates(activity.spikes, batch.x, batch.lengths)
            if epoch == 0 and not rates:
                warn_of_extreme_rates(layer_rates)
            rates.append(sum(layer_rates) / len(layer_rates))
            if training.rate_penalty:
                loss = loss + training.rate_penalty * _excess(
                    activity.spikes, batch.lengths, training.rate_limit
                )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(parameters, training.clip)
        if not math.isfinite(loss.item()) or not math.isfinite(norm.item()):
            raise DivergedError(
                f"training diverged in epoch {epoch + 1}, batch {k + 1}: loss {loss.item():.3g}, "
                f"gradient norm {norm.item():.3g}; lower the learning rate "
                f"(now {training.learning_rate:g}) or the clip (now {training.clip:g})"
            )
        optimizer.step()
        losses.append(loss.item() * len(indices))
        judged += len(indices)
    return sum(losses) / judged, sum(rates) / len(rates) if rates else None


def _augmented(batch: Batch, training: Training, generator: torch.Generator) -> Batch:
    """A batch with the random changes that the training asks for."""
    x, lengths = batch.x, batch.lengths
    if training.time_stretch:
        x, lengths = stretch_time(x, lengths, training.time_stretch, generator)
    if training.channel_shift:
        x = shift_channels(x, training.channel_shift, generator)
    if training.input_noise:
        valid = valid_steps(lengths, len(x))
        x = add_noise(x, valid, training.input_noise, generator)
    return replace(batch, x=x, lengths=lengths)


def _answer(network: Network, training: Training) -> Answer:
    """The form of the answer that the loss is taken of."""
    return "every_step" if training.loss == "every_step" else network.answer


def _labels(batch: Batch, logits: Tensor) -> Tensor:
    """The labels of a batch in the form of its logits: a sequence's own at each of its steps."""
    if logits.ndim == 2 or batch.y.ndim == 2:
        return batch.y
    return torch.where(valid_steps(batch.lengths, len(logits)), batch.y, UNLABELLED)


def streams(number: int, count: int) -> list[Tensor]:
    """Batches that read consecutive sequences 0..number - 1 as `count` streams, the longest first.

    >>> [batch.tolist() for batch in streams(5, 2)]
    [[0, 3], [1, 4], [2]]
    """
    parts = torch.tensor_split(torch.arange(number), min(count, number))
    return [torch.stack([part[k] for part in parts if k < len(part)]) for k in range(len(parts[0]))]


def carried(state: Any, batch: int) -> Any:
    """A state, without its gradient, for the first so many samples of the batch that it is of."""
    if state is None:
        return None
    if isinstance(state, Tensor):
        return state.detach()[:, :batch]
    fields = [carried(field, batch) for field in state]
    return type(state)(*fields) if hasattr(state, "_fields") else tuple(fields)


def cross_entropy(logits: Tensor, y: Tensor, reduction: str = "mean") -> Tensor:
    """Over labelled answers, in nats; logits (B, C) with y (B,), or (T, B, C) with (T, B)."""
    return functional.cross_entropy(logits.flatten(0, -2), y.flatten(), reduction=reduction)


def _excess(spikes: list[Tensor], lengths: Tensor, limit: float) -> Tensor:
    steps = lengths.sum()
    per_layer = [(n / steps - limit).relu().square().mean() for n in spikes]
    return torch.stack(per_layer).sum()


class Evaluation(NamedTuple):
    """Accuracy and mean cross-entropy (nats) over labelled answers, what was answered, and rates.

    `rates` are those of the hidden layers, none for standard models.
    """

    accuracy: float
    loss: float
    rates: list[float]
    predictions: Tensor


def evaluate(
    network: Network, split: Split, batch_size: int = 256, carry_state: bool = False
) -> Evaluation:
    """Run a split; predictions are (N,) or (T, N), zero past a sample's length.

    With `carry_state` the split is read as STREAMS streams of consecutive sequences, each of which
    starts with the state that the one before it left. Raises InputError without any label.
    """
    labelled = split.y != UNLABELLED
    if not bool(labelled.any()):
        raise InputError(f"no answer can be judged: {len(split)} sequences have no label")
    network.eval()
    predictions = torch.zeros_like(split.y)
    weighted: list[list[float]] = []
    loss = 0.0
    batches = (
        streams(len(split), STREAMS)
        if carry_state
        else list(torch.split(torch.arange(len(split)), batch_size))
    )
    state: Any = None
    with torch.no_grad():
        for indices in batches:
            batch = split.batch(indices)
            state = carried(state, len(indices)) if carry_state else None
            activity, state = network.run(batch.x, state, batch.lengths)
            loss += float(cross_entropy(activity.logits, batch.y, "sum"))
            answer = activity.logits.argmax(-1)
            if answer.ndim == 2:
                predictions[: len(answer), indices] = answer
            else:
                predictions[indices] = answer
            if network.spiking:
                steps = int(batch.lengths.sum())
                rates = firing_rates(activity.spikes, batch.x, batch.lengths)
                weighted.append([rate * steps for rate in rates])
    accuracy = float((predictions == split.y)[labelled].double().mean())
    total = int(split.lengths.sum())
    rates = [sum(layer) / total for layer in zip(*weighted)]
    return Evaluation(accuracy, loss / int(labelled.sum()), rates, predictions)
