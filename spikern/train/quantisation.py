"""Weights in int8: rounded after training, or while it goes on.

Activations, states and constants stay in float32, in spiking and in gated networks alike.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from spikern._utils.errors import InputError
from spikern.layers.arguments import computes_weights
from spikern.layers.network import Network

LEVELS = 127
"""Largest int8 magnitude used; -128 is not, so that the range is symmetric."""


def round_rows(weight: Tensor) -> Tensor:
    """w -> s round(w / s) with s = max|row| / 127, a row (out) of weight (out, in) at a time.

    >>> round_rows(torch.tensor([[1.27, 0.014], [0.0, 0.0]]))
    tensor([[1.2700, 0.0100],
            [0.0000, 0.0000]])
    """
    scale = weight.abs().amax(1, keepdim=True) / LEVELS
    return torch.where(scale == 0, 0.0, (weight / scale).round() * scale)


def int8_weights(network: Network) -> Network:
    """A copy whose weight matrices hold only multiples of their rows' int8 scale.

    Raises InputError if a weight is not finite, or computed from others, as pruning does.

    >>> from spikern import build
    >>> weight = int8_weights(build("RNN", 3, 8, 2)).body.rnn.weight_hh_l0
    >>> all(len(row.unique()) <= 8 for row in weight)
    True
    """
    _check_own_weights(network)
    rounded = copy.deepcopy(network)
    with torch.no_grad():
        for name, weight in _matrices(rounded):
            if not bool(weight.isfinite().all()):
                raise InputError(f"{name} holds NaN or infinite values; nothing to quantise")
            weight.copy_(round_rows(weight))
    return rounded


@contextmanager
def rounded_weights(network: Network) -> Iterator[None]:
    """A context in which the weights are in int8, and after which they are what they were.

    A gradient that is taken in it is that at the rounded weights; applied to the weights themselves
    it is the straight-through estimate. Source: Bengio, Leonard and Courville 2013, arXiv
    1308.3432. Raises InputError if weights are computed from others.

    >>> from spikern import build
    >>> network = build("RNN", 3, 8, 2)
    >>> weight = network.body.rnn.weight_hh_l0
    >>> before = weight.detach().clone()
    >>> with rounded_weights(network):
    ...     print(torch.equal(weight, before), torch.equal(weight, round_rows(before)))
    False True
    >>> torch.equal(weight, before)
    True
    """
    _check_own_weights(network)
    kept = [(weight, weight.detach().clone()) for _, weight in _matrices(network)]
    with torch.no_grad():
        for weight, _ in kept:
            weight.copy_(round_rows(weight))
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, before in kept:
                weight.copy_(before)


def _check_own_weights(network: Network) -> None:
    if computes_weights(network):
        raise InputError(
            "the network computes weights from others, and those would be rounded; call "
            "prune.remove or parametrize.remove_parametrizations first"
        )


def _matrices(network: Network) -> Iterator[tuple[str, Tensor]]:
    named = network.named_parameters()
    return ((name, p) for name, p in named if "weight" in name and p.ndim == 2)
