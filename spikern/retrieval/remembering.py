"""From a network and a text to a memory.

Source: Khandelwal et al., Generalization through memorization: nearest neighbor language models,
arXiv 1911.00172; hashing by sampled bits: Indyk and Motwani, Approximate nearest neighbors, 1998.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikern._utils.errors import InputError
from spikern._utils.numbers import check_whole
from spikern.data.dataset import UNLABELLED, Batch, Split
from spikern.events import valid_steps
from spikern.events.trains import Input, dense
from spikern.layers.arguments import Lengths
from spikern.layers.network import Network, evaluating, parts_of
from spikern.layers.rnn import Readout, SpikingRNN
from spikern.retrieval.memory import Memory, Truths, windows
from spikern.retrieval.search import Words, hashed, packed, unpacked
from spikern.train.batches import carried, in_order, place_of

SAMPLED = 4096
"""Keys whose bits say how evenly each bit is set."""
READ_AT_ONCE = 64
"""Sequences of a batch where the state is not carried."""


def run(
    network: Network, x: Input, state: Any, lengths: Lengths | None
) -> tuple[Tensor, Tensor, Any]:
    """Return the outputs of all hidden layers (T, B, H), the logits (T, B, C), and the state.

    As it answers: without dropout and gradients.
    """
    below, above = parts_of(state)
    body, readout = network.body, network.readout
    with evaluating(network):
        if isinstance(body, SpikingRNN):
            layers, below = body.unroll(x, below, lengths)
        else:
            out, below = body(x, below, lengths)
            layers = [out]
        if isinstance(readout, Readout):
            logits, above = readout(layers[-1], above, lengths)
        else:
            logits = readout(layers[-1])
    return torch.cat(layers, -1), logits, (below, above)


def runs(
    network: Network, data: Split, carry_state: bool
) -> Iterator[tuple[Tensor, Batch, NDArray[np.float32]]]:
    """Run a network over a split: indices and batches of sequences, and hidden outputs."""
    state = None
    for indices in in_order(data, READ_AT_ONCE, carry_state):
        batch = data.batch(indices).to(*place_of(network))
        state = carried(state, len(batch)) if carry_state else None
        hidden, _, state = run(network, batch.x, state, batch.lengths)
        yield indices, batch, hidden.cpu().numpy()


def remember(
    network: Network, data: Split, steps: int = 2, tables: int = 4, bits: int = 32,
    carry_state: bool = False, seed: int = 0,
) -> Memory:  # fmt: skip
    """Run a network over a text and store its hidden states, each with the symbol that came next.

    steps        steps whose bits are a key
    tables       hash tables, each over its own sample of the key's bits
    bits         bits of a sample, which `seed` draws; the more evenly a bit is set, the likelier
    carry_state  read the split as `evaluate` does with this argument

    `data` is a split whose sequences are a text: at every step one event, the symbol, and the next
    symbol as the label. Raises InputError for other data, and for a network that does not answer
    at every step or sees the future.

    >>> from spikern.data.tinyshakespeare import split
    >>> from spikern import build
    >>> text = split(torch.tensor([0, 1, 2, 1] * 40), size=3)
    >>> memory = remember(build("LIF", 3, 16, 3, answer="every_step"), text)
    >>> len(memory.keys), memory.key_bits
    (159, 32)
    """
    check_whole(steps=steps, tables=tables, bits=bits)
    if min(steps, tables, bits) < 1:
        raise InputError(
            f"expected steps, tables and bits of at least 1, got {steps, tables, bits}"
        )
    check_network(network)
    check_split(data)
    width = hidden_width(network)
    thresholds = np.zeros(width, np.float32)
    if not network.spiking:
        seen = [
            hidden[valid_steps(batch.lengths, len(hidden)).cpu().numpy()]
            for _, batch, hidden in runs(network, data, carry_state)
        ]
        thresholds = np.median(np.concatenate(seen), 0).astype(np.float32)
    keys, values, places = [], [], []
    before = np.zeros((steps - 1, 0, width), np.bool_)
    for indices, batch, hidden in runs(network, data, carry_state):
        check_text(batch)
        if not carry_state or before.shape[1] == 0:
            before = np.zeros((steps - 1, len(batch), width), np.bool_)
        own, before = windows(
            hidden > thresholds, before[:, : len(batch)], batch.lengths.cpu().numpy()
        )
        y, labelled, at = labelled_steps(indices, batch, len(data.x))
        keys.append(own[labelled])
        values.append(y)
        places.append(at)
    order = np.argsort(np.concatenate(places))
    stored = np.concatenate(keys)[order]
    masks = sampled(stored, steps * width, tables, bits, seed)
    return Memory(
        stored, np.concatenate(values)[order].astype(np.int32), thresholds,
        hashed(stored, masks), steps,
    )  # fmt: skip


def labelled_steps(
    indices: Tensor, batch: Batch, longest: int
) -> tuple[NDArray[np.int64], Truths, NDArray[np.int64]]:
    """The labels of a batch, where (T, B) they are, and their places in the split's own order."""
    y = batch.y.cpu().numpy()
    labelled = y != UNLABELLED
    at = indices.numpy() * longest + np.arange(len(y))[:, None]
    return y[labelled], labelled, at[labelled]


