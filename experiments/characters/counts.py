"""The next character from a table of counts: what a network has to beat.

python experiments/characters/counts.py   # fills its place on the page
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikern._utils import atomic
from spikern.data import load
from spikern.data.dataset import UNLABELLED, Split
from spikern.report import markdown

PAGE = Path(__file__).parent / "README.md"
ORDERS = range(1, 9)
PRIORS = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
Text = NDArray[np.int64]
"""The characters of a text in their order, as numbers from 0."""


def counted(text: Text, read: Text, order: int, size: int) -> list[tuple[Text, Text]]:
    """n(h c) and n(h) in `text` at every character c of `read`, with h none to `order` before c."""
    found = []
    for length in range(order + 1):
        there, here = (histories(t, length, size) for t in (text, read))
        together = occurrences(there * size + text, here * size + read)
        found.append((together, occurrences(there, here)))
    return found


def probabilities(
    counts: Sequence[tuple[Text, Text]], prior: float, size: int
) -> NDArray[np.float64]:
    """The probability of every character, from its counts after 0, 1, ... characters.

    P_k(c) = (n(h_k c) + prior P_{k-1}(c)) / (n(h_k) + prior),   P_{-1}(c) = 1 / size
    """
    found = np.full(len(counts[0][0]), 1 / size)
    for together, alone in counts:
        found = (together + prior * found) / (alone + prior)
    return found


def histories(text: Text, length: int, size: int) -> Text:
    """A number for the `length` characters before each; before the first there is one of its own.

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
    return np.searchsorted(ordered, wanted, "right") - np.searchsorted(ordered, wanted, "left")


def bits(counts: Sequence[tuple[Text, Text]], prior: float, size: int) -> float:
    """The mean surprise at the characters that came."""
    return float(-np.log2(probabilities(counts, prior, size)).mean())


def text_of(split: Split) -> Text:
    """The labels of a split in the order of the text."""
    labels = split.y.T
    return labels[labels != UNLABELLED].numpy()


def bits_by_order() -> str:
    """Bits of every order, with the prior that is best on validation; the best order is bold."""
    dataset = load("tinyshakespeare")
    size = dataset.classes
    train, *others = map(text_of, (dataset.train, dataset.validation, dataset.test))
    validation, test = (counted(train, text, max(ORDERS), size) for text in others)
    rows = []
    for order in ORDERS:
        judged = [(bits(validation[: order + 1], prior, size), prior) for prior in PRIORS]
        reached, prior = min(judged)
        entries = len(np.unique(histories(train, order, size) * size + train))
        rows.append((reached, order, prior, entries, bits(test[: order + 1], prior, size)))
    best = min(rows)[1]
    lines = [
        [
            f"**{order}**" if order == best else f"{order}",
            f"{prior:g}",
            f"{entries:,}",
            f"{reached:.3f}",
            f"{tested:.3f}",
        ]
        for reached, order, prior, entries, tested in rows
    ]
    head = ["characters before", "prior", "entries", "validation, bits", "test, bits"]
    return markdown.table(head, lines)


if __name__ == "__main__":
    atomic.write(PAGE, markdown.filled(PAGE.read_text(), {"counts": bits_by_order()}))
