"""Any classification task of the UCR/UEA time series archive: a _TRAIN and a _TEST file.

A fifth of every class of the train file, drawn with a fixed seed, is the validation part. Features
are standardised by the mean and standard deviation of the rest; a shorter series is padded with
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
from spikern.data.formats import text

SEED = 0
DT = 1.0
"""Milliseconds a step: the files do not say how long it is."""
READERS = {".ts": text.read_ts, ".tsv": text.read_tsv}
PARTS = ("TRAIN", "TEST")
SMALLEST = 3
"""Series of a class of which a fifth, rounded, is one."""


def load(path: Path) -> Dataset:
    """The task whose files are NAME_TRAIN and NAME_TEST, .ts or .tsv; path is either or NAME.

    Raises DataError if a file is missing or wrong, or if the two do not belong together.
    """
    train, test = pair(path)
    recorded, tested = READERS[train.suffix](train), READERS[test.suffix](test)
    unknown = sorted(set(tested.class_names) - set(recorded.class_names))
    if unknown:
        raise DataError(
            f"{test}: expected the classes of {train.name}, got others: {', '.join(unknown)}"
        )
    place = [recorded.class_names.index(name) for name in tested.class_names]
    tested = tested._replace(
        class_names=recorded.class_names, labels=[place[label] for label in tested.labels]
    )
    features = {series.shape[1] for part in (recorded, tested) for series in part.series}
    if len(features) > 1:
        raise DataError(f"{train} and {test.name}: expected one number of features, got {features}")
    if np.bincount(recorded.labels).max() < SMALLEST:
        raise DataError(
            f"{train}: expected a class of at least {SMALLEST} series, for a fifth is held out for "
            f"validation, got {len(recorded.series)} series of {len(recorded.class_names)} classes"
        )
    name = stem(train)
    kept, held_out, whole = parts(recorded, tested)
    return Dataset(
        name=name,
        title=f"{name}, of the UCR/UEA archive",
        train=kept,
        validation=held_out,
        test=whole,
        class_names=recorded.class_names,
        every_step=False,
        events=False,
        source=f"{train.name} and {test.name}, format of the UCR/UEA time series archive",
        licence="not stated in the files",
        dt=DT,
    )


def pair(path: Path) -> tuple[Path, Path]:
    """The two files that a path means.

    >>> pair(Path("nowhere/Vowels"))
    Traceback (most recent call last):
    spikern.DataError: nowhere/Vowels: no nowhere/Vowels_TRAIN.ts and _TEST.ts, nor .tsv; \
give the path of one of the two, or the path without _TRAIN
    """
    base = path.parent / stem(path)
    suffixes = [path.suffix] if path.suffix in READERS else list(READERS)
    for suffix in suffixes:
        train, test = (base.with_name(f"{base.name}_{part}{suffix}") for part in PARTS)
        if train.is_file() and test.is_file():
            return train, test
        for one, other in ((train, test), (test, train)):
            if one.is_file():
                raise DataError(f"{one} is there, but not {other.name}; put it beside the other")
    raise DataError(
        f"{path}: no {base}_TRAIN{suffixes[0]} and _TEST{suffixes[0]}"
        f"{''.join(f', nor {suffix}' for suffix in suffixes[1:])}; give the path of one of the "
        f"two, or the path without _TRAIN"
    )


def stem(path: Path) -> str:
    """The name of the task that a path means.

    >>> stem(Path("data/Vowels_TEST.ts")), stem(Path("data/Vowels"))
    ('Vowels', 'Vowels')
    """
    name = path.name.removesuffix(path.suffix) if path.suffix in READERS else path.name
    for part in PARTS:
        name = name.removesuffix(f"_{part}")
    return name


def parts(recorded: text.TimeSeries, tested: text.TimeSeries) -> tuple[Split, Split, Split]:
    """The three splits, standardised and padded."""
    kept, held_out = splits.stratified(recorded.labels, (0.8, 0.2), SEED)
    values = np.concatenate([recorded.series[n] for n in kept]).astype(np.float64)
    mean, std = values.mean(0), values.std(0)
    std[std == 0] = 1.0

    def split(part: text.TimeSeries, chosen: splits.Indices) -> Split:
        series = [torch.from_numpy((part.series[n] - mean) / std).float() for n in chosen.tolist()]
        labels = torch.tensor(part.labels)[torch.from_numpy(chosen)]
        return Split(pad_sequence(series), labels, torch.tensor([len(s) for s in series]))

    everything = np.arange(len(tested.labels))
    return split(recorded, kept), split(recorded, held_out), split(tested, everything)
