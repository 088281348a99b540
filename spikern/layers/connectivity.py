"""Which neurons are connected: patterns of recurrence and feedback, and what goes together."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import torch
from torch import Tensor

from spikern._utils.errors import InputError, UnsupportedError


class Recurrence(NamedTuple):
    """Which neurons hear which, within a layer or from the one above.

    `recurrent` says whether any does; then all, or those of a mask (to, from) or a share of pairs.
    """

    title: str
    recurrent: bool
    mask: Tensor | None = None
    density: float | None = None


def recurrence(name: str, given: bool | str | float | Tensor, size: int) -> Recurrence:
    """What the argument `name` of a layer says. Raises InputError if it says nothing known."""
    if isinstance(given, bool):
        return Recurrence(str(given), given)
    if isinstance(given, Tensor):
        if tuple(given.shape) != (size, size) or not bool(given.count_nonzero()):
            raise InputError(
                f"expected a mask of shape ({size}, {size}) that leaves synapses, "
                f"got {tuple(given.shape)} with {int(given.count_nonzero())}"
            )
        return Recurrence(f"mask of {int(given.count_nonzero())}", True, given != 0)
    if given == "diagonal":
        return Recurrence("diagonal", True, torch.eye(size, dtype=torch.bool))
    if isinstance(given, (int, float)) and 0 < given <= 1:
        return Recurrence(f"{given:g}", True, density=float(given) if given < 1 else None)
    raise InputError(
        f"{name} must be True, False, 'diagonal', a share between 0 and 1 or a mask, got {given}"
    )


def links(pattern: Recurrence, size: int) -> Tensor | None:
    """The synapses of a pattern as (from, to), (N, 2) int64 ascending; None if all exist.

    A share is drawn to its exact number, so that layers of one density have tensors of one shape.
    """
    if pattern.density is not None:
        number = max(1, round(pattern.density * size**2))
        drawn = torch.randperm(size**2)[:number].sort().values
        return torch.stack([drawn // size, drawn % size], 1)
    return None if pattern.mask is None else pattern.mask.T.nonzero()


def thin(weight: Tensor, links: Tensor) -> None:
    """Leave weight (H, H) only where links lead, so much stronger that the drive stays, in place.

    Each neuron's row is scaled by sqrt(H / its synapses).
    """
    exists = torch.zeros_like(weight)
    exists[links[:, 1], links[:, 0]] = 1.0
    scale = (len(weight) / exists.sum(1, keepdim=True).clamp(min=1.0)).sqrt()
    with torch.no_grad():
        weight.mul_(exists * scale)


def check_between(
    layers: int, dropout: float, bidirectional: bool, feedback: bool, skip: bool
) -> None:
    """Raise InputError on connections between layers that are none, or do not go together."""
    if not 0 <= dropout < 1:
        raise InputError(f"dropout must be at least 0 and below 1, got {dropout}")
    if dropout and layers == 1:
        warnings.warn(
            f"dropout={dropout} acts between layers and there is only one; give num_layers > 1",
            stacklevel=3,
        )
    if skip and layers == 1:
        raise InputError("skip leads past a layer to the one above it; give num_layers > 1")
    if not feedback:
        return
    if layers == 1:
        raise InputError("feedback leads from a layer to the one below it; give num_layers > 1")
    if dropout or bidirectional:
        what = "dropout" if dropout else "bidirectional"
        raise InputError(
            f"a network with feedback is one population, all of whose layers advance together; "
            f"{what} needs layers that run one after the other"
        )


def check_delays(
    delay: int,
    recurrent_delay: int,
    learned: bool,
    recurrent: bool,
    feedback: bool,
    bidirectional: bool,
) -> None:
    """Raise InputError on delays that are none, or UnsupportedError where they are not built."""
    for name, steps, least in [("delay", delay, 0), ("recurrent_delay", recurrent_delay, 1)]:
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < least:
            raise InputError(
                f"{name} must be the longest delay in whole steps, {least} or more, got {steps}"
            )
    if recurrent_delay > 1 and not recurrent:
        raise InputError("recurrent_delay needs a recurrence; give recurrent=True")
    late = delay > 0 or recurrent_delay > 1
    if learned and not late:
        raise InputError("there is no delay to learn; give delay= or recurrent_delay=")
    if late and feedback:
        raise UnsupportedError(
            "delays are not built with feedback, where every connection takes one step"
        )
    if late and bidirectional:
        raise UnsupportedError(
            "delays are not built with bidirectional, where half of a layer runs backward in time"
        )
