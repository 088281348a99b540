"""What a network with a memory costs: the counts of the network, and the memory as one more layer.

    a key compared    an xor and a popcount per word of 64 bits, their sum, and one comparison with
                      the furthest neighbour; an xor is an addition, a popcount 8 of them
    a look-up         two reads, where its bucket begins and ends; a place read per key it names
    a pointer         one read, of its value, and one comparison with the symbol
    a vote            one read, of its value; one product, one exp and two additions
    a key of h        of RNN, GRU, LSTM: one comparison per unit with its median, which is read
    an answer         per class an exp, two products and two additions; two divisions

Words that are read are scattered: one access each, or more where a word is wider than an access.
Neighbours are read and written once per step, as are the bits of the steps before. Not counted:
keeping the neighbours in order, and the hash, which is wiring where the sampled bits are an
address.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from spikern.cost.counting import count
from spikern.cost.counts import Array, Counts, Layer, Steps, Storage, analog_layer
from spikern.cost.estimates import LOOKED_UP
from spikern.layers.arguments import Lengths
from spikern.layers.network import evaluating
from spikern.retrieval.mixing import Recall, RecallState
from spikern.retrieval.recalling import Recalling
from spikern.retrieval.search import EMPTY

POPCOUNT = 8
"""Additions of a popcount of 64 bits."""


def count_recalling(
    recalling: Recalling,
    x: torch.Tensor,
    state: RecallState | None = None,
    lengths: Lengths | None = None,
) -> Counts:
    """Run on x (T, B, C) and count the operations of network and memory.

    The arguments are those of `Recalling.run`. The last layer of the counts is "memory". A table
    that prices neurons instead of operations has no estimate of it.

    >>> from spikern import build
    >>> from spikern.data.tinyshakespeare import split
    >>> from spikern.retrieval import remember
    >>> text = split(torch.tensor([0, 1, 2, 1] * 40), size=3)
    >>> network = build("LIF", 3, 16, 3, answer="every_step")
    >>> counts = count_recalling(Recalling(network, remember(network, text)), text.batch([0]).x)
    >>> [layer.name for layer in counts.layers]
    ['hidden 0', 'readout', 'memory']
    """
    before = None if state is None else state.network
    with evaluating(recalling.network):
        counts = count(recalling.network, x, lengths, events=True, state=before)
    recall = recalling.run(x, state, lengths)
    layer = memory_layer(recalling, recall, counts.layers[-1].uses)
    return replace(counts, layers=(*counts.layers, layer))


def memory_layer(recalling: Recalling, recall: Recall, uses: Steps) -> Layer:
    """The memory as a layer, from what a run read at every step."""
    memory, classes = recalling.memory, recalling.network.classes
    wide, words = len(memory.thresholds), memory.keys.shape[1]
    carried, compared = memory.key_bits - wide, 0 if recalling.network.spiking else wide
    keys, tables, pointers, places = (each.sum(1).tolist() for each in recall.reads)
    votes = (recall.neighbours != EMPTY).sum((1, 2)).tolist()
    each_key = words * (1 + POPCOUNT) + words - 1
    arithmetic = {
        "add": tuple(each_key * k + 2 * v + 2 * classes * n for k, v, n in zip(keys, votes, uses)),
        "compare": tuple(k + p + compared * n for k, p, n in zip(keys, pointers, uses)),
        "mul": tuple(v + 2 * classes * n for v, n in zip(votes, uses)),
        "exp": tuple(v + classes * n for v, n in zip(votes, uses)),
        "div": tuple(2 * n for n in uses),
    }
    of_bits = carried * sum(uses)
    stores = (
        Array("memory", "keys", memory.keys.size, 64, words * sum(keys), scattered=True),
        Array("memory", "buckets", memory.tables.begin.size, 32, 2 * sum(tables), scattered=True),
        Array("memory", "places", memory.tables.members.size, 32, sum(places), scattered=True),
        Array("memory", "symbols", memory.values.size, 32, sum(pointers + votes), scattered=True),
        Array("memory", "states", carried, 1, of_bits, of_bits),
    )
    kept = Storage(states=recalling.nearest, constants=compared, outputs=classes)
    layer = analog_layer("memory", LOOKED_UP, 1, (), arithmetic, uses, kept)
    return replace(layer, stores=stores)
