"""Japanese vowels: which of 9 men says /ae/, from 12 LPC cepstra in 7 to 29 steps.

The split of the archive has 270 train and 370 test utterances; the validation part, standardising
and padding are as for your own data, see `spikern.data.own`.
"""

from __future__ import annotations

from pathlib import Path

from spikern.data import files, own
from spikern.data.catalogue import DATASETS
from spikern.data.dataset import Dataset
from spikern.data.formats import ucr

DT = 6.4
"""Milliseconds between two frames, from the description of the data."""
SHA256 = {
    "TRAIN": "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd",
    "TEST": "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462",
}
HOME = "https://raw.githubusercontent.com/sktime/sktime/v1.0.1/sktime/datasets/data/JapaneseVowels"
HINT = "JapaneseVowels in .ts format, from timeseriesclassification.com"


def load() -> Dataset:
    """Load the data set from JapaneseVowels_TRAIN.ts and _TEST.ts in the folder japanese_vowels."""
    parts = {part: read(part.upper()) for part in ("train", "test")}
    splits, transforms = own.split_and_standardise(Path("JapaneseVowels"), parts)
    return Dataset(
        "japanese_vowels", DATASETS["japanese_vowels"].title, *splits,
        class_names=parts["train"].class_names, every_step=False, events=False, dt=DT,
        transforms=transforms,
        source="UCI Japanese Vowels (Kudo, Toyama and Shimbo 1999), UEA archive",
        licence="CC BY 4.0",
    )  # fmt: skip


def read(part: str) -> ucr.TimeSeries:
    """Read the series of one original file, TRAIN or TEST."""
    name = f"JapaneseVowels_{part}.ts"
    return ucr.read_ts(
        files.locate(f"japanese_vowels/{name}", f"{HOME}/{name}", SHA256[part], HINT)
    )