def check_split(data: Any) -> None:
    """Raise InputError for what is not one split, such as all of a data set."""
    if not isinstance(data, Split):
        raise InputError(
            f"expected one split, such as dataset.train, got {type(data).__name__}; what is "
            f"remembered must not be what is judged"
        )


def hidden_width(network: Network) -> int:
    """Outputs of all hidden layers."""
    body = network.body
    return sum(body.hidden_sizes) if isinstance(body, SpikingRNN) else body.hidden_size


def check_network(network: Network) -> None:
    """Raise InputError for a network whose states cannot be looked up at every step."""
    body = network.body
    if isinstance(body, SpikingRNN) and body.bidirectional:
        raise InputError("a bidirectional network sees the symbols that it is to predict")
    if isinstance(body, SpikingRNN) and not all(neuron.spikes for neuron in body.neurons):
        raise InputError("the bits of a memory are spikes; expected hidden neurons that fire")
    if network.answer != "every_step":
        raise InputError(
            f"expected a network with answer='every_step', got {network.answer!r}; "
            f"`remember_classes` is for one answer per sequence"
        )


def symbols(x: Input) -> NDArray[np.int64]:
    """Return the symbols (T, B) of one-hot events x (T, B, C); a step that is no symbol is -1."""
    shown = dense(x).cpu()
    one = ((shown != 0).sum(2) == 1) & (shown.sum(2) == 1)
    return torch.where(one, shown.argmax(2), -1).numpy()


def check_text(batch: Batch) -> None:
    """Raise InputError unless the label of a step is the event of the next one."""
    shown = symbols(batch.x)
    y = batch.y.cpu().numpy()
    valid = valid_steps(batch.lengths, len(shown)).cpu().numpy()
    fits = y.ndim == 2 and (shown[valid] >= 0).all()
    if not fits or (y[:-1] != shown[1:])[valid[1:]].any():
        raise InputError(
            "expected a text: at every step one event, the symbol, and the symbol of the next step "
            "as the label; `remember_classes` is for labels of sequences"
        )


def sampled(keys: Words, key_bits: int, tables: int, bits: int, seed: int) -> Words:
    """Draw the masks (tables, W) of hash tables, a bit in proportion to its variance p (1 - p)."""
    share = unpacked(keys[:: max(1, len(keys) // SAMPLED)], key_bits).mean(0)
    weight = share * (1 - share)
    informative = np.flatnonzero(weight)
    generator = np.random.default_rng(seed)
    masks = np.zeros((tables, key_bits), np.bool_)
    for mask in masks if len(informative) else ():
        p = weight[informative] / weight.sum()
        mask[generator.choice(informative, min(bits, len(informative)), False, p)] = True
    return packed(masks)
