"""Spiking Heidelberg Digits: which of 20 digits, in German and English, from 700 channels.

The files' own split has train and test, with two speakers in the test part alone. The validation
part here is all recordings of two speakers of the train part, drawn with a fixed seed, so that
selection too looks at voices that training has not heard.
"""

from __future__ import annotations

import numpy as np

from spikern._utils.errors import DataError
from spikern.data import splits
from spikern.data.dataset import Dataset
from spikern.data.formats import heidelberg

TITLE = "Spiking Heidelberg Digits: the spoken digit"
FILES = ("shd/shd_train.h5", "shd/shd_test.h5")
SEED = 0
DT = 4.0
"""Milliseconds a step: the longest recordings have about 350."""
HELD_OUT = 2
"""Speakers of the validation part."""


def load() -> Dataset:
    """The dataset, from shd_train and shd_test, .h5 or .h5.gz, in the folder shd."""
    path = heidelberg.locate("shd_train")
    recorded = heidelberg.read(path, DT)
    if recorded.speakers is None:
        raise DataError(f"{path}: expected extra/speaker, which the validation part is made by")
    names = np.unique(recorded.speakers)
    if len(names) <= HELD_OUT:
        raise DataError(f"{path}: expected more than {HELD_OUT} speakers, got {len(names)}")
    heard = np.isin(recorded.speakers, names[splits.order(len(names), SEED)[HELD_OUT:]])
    return Dataset(
        name="shd",
        title=TITLE,
        train=recorded.split(np.flatnonzero(heard)),
        validation=recorded.split(np.flatnonzero(~heard)),
        test=heidelberg.read(heidelberg.locate("shd_test"), DT).split(),
        class_names=recorded.class_names,
        every_step=False,
        events=True,
        source="Spiking Heidelberg Digits (Cramer et al. 2022), zenkelab.org",
        licence=heidelberg.LICENCE,
        dt=DT,
    )
