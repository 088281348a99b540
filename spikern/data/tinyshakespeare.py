"""tinyshakespeare: the next of 65 characters at every step, from the characters before it.

The text is cut into 90 / 5 / 5 per cent in its order, and each part into sequences of 128
characters, one event per step. The label of a step is the next character; the last character of a
part has no label, so a part of n characters has n - 1 steps.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from spikern._utils import foreign
from spikern._utils.errors import DataError
from spikern.data import files
from spikern.data.catalogue import DATASETS
from spikern.data.dataset import UNLABELLED, Dataset, Split
from spikern.data.transforms import Transform, codes
from spikern.events.trains import Events

SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
HOME = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
HINT = "input.txt, from github.com/karpathy/char-rnn, folder data/tinyshakespeare"
CHUNK = 128
"""Steps per sequence."""
DT = 70.0
"""Milliseconds per character of spoken plays, at about 150 words per minute."""
NAMES = {" ": "space", "\n": "newline"}
"""Names of invisible characters."""


def load() -> Dataset:
    """Load the data set from input.txt in the folder tinyshakespeare."""
    text = read(files.locate("tinyshakespeare/input.txt", HOME, SHA256, HINT))
    alphabet = "".join(sorted(set(text)))
    ends = [len(text) * percent // 100 for percent in (90, 95)]
    parts = torch.from_numpy(codes(text, alphabet)).tensor_split(ends)
    train, validation, test = (split(part, len(alphabet)) for part in parts)
    return Dataset(
        "tinyshakespeare", DATASETS["tinyshakespeare"].title, train, validation, test,
        class_names=tuple(NAMES.get(character, character) for character in alphabet),
        every_step=True, events=True, dt=DT,
        source="plays of Shakespeare, as in char-rnn (Karpathy 2015)", licence="public domain",
        transforms=(Transform("characters", {"alphabet": alphabet}),),
    )  # fmt: skip


def read(path: Path) -> str:
    """Read the text. Raises DataError if it is not text, or too short for three parts."""
    with foreign.parsed(path, "text in UTF-8"):
        text = path.read_text(encoding="utf-8")
    if len(text) < 40:
        raise DataError(f"{path}: expected at least 40 characters, got {len(text)}; fetch it again")
    return text


def split(places: Tensor, size: int) -> Split:
    """Return sequences of CHUNK steps, the last one shorter: one-hot events, and the next code.

    >>> split(torch.tensor([2, 0, 1]), size=3).y
    tensor([[0],
            [1]])
    """
    shown = torch.split(places[:-1], CHUNK)
    lengths = torch.tensor([len(part) for part in shown])
    y = pad_sequence(list(torch.split(places[1:], CHUNK)), padding_value=UNLABELLED)
    fired = y != UNLABELLED
    events = Events(
        steps=y.shape[0],
        batch=y.shape[1],
        features=size,
        offsets=torch.cat([torch.zeros(1, dtype=torch.int64), fired.flatten().cumsum(0)]),
        indices=pad_sequence(list(shown))[fired].int(),
        values=torch.ones(int(fired.sum())),
    )
    return Split(events, y, lengths)
