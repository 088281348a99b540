"""Spiking Speech Commands: which of 35 words, from 700 channels; the files' own three parts.

The largest set here: an event takes 8 bytes in memory, and making it takes about as much again.
"""

from __future__ import annotations

from spikern.data.dataset import Dataset
from spikern.data.formats import heidelberg

TITLE = "Spiking Speech Commands: the spoken word"
FILES = ("ssc/ssc_train.h5", "ssc/ssc_valid.h5", "ssc/ssc_test.h5")
DT = 4.0
"""Milliseconds a step: a recording of a second has 250."""


def load() -> Dataset:
    """The dataset, from ssc_train, ssc_valid and ssc_test, .h5 or .h5.gz, in the folder ssc."""
    train, validation, test = (
        heidelberg.read(heidelberg.locate(f"ssc_{part}"), DT) for part in ("train", "valid", "test")
    )
    return Dataset(
        name="ssc",
        title=TITLE,
        train=train.split(),
        validation=validation.split(),
        test=test.split(),
        class_names=train.class_names,
        every_step=False,
        events=True,
        source="Spiking Speech Commands (Cramer et al. 2022), zenkelab.org",
        licence=heidelberg.LICENCE,
        dt=DT,
    )
