"""QT database: the part of the heartbeat at every step of an ECG, from events.

618 train and 141 test records of 1,301 steps, 4 channels of level-crossing events, as published
with Yin, Corradi and Bohté (2021). A fixed 15 % of the train records is the validation part.

Before comparing numbers, note:

- 8.2 % of the train and 10.4 % of the test steps have no label: an all-zero one-hot. Here they
  are UNLABELLED. The published protocol takes the argmax, class 0, and counts them as P waves;
  `label_of_unlabelled` is that class, so that both accuracies can be computed. In
  `qtdb_all_steps` it is their label in all three parts, as in published figures.
- Every event is +1; the channel encodes the direction. The only -1 of a record is at its last
  step in channel 0, x[-1, :, 0], in every record of both files: a marker, not a crossing.
- The files do not name the patient of a record, so a patient may be in more than one part.
- The files number the classes. The names are those of the field for that task; their order is
  inferred from the labels, which run 0, 1, ..., 5, 0 and last as long as those waves do.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spikern._utils import foreign
from spikern._utils.errors import DataError
from spikern.data import files, splits
from spikern.data.catalogue import DATASETS
from spikern.data.dataset import UNLABELLED, Dataset, Split

SEED = 0
DT = 4.0
"""Milliseconds per step: the recordings have 250 samples per second."""
CLASS_OF_UNLABELLED = 0
"""The class of unlabelled steps in the published protocol."""
HELD_OUT = 93
"""Train records of the validation part, 15 %."""
SHA256 = {
    "train": "72d1a10c96f1540880447e07256835d66da419c0b34f3dff495731a7928c5bc7",
    "test": "916f11e21679a5b61988305bbb7cd1e6df8b34f1ed4a157a7a4e295d400ef232",
}
HOME = (
    "https://raw.githubusercontent.com/byin-cwi/Efficient-spiking-networks/"
    "bfd47cff62d26b0812bb2cc24c5f220245443a32/data"
)
PACKED = 15
"""The kind of a packed variable in a MATLAB 5 file."""
HINT = "encoded QT database, from github.com/byin-cwi/Efficient-spiking-networks, folder data"


def load() -> Dataset:
    """Load the data set from QTDB_train.mat and QTDB_test.mat in the folder qtdb."""
    (x, y), (x_test, y_test) = (
        read(files.locate(f"qtdb/{name}", f"{HOME}/{name}", SHA256[part], HINT))
        for part, name in (("train", "QTDB_train.mat"), ("test", "QTDB_test.mat"))
    )
    shuffled = torch.from_numpy(splits.order(x.shape[1], SEED))
    held_out, kept = (part.sort().values for part in shuffled.tensor_split([HELD_OUT]))
    return Dataset(
        "qtdb", DATASETS["qtdb"].title,
        train=full_length(x[:, kept], y[:, kept]),
        validation=full_length(x[:, held_out], y[:, held_out]),
        test=full_length(x_test, y_test),
        class_names=("P", "PQ", "QR", "RS", "ST", "TP"), every_step=True, events=True, dt=DT,
        source="PhysioNet QT Database (Laguna et al. 1997), as events by Yin et al. (2021)",
        licence="MIT; recordings ODC-By 1.0", label_of_unlabelled=CLASS_OF_UNLABELLED,
    )  # fmt: skip


def all_steps() -> Dataset:
    """Load the data set with every step labelled, as in the published protocol."""

    def labelled(part: Split) -> Split:
        y = part.y.masked_fill(part.y == UNLABELLED, CLASS_OF_UNLABELLED)
        return replace(part, y=y)

    name = "qtdb_all_steps"
    return load().with_splits(
        labelled, name=name, title=DATASETS[name].title, label_of_unlabelled=None
    )


def full_length(x: Tensor, y: Tensor) -> Split:
    """Return a split in which all steps of all sequences are valid."""
    return Split(x, y, torch.full((x.shape[1],), x.shape[0]))


def read(path: Path) -> tuple[Tensor, Tensor]:
    """Read events (T, N, F) and labels (T, N) of one original file."""
    from scipy.io import loadmat

    with foreign.parsed(path, "a MATLAB 5 file with x and y"):
        check_packed(path.read_bytes())
        content = loadmat(path)
        events, one_hot = (content[name].astype(np.float32) for name in "xy")
    if events.ndim != 3 or one_hot.ndim != 3 or events.shape[:2] != one_hot.shape[:2]:
        raise DataError(
            f"{path}: expected x (N, T, F) and y (N, T, C), got {events.shape} and {one_hot.shape}"
        )
    count = one_hot.sum(2)
    if not np.isin(one_hot, (0, 1)).all() or count.max(initial=0) > 1:
        raise DataError(f"{path}: expected y one-hot or all zero at a step, got several classes")
    labels = np.where(count == 1, one_hot.argmax(2), UNLABELLED)
    x = torch.from_numpy(events).transpose(0, 1).contiguous()
    return x, torch.from_numpy(labels).transpose(0, 1).contiguous()


def check_packed(content: bytes) -> None:
    """Raise ValueError unless all variables are packed, as in the original files, and whole.

    SciPy ends the process on some damaged variables; zlib's checksum finds them before.
    """
    at = 128
    while at < len(content):
        kind, size = struct.unpack_from("<II", content, at)
        if kind != PACKED:
            raise ValueError(f"expected packed variables, got kind {kind} at byte {at}")
        zlib.decompress(content[at + 8 : at + 8 + size])
        at += 8 + size
