"""What is known of every data set before it is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from spikern._utils.choices import check_choice
from spikern.data.files import find

ARCHIVE = "ts:"
"""Prefix that a path may have."""
SUFFIXES = (".ts", ".tsv", ".csv", ".npz")
"""Of the files of your own data; a folder of wav files is data too."""
TURNS = range(1, 6)
"""The turns of the spoken digits in which the other speakers are tested."""
DELAYS = (5, 20, 80, 320)
"""The delays of the copy tasks in steps."""
_MNIST = tuple(
    f"mnist/{part}-{what}-ubyte.gz"
    for part in ("train", "t10k")
    for what in ("images-idx3", "labels-idx1")
)
_QTDB = ("qtdb/QTDB_train.mat", "qtdb/QTDB_test.mat")
_RECORDINGS = ("fsdd/recordings",)
_SPOKEN = "Free Spoken Digits: the digit"
_WAVES = "QT database: the waves of an ECG, step by step"


class Entry(NamedTuple):
    """The title of a data set and its original files."""

    title: str
    files: tuple[str, ...] = ()

    def missing(self) -> list[str]:
        """Return the original files that are not available, plain or packed with gzip."""
        return [n for n in self.files if not (find(n) or find(f"{n}.gz"))]


DATASETS = {
    **{f"copy_{d}": Entry(f"Copy two symbols after a delay of {d} steps") for d in DELAYS},
    "digits": Entry("Handwritten digits, pixel by pixel"),
    "fsdd": Entry(_SPOKEN, _RECORDINGS),
    "fsdd_events": Entry(f"{_SPOKEN}, from events", _RECORDINGS),
    "fsdd_speakers": Entry(f"{_SPOKEN}, of unknown speakers", _RECORDINGS),
    **{
        f"fsdd_speakers_{k}": Entry(f"{_SPOKEN}, of unknown speakers, turn {k}", _RECORDINGS)
        for k in TURNS
    },
    "fsdd_speakers_events": Entry(f"{_SPOKEN}, of unknown speakers, from events", _RECORDINGS),
    "japanese_vowels": Entry(
        "Japanese vowels: the speaker of /ae/",
        ("japanese_vowels/JapaneseVowels_TRAIN.ts", "japanese_vowels/JapaneseVowels_TEST.ts"),
    ),
    "psmnist": Entry("MNIST, pixel by pixel in a fixed random order", _MNIST),
    "qtdb": Entry(_WAVES, _QTDB),
    "qtdb_all_steps": Entry(f"{_WAVES}, those without a label as class 0", _QTDB),
    "shd": Entry(
        "Spiking Heidelberg Digits: the spoken digit", ("shd/shd_train.h5", "shd/shd_test.h5")
    ),
    "smnist": Entry("MNIST, pixel by pixel", _MNIST),
    "ssc": Entry(
        "Spiking Speech Commands: the spoken word",
        ("ssc/ssc_train.h5", "ssc/ssc_valid.h5", "ssc/ssc_test.h5"),
    ),
    "tinyshakespeare": Entry("tinyshakespeare: the next character", ("tinyshakespeare/input.txt",)),
}


def own_path(name: str) -> Path | None:
    """Return the path that a text means which names no data set; None if it looks like no path.

    >>> own_path("ts:Mine_TRAIN.ts"), own_path("./mine"), own_path("digits")
    (PosixPath('Mine_TRAIN.ts'), PosixPath('mine'), None)
    """
    path = Path(name.removeprefix(ARCHIVE))
    given = name.startswith(ARCHIVE) or len(Path(name).parts) > 1 or name.startswith(".")
    known = path.suffix.lower() in SUFFIXES or path.exists()
    return path if name not in DATASETS and (given or known) else None


def check_dataset(name: str) -> None:
    """Raise InputError unless `load` knows the name."""
    if own_path(name) is None:
        check_choice("dataset", name, [*DATASETS, "PATH"])
