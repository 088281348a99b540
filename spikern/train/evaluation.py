"""How well a network answers, without its being changed."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from spikern._utils.choices import check_type
from spikern._utils.display import table_of_fields
from spikern._utils.errors import InputError
from spikern._utils.numbers import check_counts
from spikern.data.dataset import UNLABELLED, Dataset, Split
from spikern.events import valid_steps
from spikern.layers.network import Network, evaluating
from spikern.train.batches import (
    Batches,
    carried,
    check_batches,
    check_carried,
    check_split,
    checked,
    in_order,
    labels_of,
    place_of,
)
from spikern.train.calibration import firing_rates


@table_of_fields
class Evaluation(NamedTuple):
    """Accuracy and mean cross-entropy (nats) over labelled answers, what was answered, and rates.

    `rates` are those of the hidden layers, none for standard models.
    """

    accuracy: float
    loss: float
    rates: list[float]
    predictions: Tensor


def evaluate(
    network: Network, data: Split | Batches, batch_size: int = 256, carry_state: bool = False
) -> Evaluation:
    """Run a split, or any iterable of batches as `fit` takes it, where the network is.

    Without dropout; after it the network is in the mode in which it came. Predictions are (N,) or
    (T, N), zero past a sample's length. With `carry_state` a split is read as STREAMS streams of
    consecutive sequences, and every batch starts with the state that the one before it left. Raises
    InputError without any label.
    """
    check_type("network", network, Network)
    check_counts(batch_size=batch_size)
    if isinstance(data, Dataset):
        raise InputError(f"{data.name} is three splits; evaluate one, such as dataset.test")
    if isinstance(data, Split):
        check_split("the split", data, network)
    else:
        check_batches(data)
    place = place_of(network)
    order = in_order(data, batch_size, carry_state) if isinstance(data, Split) else []
    batches = (
        (data.select(indices).to(*place) for indices in order)
        if isinstance(data, Split)
        else checked(data, network)
    )
    answers: list[Tensor] = []
    counts: list[list[float]] = []
    loss, correct, labelled, sequences, steps = 0.0, 0, 0, 0, 0
    state: Any = None
    with evaluating(network):
        for batch in batches:
            if carry_state:
                check_carried(network, batch.y.ndim == 2)
            state = carried(state, len(batch)) if carry_state else None
            activity, state = network.run(batch.x, state, batch.lengths)
            labels = labels_of(batch, activity.logits)
            loss += float(cross_entropy(activity.logits, labels, "sum"))
            answer = answers_of(activity.logits, batch.lengths)
            judged = labels != UNLABELLED
            correct += int((answer == labels)[judged].sum())
            labelled += int(judged.sum())
            answers.append(answer.cpu())
            sequences += len(batch)
            own = int(batch.lengths.sum())
            steps += own
            if network.spiking:
                rates = firing_rates(activity.spikes, batch.x, batch.lengths)
                counts.append([rate * own for rate in rates])
    if not labelled:
        raise InputError(f"no answer can be judged: {sequences} sequences have no label")
    rates = [sum(layer) / steps for layer in zip(*counts)]
    predictions = _joined(answers, len(data.x) if isinstance(data, Split) else 0)
    if order:
        predictions = predictions[..., torch.cat(order).argsort()]
    return Evaluation(correct / labelled, loss / labelled, rates, predictions)


def answers_of(logits: Tensor, lengths: Tensor) -> Tensor:
    """The classes of logits (B, C), or of (T, B, C) with 0 past a sample's length.

    >>> answers_of(torch.eye(2)[[1, 1, 1]].unsqueeze(1), torch.tensor([2])).flatten()
    tensor([1, 1, 0])
    """
    answers = logits.argmax(-1)
    return answers if answers.ndim == 1 else answers * valid_steps(lengths, len(answers))


def _joined(answers: list[Tensor], steps: int) -> Tensor:
    """Answers (B,) or (T, B) side by side, padded with zeros to `steps` or to the longest."""
    if answers[0].ndim == 1:
        return torch.cat(answers)
    steps = max(steps, *map(len, answers))
    return torch.cat([functional.pad(a, (0, 0, 0, steps - len(a))) for a in answers], 1)


def cross_entropy(logits: Tensor, y: Tensor, reduction: str = "mean") -> Tensor:
    """Over labelled answers, in nats; logits (B, C) with y (B,), or (T, B, C) with (T, B).

    Logits of 16 bits are summed in 32.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return functional.cross_entropy(logits.flatten(0, -2), y.flatten(), reduction=reduction)
