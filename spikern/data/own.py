"""Your own data: files and folders as a data set, and as samples for a network.

    NAME_TRAIN.ts, NAME_TEST.ts   also .tsv and .csv; with the path of either, or of NAME
    NAME.csv                      also .ts and .tsv
    NAME.npz                      x and y, or those of each part; see `formats.arrays`
    NAME/CLASS/*.wav              or NAME/train/CLASS/*.wav and NAME/test/CLASS/*.wav

Sequences that come without parts are cut into 70 / 10 / 20 per cent of every class with a fixed
seed; of a train part without validation, a fifth of every class is held out. Analog features are
standardised by the mean and deviation of the train part; shorter sequences are padded with zeros.
A sound becomes the log-mel spectrogram of `fsdd`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils.rnn import pad_sequence

from spikern._utils import foreign
from spikern._utils.errors import DataError, InputError
from spikern.data import fsdd, splits
from spikern.data.catalogue import SUFFIXES
from spikern.data.dataset import UNLABELLED, Dataset, Split
from spikern.data.formats import arrays, table, ucr
from spikern.data.formats.arrays import PARTS, WHOLE, Found
from spikern.data.formats.sound import WINDOW, read_sound, read_wav
from spikern.data.formats.ucr import TimeSeries
from spikern.data.task import Prediction, Task
from spikern.data.transforms import SOUND, TEXT, Transform, standardising, transformed

SEED = 0
FRACTIONS = {WHOLE: (0.7, 0.1, 0.2), "train": (0.8, 0.2)}
"""Of the train, validation and test part."""
DT = 1.0
"""Milliseconds per step where the files do not say."""
READERS = {".ts": ucr.read_ts, ".tsv": ucr.read_tsv, ".csv": table.read_csv}

Parts = tuple[Split, Split, Split]


def load(path: Path) -> Dataset:
    """Load the data set of a path. Raises DataError on files that are missing, wrong or too few."""
    found = read(path)
    parts = of_one_kind(path, found.parts)
    first: tuple[Transform, ...] = ()
    if found.sample_rate is not None:
        mel = {
            "sample_rate": found.sample_rate,
            "hop": fsdd.DT,
            "bands": fsdd.BANDS,
            "window": WINDOW,
        }
        first = (Transform("log_mel", mel),)
        parts = {
            name: part._replace(series=[transformed(first, s)[0] for s in part.series])
            for name, part in parts.items()
        }
    (train, validation, test), last = split_and_standardise(path, parts, found.events)
    name = stem(path.resolve())
    return Dataset(
        name, f"{name}, from {path}", train, validation, test,
        class_names=next(iter(parts.values())).class_names, every_step=train.y.ndim == 2,
        events=found.events, dt=DT if found.dt is None else found.dt, source=str(path),
        licence="not stated in the files", transforms=(*first, *last),
    )  # fmt: skip


def read(path: Path) -> Found:
    """Read the parts of a path, as they are in the files."""
    if path.is_dir():
        return read_folder(path)
    if path.suffix.lower() == ".npz":
        return arrays.read_npz(path)
    return Found({n: READERS[file.suffix.lower()](file) for n, file in files_of(path).items()})


def files_of(path: Path) -> dict[str, Path]:
    """Return the train and the test file of a path, or the one file of all sequences.

    >>> files_of(Path("nowhere/Vowels"))
    Traceback (most recent call last):
    spikern.DataError: nowhere/Vowels: no such file or folder, nor nowhere/Vowels_TRAIN and _TEST \
