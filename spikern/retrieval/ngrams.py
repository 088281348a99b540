"""Count tables of a text, the humble opponent of a memory, and passages that two texts share.

    P_k(c) = (n(h_k c) + prior P_{k-1}(c)) / (n(h_k) + prior),   P_{-1}(c) = 1 / size

n counts in the stored text, h_k are the k symbols before c. Source: the back-off by interpolation
of MacKay and Bauman Peto, A hierarchical Dirichlet language model, 1995.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spikern._utils.errors import InputError
from spikern._utils.numbers import check_whole
from spikern.data.dataset import UNLABELLED, Split

Text = NDArray[np.int64]
"""The symbols of a text in their order, as numbers from 0."""


def text_of(split: Split) -> Text:
    """The labels of a split in the order of the text."""
    labels = split.y.T
    found: Text = labels[labels != UNLABELLED].numpy()
    return found


def counted(text: Text, read: Text, order: int, size: int) -> list[tuple[Text, Text]]:
    """n(h c) and n(h) in `text` at every symbol c of `read`, with h none to `order` before c.

    Raises InputError for symbols that are not numbers below `size`, and for an order at which
    histories have no number of 64 bits.
    """
    check_whole(order=order, size=size)
    order, size = int(order), int(size)
    if order < 0:
        raise InputError(f"expected an order of at least 0, got {order}")
    for t in (text, read):
        if t.min(initial=0) < 0 or t.max(initial=0) >= size:
            raise InputError(
                f"expected symbols from 0 to {size - 1}, got {t.min()} to {t.max()}; raise size"
            )
    if (size + 1) ** (order + 1) >= 2**63:
        raise InputError(
            f"{size} symbols have too many histories of {order} to number them in 64 bits; count "
            f"to a lower order"
        )
    found = []
    for length in range(order + 1):
        there, here = (histories(t, length, size) for t in (text, read))
        together = occurrences(there * size + text, here * size + read)
        found.append((together, occurrences(there, here)))
    return found


def probabilities(
    counts: Sequence[tuple[Text, Text]], prior: float, size: int
) -> NDArray[np.float64]:
    """The probability of every symbol that came, from its counts after 0, 1, ... symbols.

    Raises InputError for a prior that is not above 0.

    >>> counts = counted(np.array([0, 1, 0, 1]), np.array([0, 1]), order=1, size=2)
    >>> probabilities(counts, prior=1.0, size=2)
    array([0.75      , 0.83333333])
    """
    if not prior > 0:
        raise InputError(f"expected a prior above 0, got {prior}")
    found = np.full(len(counts[0][0]), 1 / size)
    for together, alone in counts:
        found = (together + prior * found) / (alone + prior)
    return found


def histories(text: Text, length: int, size: int) -> Text:
    """A number for the `length` symbols before each; before the first there is one of its own.

    >>> histories(np.array([0, 1, 1]), 1, 2)
    array([2, 0, 1])
    """
    padded = np.concatenate([np.full(length, size), text])
    number = np.zeros(len(text), dtype=np.int64)
    for k in range(length):
        number = number * (size + 1) + padded[k : k + len(text)]
    return number


def occurrences(among: Text, wanted: Text) -> Text:
    """How often each wanted number is among some numbers.

    >>> occurrences(np.array([5, 3, 5]), np.array([5, 4]))
    array([2, 0])
    """
    ordered = np.sort(among)
    right = np.searchsorted(ordered, wanted, "right")
    return right - np.searchsorted(ordered, wanted, "left")


def shared_passages(text: Text, read: Text, length: int) -> NDArray[np.bool_]:
    """Where in `read` a passage of `length` symbols ends that is in `text` too, (N,).

    Raises InputError for a length below 1 or above that of either text.

    >>> shared_passages(np.array([0, 1, 2, 0]), np.array([1, 2, 2, 0]), 2)
    array([False,  True, False,  True])
    """
    longest = min(len(text), len(read))
    if not 1 <= length <= longest:
        raise InputError(f"expected a length of 1 to {longest}, the shorter text, got {length}")
    passages = [
        [row.tobytes() for row in np.lib.stride_tricks.sliding_window_view(t, length)]
        for t in (text.astype(np.int32), read.astype(np.int32))
    ]
    known = set(passages[0])
    return np.array([False] * (length - 1) + [passage in known for passage in passages[1]])
