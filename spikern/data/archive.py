"""Classification tasks of the UCR/UEA time series archive, of a _TRAIN and a _TEST file each.

The validation part is a fifth of every class of the train file, drawn with a fixed seed. Features
are standardised by the mean and standard deviation of the rest; shorter series are padded with
zeros.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from spikern._utils.errors import DataError
from spikern.data import splits
from spikern.data.dataset import Dataset, Split
from spikern.data.formats import ucr
from spikern.data.transforms import Transform, standardising, transformed

SEED = 0
DT = 1.0
"""Milliseconds per step; the files do not state its length."""
READERS = {".ts": ucr.read_ts, ".tsv": ucr.read_tsv}
PARTS = ("TRAIN", "TEST")
SMALLEST = 3
"""The least number of series of a class of which a fifth, rounded, is at least one."""


def load(path: Path) -> Dataset:
    """Load the task of NAME_TRAIN and NAME_TEST, .ts or .tsv, by the path of either or of NAME.

    Raises DataError if a file is missing or wrong, or if the two do not belong together.
    """
    train_path, test_path = pair(path)
    train, test = (READERS[part.suffix.lower()](part) for part in (train_path, test_path))
    unknown = sorted(set(test.class_names) - set(train.class_names))
    if unknown:
        raise DataError(
            f"{test_path}: expected the classes of {train_path.name}, "
            f"got others: {', '.join(unknown)}"
        )
    train_label = [train.class_names.index(name) for name in test.class_names]
    test = test._replace(
        class_names=train.class_names, labels=[train_label[label] for label in test.labels]
    )
    features = {series.shape[1] for part in (train, test) for series in part.series}
    if len(features) > 1:
        raise DataError(
            f"{train_path} and {test_path.name}: expected one number of features, got {features}"
        )
    if np.bincount(train.labels).max() < SMALLEST:
        raise DataError(
            f"{train_path}: expected a class of at least {SMALLEST} series, for a fifth is held "
            f"out for validation, got {len(train.series)} series of {len(train.class_names)} "
            f"classes"
        )
    name = stem(train_path)
    parts, transforms = split_and_standardise(train, test)
    return Dataset(
        name, f"{name}, of the UCR/UEA archive", *parts, transforms=transforms,
        class_names=train.class_names, every_step=False, events=False, dt=DT,
        source=f"{train_path.name} and {test_path.name}, format of the UCR/UEA time series archive",
        licence="not stated in the files",
    )  # fmt: skip


def pair(path: Path) -> tuple[Path, Path]:
    """Return the train and the test file of a path.

    >>> pair(Path("nowhere/Vowels"))
    Traceback (most recent call last):
    spikern.DataError: nowhere/Vowels: no nowhere/Vowels_TRAIN.ts and _TEST.ts, nor .tsv; \
give the path of one of the two, or the path without _TRAIN
    """
    if path.is_file() and path.suffix.lower() not in READERS:
        raise DataError(f"{path}: expected a file in the format .ts or .tsv; get it in one of them")
    base = path.parent / stem(path)
    named = path.suffix.lower() in READERS
    suffixes = [path.suffix] if named else [*READERS, *(suffix.upper() for suffix in READERS)]
    for suffix in suffixes:
        train, test = (base.with_name(f"{base.name}_{part}{suffix}") for part in PARTS)
        if train.is_file() and test.is_file():
            return train, test
        for present, missing in ((train, test), (test, train)):
            if present.is_file():
                raise DataError(
                    f"{present} is there, but not {missing.name}; put it beside the other"
                )
    raise DataError(
        f"{path}: no {base}_TRAIN{suffixes[0]} and _TEST{suffixes[0]}"
        f"{'' if named else ', nor .tsv'}; give the path of one of the two, or the path without "
        f"_TRAIN"
    )


def stem(path: Path) -> str:
    """Return the name of the task of a path.

    >>> stem(Path("data/Vowels_TEST.ts")), stem(Path("data/Vowels"))
    ('Vowels', 'Vowels')
    """
    name = path.stem if path.suffix.lower() in READERS else path.name
    for part in PARTS:
        name = name.removesuffix(f"_{part}")
    return name


def split_and_standardise(
    train: ucr.TimeSeries, test: ucr.TimeSeries
) -> tuple[tuple[Split, Split, Split], tuple[Transform, ...]]:
    """Return the train, validation and test split, standardised and padded, and the transform."""
    kept, held_out = splits.stratified(train.labels, (0.8, 0.2), SEED)
    standard = standardising(np.concatenate([train.series[n] for n in kept]))

    def split(part: ucr.TimeSeries, chosen: splits.Indices) -> Split:
        series = [torch.from_numpy(transformed([standard], part.series[n])[0]) for n in chosen]
        labels = torch.tensor(part.labels)[torch.from_numpy(chosen)]
        return Split(pad_sequence(series), labels, torch.tensor([len(s) for s in series]))

    everything = np.arange(len(test.labels))
    return (split(train, kept), split(train, held_out), split(test, everything)), (standard,)
