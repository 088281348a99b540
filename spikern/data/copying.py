"""Copy: two symbols, a silent delay, and the two again when they are asked for; needs no files.

Each of two of eight symbols is shown for 5 steps of 1 ms, one event a step on a channel of its own.
After the delay a ninth channel asks twice for 5 steps, and at the last of these the next symbol is
due, in order. Chance is one in eight; to answer is to hold 6 bits over the delay. There are but
64 different sequences, and all are in every split: this asks for memory, not for generalisation.
"""

from __future__ import annotations

import numpy as np
import torch

from spikern.data.dataset import UNLABELLED, Dataset, Split

TITLE = "Copy two symbols after a delay"
FILES: tuple[str, ...] = ()
DELAYS = (5, 20, 80, 320)
"""Steps, of the data sets that have a name."""
SYMBOLS = 8
"""Classes, one channel each; one channel more asks."""
LENGTH = 2
"""Symbols to be remembered."""
SLOT = 5
"""Steps of a symbol, and of a question."""
SEQUENCES = 1000
"""For training, and as many for testing; half as many for validation."""


def load(delay: int) -> Dataset:
    """The task at a delay in steps; the three splits are drawn apart.

    >>> load(20).train.x.shape
    torch.Size([40, 1000, 9])
    """
    train, validation, test = (
        split(count, delay, seed)
        for seed, count in enumerate((SEQUENCES, SEQUENCES // 2, SEQUENCES))
    )
    return Dataset(
        name=f"copy_{delay}",
        title=f"{TITLE} of {delay} steps",
        train=train,
        validation=validation,
        test=test,
        class_names=tuple(str(k) for k in range(SYMBOLS)),
        every_step=True,
        events=True,
        source="made by spikern",
        licence="none needed",
        dt=1.0,
    )


def split(count: int, delay: int, seed: int) -> Split:
    """So many sequences, the same for a seed.

    The symbols are raw words of PCG64, whose stream numpy promises to keep.
    """
    words = np.random.PCG64(seed).random_raw(count * LENGTH)
    symbols = torch.from_numpy((words % SYMBOLS).astype(np.int64)).view(LENGTH, count)
    steps = 2 * SLOT * LENGTH + delay
    x = torch.zeros(steps, count, SYMBOLS + 1)
    y = torch.full((steps, count), UNLABELLED)
    for k in range(LENGTH):
        shown = SLOT * k
        asked = SLOT * (LENGTH + k) + delay
        x[shown : shown + SLOT, torch.arange(count), symbols[k]] = 1.0
        x[asked : asked + SLOT, :, SYMBOLS] = 1.0
        y[asked + SLOT - 1] = symbols[k]
    return Split(x, y, torch.full((count,), steps))