with .ts, .tsv, .csv; give a file .ts, .tsv, .csv, .npz, or a folder CLASS/*.wav
    """
    named = path.suffix.lower() in READERS
    base = path.parent / stem(path)
    if path.is_file() and not named:
        raise DataError(f"{path}: expected a file {', '.join(SUFFIXES)}; get it in one of them")
    if path.is_file() and base.name == path.stem:
        return {WHOLE: path}
    suffixes = [path.suffix] if named else [*READERS, *(suffix.upper() for suffix in READERS)]
    for suffix in suffixes:
        found = {
            part: file
            for part in ("train", "test")
            if (file := base.with_name(f"{base.name}_{part.upper()}{suffix}")).is_file()
        }
        if len(found) == 1:
            (present,) = found.values()
            raise DataError(
                f"{present} is there, but not its other half; put _TRAIN and _TEST side by side, "
                f"or name a file of all sequences without them"
            )
        if found:
            return found
    raise DataError(
        f"{path}: no such file or folder, nor {base}_TRAIN and _TEST with "
        f"{', '.join([path.suffix] if named else READERS)}; give a file {', '.join(SUFFIXES)}, "
        f"or a folder CLASS/*.wav"
    )


def stem(path: Path) -> str:
    """Return the name of the task of a path.

    >>> stem(Path("data/Vowels_TEST.ts")), stem(Path("data/Vowels"))
    ('Vowels', 'Vowels')
    """
    name = path.stem if path.suffix.lower() in SUFFIXES else path.name
    return name.removesuffix("_TRAIN").removesuffix("_TEST")


def is_wav(path: Path) -> bool:
    """Whether a file is called a sound; recorders write .WAV, too."""
    return path.suffix.lower() == ".wav"


def read_folder(path: Path) -> Found:
    """Read the sounds CLASS/*.wav of a folder, or of its folders train, test and validation."""
    parts = [part for part in PARTS if (path / part).is_dir()]
    roots = {part: path / part for part in parts} if "train" in parts else {WHOLE: path}
    rates: dict[int, Path] = {}
    read = {}
    for part, root in roots.items():
        files = [file for file in sorted(root.glob("*/*")) if is_wav(file)]
        if not files:
            raise DataError(f"{root}: expected wav files in a folder per class, CLASS/*.wav")
        names = sorted({file.parent.name for file in files}, key=ucr.by_number)
        series = []
        for file in files:
            rate, sound = read_sound(file)
            rates.setdefault(rate, file)
            series.append(sound[:, None])
        read[part] = TimeSeries(tuple(names), series, [names.index(f.parent.name) for f in files])
    if len(rates) > 1:
        several = ", ".join(f"{rate} in {file}" for rate, file in rates.items())
        raise DataError(f"{path}: expected one sample rate, got {several}; resample them to one")
    return Found(read, dt=fsdd.DT, sample_rate=next(iter(rates)))


def of_one_kind(path: Path, parts: Mapping[str, TimeSeries]) -> dict[str, TimeSeries]:
    """Return parts whose labels count the classes of the first, train; DataError if they differ."""
    first = next(iter(parts.values()))
    names = first.class_names
    if WHOLE not in parts and not {"train", "test"} <= parts.keys():
        raise DataError(f"{path}: expected a train and a test part, got {', '.join(parts)}")
    for name, part in parts.items():
        unlabelled = [n for n, label in enumerate(part.labels) if np.all(label == UNLABELLED)]
        if unlabelled:
            raise DataError(f"{path}, {name}: sequence {unlabelled[0]} has no label; give each one")
        if unknown := sorted(set(part.class_names) - set(names)):
            raise DataError(
                f"{path}, {name}: expected the classes of train, got others: {', '.join(unknown)}"
            )
    if len(names) < 2:
        raise DataError(
            f"{path}: all sequences are of the class {names[0]}: there is nothing to tell apart"
        )
    answers = sum(np.size(label) for part in parts.values() for label in part.labels)
    if len(names) > answers / 2 and any(map(is_fraction, names)):
        raise DataError(
            f"{path}: labels such as {names[0]} and {names[1]} are real numbers, nearly each its "
            f"own; spikern classifies, so make classes of them, such as ranges"
        )
    features = {series.shape[1] for part in parts.values() for series in part.series}
    if len(features) > 1:
        raise DataError(f"{path}: expected one number of features, got {sorted(features)}")
    place = {UNLABELLED: UNLABELLED}
    result = {}
    for name, part in parts.items():
        place |= {k: names.index(n) for k, n in enumerate(part.class_names)}
        labels = [np.vectorize(place.get, otypes=[np.int64])(label) for label in part.labels]
        result[name] = TimeSeries(names, part.series, labels)
    return result


def is_fraction(name: str) -> bool:
    """Whether the name of a class is a number that is not whole.

    >>> is_fraction("0.25"), is_fraction("3"), is_fraction("up")
    (True, False, False)
    """
    try:
        return float(name) % 1 != 0
    except ValueError:
        return False


def split_and_standardise(
    path: Path, parts: Mapping[str, TimeSeries], events: bool = False
) -> tuple[Parts, tuple[Transform, ...]]:
    """Return train, validation and test split, padded, and the transform that standardises them."""
    chosen = {name: (part, np.arange(len(part.series))) for name, part in parts.items()}
    for name, fractions in FRACTIONS.items():
        if name in parts and "validation" not in parts:
            part = parts[name]
            # Sequences with a label at every step are of no one class.
            labels = [0 if np.ndim(label) else int(label) for label in part.labels]
            cut = splits.stratified(labels, fractions, SEED)
            chosen |= {own: (part, indices) for own, indices in zip(PARTS, cut)}
    for own in PARTS:
        part, indices = chosen[own]
        if len(indices) == 0:
            raise DataError(
                f"{path}: {len(part.series)} sequences of {len(part.class_names)} classes are too "
                f"few for a train, validation and test part; give more, or each part"
            )
    picked = {own: [chosen[own][0].series[n] for n in chosen[own][1]] for own in PARTS}
    last = () if events else (standardising(np.concatenate(picked["train"])),)

    def split(own: str) -> Split:
        x = [torch.tensor(transformed(last, series)[0]) for series in picked[own]]
        part, indices = chosen[own]
        y = [torch.as_tensor(part.labels[n]) for n in indices]
        labels = pad_sequence(y, padding_value=UNLABELLED) if y[0].ndim else torch.stack(y)
        return Split(pad_sequence(x), labels, torch.tensor([len(series) for series in x]))

    return (split("train"), split("validation"), split("test")), last


