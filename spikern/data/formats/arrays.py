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
    """What files hold: parts by name, milliseconds per step, None if they do not say, whether they
    are events; of sounds, the sample rate."""

    parts: dict[str, TimeSeries]
    dt: float | None = None
    events: bool = False
    sample_rate: int | None = None


def read_npz(path: Path) -> Found:
    """Read a file. Raises DataError on one that is damaged or has other arrays."""
    with (
        foreign.parsed(path, "arrays of numpy"),
        open(path, "rb") as opened,
        np.load(opened, allow_pickle=False) as file,
    ):
        content = {name: _plain(path, name, file) for name in file.files}
    dt, events = content.pop("dt", None), content.pop("events", np.array(False))
    for name, value in (("dt", dt), ("events", events)):
        if value is not None and (value.ndim or value.dtype.kind not in NUMBERS):
            raise DataError(
                f"{path}: expected {name} as one number, got {value.dtype} {value.shape}"
            )
    names = content.pop("class_names", None)
    keys = {part: f"_{part}" for part in PARTS if f"x_{part}" in content} or {WHOLE: ""}
    if keys == {WHOLE: ""} and "x" not in content:
        raise DataError(
            f"{path}: expected x and y, or x_train and so on, got {', '.join(content) or 'nothing'}"
        )
    parts = {}
    for part, key in keys.items():
        x, y, lengths = (content.pop(f"{name}{key}", None) for name in ("x", "y", "lengths"))
        try:
            parts[part] = sequences(x, y, lengths, names)
        except ValueError as error:
            raise DataError(f"{path}, x{key} and y{key}: {error}") from error
    if content:
        raise DataError(f"{path}: expected x and y, or x_train and so on, got {', '.join(content)}")
    return Found(parts, None if dt is None else float(dt), bool(events))


def _plain(path: Path, name: str, file: Any) -> NDArray[Any]:
    """An array of a file; DataError for one of objects, such as rows of several lengths."""
    try:
        array: NDArray[Any] = file[name]
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise
        raise DataError(
            f"{path}: {name} is an array of objects; pad x with zeros to one length and give "
            f"lengths, make names an array of str"
        ) from error
    return array


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
    if x.dtype.kind == "f":
        x = x.astype(np.result_type(x, np.float32), copy=False)  # half precision has smaller limits
    count, steps = x.shape[:2]
    y = np.full(count, UNLABELLED) if y is None else y
    lengths = np.full(count, steps) if lengths is None else lengths
    if y.shape not in ((count,), (count, steps)) or lengths.shape != (count,):
        raise ValueError(
            f"expected y ({count},) or ({count}, {steps}) and lengths ({count},), got {y.shape} "
            f"and {lengths.shape}"
        )
    lengths = whole("lengths", lengths)
    if lengths.min() < 1 or lengths.max() > steps:
        raise ValueError(f"lengths must lie in 1..{steps}, got {lengths.min()}..{lengths.max()}")
    series = [own[:length] for own, length in zip(x, lengths)]
    if odd := [n for n, own in enumerate(series) if not (np.abs(own) <= ucr.LARGEST).all()]:
        raise ValueError(f"sequence {odd[0]} holds NaN, infinite or too large values; clean it")
    labelled = y != UNLABELLED if y.dtype.kind in NUMBERS else texts(y) != ""
    if y.ndim == 2:
        labelled &= np.arange(steps) < lengths[:, None]
    if names is None:
        own = np.array([ucr.class_name(each) for each in texts(y[labelled]).tolist()])
        classes = sorted(set(own.tolist()), key=ucr.by_number)
    else:
        own, classes = y[labelled], texts(names).tolist()
    places = places_of(own, classes)
    labels = np.full(y.shape, UNLABELLED)
    labels[labelled] = places
    every = [own[:length] for own, length in zip(labels, lengths)] if y.ndim == 2 else labels
    return TimeSeries(tuple(classes), series, list(every))


def places_of(own: NDArray[Any], classes: list[str]) -> NDArray[np.int64]:
    """Return the places of labels among the classes, by number or by name. Raises ValueError."""
    if own.dtype.kind in NUMBERS:
        places = whole("y", own.astype(np.int64) if own.dtype.kind == "b" else own)
        if places.size and not (places.min() >= 0 and places.max() < len(classes)):
            raise ValueError(f"y must lie in 0..{len(classes) - 1}, the number of class_names")
        return places
    named = texts(own).tolist()
    if unknown := sorted(set(named) - set(classes)):
        raise ValueError(f"expected y among class_names, {', '.join(classes)}, got {unknown[0]}")
    return np.array([classes.index(each) for each in named], np.int64)


def whole(name: str, values: NDArray[Any]) -> NDArray[np.int64]:
    """Return whole numbers of any type as int64. Raises ValueError for others.

    >>> whole("lengths", np.array([3.0, 4.0]))
    array([3, 4])
    """
    fits = np.abs(values) < 2**53 if values.dtype.kind in "iuf" else np.array(False)
    if not fits.all() or (values != np.floor(values)).any():
        raise ValueError(f"expected {name} as whole numbers, got {values.dtype} {values.shape}")
    return values.astype(np.int64)


def texts(values: NDArray[Any]) -> NDArray[np.str_]:
    """Return texts of labels; bytes are read as UTF-8. Raises ValueError for other bytes.

    >>> texts(np.array([b"up"])), texts(np.array([1]))
    (array(['up'], dtype='<U2'), array(['1'], dtype='<U21'))
    """
    return np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values.astype(np.str_)
