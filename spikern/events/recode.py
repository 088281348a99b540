"""A data set of analog input made one of events."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from spikern.events.encoders import delta
from spikern.types import InputError

if TYPE_CHECKING:  # a name for the reader: events stand above data, which hold them
    from spikern.data.dataset import Dataset


def encoded(dataset: Dataset, threshold: float) -> Dataset:
    """The dataset with every split as `delta` events, none after a sequence's last step.

    >>> from spikern.data import load
    >>> encoded(load("digits"), threshold=0.25).name
    'digits-delta0.25'
    """
    if dataset.events:
        raise InputError(f"{dataset.name} holds events already; give a dataset of analog input")
    return dataset.with_input(
        partial(delta, threshold=threshold),
        name=f"{dataset.name}-delta{threshold:g}",
        title=f"{dataset.title}, as events at every change of {threshold:g}",
        events=True,
    )
