"""Logistic regression on the raw sequence: what a classifier without recurrence reaches.

A network that is not above it has not shown that its recurrence is of use.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import pad

from spikern.data.dataset import UNLABELLED, Dataset, Split
from spikern.data.splits import spread

FEATURES = 1_000
"""Longer sequences are averaged over bins of steps until they have at most this many features."""
ANSWERS = 5_000
"""At most this many training answers are learned from, the same share of every class."""
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
"""Values of scikit-learn's C; the one with the best validation accuracy is tested."""
BATCH = 256


def logistic_regression(dataset: Dataset) -> dict[str, Any]:
    """Train, choose C on validation, test once; the entry of results.json.

    Its input is the whole sequence, zero past its end, or where every step has a label that step
    alone.

    >>> from spikern.data import load
    >>> entry = logistic_regression(load("digits"))
    >>> entry["features"], 0.94 < entry["test_accuracy"] < 0.99
    (64, True)
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    steps = len(dataset.train.x)
    width = 1 if dataset.every_step else -(-steps * dataset.input_size // FEATURES)
    x, y = answers_of(dataset.train, steps, width)
    chosen = spread(y, min(ANSWERS, len(y)))
    scaler = StandardScaler()
    scaled = scaler.fit_transform(x[chosen])
    validation, test = (
        (scaler.transform(a), b)
        for a, b in (answers_of(part, steps, width) for part in (dataset.validation, dataset.test))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # validation judges it as it is
        fitted = [
            LogisticRegression(C=penalty, max_iter=200).fit(scaled, y[chosen])
            for penalty in PENALTIES
        ]
    model = max(fitted, key=lambda model: model.score(*validation))
    return {
        "test_accuracy": float(model.score(*test)),
        "validation_accuracy": float(model.score(*validation)),
        "C": model.C,
        "features": x.shape[1],
        "bin": width,
        "answers": len(chosen),
    }


def answers_of(
    split: Split, steps: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The features and the label of every answer; sequences are cut or padded to `steps`.

    >>> split = Split(torch.ones(4, 1, 2), torch.tensor([7]), torch.tensor([4]))
    >>> answers_of(split, 3, 2)
    (array([[1. , 1. , 0.5, 0.5]], dtype=float32), array([7]))
    """
    rows, labels = [], []
    for indices in torch.split(torch.arange(len(split)), BATCH):
        batch = split.batch(indices)
        x, y = batch.x, batch.y
        if y.ndim == 2:
            x, y = x[y != UNLABELLED], y[y != UNLABELLED]
        else:
            bins = -(-steps // width)
            x = pad(x[:steps], (0, 0, 0, 0, 0, bins * width - min(steps, len(x))))
            x = x.view(bins, width, *x.shape[1:]).mean(1).transpose(0, 1).flatten(1)
        rows.append(x.numpy())
        labels.append(y.numpy())
    return np.concatenate(rows), np.concatenate(labels)
