"""How many bits a memory saves, and the settings that save most on validation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikern._utils.errors import InputError
from spikern.data.dataset import Split
from spikern.layers.network import Network
from spikern.retrieval.memory import Memory
from spikern.retrieval.mixing import Floats, Lookup, RecallState
from spikern.retrieval.recalling import Recalling
from spikern.retrieval.remembering import READ_AT_ONCE, check_split, check_text, labelled_steps
from spikern.retrieval.search import EMPTY, Ranks, Reads, votes
from spikern.train.batches import carried, in_order, place_of


class Found(NamedTuple):
    """What was found at every labelled step of a split, in the order of the text.

    own         (N,) the network's probability of the symbol that came
    neighbours  (N, nearest)
    symbols     (N,) those that came
    values      those of the memory, by place
    reads       what the search read, each (N,)
    """

    own: Floats
    neighbours: Ranks
    symbols: NDArray[np.int64]
    values: NDArray[np.int32]
    reads: Reads

    def said(self, tau: float) -> Floats:
        """The votes (N,) for the symbols that came."""
        classes = 1 + max(int(self.values.max()), int(self.symbols.max()))
        said = votes(self.neighbours, self.values, classes, tau)
        return said[np.arange(len(said)), self.symbols]

    def mixed(self, said: Floats, mix: float) -> Floats:
        """The probabilities (N,) of the symbols that came, with these votes."""
        share = np.where(self.neighbours[:, 0] == EMPTY, 0.0, mix)
        mixed: Floats = (1 - share) * self.own + share * said
        return mixed

    def probabilities(self, mix: float, tau: float) -> Floats:
        """The probabilities (N,) of the symbols that came, with these settings."""
        return self.mixed(self.said(tau), mix)


def find(recalling: Recalling, split: Split, carry_state: bool = False) -> Found:
    """Look up every step of a split; `carry_state` as in `evaluate`.

    Raises InputError for data that are not text, as `remember` does.
    """
    check_split(split)
    state: RecallState | None = None
    parts, places = [], []
    for indices in in_order(split, READ_AT_ONCE, carry_state):
        batch = split.batch(indices).to(*place_of(recalling.network))
        check_text(batch)
        before, size = None, len(batch)
        if carry_state and state:
            own = carried(state.network, size)
            before = RecallState(own, state.bits[:, :size], state.neighbours[:size])
        recall = recalling.run(batch.x, before, batch.lengths)
        state = recall.state
        y, labelled, at = labelled_steps(indices, batch, len(split.x))
        own = recall.own[labelled][np.arange(len(y)), y]
        reads = [each[labelled] for each in recall.reads]
        parts.append((own, recall.neighbours[labelled], y, *reads))
        places.append(at)
    order = np.argsort(np.concatenate(places))
    own, neighbours, y, *reads = (np.concatenate(part)[order] for part in zip(*parts))
    return Found(own, neighbours, y, recalling.memory.values, Reads(*reads))


def choose(
    network: Network,
    memory: Memory,
    split: Split,
    nearest: Sequence[int] = (64,),
    need: Sequence[float] = (8,),
    mix: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    tau: Sequence[float] = (1.0, 2.0, 4.0, 8.0, 16.0),
    most: int = 64,
    carry_state: bool = False,
) -> Recalling:
    """Return the network with its memory and those settings that need the fewest bits on a split.

    The split is the validation split: a memory's settings are chosen where nothing is reported.

    >>> import torch
    >>> from spikern import build
    >>> from spikern.data.tinyshakespeare import split
    >>> from spikern.retrieval import remember
    >>> text, other = (split(torch.tensor([0, 1, 2, 1] * n), size=3) for n in (40, 9))
    >>> network = build("LIF", 3, 16, 3, answer="every_step")
    >>> recalling = choose(network, remember(network, text), other, mix=(0.3, 0.9))
    >>> found = find(recalling, other)
    >>> bits(found.probabilities(recalling.mix, recalling.tau)) < bits(found.own)
    True
    """
    settings = list(product(nearest, need, mix, tau))
    if not settings:
        raise InputError("expected at least one value each of nearest, need, mix and tau to try")
    for setting in settings:
        Lookup(memory, *setting, most)  # refuses a setting before anything is looked up
    tried = []
    for keys, least in product(nearest, need):
        found = find(Recalling(network, memory, keys, least, most=most), split, carry_state)
        for distance in tau:
            said = found.said(distance)
            for share in mix:
                tried.append((bits(found.mixed(said, share)), (keys, least, share, distance)))
    return Recalling(network, memory, *min(tried)[1], most)


def bits(probabilities: Floats) -> float:
    """The mean surprise, -log2 p.

    >>> bits(np.array([0.5, 0.125]))
    2.0
    """
    return float(-np.log2(probabilities).mean())
