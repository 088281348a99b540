"""Data sets from their original files, with fixed splits, as tensors or events.

>>> load("digits").input_size
1
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from spikern._utils.choices import check_choice
from spikern.data import (
    archive,
    copying,
    digits,
    fsdd,
    heidelberg,
    japanese_vowels,
    mnist,
    qtdb,
    tinyshakespeare,
)
from spikern.data.dataset import UNLABELLED, Batch, Dataset, Split, encoded
from spikern.data.files import find

ARCHIVE = "ts:"
"""Prefix of the path of a task of the UCR/UEA archive."""


class Entry(NamedTuple):
    """What is known of a data set before it is loaded."""

    title: str
    files: tuple[str, ...]
    load: Callable[[], Dataset]

    def missing(self) -> list[str]:
        """Return the original files that are not available, plain or packed with gzip."""
        return [n for n in self.files if not (find(n) or find(f"{n}.gz"))]


DATASETS: dict[str, Entry] = {
    **{
        f"copy_{delay}": Entry(
            f"{copying.TITLE} of {delay} steps", copying.FILES, partial(copying.load, delay)
        )
        for delay in copying.DELAYS
    },
    "digits": Entry(digits.TITLE, digits.FILES, digits.load),
    **{
        name: Entry(title, fsdd.FILES, partial(load_as, name, title, split))
        for name, (title, load_as, split) in fsdd.VARIANTS.items()
    },
    "japanese_vowels": Entry(japanese_vowels.TITLE, japanese_vowels.FILES, japanese_vowels.load),
    "psmnist": Entry(mnist.TITLE_PERMUTED, mnist.FILES, mnist.permuted),
    "qtdb": Entry(qtdb.TITLE, qtdb.FILES, qtdb.load),
    "qtdb_all_steps": Entry(qtdb.TITLE_ALL_STEPS, qtdb.FILES, qtdb.all_steps),
    "shd": Entry(heidelberg.SHD_TITLE, heidelberg.SHD_FILES, heidelberg.shd),
    "smnist": Entry(mnist.TITLE, mnist.FILES, mnist.sequential),
    "ssc": Entry(heidelberg.SSC_TITLE, heidelberg.SSC_FILES, heidelberg.ssc),
    "tinyshakespeare": Entry(tinyshakespeare.TITLE, tinyshakespeare.FILES, tinyshakespeare.load),
}

__all__ = [
    "ARCHIVE",
    "DATASETS",
    "UNLABELLED",
    "Batch",
    "Dataset",
    "Entry",
    "Split",
    "encoded",
    "load",
]


def load(name: str) -> Dataset:
    """Load a data set by its name in DATASETS, or by `ts:PATH`; its splits are always the same.

    PATH is a _TRAIN or _TEST file of the UCR/UEA archive, .ts or .tsv, or its path up to _TRAIN.

    >>> load("digit")
    Traceback (most recent call last):
    spikern.InputError: no dataset 'digit'; did you mean 'digits'? there are: copy_5, \
copy_20, copy_80, copy_320, digits, fsdd, fsdd_events, fsdd_speakers, fsdd_speakers_events, \
japanese_vowels, psmnist, qtdb, qtdb_all_steps, shd, smnist, ssc, tinyshakespeare, ts:PATH
    """
    if name.startswith(ARCHIVE):
        return archive.load(Path(name.removeprefix(ARCHIVE)))
    check_choice("dataset", name, [*DATASETS, f"{ARCHIVE}PATH"])
    return DATASETS[name].load()
