"""Training: one plain loop for every model.

Cross-entropy is minimised by AdamW with gradient clipping. Learned delays are narrowed during the
first half of the training. The weights of the epoch that is best on validation are kept; the test
split is not looked at. All that is random follows from the seed, and the order of an epoch's
batches from seed and epoch alone, so that a resumed run equals an unbroken one bit for bit.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from spikern._utils import phases
from spikern._utils.choices import check_type
from spikern._utils.display import table_of_fields
from spikern._utils.errors import DivergedError, InputError
from spikern._utils.numbers import check_whole
from spikern._utils.seeds import seeded
from spikern.data.dataset import UNLABELLED, Dataset, Split
from spikern.engines.experts import imbalance, working
from spikern.events import Events, valid_steps
from spikern.layers.arguments import is_weight
from spikern.layers.delays import narrow
from spikern.layers.network import Activity, Answer, Network
from spikern.layers.rnn import SpikingRNN
from spikern.train.augmentation import add_noise, shift_channels, stretch_time
from spikern.train.batches import (
    Batches,
    Source,
    carried,
    check_repeatable,
    check_split,
    from_batches,
    from_split,
    labels_of,
    place_of,
)
from spikern.train.calibration import calibrate, firing_rates, warn_of_extreme_rates
from spikern.train.checkpoint import pack, pack_optimizer, write
from spikern.train.checks import (
    check_applies,
    check_can_be_kept,
    check_device,
    check_parts,
    check_suits,
)
from spikern.train.evaluation import evaluate
from spikern.train.progress import Epoch, advance
from spikern.train.quantisation import rounded_weights
from spikern.train.resuming import header_of, resume
from spikern.train.training import Training

OVERFLOWS = 3
"""Gradients in a row that are not finite, at which a training counts as diverged, if its loss is
that of guessing or more."""


@table_of_fields
class History(NamedTuple):
    """The epochs of a run, and the number of the one whose weights were kept."""

    epochs: list[Epoch]
    best_epoch: int

    @property
    def kept(self) -> Epoch:
        """The epoch whose weights were kept."""
        return self.epochs[self.best_epoch - 1]


DEFAULT = Training()
SEEDS = 2**43
"""Times a million, a seed must have room in 64 bits."""
Callback = Callable[[Epoch], bool | None]
Loss = Callable[[Tensor, Tensor], Tensor]


class _Updates(NamedTuple):
    """How the weights are changed: `share` of the `rates` of the optimizer's groups is used.

    Callbacks may change these rates.
    """

    optimizer: torch.optim.Optimizer
    rates: list[float]
    share: Callable[[float], float]
    loss: Loss


def fit(
    network: Network,
    data: Dataset | Batches,
    training: Training = DEFAULT,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    *,
    validation: Split | Batches | None = None,
    loss: Loss = functional.cross_entropy,
    optimizer: torch.optim.Optimizer | None = None,
    schedule: Callable[[float], float] | None = None,
    device: str | torch.device | None = None,
    callbacks: Sequence[Callback] = (),
    bar: bool | None = None,
) -> History:
    """Train a network in place, and leave it with the weights of the epoch best on validation.

    data        a data set; or batches, an iterable that can be repeated, such as a DataLoader, of
                Batch, (x, y) or (x, y, lengths), with x (T, B, F) and y (B,) or (T, B)
    checkpoint  file that every epoch is saved in; one that is there already is resumed
    validation  beside batches, what the best epoch is selected by: a split, or batches too
    loss        of logits (N, C) and labels (N,), of which those without one are UNLABELLED
    optimizer   one of your own, with its learning rates and weight decay; by default AdamW
    schedule    share of the learning rates at a progress from 0 to 1; by default that of training
    device      that the network is moved to; by default it stays where it is
    callbacks   each is called after every epoch; the training ends when one returns True. Learning
                rates that it changes in the optimizer are those that the schedule takes shares of
    bar         whether a bar is shown; by default in a terminal and in a notebook

    The network is left in evaluation mode, also where the training fails. It gets the data set's
    `task`; beside batches it keeps its own. A batch without any label is skipped. An update whose
    gradient overflows, as that of a single batch can through many steps, is left out with a
    warning. What a DataLoader draws follows from the seed, unless it has persistent workers or a
    generator of its own. When a training on batches is resumed, nothing tells whether they are
    those of before. Raises DivergedError when the loss is not finite, when no gradient of an epoch
    is, and when three gradients in a row are not while the loss is ln C, that of guessing, or more;
    DataError when the checkpoint belongs to another run or is damaged, InputError for a training
    split of one class and for arguments of another form. With weights="int8" the
    calibration still uses weights that are not rounded.
    """
    check_type("training", training, Training)
    check_whole(seed=seed)
    if abs(seed) >= SEEDS:
        raise InputError(f"seed must lie between -2^43 and 2^43, got {seed}")
    seed = int(seed)
    functions = {"loss": loss, "schedule": schedule}
    check_parts(network, optimizer, functions, callbacks)
    if device is not None:
        check_device(device)
        network.to(device)
    source, judged = _what_is_read(network, data, training, validation)
    if isinstance(data, Dataset):
        network.task = data.task
    file = None if checkpoint is None else Path(checkpoint)
    header: dict[str, Any] = {}
    if file is not None:
        check_can_be_kept(network, file)
        header = header_of(network, data, training, seed, optimizer, functions)
    optimizer = _adam(network, training) if optimizer is None else optimizer
    rates = [group["lr"] for group in optimizer.param_groups]
    updates = _Updates(optimizer, rates, schedule or training.share_at, loss)
    epochs: list[Epoch] = []
    if file is not None and file.exists():
        epochs, best = resume(file, header, network, optimizer)
    else:
        if isinstance(network.body, SpikingRNN) and network.body.is_fresh and training.rate:
            first = source.first(_generator(seed, 0))
            network.train()  # learned delays are spread then
            calibrate(network.body, first.x, first.lengths, training.rate)
        best = _copy(network)
    visible = phases.is_watched() if bar is None else bar
    shown_bar = phases.bar(training.epochs, "epoch", len(epochs), visible)
    try:
        with _rates_restored(optimizer), shown_bar as shown:
            asked = [_asks_to_end(callbacks, epoch, updates) for epoch in epochs]
            while not (any(asked) or _ended(epochs, training)):
                epochs.append(_epoch(network, source, judged, training, updates, seed, len(epochs)))
                if _best(epochs, training) is epochs[-1]:
                    best = _kept(network, training)
                if file is not None:
                    tensors = (
                        pack("network", network.state_dict())
                        | pack("best", best)
                        | pack("optimizer", pack_optimizer(optimizer))
                    )
                    task = None if network.task is None else network.task.to_data()
                    write(file, tensors, header | {"epochs": epochs, "task": task})
                advance(shown, len(epochs), epochs[-1])
                asked = [_asks_to_end(callbacks, epochs[-1], updates)]
    finally:  # also of a training that diverges
        network.load_state_dict(best)
        network.eval()
    return History(epochs, _best(epochs, training).epoch)


def _epoch(
    network: Network,
    source: Source,
    judged: Split | Batches,
    training: Training,
    updates: _Updates,
    seed: int,
    done: int,
) -> Epoch:
    """Train for one more epoch and look at the validation data; DivergedError if that says so."""
    started = time.perf_counter()
    mean_loss, rate = _train_epoch(network, source, training, updates, seed, done)
    drawn = _generator(seed, done).initial_seed()  # by a DataLoader
    with _numbers(network, training), seeded(drawn, place_of(network)[0]):
        found = evaluate(network, judged, carry_state=training.carry_state)
    if not math.isfinite(found.loss):
        raise DivergedError(
            f"training diverged in epoch {done + 1}: the loss on validation is {found.loss}; lower "
            f"the learning rate (now {updates.rates[0]:g})"
        )
    seconds = time.perf_counter() - started
    return Epoch(done + 1, mean_loss, found.accuracy, rate, seconds, found.loss)


def _kept(network: Network, training: Training) -> dict[str, Tensor]:
    """The weights of an epoch as they were judged."""
    with _numbers(network, training):
        return _copy(network)


def _asks_to_end(callbacks: Sequence[Callback], epoch: Epoch, updates: _Updates) -> bool:
    """Whether a callback ends the training; learning rates that it leaves are those from now on.

    Meanwhile the optimizer has its own rates, not the schedule's share of them: so a training that
    is resumed, whose callbacks see its epochs again, comes to the same.
    """
    groups = updates.optimizer.param_groups
    for group, rate in zip(groups, updates.rates):
        group["lr"] = rate
    answers = [call(epoch) for call in callbacks]
    updates.rates[:] = [group["lr"] for group in groups]
    if odd := [a for a in answers if not isinstance(a, bool | np.bool_ | None)]:
        raise InputError(
            f"a callback returns True to end the training, otherwise False or None; got "
            f"{odd[0]!r:.60}"
        )
    return any(answers)


@contextmanager
def _rates_restored(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """After it the optimizer has its own learning rates again, for another training."""
    rates = [group["lr"] for group in optimizer.param_groups]
    try:
        yield
    finally:
        for group, rate in zip(optimizer.param_groups, rates):
            group["lr"] = rate


def _what_is_read(
    network: Network,
    data: Dataset | Batches,
    training: Training,
    validation: Split | Batches | None,
) -> tuple[Source, Split | Batches]:
    """Where an epoch's batches come from, and what the network is judged on after it."""
    if isinstance(data, Dataset):
        if validation is not None:
            raise InputError(f"{data.name} has a validation split; leave validation= out")
        check_applies(network, training, data)
        source = from_split(data.train, training.batch_size, training.carry_state, network)
        return source, data.validation
    if validation is None:
        raise InputError("batches need validation=, what the best epoch is selected by")
    if isinstance(validation, Dataset):
        raise InputError(f"{validation.name} is three splits; pass one, such as dataset.validation")
    if isinstance(validation, Split):
        check_split("the validation split", validation, network)
    else:
        check_repeatable(validation)
    return from_batches(data, network), validation


