"""Spike trains in HDF5, the format of the Heidelberg data sets: 700 channels of a cochlea model.

/spikes/times   per recording, the times of its spikes in seconds, float
/spikes/units   per recording, the channels of its spikes, 0..699, as many as times
/labels         the class index of each recording
/extra/keys     the name of each class
/extra/speaker  the speaker of each recording; not in every file
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spikern._utils import foreign
from spikern._utils.errors import DataError, InputError
from spikern.data.dataset import Split
from spikern.events.trains import Events

CHANNELS = 700
REQUIRED = ("spikes/times", "spikes/units", "labels", "extra/keys")


class Recordings(NamedTuple):
    """The content of a file; speakers is None if the file does not name them."""

    events: Events
    labels: Tensor
    class_names: tuple[str, ...]
    speakers: npt.NDArray[np.int64] | None

    def split(self, chosen: npt.NDArray[np.int64] | None = None) -> Split:
        """Return all recordings or the chosen ones; each lasts to its last spike."""
        events, labels = self.events, self.labels
        if chosen is not None:
            events, labels = events.select(torch.from_numpy(chosen)), labels[chosen]
        return Split(events, labels, events.lengths)


def read(path: Path, dt: float) -> Recordings:
    """Read all recordings in steps of dt ms, with at most one event per channel and step.

    Raises DataError on a file that is cut off, damaged or of other content.
    """
    with foreign.hdf5(path) as file:
        missing = [name for name in REQUIRED if name not in file]
        if missing:
            raise DataError(
                f"{path}: expected {', '.join(REQUIRED)}; missing: {', '.join(missing)}"
            )
        times, units = file["spikes/times"][:], file["spikes/units"][:]
        labels = torch.from_numpy(file["labels"][:].astype(np.int64))
        keys = tuple(to_text(key) for key in file["extra/keys"][:])
        speakers = file["extra/speaker"][:].astype(np.int64) if "extra/speaker" in file else None
    counts = [len(times), len(units), len(labels), *([] if speakers is None else [len(speakers)])]
    if len(set(counts)) > 1 or counts[0] == 0:
        raise DataError(f"{path}: expected as many times, units, labels, speakers; got {counts}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= len(keys):
        raise DataError(f"{path}: expected labels in 0..{len(keys) - 1}, got {low}..{high}")
    try:
        events = Events.from_addresses(times, units, CHANNELS, dt, "s").signs()
    except InputError as error:
        raise DataError(f"{path}: {error}") from error
    return Recordings(events, labels, keys, speakers)


def to_text(key: bytes | str) -> str:
    """Return the name of a class as text."""
    return key.decode() if isinstance(key, bytes) else str(key)
