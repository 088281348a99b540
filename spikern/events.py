"""Analog signals as events: an event is sent when the signal has moved by a threshold."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from spikern.data.dataset import Dataset, Split, valid_steps
from spikern.types import InputError


def delta(x: Tensor, threshold: float) -> Tensor:
    """Send-on-delta, or level crossing: events in {-1, 0, 1} of x (T, B, F), in its shape.

        e_t = sign(x_t - r_{t-1})  if |x_t - r_{t-1}| >= threshold, else 0
        r_t = r_{t-1} + threshold e_t,    r before the first step is 0

    At most one event a step, so a jump of several thresholds is caught up with over as many
    steps, and the level from which a signal starts is sent too. `threshold * events.cumsum(0)`
    follows the signal, within the threshold while it moves by no more than that in a step.

    Source: Miskowicz, Send-on-delta concept: an event-based data reporting strategy,
    Sensors 6, 49-63 (2006); here in discrete time, with signed events of one size.

    >>> x = torch.tensor([0.0, 0.3, 0.6, 0.5, 0.0])
    >>> delta(x.view(-1, 1, 1), threshold=0.25).flatten()
    tensor([ 0.,  1.,  1.,  0., -1.])
    """
    if x.ndim != 3 or not x.is_floating_point():
        raise InputError(f"expected floating x (T, B, F), got {tuple(x.shape)} {x.dtype}")
    if not (threshold > 0 and math.isfinite(threshold)):
        raise InputError(f"threshold must be above 0 and finite, got {threshold}")
    if not bool(torch.isfinite(x).all()):
        raise InputError("x holds NaN or infinite values; clean or mask it first")
    events = torch.empty_like(x)
    level = torch.zeros_like(x[0]) if len(x) else x
    for t in range(len(x)):
        distance = x[t] - threshold * level
        events[t] = torch.where(distance.abs() >= threshold, distance.sign(), 0.0)
        level = level + events[t]
    return events


def encoded(dataset: Dataset, threshold: float) -> Dataset:
    """The dataset with every split as events, none after a sequence's last step.

    >>> from spikern.data import load
    >>> encoded(load("digits"), threshold=0.25).name
    'digits-delta0.25'
    """
    if dataset.events:
        raise InputError(f"{dataset.name} holds events already; give a dataset of analog input")

    def split(part: Split) -> Split:
        padding = ~valid_steps(part).unsqueeze(2)
        return replace(part, x=delta(part.x, threshold).masked_fill(padding, 0.0))

    return replace(
        dataset,
        name=f"{dataset.name}-delta{threshold:g}",
        title=f"{dataset.title}, as events at every change of {threshold:g}",
        train=split(dataset.train),
        validation=split(dataset.validation),
        test=split(dataset.test),
        events=True,
    )
