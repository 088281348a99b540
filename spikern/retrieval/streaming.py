"""A stream with a memory: one step at a time, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikern._utils import json_file, tensor_file
from spikern._utils.errors import DataError, InputError
from spikern.engines.stream import Stream
from spikern.engines.stream_loading import load_stream
from spikern.retrieval.memory import Memory, load_memory
from spikern.retrieval.mixing import Floats, Lookup, RecallState

STREAM, MEMORY = "stream.safetensors", "memory.safetensors"
SETTINGS = {"nearest": int, "need": float, "mix": float, "tau": float, "most": int}
"""The settings of a look-up, as text in a file, since JSON has no infinity."""
ONE = np.ones(1, np.int64)
"""Valid steps of a single step."""


class RecallingStream(Lookup):
    """A stream with a memory, which answers one step at a time.

    `stream` is that of `compile_stream(network)`, the other arguments are those of `Recalling`.

    >>> import torch
    >>> from spikern import build, compile_stream
    >>> from spikern.data.tinyshakespeare import split
    >>> from spikern.retrieval import remember
    >>> text = split(torch.tensor([0, 1, 2, 1] * 40), size=3)
    >>> network = build("LIF", 3, 16, 3, answer="every_step")
    >>> stream = RecallingStream(compile_stream(network), remember(network, text))
    >>> state = stream.zero_state()
    >>> stream.step(np.array([0, 1, 0], np.float32), state).shape
    (3,)
    """

    def __init__(
        self, stream: Stream, memory: Memory, nearest: int = 64, need: float = 8,
        mix: float = 0.5, tau: float = 4.0, most: int = 64,
    ) -> None:  # fmt: skip
        super().__init__(memory, nearest, need, mix, tau, most)
        body = stream.populations[: stream.body]
        spiking = all(population.step.spikes for population in body)
        self.check_fit(sum(len(p.bias) for p in body), stream.output_size, spiking)
        self.stream = stream
        places: Any = np.arange(stream.state_size)[None]
        hidden = stream.fields(places)[: stream.body]
        self._spikes = np.concatenate([fields["z"] for fields in hidden], 1)[0]

    def zero_state(self) -> RecallState:
        """The state before the first step."""
        return RecallState(self.stream.zero_state(), *self.start(1))

    def step(self, x: NDArray[np.float32], state: RecallState) -> Floats:
        """Advance by one step: x (C,), a one-hot symbol, state changed in place; returns (C,)."""
        self.check_state(state, 1)
        logits = self.stream.step(x, state.network)
        spikes = state.network[:, self._spikes] > 0
        shown = np.array([[x.argmax() if np.count_nonzero(x) == x.sum() == 1 else -1]])
        recall = self.answer(spikes[None], logits[None, None], shown, ONE, state)
        state.bits[:], state.neighbours[:] = recall.state.bits, recall.state.neighbours
        answer: Floats = recall.probabilities[0, 0]
        return answer

    def save(self, folder: str | Path) -> None:
        """Write stream, memory and settings to a folder, which is made if it is not there."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.stream.save(folder / STREAM)
        self.memory.save(folder / MEMORY)
        settings = {name: str(getattr(self, name)) for name in SETTINGS}
        json_file.write(folder / "settings.json", {**settings, "files": _digests(folder)})


def load_recalling(folder: str | Path) -> RecallingStream:
    """Load a stream with its memory from the folder that `save` wrote, without torch.

    Raises DataError if a file is missing, broken or not of the same `save` as the others.
    """
    folder = Path(folder)
    found = json_file.read(
        folder / "settings.json", {**dict.fromkeys(SETTINGS, str), "files": [str]}
    )
    if found["files"] != _digests(folder):
        raise DataError(f"{folder} holds a stream and a memory that were not saved together")
    stream, memory = load_stream(folder / STREAM), load_memory(folder / MEMORY)
    try:
        settings: Any = {name: kind(found[name]) for name, kind in SETTINGS.items()}
        return RecallingStream(stream, memory, **settings)
    except (ValueError, InputError) as error:
        raise DataError(f"{folder} does not hold a stream with a memory: {error}") from error


def _digests(folder: Path) -> list[str]:
    """The digests of the two files."""
    heads = [tensor_file.read_header(folder / name) for name in (STREAM, MEMORY)]
    return [head.get(tensor_file.DIGEST, "") for head in heads]
