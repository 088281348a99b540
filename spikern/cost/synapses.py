"""Counts of one connection: functions of its weights and of the signal that arrives."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from spikern._utils.errors import InputError
from spikern.cost.counts import Connection, Steps
from spikern.layers.arguments import reversed_in_time


class Signal(NamedTuple):
    """Values (T, B, F), whether they are declared as spikes or events, and their source.

    `before` (B, F) are the values of the step before the first, None zeros. `kept` are the steps
    whose values are kept until they have arrived.
    """

    values: Tensor
    spiking: bool
    source: str
    before: Tensor | None = None
    kept: int = 1


def last_steps(steps: int, lengths: Tensor) -> Tensor:
    """A mask (T, B) of the last step of every sample."""
    return torch.arange(steps)[:, None] == lengths.cpu() - 1


def one_step_later(signal: Signal, backward: bool = False, lengths: Tensor | None = None) -> Signal:
    """A signal that arrives one step later, or earlier where time runs `backward`.

    The values before come first; the last ones never arrive.

    >>> values = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    >>> one_step_later(Signal(values, True, "input")).values.flatten()
    tensor([0., 1., 2.])
    """
    values = reversed_in_time(signal.values, lengths) if backward else signal.values
    before = torch.zeros_like(values[0]) if signal.before is None else signal.before
    values = torch.cat([before.unsqueeze(0), values[:-1]])
    return signal._replace(values=reversed_in_time(values, lengths) if backward else values)


def counted(mask: Tensor) -> Steps:
    """The number of true entries of a mask (T, ...) at every step."""
    return tuple(mask.flatten(1).sum(1).tolist())


def connect(
    arriving: Signal,
    target: str,
    kind: str,
    weight: Tensor,
    valid: Tensor,
    awake: Tensor | None = None,
) -> Connection:
    """Count the operations of weight (H, F) for a signal (T, B, F) at the `valid` (T, B) steps.

    An event meets the nonzero weights of its source; so does every analog value, zero or not.
    `awake` (T, B, E) says which of E groups of targets there are at a step; None: all.

    >>> z = Signal(torch.tensor([[[1.0, 0.0]], [[1.0, 1.0]]]), True, "input")
    >>> weight = torch.tensor([[0.5, 0.0], [0.5, 0.5]])
    >>> connect(z, "hidden", "input", weight, torch.ones(2, 1, dtype=torch.bool)).ops
    (2, 3)
    """
    targets, sources = weight.shape
    exists = (weight.detach() != 0).cpu()
    arrived = (arriving.values != 0).cpu() if arriving.spiking else torch.ones(1, 1, sources).bool()
    arrived = arrived & valid.unsqueeze(2)
    groups = torch.ones(*valid.shape, 1, dtype=torch.bool) if awake is None else awake.cpu()
    experts = groups.shape[2]
    fan_out = exists.view(experts, -1, sources).sum(1)
    ops = torch.zeros(len(valid), dtype=torch.int64)
    for there, synapses in zip(groups.unbind(2), fan_out):
        ops += ((arrived & there.unsqueeze(2)).sum(1) * synapses).sum(1)
    reached = (arrived.sum(2) * groups.sum(2)).sum(1) * (targets // experts)
    return Connection(
        *(arriving.source, target, kind, arriving.spiking, sources, targets),
        synapses=int(exists.sum()),
        arrivals=counted(arrived),
        ops=tuple(ops.tolist()),
        uses=counted(valid),
        reached=tuple(reached.tolist()),
        kept=arriving.kept,
    )


def check_events(x: Tensor) -> None:
    """Raise InputError on values other than -1, 0 and 1."""
    if not bool(((x == 0) | (x.abs() == 1)).all()):
        raise InputError(
            "the input is declared as events, so its values must be -1, 0 or 1; count it with "
            "events=False if it is analog"
        )
