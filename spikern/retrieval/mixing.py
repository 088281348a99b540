"""The answer of a network mixed with what came after similar states.

    p = (1 - mix) p_net + mix sum over neighbours n of softmax(-d_n / tau) [value_n = c]

d is the Hamming distance of the key. Without any neighbour p is p_net; tau = inf weighs all of
them equally.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikern._utils.errors import InputError
from spikern._utils.numbers import check_whole
from spikern.retrieval.memory import Memory, Truths, windows
from spikern.retrieval.search import EMPTY, Ranks, Reads, search, votes

Floats = NDArray[np.float64]


class RecallState(NamedTuple):
    """What is carried to the next piece of a sequence.

    network     the state of the network, or of the stream
    bits        (steps - 1, B, H), those of the last steps
    neighbours  (B, nearest), those of the last step
    """

    network: Any
    bits: Truths
    neighbours: Ranks


class Recall(NamedTuple):
    """The answers of a run.

    probabilities  (T, B, C)
    own            (T, B, C), those of the network alone
    neighbours     (T, B, nearest), distance x PLACES + place in the memory
    reads          what the search read at every step, each (T, B)
    state          after the last valid step of every sample
    """

    probabilities: Floats
    own: Floats
    neighbours: Ranks
    reads: Reads
    state: RecallState


class Lookup:
    """A memory and the settings of its use.

    nearest  keys that vote, of those that were compared
    need     if fewer pointers are left, every hash table is looked into
    mix      share of the memory in the answer, 0 to 1
    tau      distance, in bits, over which a weight falls to 1/e
    most     keys of a bucket that are compared
    """

    def __init__(
        self, memory: Memory, nearest: int, need: float, mix: float, tau: float, most: int
    ) -> None:
        check_whole(nearest=nearest, most=most)
        if not (min(nearest, most) > 0 and need >= 0 and 0 <= mix <= 1 and tau > 0):
            raise InputError(
                f"expected nearest and most of at least 1, need of at least 0, mix in 0..1 and tau "
                f"above 0, got {nearest}, {most}, {need}, {mix}, {tau}"
            )
        self.memory = memory
        self.nearest, self.need, self.most = nearest, need, most
        self.mix, self.tau = mix, tau

    def check_fit(self, hidden: int, classes: int, spiking: bool) -> None:
        """Raise InputError for a memory of another network; of spikes all thresholds are zero."""
        wide, largest = len(self.memory.thresholds), int(self.memory.values.max())
        if spiking == bool(self.memory.thresholds.any()):
            of, own = ("standard", "spikes") if spiking else ("spiking", "does not spike")
            raise InputError(
                f"the memory is of a {of} network, the network {own}; remember with the network "
                f"itself"
            )
        if wide != hidden or largest >= classes:
            raise InputError(
                f"the memory is of {wide} hidden outputs and symbols up to {largest}, the network "
                f"has {hidden} and {classes} classes; remember with the network itself"
            )

    def start(self, batch: int) -> tuple[Truths, Ranks]:
        """Bits and neighbours before the first step: none."""
        memory = self.memory
        before = np.zeros((memory.steps - 1, batch, len(memory.thresholds)), np.bool_)
        return before, np.full((batch, self.nearest), EMPTY)

    def check_state(self, state: RecallState, batch: int) -> None:
        """Raise InputError for bits or neighbours of shapes that do not fit."""
        bits = (self.memory.steps - 1, batch, len(self.memory.thresholds))
        neighbours = (batch, self.nearest)
        if (state.bits.shape, state.neighbours.shape) != (bits, neighbours):
            raise InputError(
                f"expected a state with bits {bits} and neighbours {neighbours}, got "
                f"{state.bits.shape} and {state.neighbours.shape}"
            )

    def answer(
        self, hidden: Truths, logits: NDArray[Any], shown: NDArray[np.int64],
        lengths: NDArray[np.int64], state: RecallState,
    ) -> Recall:  # fmt: skip
        """Look up every step; `state` has the bits and neighbours before, the network's after."""
        memory = self.memory
        self.check_state(state, len(lengths))
        queries, bits = windows(hidden, state.bits, lengths)
        found, reads = search(
            queries, shown, lengths, state.neighbours, memory.keys, memory.values, memory.tables,
            self.need, self.most,
        )  # fmt: skip
        after = found[lengths - 1, np.arange(len(lengths))]
        power = np.exp(logits - logits.max(-1, keepdims=True), dtype=np.float64)
        own = power / power.sum(-1, keepdims=True)
        said = votes(found, memory.values, logits.shape[-1], self.tau)
        share = np.where(found[..., :1] == EMPTY, 0.0, self.mix)
        probabilities = (1 - share) * own + share * said
        return Recall(probabilities, own, found, reads, RecallState(state.network, bits, after))
