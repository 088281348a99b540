"""The Heidelberg spiking data sets: spoken words as events of 700 channels of a cochlea model.

Spiking Heidelberg Digits (SHD): which of 20 digits, in German and English. The files have a train
and a test part, the latter with two speakers of its own. The validation part here is all recordings
of two speakers of the train part, drawn with a fixed seed, so that model selection too uses voices
that are not in training.

Spiking Speech Commands (SSC): which of 35 words; the three parts of the files. It is the largest
data set here: an event takes 8 bytes in memory, and as much again while it is read.

Source: Cramer, Stradmann, Schemmel and Zenke, The Heidelberg spiking data sets for the systematic
evaluation of spiking neural networks, IEEE TNNLS 33, 2744-2757 (2022).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spikern._utils.errors import DataError
from spikern.data import files, splits
from spikern.data.catalogue import DATASETS
from spikern.data.dataset import Dataset
from spikern.data.formats import spike_hdf5

SEED = 0
DT = 4.0
"""Milliseconds per step: the longest digits have about 350 steps, a word of one second 250."""
HELD_OUT = 2
"""Speakers of SHD's validation part."""
HOME = "https://zenkelab.org/datasets"
LICENCE = "CC BY 4.0"


def shd() -> Dataset:
    """Load SHD from shd_train and shd_test, .h5 or .h5.gz, in the folder shd."""
    path = locate("shd_train")
    recordings = spike_hdf5.read(path, DT)
    if recordings.speakers is None:
        raise DataError(f"{path}: expected extra/speaker, which the validation part is made by")
    names = np.unique(recordings.speakers)
    if len(names) <= HELD_OUT:
        raise DataError(f"{path}: expected more than {HELD_OUT} speakers, got {len(names)}")
    kept = np.isin(recordings.speakers, names[splits.order(len(names), SEED)[HELD_OUT:]])
    test = spike_hdf5.read(locate("shd_test"), DT)
    return Dataset(
        "shd", DATASETS["shd"].title,
        train=recordings.split(np.flatnonzero(kept)),
        validation=recordings.split(np.flatnonzero(~kept)),
        test=test.split(),
        class_names=class_names(recordings, test), every_step=False, events=True, dt=DT,
        source="Spiking Heidelberg Digits (Cramer et al. 2022), zenkelab.org", licence=LICENCE,
    )  # fmt: skip


def ssc() -> Dataset:
    """Load SSC from ssc_train, ssc_valid and ssc_test, .h5 or .h5.gz, in the folder ssc."""
    train, validation, test = (
        spike_hdf5.read(locate(f"ssc_{part}"), DT) for part in ("train", "valid", "test")
    )
    return Dataset(
        "ssc", DATASETS["ssc"].title, train.split(), validation.split(), test.split(),
        class_names=class_names(train, validation, test), every_step=False, events=True, dt=DT,
        source="Spiking Speech Commands (Cramer et al. 2022), zenkelab.org", licence=LICENCE,
    )  # fmt: skip


def class_names(*parts: spike_hdf5.Recordings) -> tuple[str, ...]:
    """Return the names that all parts give their classes; DataError if they differ."""
    names = list(dict.fromkeys(part.class_names for part in parts))
    if len(names) > 1:
        raise DataError(f"the files list different classes: {names[0]} and {names[1]}")
    return names[0]


def locate(name: str) -> Path:
    """Return the file NAME.h5, or NAME.h5.gz as it is downloaded, in the folder of its data set.

    The home publishes MD5 sums that could not be checked against the files, so none is held here:
    gzip's own checksum detects damage, and `spike_hdf5.read` checks the content.
    """
    folder = name.split("_")[0]
    plain = files.find(f"{folder}/{name}.h5")
    if plain is not None:
        return plain
    packed = f"{name}.h5.gz"
    return files.locate(f"{folder}/{packed}", f"{HOME}/{packed}", None, f"{packed}, from {HOME}")
