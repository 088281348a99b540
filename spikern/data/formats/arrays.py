"""Sequences as numpy arrays.

`.npz` has x (N, T, F) or (N, T), and y (N,), or (N, T) with one label per step and -100 where there
is none; or x_train and y_train, x_test and y_test, and perhaps x_validation and y_validation.

    y            names, or numbers, which count class_names if these are there
    class_names  (C,)
    lengths      (N,) valid steps; by part as lengths_train and so on; by default all
    dt           milliseconds per step; by default 1
    events       whether x is events in {-1, 0, 1}, which are left as they are; by default False

`.npy` has samples without labels, x (N, T, F), or one (T, F).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikern._utils import foreign
from spikern._utils.errors import DataError
from spikern.data.dataset import UNLABELLED
from spikern.data.formats import ucr
from spikern.data.formats.ucr import TimeSeries

PARTS = ("train", "validation", "test")
NUMBERS = "biuf"
"""The kinds of types that are real numbers: truth values, whole numbers, floats."""
WHOLE = "all"
"""The part of sequences that come without parts."""


class Found(NamedTuple):
    """What files hold: parts by name, milliseconds per step, whether they are events; of sounds,
    the sample rate."""

    parts: dict[str, TimeSeries]
    dt: float = 1.0
    events: bool = False
    sample_rate: int | None = None


def read_npz(path: Path) -> Found:
    """Read a file. Raises DataError on one that is damaged or has other arrays."""
    with foreign.parsed(path, "arrays of numpy"), open(path, "rb") as opened:
        with np.load(opened, allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
        dt, events = float(content.pop("dt", 1.0)), bool(content.pop("events", False))
    names = content.pop("class_names", None)
    keys = {part: f"_{part}" for part in PARTS if f"x_{part}" in content} or {WHOLE: ""}
    parts = {}
    for part, key in keys.items():
        x, y, lengths = (content.pop(f"{name}{key}", None) for name in ("x", "y", "lengths"))
        try:
            parts[part] = sequences(x, y, lengths, names)
        except ValueError as error:
            raise DataError(f"{path}, x{key} and y{key}: {error}") from error
    if content:
        raise DataError(f"{path}: expected x and y, or x_train and so on, got {', '.join(content)}")
    return Found(parts, dt, events)


def read_npy(path: Path) -> list[NDArray[Any]]:
    """Read samples without labels. Raises DataError on a damaged file."""
    with foreign.parsed(path, "an array of numpy"):
        x = np.load(path, allow_pickle=False)
    if x.dtype.kind not in NUMBERS:
        raise DataError(f"{path}: expected numbers (N, T, F) or (T, F), got {x.dtype} {x.shape}")
    return list(x) if x.ndim == 3 else [x]


def sequences(x: Any, y: Any, lengths: Any, names: Any) -> TimeSeries:
    """Return the sequences of arrays. Raises ValueError if they do not fit."""
    if x is None or x.ndim not in (2, 3) or not x.size or x.dtype.kind not in NUMBERS:
        raise ValueError(
            f"expected numbers x (N, T, F) or (N, T), got "
            f"{'nothing' if x is None else f'{x.dtype} {x.shape}'}"
        )
    x = x.reshape(*x.shape[:2], -1)
    count, steps = x.shape[:2]
    y = np.full(count, UNLABELLED) if y is None else y
    lengths = np.full(count, steps) if lengths is None else lengths
    if y.shape not in ((count,), (count, steps)) or lengths.shape != (count,):
        raise ValueError(
            f"expected y ({count},) or ({count}, {steps}) and lengths ({count},), got {y.shape} "
            f"and {lengths.shape}"
        )
    if lengths.min() < 1 or lengths.max() > steps:
        raise ValueError(f"lengths must lie in 1..{steps}, got {lengths.min()}..{lengths.max()}")
    series = [own[:length] for own, length in zip(x, lengths)]
    if odd := [n for n, own in enumerate(series) if not (np.abs(own) <= ucr.LARGEST).all()]:
        raise ValueError(f"sequence {odd[0]} holds NaN, infinite or too large values; clean it")
    labelled = y != UNLABELLED if y.dtype.kind in "iu" else y != ""
    if names is None:
        classes = sorted({ucr.class_name(str(own)) for own in y[labelled]}, key=ucr.by_number)
        texts = np.array([ucr.class_name(str(own)) for own in y[labelled]])
        places = np.array([classes.index(own) for own in texts], np.int64)
    else:
        classes, places = [str(name) for name in names], y[labelled]
        if places.dtype.kind not in "iu":
            places = np.array([classes.index(str(own)) for own in places], np.int64)
        if places.size and not (places.min() >= 0 and places.max() < len(classes)):
            raise ValueError(f"y must lie in 0..{len(classes) - 1}, the number of class_names")
    labels = np.full(y.shape, UNLABELLED)
    labels[labelled] = places
    every = [own[:length] for own, length in zip(labels, lengths)] if y.ndim == 2 else labels
    return TimeSeries(tuple(classes), series, list(every))
