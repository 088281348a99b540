"""The HDF5 format of the Heidelberg spiking data sets: 700 channels of a cochlea model.

    /spikes/times   a list of seconds a recording, float
    /spikes/units   a list of channels a recording, 0..699, as long
    /labels         a class a recording
    /extra/keys     the name of every class
    /extra/speaker  who speaks, where the file says so

Source: Cramer, Stradmann, Schemmel and Zenke, The Heidelberg spiking data sets for the systematic
evaluation of spiking neural networks, IEEE TNNLS 33, 2744-2757 (2022).
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spikern._utils.errors import DataError, InputError
from spikern.data import files
from spikern.data.dataset import Split
from spikern.events.trains import Events

CHANNELS = 700
HOME = "https://zenkelab.org/datasets"
LICENCE = "CC BY 4.0"
NEEDED = ("spikes/times", "spikes/units", "labels", "extra/keys")


class Recordings(NamedTuple):
    """The content of a file; speakers is None where the file does not name them."""

    events: Events
    labels: Tensor
    class_names: tuple[str, ...]
    speakers: npt.NDArray[np.int64] | None

    def split(self, chosen: npt.NDArray[np.int64] | None = None) -> Split:
        """All recordings or the chosen ones; each lasts to its last spike."""
        events, labels = self.events, self.labels
        if chosen is not None:
            events, labels = events.select(torch.from_numpy(chosen)), labels[chosen]
        return Split(events, labels, events.lengths)


def locate(name: str) -> Path:
    """The file NAME.h5, or NAME.h5.gz as it is downloaded, in the folder of its data set.

    The home publishes MD5 sums that we could not check against the files, so none is held here:
    gzip's own checksum finds damage, and `read` holds the content to the format.
    """
    folder = name.split("_")[0]
    plain = files.find(f"{folder}/{name}.h5")
    if plain is not None:
        return plain
    packed = f"{name}.h5.gz"
    return files.locate(f"{folder}/{packed}", f"{HOME}/{packed}", None, f"{packed}, from {HOME}")


def read(path: Path, dt: float) -> Recordings:
    """All recordings in steps of dt ms, with at most one event a channel and step.

    Raises DataError on a file that is cut off, damaged or of another content.
    """
    with opened(path) as file:
        missing = [name for name in NEEDED if name not in file]
        if missing:
            raise DataError(f"{path}: expected {', '.join(NEEDED)}; missing: {', '.join(missing)}")
        try:
            times, units = file["spikes/times"][:], file["spikes/units"][:]
            labels = torch.from_numpy(np.asarray(file["labels"][:]).astype(np.int64))
            keys = tuple(named(key) for key in file["extra/keys"][:])
            speakers = file["extra/speaker"][:] if "extra/speaker" in file else None
        except (OSError, TypeError, ValueError) as error:
            raise DataError(f"{path}: cut off or damaged: {error}; fetch it again") from error
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
    who = None if speakers is None else np.asarray(speakers).astype(np.int64)
    return Recordings(events, labels, keys, who)


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """The file, unpacked beside the memory if it is packed."""
    with tempfile.TemporaryFile() as plain:
        try:
            if path.suffix == ".gz":
                with gzip.open(path) as packed:
                    shutil.copyfileobj(packed, plain, 1 << 20)
            file = h5py.File(plain if path.suffix == ".gz" else path, "r")
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(
                f"{path}: expected an HDF5 file, whole: {error}; fetch it again"
            ) from error
        with file:
            yield file


def named(key: bytes | str) -> str:
    """The name of a class as text."""
    return key.decode() if isinstance(key, bytes) else str(key)