def _adam(network: Network, training: Training) -> torch.optim.Optimizer:
    """AdamW, whose weight decay spares biases and time constants."""
    named = list(network.named_parameters())
    groups: list[dict[str, Any]] = [
        {"params": [p for name, p in named if is_weight(name)]},
        {"params": [p for name, p in named if not is_weight(name)], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, training.learning_rate, weight_decay=training.weight_decay)


def _ended(epochs: list[Epoch], training: Training) -> bool:
    """Whether all epochs are done, or the last `patience` of them were no better."""
    waited = len(epochs) - _best(epochs, training).epoch if epochs else 0
    return len(epochs) >= training.epochs or (
        training.patience is not None and waited >= training.patience
    )


def _best(epochs: list[Epoch], training: Training) -> Epoch:
    """The first of the epochs that are best on validation."""
    if training.select_by == "loss":
        return min(epochs, key=lambda e: e.validation_loss)  # type: ignore[arg-type,return-value]
    return max(epochs, key=lambda epoch: epoch.validation_accuracy)


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def _numbers(network: Network, training: Training) -> AbstractContextManager[None]:
    """Where the network computes with the numbers that the training asks for."""
    return rounded_weights(network) if training.weights == "int8" else nullcontext()


def _generator(seed: int, epoch: int) -> torch.Generator:
    """All that is random in an epoch comes from here: its batches and its noise."""
    return torch.Generator().manual_seed(1_000_003 * seed + epoch)


def _train_epoch(
    network: Network,
    source: Source,
    training: Training,
    updates: _Updates,
    seed: int,
    epoch: int,
) -> tuple[float, float | None]:
    """The mean loss and rate of an epoch, in which every batch with a label changes the weights."""
    network.train()
    changed = {p for group in updates.optimizer.param_groups for p in group["params"]}
    parameters = [p for p in network.parameters() if p in changed]
    generator = _generator(seed, epoch)
    losses: list[float] = []
    rates: list[float] = []
    awake: dict[int, Any] = {}
    judged, left_out, in_a_row = 0, 0, 0
    state: Any = None
    drawn = generator.initial_seed()  # by dropout, and by a DataLoader
    with seeded(drawn, place_of(network)[0]):
        for k, batch in enumerate(source.batches(generator)):
            progress = _progress(epoch, k, source.number, training.epochs)
            _set_rates(updates, progress)
            narrow(network, progress)
            events, every_step = isinstance(batch.x, Events), batch.y.ndim == 2
            check_suits(f"batch {k + 1}", events, every_step, network, training)
            batch = _augmented(batch, training, generator)
            state = carried(state, len(batch)) if training.carry_state else None
            with _numbers(network, training):
                activity, state = network.run(
                    batch.x, state, batch.lengths, _answer(network, training)
                )
                loss = _loss_of(activity, batch, training, updates.loss)
                if loss is None:
                    continue  # nothing to learn from
                network.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
            if network.spiking:
                layer_rates = firing_rates(activity.spikes, batch.x, batch.lengths)
                if epoch == 0 and not rates:
                    warn_of_extreme_rates(layer_rates)
                if layer_rates:  # of a body that never fires there are none
                    rates.append(sum(layer_rates) / len(layer_rates))
            for layer, routing in enumerate(activity.routings):
                awake[layer] = awake.get(layer, 0.0) + routing.awake.detach()
            norm = nn.utils.clip_grad_norm_(parameters, training.clip)
            in_a_row = 0 if math.isfinite(norm.item()) else in_a_row + 1
            guesses = loss.item() >= math.log(activity.logits.shape[-1])
            if not math.isfinite(loss.item()) or (in_a_row >= OVERFLOWS and guesses):
                raise DivergedError(
                    f"training diverged in epoch {epoch + 1}, batch {k + 1}: loss "
                    f"{loss.item():.3g}, gradient norm {norm.item():.3g}; lower the learning rate "
                    f"(now {updates.rates[0]:g}) or the clip (now {training.clip:g})"
                )
            if in_a_row:
                left_out += 1
            else:
                updates.optimizer.step()
                _keep_stable(network)
            losses.append(loss.item() * len(batch))
            judged += len(batch)
    if not judged:
        raise InputError(f"no batch of epoch {epoch + 1} has a label: there is nothing to learn")
    if left_out == len(losses):
        raise DivergedError(
            f"training diverged in epoch {epoch + 1}: no update had a gradient that is finite; "
            f"lower the learning rate (now {updates.rates[0]:g})"
        )
    if left_out:
        warnings.warn(
            f"{left_out} of {len(losses)} updates of epoch {epoch + 1} were left out: their "
            f"gradient was not finite",
            stacklevel=3,
        )
    _warn_of_collapse(network, awake, epoch)
    return sum(losses) / judged, sum(rates) / len(rates) if rates else None


def _set_rates(updates: _Updates, progress: float) -> None:
    """Give the optimizer its learning rates at a progress; InputError for an impossible share."""
    share: Any = updates.share(progress)
    if not isinstance(share, Real) or not 0 <= float(share) < math.inf:
        raise InputError(
            f"a schedule returns a share of the learning rates, 0 or more, got {share!r} at a "
            f"progress of {progress:g}"
        )
    for group, rate in zip(updates.optimizer.param_groups, updates.rates):
        group["lr"] = rate * share


def _loss_of(activity: Activity, batch: Split, training: Training, loss: Loss) -> Tensor | None:
    """The loss of a batch with the penalties; None if no answer has a label."""
    labels = labels_of(batch, activity.logits)
    if not bool((labels != UNLABELLED).any()):
        return None
    found = loss(activity.logits.flatten(0, -2), labels.flatten())
    if not isinstance(found, Tensor) or found.ndim:
        raise InputError(f"a loss is one number, a tensor of shape (), got {found!r:.60}")
    if activity.spikes and training.rate_penalty:
        excess = _excess(activity.spikes, batch.lengths, training.rate_limit)
        found = found + training.rate_penalty * excess
    for routing in activity.routings:
        found = found + training.balance_penalty * imbalance(routing)
    return found


def _keep_stable(network: Network) -> None:
    for layer in network.modules():
        if isinstance(layer, SpikingRNN):
            layer.keep_stable()


def _warn_of_collapse(network: Network, awake: Mapping[int, Tensor], epoch: int) -> None:
    """A warning for every layer whose router woke much the same groups throughout an epoch.

    That is, the groups that do the work exceed `awake` by less than a quarter of the others.
    """
    body: Any = network.body
    for layer, times in awake.items():
        groups = working(times)
        if body.awake < body.experts and groups < body.awake + (body.experts - body.awake) / 4:
            warnings.warn(
                f"the router of layer {layer} has collapsed in epoch {epoch + 1}: {groups:.1f} of "
                f"{body.experts} groups do the work, with {body.awake} awake; raise "
                f"balance_penalty, or lower the learning rate",
                stacklevel=3,
            )


def _progress(epoch: int, batch: int, number: int | None, epochs: int) -> float:
    """From 0 to 1 by batches, or by epochs where the number of batches is not known."""
    return (epoch * number + batch) / (epochs * number) if number else epoch / epochs


def _augmented(batch: Split, training: Training, generator: torch.Generator) -> Split:
    """A batch with the random changes that the training asks for."""
    if not (training.time_stretch or training.channel_shift or training.input_noise):
        return batch
    x, lengths = batch.x, batch.lengths
    assert isinstance(x, Tensor)  # events take no augmentation
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


def _excess(spikes: list[Tensor], lengths: Tensor, limit: float) -> Tensor:
    steps = lengths.sum()
    per_layer = [(n / steps - limit).relu().square().mean() for n in spikes]
    return torch.stack(per_layer).sum()
