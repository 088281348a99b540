"""The layouts that a layer takes: everything becomes (T, B, F) on its way in, and back again."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from spikern._utils.errors import InputError
from spikern.engines.population import Input
from spikern.events.trains import Events

Given = Tensor | Events | PackedSequence
"""(T, B, F), (B, T, F) with batch_first, (T, F) for one sample, events, or packed sequences."""


def is_single(x: Given) -> bool:
    """Whether x is one sample without a batch, (T, F)."""
    return isinstance(x, Tensor) and x.ndim == 2


def time_first(x: Given, lengths: Tensor | None, batch_first: bool) -> tuple[Input, Tensor | None]:
    """x as (T, B, F) and its lengths (B,); those of packed sequences are their own.

    >>> x = torch.nn.utils.rnn.pack_sequence([torch.ones(3, 1), torch.ones(2, 1)])
    >>> padded, lengths = time_first(x, None, batch_first=True)
    >>> padded.shape, lengths
    (torch.Size([3, 2, 1]), tensor([3, 2]))
    """
    if isinstance(x, PackedSequence):
        if lengths is not None:
            raise InputError("a PackedSequence holds its own lengths; leave lengths= out")
        padded, own = pad_packed_sequence(x)
        return padded, own.to(padded.device)
    if isinstance(x, Tensor) and x.ndim == 2:
        return x.unsqueeze(1), None if lengths is None else lengths.reshape(-1)
    if isinstance(x, Tensor) and x.ndim == 3 and batch_first:
        return x.transpose(0, 1), lengths
    return x, lengths


def as_given(out: Tensor, x: Given, batch_first: bool) -> Tensor | PackedSequence:
    """An output (T, B, H) in the layout of x."""
    if isinstance(x, PackedSequence):
        if x.sorted_indices is not None:
            out = out.index_select(1, x.sorted_indices)
        order = torch.arange(out.shape[1])
        present = (order < x.batch_sizes.unsqueeze(1)).to(out.device)
        return PackedSequence(out[present], x.batch_sizes, x.sorted_indices, x.unsorted_indices)
    if is_single(x):
        return out.squeeze(1)
    return out.transpose(0, 1) if batch_first and isinstance(x, Tensor) else out


def reversed_in_time(x: Input, lengths: Tensor | None) -> Tensor:
    """x (T, B, F) with the valid steps of every sample in reverse; past them as it was.

    >>> x = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    >>> reversed_in_time(x, torch.tensor([2])).flatten()
    tensor([2., 1., 3.])
    """
    if isinstance(x, Events):
        x = x.to_dense()
    if lengths is None:
        return x.flip(0)
    steps = torch.arange(len(x), device=x.device).unsqueeze(1)
    source = torch.where(steps < lengths, lengths - 1 - steps, steps)
    return x.gather(0, source.unsqueeze(2).expand_as(x))
