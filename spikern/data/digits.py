"""Handwritten digits, pixel by pixel: 1,797 images as 64 steps of one feature.

The images are the test part of the UCI set, 8 x 8 counts of 0..16, scaled to 0..1, row by row. They
come with scikit-learn, which has no split; here it is 70 / 10 / 20 per cent of every class with a
fixed seed. The writers are not named, so one writer may be in more than one part.
"""

from __future__ import annotations

import torch

from spikern.data import splits
from spikern.data.catalogue import DATASETS
from spikern.data.dataset import Dataset, Split
from spikern.data.transforms import Transform, transformed

SEED = 0
DT = 4.0
"""Milliseconds per pixel, so that a default neuron, 20 ms, remembers half a row."""
TRANSFORMS = (Transform("divide", {"by": 16}),)


def load() -> Dataset:
    """Load the data set.

    >>> load().train.x.shape
    torch.Size([64, 1258, 1])
    """
    from sklearn.datasets import load_digits  # takes a second, and no other dataset needs it

    pixels, labels = load_digits(return_X_y=True)
    x = torch.from_numpy(transformed(TRANSFORMS, pixels.T[..., None])[0])
    y = torch.from_numpy(labels).long()
    train, validation, test = (
        Split(x[:, part].contiguous(), y[part], torch.full((len(part),), len(x)))
        for part in splits.stratified(labels, (0.7, 0.1, 0.2), SEED)
    )
    return Dataset(
        "digits", DATASETS["digits"].title, train, validation, test,
        class_names=tuple("0123456789"), every_step=False, events=False, dt=DT,
        source="UCI Optical Recognition of Handwritten Digits (Alpaydin and Kaynak 1998), "
        "as in scikit-learn",
        licence="CC BY 4.0", transforms=TRANSFORMS,
    )  # fmt: skip
