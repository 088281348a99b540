"""Every data set by its name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from spikern._utils.choices import check_type
from spikern.data import (
    copying,
    digits,
    fsdd,
    heidelberg,
    japanese_vowels,
    mnist,
    own,
    qtdb,
    tinyshakespeare,
)
from spikern.data.catalogue import DELAYS, TURNS, check_dataset, own_path
from spikern.data.dataset import Dataset

LOADERS: dict[str, Callable[[], Dataset]] = {
    **{f"copy_{delay}": partial(copying.load, delay) for delay in DELAYS},
    "digits": digits.load,
    "fsdd": partial(fsdd.spectrograms, "fsdd", fsdd.official_split),
    "fsdd_events": partial(fsdd.as_events, "fsdd_events", fsdd.official_split),
    "fsdd_speakers": partial(fsdd.spectrograms, "fsdd_speakers", fsdd.speaker_split),
    **{
        f"fsdd_speakers_{k}": partial(
            fsdd.spectrograms, f"fsdd_speakers_{k}", partial(fsdd.speaker_split, turn=k)
        )
        for k in TURNS
    },
    "fsdd_speakers_events": partial(fsdd.as_events, "fsdd_speakers_events", fsdd.speaker_split),
    "japanese_vowels": japanese_vowels.load,
    "psmnist": mnist.permuted,
    "qtdb": qtdb.load,
    "qtdb_all_steps": qtdb.all_steps,
    "shd": heidelberg.shd,
    "smnist": mnist.sequential,
    "ssc": heidelberg.ssc,
    "tinyshakespeare": tinyshakespeare.load,
}


def load(name: str | Path) -> Dataset:
    """Load a data set by its name in DATASETS, or by a path; its splits are always the same.

    The path is that of your own data, .ts, .tsv, .csv, .npz or a folder of wav files; see
    `spikern.data.own`. A `Path` is always one.

    >>> load("digits").input_size
    1
    >>> load("digit")
    Traceback (most recent call last):
    spikern.InputError: no dataset 'digit'; did you mean 'digits'? there are: copy_5, \
copy_20, copy_80, copy_320, digits, fsdd, fsdd_events, fsdd_speakers, fsdd_speakers_1, \
fsdd_speakers_2, fsdd_speakers_3, fsdd_speakers_4, fsdd_speakers_5, fsdd_speakers_events, \
japanese_vowels, psmnist, qtdb, qtdb_all_steps, shd, smnist, ssc, tinyshakespeare, PATH
    """
    check_type("name", name, str, Path)
    if isinstance(name, Path):
        return own.load(name)
    check_dataset(name)
    path = own_path(name)
    return LOADERS[name]() if path is None else own.load(path)
