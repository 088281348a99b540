"""The copy task: a few symbols, a silent delay, then as many go signals, one an answer."""

from __future__ import annotations

import numpy as np
import torch

from spikern.data.dataset import UNLABELLED, Dataset, Split

SYMBOLS = 8
"""Classes, one input channel each; a ninth channel says go."""
LENGTH = 2
"""Symbols to be remembered."""
SLOT = 5
"""Steps that a symbol or a go signal takes, an event at each; the answer is due at the last."""
SIZES = {"train": 1500, "validation": 500, "test": 1000}


def steps(delay: int) -> int:
    """Steps of a sequence: symbols, delay, answers."""
    return SLOT * LENGTH + delay + SLOT * LENGTH


def split(count: int, delay: int, seed: int) -> Split:
    """Sequences x (T, N, SYMBOLS + 1) of events.

    The symbols are raw words of PCG64, whose stream numpy promises to keep.
    """
    words = np.random.PCG64(seed).random_raw(count * LENGTH)
    symbols = torch.from_numpy((words % SYMBOLS).astype(np.int64)).view(LENGTH, count)
    x = torch.zeros(steps(delay), count, SYMBOLS + 1)
    y = torch.full((steps(delay), count), UNLABELLED)
    everyone = torch.arange(count)
    for k in range(LENGTH):
        shown = SLOT * k
        asked = SLOT * (LENGTH + k) + delay
        x[shown : shown + SLOT, everyone, symbols[k]] = 1.0
        x[asked : asked + SLOT, :, SYMBOLS] = 1.0
        y[asked + SLOT - 1] = symbols[k]
    return Split(x, y, torch.full((count,), steps(delay)))


def load(delay: int) -> Dataset:
    """The dataset of one delay; its three splits are drawn apart."""
    parts = {name: split(count, delay, seed) for seed, (name, count) in enumerate(SIZES.items())}
    return Dataset(
        name=f"copy-{delay}",
        title=f"Copy {LENGTH} of {SYMBOLS} symbols after {delay} steps",
        class_names=tuple(str(k) for k in range(SYMBOLS)),
        every_step=True,
        events=True,
        source="generated here; the task is that of Hochreiter and Schmidhuber 1997 in kind",
        licence="none needed",
        dt=1.0,
        **parts,
    )
