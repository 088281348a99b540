"""Japanese vowels: which of 9 men says /ae/, from 12 LPC cepstra in 7 to 29 steps.

The archive's own split has 270 train and 370 test utterances. A fifth of every speaker's train
utterances, drawn with a fixed seed, is the validation part. Features are standardised by the
mean and standard deviation of the rest; shorter sequences are padded with zeros.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from spikern.data import files, splits, ts
from spikern.data.dataset import Dataset, Split

SEED = 0
DT = 6.4
"""Milliseconds between two frames, from the data's own description."""
SHA256 = {
    "TRAIN": "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd",
    "TEST": "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462",
}
HOME = "https://raw.githubusercontent.com/sktime/sktime/v1.0.1/sktime/datasets/data/JapaneseVowels"
HINT = "JapaneseVowels in .ts format, from timeseriesclassification.com"


def load() -> Dataset:
    """The dataset, from JapaneseVowels_TRAIN.ts and _TEST.ts in the folder japanese_vowels."""
    recorded, tested = (read(part) for part in ("TRAIN", "TEST"))
    kept, held_out = splits.stratified(recorded.labels, (0.8, 0.2), SEED)
    values = np.concatenate([recorded.series[n] for n in kept]).astype(np.float64)
    mean, std = values.mean(0), values.std(0)

    def split(part: ts.TimeSeries, chosen: splits.Indices) -> Split:
        series = [torch.from_numpy((part.series[n] - mean) / std).float() for n in chosen.tolist()]
        labels = torch.tensor(part.labels)[torch.from_numpy(chosen)]
        return Split(pad_sequence(series), labels, torch.tensor([len(s) for s in series]))

    return Dataset(
        name="japanese_vowels",
        title="Japanese vowels: the speaker of /ae/",
        train=split(recorded, kept),
        validation=split(recorded, held_out),
        test=split(tested, np.arange(len(tested.labels))),
        class_names=tuple(f"speaker {name}" for name in recorded.class_names),
        every_step=False,
        events=False,
        source="UCI Japanese Vowels (Kudo, Toyama and Shimbo 1999), UEA archive",
        licence="CC BY 4.0",
        dt=DT,
    )


def read(part: str) -> ts.TimeSeries:
    """The series of one original file, TRAIN or TEST."""
    name = f"JapaneseVowels_{part}.ts"
    return ts.read(files.locate(f"japanese_vowels/{name}", f"{HOME}/{name}", SHA256[part], HINT))
