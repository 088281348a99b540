"""The epochs of a training, and how they are shown to whoever watches."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from spikern._utils.display import table_of_fields


@table_of_fields
class Epoch(NamedTuple):
    """What one pass over the training split came to."""

    epoch: int
    loss: float
    """Mean over sequences of the loss that was minimised, with penalties; nats."""
    validation_accuracy: float
    rate: float | None
    seconds: float
    validation_loss: float | None = None
    """Mean cross-entropy of an answer, in nats; None where version 0.1.0 wrote the epoch."""


def figures(epoch: Epoch) -> str:
    """What an epoch came to, behind a bar.

    >>> figures(Epoch(1, loss=0.5, validation_accuracy=0.9, rate=0.05, seconds=1.0))
    'loss 0.500, validation 90.0%, rate 5.0%'
    """
    rate = "" if epoch.rate is None else f", rate {epoch.rate:.1%}"
    return f"loss {epoch.loss:.3f}, validation {epoch.validation_accuracy:.1%}{rate}"


def advance(bar: Any, done: int, latest: Epoch) -> None:
    """Bring a bar to this many epochs, and show the latest.

    Its clock starts at the first epochs that have ended: before come imports and kernels.
    """
    if bar.disable:
        return
    if bar.postfix is None:
        bar.initial, bar.start_t = done, time.time()
        bar.last_print_t = bar.start_t  # a bar that ends before it began is not ended
    bar.n = done
    bar.set_postfix_str(figures(latest), refresh=False)
    bar.refresh(nolock=True)  # a stream that breaks would leave the lock held for ever
