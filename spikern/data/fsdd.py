"""Free Spoken Digits: the digit of a recording; 6 speakers, 50 recordings per digit, 8 kHz.

There are two splits. In the official one, the recordings 0 to 4 of every speaker and digit are the
test part, so all its voices are known from training; a ninth of the rest, drawn with a fixed seed,
is the validation part. In the harder one, one speaker is the test part and another the validation
part, in an order drawn with a fixed seed; in six turns each speaker is tested once.

The input is a log-mel spectrogram or events. The spectrogram has 40 bands every 10 ms, standardised
by the mean and standard deviation of the train part. The events resemble those of a cochlea: every
4 ms, the loudness of each band above silence drives a unit that integrates and fires.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from spikern._utils.errors import DataError
from spikern.data import files, splits
from spikern.data.catalogue import DATASETS
from spikern.data.dataset import Dataset, Split
from spikern.data.formats.sound import WINDOW, Sound, read_wav
from spikern.data.transforms import Transform, standardising, transformed
from spikern.events.trains import Events

FOLDER = "fsdd/recordings"
SEED = 0
SAMPLE_RATE = 8000
BANDS = 40
DT = 10.0
"""Milliseconds per step of the spectrogram."""
DT_EVENTS = 4.0
"""Milliseconds per step of the events."""
HIGHEST_RATE = 0.5
"""Events per step of a band at full scale: one every 8 ms."""
MEL = Transform(
    "log_mel", {"sample_rate": SAMPLE_RATE, "hop": DT, "bands": BANDS, "window": WINDOW}
)
COCHLEA = Transform(
    "cochlea",
    {
        "sample_rate": SAMPLE_RATE, "hop": DT_EVENTS, "bands": BANDS, "window": WINDOW,
        "highest_rate": HIGHEST_RATE,
    },
)  # fmt: skip
SHA256 = "1801eae019c063377d98f831d3f93574f259475df7332bb0e3d1b080fb5e6959"
"""The `digest` of all recordings."""
HOME = "https://github.com/Jakobovski/free-spoken-digit-dataset"
NAME = re.compile(r"(\d)_([a-z]+)_(\d+)\.wav")


class Recordings(NamedTuple):
    """Sounds with their digit, speaker and number, in the order of their names."""

    sounds: list[Sound]
    digits: Tensor
    speakers: list[str]
    numbers: list[int]


Parts = tuple[splits.Indices, splits.Indices, splits.Indices]


def spectrograms(name: str, cut: Callable[[Recordings], Parts]) -> Dataset:
    """Load the data set with a split, as log-mel spectrograms."""
    recordings = read(locate())
    spectra = [transformed([MEL], sound)[0] for sound in recordings.sounds]
    parts = cut(recordings)
    standard = standardising(np.concatenate([spectra[n] for n in parts[0]]))

    def split(chosen: splits.Indices) -> Split:
        x = [torch.from_numpy(transformed([standard], spectra[n])[0]) for n in chosen.tolist()]
        lengths = torch.tensor([len(part) for part in x])
        return Split(pad_sequence(x), recordings.digits[chosen], lengths)

    return dataset(name, [split(part) for part in parts], DT, False, (MEL, standard))


def as_events(name: str, cut: Callable[[Recordings], Parts]) -> Dataset:
    """Load the data set with a split, as events."""
    recordings = read(locate())
    trains = [torch.from_numpy(transformed([COCHLEA], s)[0]).byte() for s in recordings.sounds]

    def split(chosen: splits.Indices) -> Split:
        x = [trains[n] for n in chosen.tolist()]
        lengths = torch.tensor([len(part) for part in x])
        events = Events.from_dense(pad_sequence(x))
        return Split(events, recordings.digits[chosen], lengths)

    return dataset(name, [split(part) for part in cut(recordings)], DT_EVENTS, True, (COCHLEA,))


def official_split(recordings: Recordings) -> Parts:
    """Split by number: 0 to 4 are the test part, a ninth of the others the validation part."""
    numbers = np.array(recordings.numbers)
    rest = np.flatnonzero(numbers >= 5)
    groups = [f"{recordings.speakers[n]} {int(recordings.digits[n])}" for n in rest.tolist()]
    group = np.unique(groups, return_inverse=True)[1]
    kept, held_out = splits.stratified(group.tolist(), (8, 1), SEED)
    return rest[kept], rest[held_out], np.flatnonzero(numbers < 5)


def speaker_split(recordings: Recordings, turn: int = 0) -> Parts:
    """Split by speaker: one is the test part, the next one in a drawn order the validation part.

    Each is tested in one of as many turns as there are speakers.
    """
    names = np.unique(recordings.speakers)
    order = np.roll(splits.order(len(names), SEED), -turn)
    test_speaker, validation_speaker = names[order[:2]]
    speaker = np.array(recordings.speakers)
    test, validation = speaker == test_speaker, speaker == validation_speaker
    return (np.flatnonzero(~(test | validation)), np.flatnonzero(validation), np.flatnonzero(test))


def read(folder: Path) -> Recordings:
    """Read all recordings of a folder. Raises DataError on other names or sounds."""
    paths = sorted(folder.glob("*.wav"))
    if not paths:
        raise DataError(f"{folder}: expected wav files named like 7_jackson_32.wav, got none")
    labels = []
    for path in paths:
        match = NAME.fullmatch(path.name)
        if match is None:
            raise DataError(f"{path}: expected a name like 7_jackson_32.wav, digit first")
        labels.append(match.groups())
    return Recordings(
        sounds=[read_wav(path, SAMPLE_RATE) for path in paths],
        digits=torch.tensor([int(digit) for digit, _, _ in labels]),
        speakers=[speaker for _, speaker, _ in labels],
        numbers=[int(number) for _, _, number in labels],
    )


def locate() -> Path:
    """Return the folder of the 3,000 recordings, verified by one checksum; it is not downloaded."""
    folder = files.find(FOLDER)
    if folder is None or not folder.is_dir():
        raise DataError(
            f"{FOLDER} is missing: fetch {HOME} and put its folder recordings at "
            f"{files.folders()[0] / FOLDER}, or set {files.FOLDER} to the folder that has fsdd"
        )
    if (actual := digest(folder)) != SHA256:
        raise DataError(
            f"{folder} is incomplete or another version: expected 3,000 recordings with the digest "
            f"{SHA256}, got {len(list(folder.glob('*.wav')))} with {actual}; fetch {HOME} again"
        )
    return folder


def digest(folder: Path) -> str:
    """Return the SHA256 of the lines `<SHA256 of a file>  <its name>`, sorted by name."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.glob("*.wav"))
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def dataset(
    name: str, parts: list[Split], dt: float, events: bool, transforms: tuple[Transform, ...]
) -> Dataset:
    """Return the data set of three splits."""
    train, validation, test = parts
    return Dataset(
        name, DATASETS[name].title, train, validation, test,
        class_names=tuple("0123456789"), every_step=False, events=events, dt=dt,
        source="Free Spoken Digit Dataset, github.com/Jakobovski/free-spoken-digit-dataset",
        licence="CC BY-SA 4.0", transforms=transforms,
    )  # fmt: skip
