"""Datasets in their original formats, with fixed splits, as tensors.

>>> load("digits").input_size
1
"""

from __future__ import annotations

from collections.abc import Callable

from spikern.data import digits, japanese_vowels, qtdb
from spikern.data.dataset import UNLABELLED, Dataset, Split
from spikern.engines import boundary

DATASETS: dict[str, Callable[[], Dataset]] = {
    "digits": digits.load,
    "japanese_vowels": japanese_vowels.load,
    "qtdb": qtdb.load,
}

__all__ = ["DATASETS", "UNLABELLED", "Dataset", "Split", "load"]


def load(name: str) -> Dataset:
    """A dataset of the table by name, with the same splits every time.

    >>> load("digit")
    Traceback (most recent call last):
    spikern.types.InputError: no dataset 'digit'; did you mean 'digits'? there are: digits, \
japanese_vowels, qtdb
    """
    boundary.check_choice("dataset", name, DATASETS)
    return DATASETS[name]()
