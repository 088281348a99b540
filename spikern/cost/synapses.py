"""What crosses a bundle of synapses: pure functions of weights and of what arrived."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from spikern._utils.errors import InputError
from spikern.cost.counts import Connection, Steps


class Signal(NamedTuple):
    """Values (T, B, F) with what their maker declared: its name, and whether they are spikes."""

    values: Tensor
    spiking: bool
    source: str


def last_steps(steps: int, lengths: Tensor) -> Tensor:
    """Which samples have their last step when, (T, B)."""
    return torch.arange(steps)[:, None] == lengths.cpu() - 1


def delayed(values: Tensor, steps: int = 1) -> Tensor:
    """Values (T, B, F) as they arrive `steps` later; before that, and past the end, nothing.

    >>> delayed(torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)).flatten()
    tensor([0., 1., 2.])
    """
    return torch.cat([torch.zeros_like(values[:steps]), values[: len(values) - steps]])


def counted(mask: Tensor) -> Steps:
    """The true entries of a mask (T, ...) at every step."""
    return tuple(mask.flatten(1).sum(1).tolist())


def dense(source: str, target: str, kind: str, weight: Tensor, in_play: Tensor) -> Connection:
    """Count the multiply-accumulates of weight (H, F) with analog values where in_play (T, B) is.

    All nonzero weights, whatever the values: nothing says beforehand that one of them is zero.
    """
    targets, sources = weight.shape
    synapses, uses = int(torch.count_nonzero(weight.detach())), counted(in_play)
    arrivals = tuple(n * sources for n in uses)
    ops = tuple(n * synapses for n in uses)
    return Connection(source, target, kind, False, sources, targets, synapses, arrivals, ops, uses)


def connect(
    arriving: Signal, target: str, kind: str, weight: Tensor, in_play: Tensor
) -> Connection:
    """Count what crosses weight (H, F) when a signal (T, B, F) arrives where in_play (T, B) is.

    An event meets the nonzero weights of its source; analog values are counted by `dense`.

    >>> z = Signal(torch.tensor([[[1.0, 0.0]], [[1.0, 1.0]]]), True, "input")
    >>> weight = torch.tensor([[0.5, 0.0], [0.5, 0.5]])
    >>> connect(z, "hidden", "input", weight, torch.ones(2, 1, dtype=torch.bool)).ops
    (2, 3)
    """
    whole = dense(arriving.source, target, kind, weight, in_play)
    if not arriving.spiking:
        return whole
    fan_out = torch.count_nonzero(weight.detach(), dim=0).cpu()
    events = ((arriving.values != 0).cpu() & in_play.unsqueeze(2)).sum(1)
    return replace(
        whole,
        spiking=True,
        arrivals=tuple(events.sum(1).tolist()),
        ops=tuple((events * fan_out).sum(1).tolist()),
    )


def check_events(x: Tensor) -> None:
    """Refuse values that cannot be what `events=True` declares them to be."""
    if not bool(((x == 0) | (x.abs() == 1)).all()):
        raise InputError(
            "the input is declared as events, so its values must be -1, 0 or 1; count it with "
            "events=False if it is analog"
        )
