"""Fixed splits: every machine has the same sequences in the same part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]


def order(count: int, seed: int) -> Indices:
    """Return a fixed shuffle of 0..count-1.

    It sorts the raw words of PCG64, whose stream numpy guarantees; the shuffles of its Generator
    may change between versions.

    >>> order(5, seed=0).tolist()
    [3, 2, 1, 0, 4]
    """
    return np.argsort(np.random.PCG64(seed).random_raw(count), kind="stable").astype(np.int64)


def spread(labels: npt.ArrayLike, number: int) -> Indices:
    """Return `number` indices, ascending, with the same share of every class.

    They are evenly spaced among all, sorted by class.

    >>> spread([0, 1, 0, 1, 0, 1, 0, 1], 4).tolist()
    [0, 1, 4, 5]
    """
    by_class = np.argsort(np.asarray(labels), kind="stable")
    return np.sort(by_class[np.arange(number) * len(by_class) // number])


def stratified(labels: Sequence[int], fractions: Sequence[float], seed: int) -> list[Indices]:
    """Return disjoint index lists of all sequences, with the same fractions of every class.

    >>> [part.tolist() for part in stratified([0, 1, 0, 1, 0, 1, 0, 1], [0.75, 0.25], seed=0)]
    [[0, 1, 2, 3, 6, 7], [4, 5]]
    """
    classes = np.asarray(labels)
    shuffled = order(len(classes), seed)
    ends = np.cumsum(fractions)
    parts: list[list[Indices]] = [[] for _ in fractions]
    for label in np.unique(classes):
        members = shuffled[classes[shuffled] == label]
        cuts = np.rint(ends[:-1] / ends[-1] * len(members)).astype(int)
        for part, chunk in zip(parts, np.split(members, cuts)):
            part.append(chunk)
    return [np.sort(np.concatenate(part)) for part in parts]
