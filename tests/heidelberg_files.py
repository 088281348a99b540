"""Files in the format of the Spiking Heidelberg Digits that hold noise, for a smoke run."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

CHANNELS, DIGITS, SPEAKERS = 700, 20, 4
RECORDINGS = 40
SPIKES = 400
"""A recording; a real one has about twenty times as many."""
SECONDS = 0.2


def write(folder: Path) -> None:
    """shd/shd_train.h5 and shd/shd_test.h5 below a folder."""
    generator = np.random.default_rng(0)
    (folder / "shd").mkdir(parents=True)
    for part in ("train", "test"):
        with h5py.File(folder / "shd" / f"shd_{part}.h5", "w") as file:
            file["labels"] = np.arange(RECORDINGS, dtype=np.uint16) % DIGITS
            file["extra/speaker"] = np.arange(RECORDINGS, dtype=np.uint16) % SPEAKERS
            file["extra/keys"] = [f"digit {k}".encode() for k in range(DIGITS)]
            times = [np.sort(generator.uniform(0, SECONDS, SPIKES)) for _ in range(RECORDINGS)]
            units = [generator.integers(0, CHANNELS, SPIKES) for _ in range(RECORDINGS)]
            for name, rows, kind in (("times", times, "f2"), ("units", units, "u2")):
                ragged = file.create_dataset(f"spikes/{name}", RECORDINGS, h5py.vlen_dtype(kind))
                for k, row in enumerate(rows):
                    ragged[k] = row.astype(kind)
