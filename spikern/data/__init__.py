"""Datasets in their original formats, with fixed splits, as tensors or events.

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
    japanese_vowels,
    mnist,
    qtdb,
    shd,
    ssc,
    tinyshakespeare,
)
from spikern.data.dataset import UNLABELLED, Batch, Dataset, Split, encoded
from spikern.data.files import find

ARCHIVE = "ts:"
"""What stands before the path of a task of the UCR/UEA archive."""


class Entry(NamedTuple):
    """What is known of a dataset before it is loaded."""

    title: str
    files: tuple[str, ...]
    load: Callable[[], Dataset]

    def missing(self) -> list[str]:
        """The original files that are not at hand, be it packed with gzip."""
        return [n for n in self.files if not (find(n) or find(f"{n}.gz"))]


DATASETS: dict[str, Entry] = {
    **{
        f"copy_{delay}": Entry(
            f"{copying.TITLE} of {delay} steps", copying.FILES, partial(copying.load, delay)
        )
        for delay in copying.DELAYS
    },
    "digits": Entry(digits.TITLE, digits.FILES, digits.load),
    "fsdd": Entry(fsdd.TITLE, fsdd.FILES, fsdd.official),
    "fsdd_events": Entry(f"{fsdd.TITLE}, from events", fsdd.FILES, fsdd.official_events),
    "fsdd_speakers": Entry(f"{fsdd.TITLE}, of unknown speakers", fsdd.FILES, fsdd.speakers),
    "fsdd_speakers_events": Entry(
        f"{fsdd.TITLE}, of unknown speakers, from events", fsdd.FILES, fsdd.speakers_events
    ),
    "japanese_vowels": Entry(japanese_vowels.TITLE, japanese_vowels.FILES, japanese_vowels.load),
    "psmnist": Entry(mnist.TITLE_PERMUTED, mnist.FILES, mnist.permuted),
    "qtdb": Entry(qtdb.TITLE, qtdb.FILES, qtdb.load),
    "qtdb_all_steps": Entry(qtdb.TITLE_ALL_STEPS, qtdb.FILES, qtdb.all_steps),
    "shd": Entry(shd.TITLE, shd.FILES, shd.load),
    "smnist": Entry(mnist.TITLE, mnist.FILES, mnist.sequential),
    "ssc": Entry(ssc.TITLE, ssc.FILES, ssc.load),
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
    """A dataset of the table by name, or `ts:PATH` of the archive; the same splits every time.

    PATH is that of a _TRAIN or _TEST file, .ts or .tsv, or what stands before _TRAIN.

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
