"""Networks that look up their own past."""

from __future__ import annotations

from spikern._utils.errors import InputError
from spikern.events.trains import Input
from spikern.layers.arguments import Lengths, as_lengths
from spikern.layers.network import Network
from spikern.retrieval.memory import Memory
from spikern.retrieval.mixing import Lookup, Recall, RecallState
from spikern.retrieval.remembering import check_network, hidden_width, run, symbols


class Recalling(Lookup):
    """A network with a memory: `recalling.run(x, state, lengths)` gives probabilities.

    The arguments are described at `Lookup`. A match is followed from step to step as long as its
    next symbol is the one that comes.

    >>> import torch
    >>> from spikern import build
    >>> from spikern.data.tinyshakespeare import split
    >>> from spikern.retrieval import remember
    >>> text = split(torch.tensor([0, 1, 2, 1] * 40), size=3)
    >>> network = build("LIF", 3, 16, 3, answer="every_step")
    >>> recalling = Recalling(network, remember(network, text))
    >>> recall = recalling.run(text.batch([0]).x)
    >>> recall.probabilities.shape, recall.reads.keys.shape
    ((128, 1, 3), (128, 1))
    """

    def __init__(
        self, network: Network, memory: Memory, nearest: int = 64, need: float = 8,
        mix: float = 0.5, tau: float = 4.0, most: int = 64,
    ) -> None:  # fmt: skip
        super().__init__(memory, nearest, need, mix, tau, most)
        check_network(network)
        self.check_fit(hidden_width(network), network.classes, network.spiking)
        self.network = network

    def run(
        self, x: Input, state: RecallState | None = None, lengths: Lengths | None = None
    ) -> Recall:
        """Answer x (T, B, C), one-hot symbols, from a state; None: from the beginning.

        Past a sample's length nothing is looked up, and the answer is that of the network.
        """
        if len(x.shape) != 3:
            raise InputError(f"expected symbols x (T, B, C), got {tuple(x.shape)}")
        steps, batch, _ = x.shape
        lengths = as_lengths([steps] * batch if lengths is None else lengths)
        below, bits, neighbours = state or (None, *self.start(batch))
        hidden, logits, after = run(self.network, x, below, lengths)
        above = hidden.cpu().numpy() > self.memory.thresholds
        before = RecallState(after, bits, neighbours)
        shown, until = symbols(x), lengths.cpu().numpy()
        return self.answer(above, logits.cpu().numpy(), shown, until, before)
