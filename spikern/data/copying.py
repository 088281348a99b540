"""Copy: recall two symbols after a silent delay; needs no files.

Each of two out of eight symbols is shown for 5 steps of 1 ms, one event per step on the channel of
the symbol. After the delay, a ninth channel fires for two cues of 5 steps each; the label at the
last step of a cue is the next symbol, in order. Chance is one in eight; the answer needs 6 bits of
memory over the delay. There are only 64 different sequences, and all are in every split: the task
tests memory, not generalisation.
"""

from __future__ import annotations

import numpy as np
import torch

from spikern.data.catalogue import DATASETS
from spikern.data.dataset import UNLABELLED, Dataset, Split

SYMBOLS = 8
"""Classes, one channel each; one more channel is the cue."""
LENGTH = 2
"""Symbols per sequence."""
SLOT = 5
"""Steps of a symbol, and of a cue."""
SEQUENCES = 1000
"""Sequences for training and for testing; half as many for validation."""


def load(delay: int) -> Dataset:
    """Make the task with a delay in steps; each split is drawn with its own seed.

    >>> load(20).train.x.shape
    torch.Size([40, 1000, 9])
    """
    train, validation, test = (
        split(count, delay, seed)
        for seed, count in enumerate((SEQUENCES, SEQUENCES // 2, SEQUENCES))
    )
    name = f"copy_{delay}"
    return Dataset(
        name, DATASETS[name].title, train, validation, test,
        class_names=tuple(str(k) for k in range(SYMBOLS)), every_step=True, events=True, dt=1.0,
        source="made by spikern", licence="none needed",
    )  # fmt: skip


def split(count: int, delay: int, seed: int) -> Split:
    """Draw `count` sequences; the same seed gives the same sequences.

    The symbols are raw words of PCG64, whose stream numpy guarantees across versions.
    """
    words = np.random.PCG64(seed).random_raw(count * LENGTH)
    symbols = torch.from_numpy((words % SYMBOLS).astype(np.int64)).view(LENGTH, count)
    steps = 2 * SLOT * LENGTH + delay
    x = torch.zeros(steps, count, SYMBOLS + 1)
    y = torch.full((steps, count), UNLABELLED)
    for k in range(LENGTH):
        shown = SLOT * k
        cue = SLOT * (LENGTH + k) + delay
        x[shown : shown + SLOT, torch.arange(count), symbols[k]] = 1.0
        x[cue : cue + SLOT, :, SYMBOLS] = 1.0
        y[cue + SLOT - 1] = symbols[k]
    return Split(x, y, torch.full((count,), steps))
