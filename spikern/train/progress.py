"""The epochs of a training, and the bar that shows them to whoever watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tqdm import tqdm


class Epoch(NamedTuple):
    """What one pass over the training split came to."""

    epoch: int
    loss: float
    validation_accuracy: float
    rate: float | None
    seconds: float


def is_watched() -> bool:
    """Whether stderr is a terminal, or the cell of a notebook."""
    return "ipykernel" in sys.modules or sys.stderr.isatty()


def figures(epoch: Epoch) -> str:
    """What an epoch came to, behind a bar.

    >>> figures(Epoch(1, loss=0.5, validation_accuracy=0.9, rate=0.05, seconds=1.0))
    'loss 0.500, validation 90.0%, rate 5.0%'
    """
    rate = "" if epoch.rate is None else f", rate {epoch.rate:.1%}"
    return f"loss {epoch.loss:.3f}, validation {epoch.validation_accuracy:.1%}{rate}"


@contextmanager
def epoch_bar(epochs: int, visible: bool) -> Iterator[Callable[[Epoch], None]]:
    """A bar on stderr of so many epochs, and the function that shows it one more."""
    with tqdm(total=epochs, unit="epoch", file=sys.stderr, disable=not visible) as bar:

        def show(epoch: Epoch) -> None:
            bar.set_postfix_str(figures(epoch), refresh=False)
            bar.update()

        yield show