class Samples(NamedTuple):
    """Raw readings for a network, with a name each, and the names of their classes.

    A label is "" where there is none; at every step, it is an array of names.
    """

    names: list[str]
    readings: list[Any]
    labels: list[Any]

    def rows(self, prediction: Prediction) -> list[dict[str, Any]]:
        """Return each answer as the name of its sample, the step if there are several, the class
        and its probability."""
        names, best = prediction.names.T, prediction.probabilities.max(-1).T
        return [
            {"sample": self.names[n], **({"step": int(step[0])} if step else {})}
            | {"name": str(names[n, *step]), "probability": round(float(best[n, *step]), 4)}
            for n, *step in np.argwhere(names != "")
        ]

    def accuracy(self, prediction: Prediction) -> float | None:
        """Return the share of labels that are answered right; None without labels."""
        names = prediction.names
        labels: NDArray[Any] = np.full(names.shape, "", object)
        for own, label in zip(labels.T[:, None], self.labels):  # (1,) or (1, T)
            if np.ndim(label) and own.shape < (1, len(label)):
                raise InputError(f"expected a label per sequence, got {len(label)}, one per step")
            own[..., : np.size(label) if np.ndim(label) else None] = label
        labelled = (labels != "") & (names != "")
        return float((names == labels)[labelled].mean()) if labelled.any() else None


def check_known(path: Path, labels: Iterable[str], task: Task) -> None:
    """Raise DataError for a label that is no class of a task."""
    if unknown := sorted(set(labels) - set(task.class_names)):
        raise DataError(
            f"{path}: the labels {', '.join(unknown)} are not classes of the network, which are "
            f"{', '.join(task.class_names)}; give no label where none is known"
        )


def samples(path: str | Path, task: Task) -> Samples:
    """Read the samples of a file or a folder of wav files, as a network with this task takes them.

    Of parts in one file, those of test. Sounds in folders of which none is named as a class have no
    labels. Raises DataError on files that do not suit the task, and on labels that it does not
    know.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if path.is_dir() or suffix == ".wav":
        sound = task.first(SOUND)
        if sound is None:
            raise DataError(f"{path}: the network was trained on {task.dataset}, not on sound")
        files = sorted(filter(is_wav, path.rglob("*"))) if path.is_dir() else [path]
        if not files:
            raise DataError(f"{path}: expected wav files in it, got none")
        names = [str(file.relative_to(path)) if path.is_dir() else file.name for file in files]
        folders = [file.parent.name for file in files]
        labels = [name if name in task.class_names else "" for name in folders]
        if any(labels):
            check_known(path, [file.parent.name for file in files if file.parent != path], task)
        rate = sound.parameters["sample_rate"]
        return Samples(names, [read_wav(file, rate) for file in files], labels)
    if suffix == ".txt":
        if task.first(TEXT) is None:
            raise DataError(f"{path}: the network was trained on {task.dataset}, not on text")
        with foreign.parsed(path, "text in UTF-8"):
            return Samples([path.name], [path.read_text(encoding="utf-8-sig")], [""])
    if suffix == ".npy":
        series = arrays.read_npy(path)
        return Samples([str(n) for n in range(len(series))], series, [""] * len(series))
    if suffix == ".npz":
        found = arrays.read_npz(path)
        if found.dt is not None and not math.isclose(found.dt, task.dt, rel_tol=1e-6):
            raise DataError(
                f"{path}: its steps last {found.dt:g} ms, those of the network {task.dt:g} ms; "
                f"resample it"
            )
        part = found.parts.get("test", next(iter(found.parts.values())))
    elif suffix in READERS:
        part = READERS[suffix](path)
        numbers = all(ucr.by_number(name)[0] < np.inf for name in task.class_names)
        if suffix == ".csv" and numbers and not table.header_of(ucr.read_lines(path)):
            raise DataError(
                f"{path}: the classes of the network are numbers, so the first cell of a row may "
                f"be a label or a reading; put a line label,t0,t1,... first, and leave the cell of "
                f"a label empty where there is none"
            )
    else:
        raise DataError(
            f"{path}: expected a file {', '.join(SUFFIXES)}, .npy, .wav, .txt, or a folder of wav "
            f"files"
        )
    check_known(path, part.class_names, task)
    named = np.array([*part.class_names, ""])
    own = [named[np.where(np.equal(k, UNLABELLED), -1, k)] for k in part.labels]
    return Samples([str(n) for n in range(len(own))], part.series, own)
